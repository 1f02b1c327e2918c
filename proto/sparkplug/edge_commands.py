"""Commands that reach an edge node: is it a rebirth, does each write name a metric and fit it?"""

from proto.sparkplug.codec import PbMetric, metric_value, parse
from proto.sparkplug.datatypes import DataType
from proto.sparkplug.edge_events import Rejected, WriteRequested
from proto.sparkplug.edge_metrics import MetricSlot, MetricTable
from proto.sparkplug.errors import LocalError, PayloadError
from proto.sparkplug.metrics import REBIRTH
from proto.sparkplug.templates import check_instance_write, read_instance
from proto.sparkplug.values import check_value


def read_command(
    topic: str, payload: bytes, table: MetricTable
) -> tuple[bool, list[WriteRequested | Rejected]]:
    """Whether the command asks for births, and what it asks of the metrics of ``table``.

    Never raises on what arrived; whatever cannot be done is ``Rejected`` with the reason.
    """
    try:
        command = parse(payload)
    except PayloadError as error:
        return False, [Rejected(topic, table.device, None, str(error))]
    rebirth = False
    events: list[WriteRequested | Rejected] = []
    for metric in command.metrics:
        if table.device is None and metric.name == REBIRTH:
            if metric.boolean_value:
                rebirth = True
            else:
                reason = f"{REBIRTH} is not true, expected true for births"
                events.append(Rejected(topic, None, REBIRTH, reason))
        else:
            events.append(_read_write(topic, metric, table))
    return rebirth, events


def _read_write(topic: str, metric: PbMetric, table: MetricTable) -> WriteRequested | Rejected:
    slot = _find(metric, table)
    if slot is None:
        subject = metric.name or f"alias {metric.alias}"
        return Rejected(topic, table.device, str(subject), f"{subject!r}: no birth told of it")
    if not slot.writable:
        return Rejected(topic, table.device, slot.name, f"metric {slot.name!r} is read only")
    if slot.datatype is DataType.TEMPLATE:
        return _read_instance(topic, metric, slot, table.device)
    try:
        value = metric_value(metric, metric.datatype or slot.datatype)
        value = check_value(slot.datatype, value, f"metric {slot.name!r}")
    except (PayloadError, LocalError) as error:
        return Rejected(topic, table.device, slot.name, str(error))
    if value is None:
        reason = f"metric {slot.name!r}: null, expected a value of type {slot.datatype.label}"
        return Rejected(topic, table.device, slot.name, reason)
    return WriteRequested(table.device, slot.name, slot.alias, slot.datatype, value)


def _read_instance(
    topic: str, metric: PbMetric, slot: MetricSlot, device: str | None
) -> WriteRequested | Rejected:
    """The members to be written: all of them can be, or none is."""
    try:
        value = read_instance(metric, slot.value)
    except PayloadError as error:
        return Rejected(topic, device, slot.name, str(error))
    reason = check_instance_write(f"metric {slot.name!r}", value, slot.value)
    if reason is not None:
        return Rejected(topic, device, slot.name, reason)
    return WriteRequested(device, slot.name, slot.alias, slot.datatype, value)


def _find(metric: PbMetric, table: MetricTable) -> MetricSlot | None:
    if metric.name:
        return table.by_name.get(metric.name)
    return table.by_alias.get(metric.alias) if metric.HasField("alias") else None
