"""An edge session to test with, and its messages in a form to compare."""

from collections.abc import Sequence

from proto.sparkplug.codec import Metric, Payload, decode_payload, encode_payload
from proto.sparkplug.datatypes import DataType
from proto.sparkplug.edge_events import EdgeOptions
from proto.sparkplug.edge_session import Action, EdgeSession
from proto.sparkplug.messages import Publish
from proto.sparkplug.metrics import Property
from proto.sparkplug.state import HostState, format_state
from proto.sparkplug.topics import MessageType, NodeId, parse_topic

NODE = NodeId("plant", "line-1")
T0 = 1_700_000_000_000
READ_ONLY = {"readOnly": Property(DataType.BOOLEAN, True)}
STATE_TOPIC = "spBv1.0/STATE/scada"


def make_session(
    *,
    bd_seq: int = 0,
    aliases: bool = True,
    primary_host: str | None = None,
    uint32_as_long: bool = False,
) -> EdgeSession:
    """Node metric ``uptime``; devices ``filler`` (online) and ``capper`` (offline)."""
    options = EdgeOptions(aliases, primary_host, uint32_as_long)
    session = EdgeSession(NODE, bd_seq=bd_seq, options=options)
    session.set_node_metrics([Metric("uptime", DataType.UINT32, 5, T0, properties=READ_ONLY)])
    for device in ("filler", "capper"):
        session.set_device(
            device,
            [
                Metric("speed", DataType.DOUBLE, 1.5, T0),
                Metric("state", DataType.STRING, None, T0, properties=READ_ONLY),
            ],
        )
    session.device_online("filler", T0)
    return session


def born_session(*, aliases: bool = True) -> EdgeSession:
    """The same, with its births said."""
    session = make_session(aliases=aliases)
    session.connect(T0)
    session.connected(T0)
    return session


def short(message: Publish) -> str:
    """Type, device and seq of a message: ``DDATA filler 3``."""
    topic = parse_topic(message.topic)
    assert topic.node == NODE
    seq = decode_payload(message.payload).seq
    return " ".join(
        str(part) for part in (topic.message_type, topic.device, seq) if part is not None
    )


def shorts(messages: Sequence[Action | None]) -> list[str]:
    """The publications among what a session gave back, in short."""
    return [short(message) for message in messages if isinstance(message, Publish)]


def events(actions: Sequence[Action]) -> list[object]:
    """The events among what a session gave back."""
    return [action for action in actions if not isinstance(action, Publish)]


def metrics_of(message: Publish) -> dict[str | int, Metric]:
    """The metrics of a message, by name or alias."""
    found: dict[str | int, Metric] = {}
    for metric in decode_payload(message.payload).metrics:
        key = metric.name if metric.name is not None else metric.alias
        assert key is not None
        found[key] = metric
    return found


def command(*metrics: Metric) -> bytes:
    """The payload of a command."""
    return encode_payload(Payload(T0, None, metrics))


def host_state(online: bool, timestamp_ms: int) -> bytes:
    """The payload of a STATE message."""
    return format_state(HostState(online, timestamp_ms))


def is_type(message: Publish, kind: MessageType) -> bool:
    """Whether a message is of a type."""
    return parse_topic(message.topic).message_type is kind
