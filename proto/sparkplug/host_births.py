"""Births and data → the picture of a node. Foreign input: every fault is noted, none raised.

``apply_data`` is the hot path: it reads each wire metric once and writes into the views.
"""

import sys
from collections.abc import Mapping
from typing import Final, NamedTuple

from proto.sparkplug.codec import PbMetric, PbPayload, decode_property_set, metric_value
from proto.sparkplug.datatypes import METRIC_TYPES, DataType
from proto.sparkplug.errors import LocalError, PayloadError
from proto.sparkplug.host_events import ViolationKind
from proto.sparkplug.metrics import (
    QUALITY_BAD,
    QUALITY_GOOD,
    QUALITY_PROPERTY,
    Property,
    Value,
)
from proto.sparkplug.node_view import Branch, MetricView, NodeView
from proto.sparkplug.templates import merge_instance, read_instance
from proto.sparkplug.values import check_value


class Fault(NamedTuple):
    """What was wrong, before it is counted and told."""

    kind: ViolationKind
    reason: str


class DataOutcome(NamedTuple):
    """What a DATA message did."""

    changed: list[MetricView]
    historical: int
    faults: list[Fault]


_TEMPLATE: Final = DataType.TEMPLATE
_TYPES: Final[dict[int, DataType]] = {int(datatype): datatype for datatype in METRIC_TYPES}
_GUESSED: Final = {
    "int_value": DataType.INT32,
    "long_value": DataType.INT64,
    "float_value": DataType.FLOAT,
    "double_value": DataType.DOUBLE,
    "boolean_value": DataType.BOOLEAN,
    "string_value": DataType.STRING,
    "bytes_value": DataType.BYTES,
    "dataset_value": DataType.DATASET,
    "template_value": DataType.TEMPLATE,
}
_MAX_SHARED: Final = 50_000


class BirthReader:
    """Reads births; property sets that are alike are kept once, however many metrics have them."""

    def __init__(self) -> None:
        self._shared: dict[bytes, Mapping[str, Property]] = {}

    def apply(
        self, node: NodeView, device: str | None, branch: Branch, payload: PbPayload, now_ms: int
    ) -> list[Fault]:
        """Replace the metrics of a branch by those of its birth; views of the same name live on."""
        faults: list[Fault] = []
        old = branch.metrics
        owners = node.alias_owners
        for alias in branch.aliases:
            owners.pop(alias, None)
        metrics: dict[str, MetricView] = {}
        aliases: dict[int, MetricView] = {}
        default_ms = payload.timestamp or now_ms
        for wire in payload.metrics:
            view = self._read(wire, old, metrics, default_ms, faults)
            if view is None:
                continue
            metrics[view.name] = view
            view.alias = wire.alias if wire.HasField("alias") else None
            if view.alias is not None:
                if view.alias in owners:
                    reason = f"metric {view.name!r}: alias {view.alias} stands for another already"
                    faults.append(Fault(ViolationKind.DUPLICATE_ALIAS, reason))
                else:
                    owners[view.alias] = device
                aliases.setdefault(view.alias, view)
        branch.metrics, branch.aliases = metrics, aliases
        return faults

    def _read(
        self,
        wire: PbMetric,
        old: dict[str, MetricView],
        fresh: dict[str, MetricView],
        default_ms: int,
        faults: list[Fault],
    ) -> MetricView | None:
        name = wire.name
        if not name or not isinstance(name, str):
            faults.append(Fault(ViolationKind.NO_NAME, f"birth metric: name is {name!r}"))
            return None
        if name in fresh:
            faults.append(Fault(ViolationKind.DUPLICATE_NAME, f"metric {name!r} stands twice"))
            return None
        datatype = _TYPES.get(wire.datatype)
        if datatype is None:
            reason = f"metric {name!r}: data type is {wire.datatype}, expected a metric's"
            faults.append(Fault(ViolationKind.DATATYPE, reason))
            datatype = _GUESSED.get(wire.WhichOneof("value") or "")
            if datatype is None:
                return None
        view = old.get(name)
        if view is None:
            view = MetricView(sys.intern(name), datatype)
        view.datatype = datatype
        view.stale = False
        view.is_transient = wire.is_transient
        view.timestamp_ms = wire.timestamp or default_ms
        view.properties = self._properties(wire, name, faults)
        view.quality = _quality(view.properties)
        try:
            view.value = metric_value(wire, datatype)
        except PayloadError as error:
            faults.append(Fault(ViolationKind.VALUE, f"metric {name!r}: {error}"))
            view.value, view.quality = None, QUALITY_BAD
        return view

    def _properties(self, wire: PbMetric, name: str, faults: list[Fault]) -> Mapping[str, Property]:
        if not wire.HasField("properties"):
            return _NO_PROPERTIES
        packed = wire.properties.SerializeToString()
        shared = self._shared.get(packed)
        if shared is None:
            try:
                shared = decode_property_set(wire.properties)
            except PayloadError as error:
                faults.append(Fault(ViolationKind.PROPERTIES, f"metric {name!r}: {error}"))
                return _NO_PROPERTIES
            if len(self._shared) >= _MAX_SHARED:
                self._shared.clear()
            self._shared[packed] = shared
        return shared


