"""What births say about metrics: who they are and how they are described. Pure.

A metric is named by group, edge node, device, name and data type: a metric that comes back with
another data type is another metric under the same name, so that older rows keep their meaning.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from historian.exact import JsonValue, format_json, printable
from proto import sparkplug_b_pb2 as pb
from proto.sparkplug.codec_scalars import checked_text
from proto.sparkplug.datatypes import DataType
from proto.sparkplug.metrics import (
    DESCRIPTION_PROPERTY,
    HIGH_PROPERTY,
    LOW_PROPERTY,
    QUALITY_PROPERTY,
    READ_ONLY_PROPERTY,
    UNIT_PROPERTY,
    UNS_PATH_PROPERTY,
    is_control,
)
from proto.sparkplug.topics import Topic

_OWN_COLUMNS: Final = frozenset(
    {
        DESCRIPTION_PROPERTY,
        HIGH_PROPERTY,
        LOW_PROPERTY,
        QUALITY_PROPERTY,
        READ_ONLY_PROPERTY,
        UNIT_PROPERTY,
        UNS_PATH_PROPERTY,
    }
)
_METRIC_TYPES: Final = frozenset(int(datatype) for datatype in DataType)
_DEEPEST_SET: Final = 16

_SIGNED_BITS: Final = {
    int(DataType.INT8): 32,
    int(DataType.INT16): 32,
    int(DataType.INT32): 32,
    int(DataType.INT64): 64,
}


class MetricKey(NamedTuple):
    """What makes a metric itself and no other."""

    group: str
    edge: str
    device: str | None
    name: str
    datatype: int


@dataclass(frozen=True, slots=True)
class Definition:
    """A metric as its latest birth describes it."""

    key: MetricKey
    unit: str | None = None
    low: float | None = None
    high: float | None = None
    description: str | None = None
    writable: bool | None = None
    uns_path: str | None = None
    properties: str | None = None
    """Every other property, as JSON text."""


def read_definitions(topic: Topic, birth: pb.Payload) -> Iterator[Definition]:
    """What a birth defines; control metrics and metrics that cannot be stored are left out.

    Raises:
        PayloadError: a name is not UTF-8.
    """
    for metric in birth.metrics:
        if (key := metric_key(topic, metric)) is None:
            continue
        if metric.HasField("properties"):
            yield _describe(key, _read_set(metric.properties, _DEEPEST_SET))
        else:
            yield Definition(key)


def metric_key(topic: Topic, metric: pb.Payload.Metric) -> MetricKey | None:
    """The key of a metric in a birth; ``None`` when it is not one to store.

    Raises:
        PayloadError: the name is not UTF-8.
    """
    name = checked_text(metric.name, "metric name")
    if not name or metric.datatype not in _METRIC_TYPES or is_control(name):
        return None
    node = topic.node
    return MetricKey(node.group, node.edge, topic.device, printable(name), metric.datatype)


def _describe(key: MetricKey, properties: Mapping[str, JsonValue]) -> Definition:
    others = {name: value for name, value in properties.items() if name not in _OWN_COLUMNS}
    read_only = properties.get(READ_ONLY_PROPERTY)
    return Definition(
        key,
        unit=_text(properties.get(UNIT_PROPERTY)),
        low=_number(properties.get(LOW_PROPERTY)),
        high=_number(properties.get(HIGH_PROPERTY)),
        description=_text(properties.get(DESCRIPTION_PROPERTY)),
        writable=not read_only if isinstance(read_only, bool) else None,
        uns_path=_text(properties.get(UNS_PATH_PROPERTY)),
        properties=format_json(others) if others else None,
    )


def _read_set(properties: pb.Payload.PropertySet, depth: int) -> dict[str, JsonValue]:
    return {
        key: _read_property(value, depth)
        for key, value in zip(properties.keys, properties.values, strict=False)
    }


def _read_property(value: pb.Payload.PropertyValue, depth: int) -> JsonValue:
    kind = value.WhichOneof("value")
    if kind is None or value.is_null or not depth:
        return None
    if kind == "propertyset_value":
        return _read_set(value.propertyset_value, depth - 1)
    if kind == "propertysets_value":
        return [_read_set(item, depth - 1) for item in value.propertysets_value.propertyset]
    if kind == "extension_value":
        return None
    plain: JsonValue = getattr(value, kind)
    bits = _SIGNED_BITS.get(value.type)
    if bits is not None and isinstance(plain, int) and plain >> (bits - 1):
        plain -= 1 << bits
    return plain


def _text(value: JsonValue) -> str | None:
    if value is None or isinstance(value, str):
        return value if value is None else printable(value)
    return format_json(value)


def _number(value: JsonValue) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value)
