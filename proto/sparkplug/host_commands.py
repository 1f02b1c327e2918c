"""Commands of a host: NCMD and DCMD, QoS 0, not retained, without seq (6.4.23, 6.4.24)."""

from proto.sparkplug.codec import Metric, Payload, encode_payload
from proto.sparkplug.datatypes import DataType
from proto.sparkplug.errors import NodeOffline, NotWritable, UnknownMetric, ValueOutOfRange
from proto.sparkplug.messages import Publish
from proto.sparkplug.metrics import REBIRTH
from proto.sparkplug.node_view import NodeView
from proto.sparkplug.topics import MessageType, NodeId, format_topic
from proto.sparkplug.values import check_value


def rebirth_command(node: NodeId, now_ms: int) -> Publish:
    """Ask a node for its births; always by name, which has no alias (5.17)."""
    metric = Metric(REBIRTH, DataType.BOOLEAN, True, now_ms)
    topic = format_topic(MessageType.NCMD, node)
    return Publish(topic, encode_payload(Payload(now_ms, None, (metric,))))


def write_command(
    view: NodeView,
    device: str | None,
    name: str,
    value: object,
    now_ms: int,
    *,
    uint32_as_long: bool,
) -> Publish:
    """Write one metric: by alias when its birth gave one, by name otherwise.

    The data type goes along; the specification would rather leave it out, the compatibility kit
    wants it, and nobody is hurt by it.

    Raises:
        UnknownMetric: the node has no such device or metric.
        NodeOffline: the node or device is not there.
        NotWritable: the birth says the metric is read only.
        WrongType: a value of another kind than the metric's data type.
        ValueOutOfRange: a value its data type cannot hold, or null.
    """
    branch = view.branch(device)
    owner = str(view.node) if device is None else f"{view.node} device {device!r}"
    if branch is None:
        raise UnknownMetric(f"{owner}: no birth told of it")
    metric = branch.metrics.get(name)
    if metric is None:
        raise UnknownMetric(f"{owner} metric {name!r}: no birth told of it")
    subject = f"{owner} metric {name!r}"
    if not branch.online:
        raise NodeOffline(f"{subject}: {owner} is offline, expected online for a command")
    if not metric.writable:
        raise NotWritable(f"{subject}: read only, expected a writable metric")
    if value is None:
        raise ValueOutOfRange(f"{subject}: null, expected a {metric.datatype.label}")
    checked = check_value(metric.datatype, value, subject)
    by_alias = metric.alias is not None and branch.aliases.get(metric.alias) is metric
    written = Metric(
        name=None if by_alias and name != REBIRTH else name,
        datatype=metric.datatype,
        value=checked,
        timestamp_ms=now_ms,
        alias=metric.alias if by_alias and name != REBIRTH else None,
    )
    kind = MessageType.NCMD if device is None else MessageType.DCMD
    payload = encode_payload(Payload(now_ms, None, (written,)), uint32_as_long=uint32_as_long)
    return Publish(format_topic(kind, view.node, device), payload)