_NO_PROPERTIES: Final[Mapping[str, Property]] = {}


def apply_data(branch: Branch, payload: PbPayload, now_ms: int) -> DataOutcome:
    """Take over the values of NDATA or DDATA; those of the past leave the live value alone."""
    changed: list[MetricView] = []
    faults: list[Fault] = []
    historical = 0
    unknown = False
    metrics, aliases = branch.metrics, branch.aliases
    default_ms = payload.timestamp or now_ms
    for wire in payload.metrics:
        name = wire.name
        if name:
            view = metrics.get(name)
        else:
            alias = wire.alias
            view = aliases.get(alias) if alias or wire.HasField("alias") else None
        if view is None:
            if not unknown:  # the first stands for all
                subject = repr(name) if name else f"alias {wire.alias}"
                reason = f"metric {subject}: no birth told of it"
                faults.append(Fault(ViolationKind.UNKNOWN_METRIC, reason))
            unknown = True
            continue
        if wire.is_historical:
            historical += 1
            continue
        datatype = view.datatype
        try:
            if (told := wire.datatype) and told != datatype:
                value = _retyped(wire, view, faults)
            elif datatype is _TEMPLATE:  # data may carry some members only (6.4.14)
                value = merge_instance(view.value, read_instance(wire, view.value))
            else:
                value = metric_value(wire, datatype)
        except (PayloadError, LocalError) as error:
            faults.append(Fault(ViolationKind.VALUE, f"metric {view.name!r}: {error}"))
            continue
        view.value = value
        view.timestamp_ms = wire.timestamp or default_ms
        if wire.HasField("properties"):
            _merge_properties(view, wire, faults)
        else:
            view.quality = QUALITY_GOOD  # only what is not good must be told (6.4.9.1)
        changed.append(view)
    return DataOutcome(changed, historical, faults)


def _retyped(wire: PbMetric, view: MetricView, faults: list[Fault]) -> Value:
    """A value whose data names another type than the birth: taken when it fits the birth's."""
    reason = (
        f"metric {view.name!r}: data type is {wire.datatype}, "
        f"expected {view.datatype.value} as its birth said"
    )
    faults.append(Fault(ViolationKind.DATATYPE, reason))
    return check_value(view.datatype, metric_value(wire, wire.datatype), f"metric {view.name!r}")


def _merge_properties(view: MetricView, wire: PbMetric, faults: list[Fault]) -> None:
    try:
        told = decode_property_set(wire.properties)
    except PayloadError as error:
        faults.append(Fault(ViolationKind.PROPERTIES, f"metric {view.name!r}: {error}"))
        return
    view.quality = _quality(told)
    told.pop(QUALITY_PROPERTY, None)
    if told:
        view.properties = {**view.properties, **told}


def _quality(properties: Mapping[str, Property]) -> int:
    prop = properties.get(QUALITY_PROPERTY)
    if prop is None:
        return QUALITY_GOOD
    return prop.value if isinstance(prop.value, int) else QUALITY_BAD
