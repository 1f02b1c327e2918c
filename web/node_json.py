"""The picture of nodes, devices and metrics as the JSON of the API."""

from collections.abc import Mapping
from typing import Any

from host_app.engineering import read_enumeration
from proto.sparkplug.metrics import (
    DESCRIPTION_PROPERTY,
    HIGH_PROPERTY,
    LOW_PROPERTY,
    UNIT_PROPERTY,
    Property,
)
from proto.sparkplug.node_view import DeviceView, MetricView, NodeView
from proto.sparkplug.topics import NodeId
from web.json_values import NOT_WRITABLE, value_to_json


def node_to_json(view: NodeView) -> dict[str, Any]:
    """Return one node with everything below it."""
    diagnostics = view.diagnostics
    return {
        "id": str(view.node),
        "group": view.node.group,
        "edge": view.node.edge,
        "online": view.online,
        "since_ms": view.since_ms,
        "bd_seq": view.bd_seq,
        "births": diagnostics.births,
        "deaths": diagnostics.deaths,
        "violations": diagnostics.violation_count,
        "metrics": [metric_to_json(metric) for metric in view.metrics.values()],
        "devices": [device_to_json(device) for device in view.devices.values()],
    }


def device_to_json(view: DeviceView) -> dict[str, Any]:
    """Return one device with its metrics."""
    return {
        "name": view.name,
        "online": view.online,
        "since_ms": view.since_ms,
        "metrics": [metric_to_json(metric) for metric in view.metrics.values()],
    }


def metric_to_json(view: MetricView) -> dict[str, Any]:
    """Return one metric with its value and what its birth told of it."""
    properties = view.properties
    return {
        "name": view.name,
        "datatype": view.datatype.label,
        "value": value_to_json(view.value),
        "quality": view.quality,
        "timestamp_ms": view.timestamp_ms,
        "stale": view.stale,
        "unit": _text(properties, UNIT_PROPERTY),
        "low": _number(properties, LOW_PROPERTY),
        "high": _number(properties, HIGH_PROPERTY),
        "description": _text(properties, DESCRIPTION_PROPERTY),
        "enumeration": _enumeration(view),
        "writable": view.writable and view.datatype not in NOT_WRITABLE,
    }


def _enumeration(view: MetricView) -> dict[str, str] | None:
    names = read_enumeration(view)
    return None if names is None else {str(number): names[number] for number in names}


def value_row(node: NodeId, device: str | None, view: MetricView) -> list[Any]:
    """Return one entry of a ``values`` message."""
    return [
        str(node),
        device,
        view.name,
        value_to_json(view.value),
        view.quality,
        view.timestamp_ms,
        view.stale,
    ]


def metric_count(view: NodeView) -> int:
    """Return how many metrics a node has with all its devices."""
    return len(view.metrics) + sum(len(device.metrics) for device in view.devices.values())


def _text(properties: Mapping[str, Property], name: str) -> str | None:
    prop = properties.get(name)
    return prop.value if prop is not None and isinstance(prop.value, str) else None


def _number(properties: Mapping[str, Property], name: str) -> Any:
    prop = properties.get(name)
    if prop is None or isinstance(prop.value, bool) or not isinstance(prop.value, int | float):
        return None
    return value_to_json(prop.value)
