"""A host tracker to test with, and the messages of a node it might hear."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from proto.sparkplug.codec import Metric, Payload, decode_payload, encode_payload
from proto.sparkplug.datatypes import DataType
from proto.sparkplug.host_events import TrackerOptions, Violation, ViolationKind
from proto.sparkplug.host_tracker import HostAction, HostTracker
from proto.sparkplug.messages import Publish
from proto.sparkplug.metrics import BD_SEQ, REBIRTH, Value
from proto.sparkplug.node_view import MetricView, NodeView
from proto.sparkplug.topics import MessageType, NodeId, format_topic

NODE = NodeId("plant", "line-1")
T0 = 1_700_000_000_000
OPTIONS = TrackerOptions(reorder_timeout_ms=2_000, rebirth_throttle_ms=5_000)
SPEED = Metric("speed", DataType.DOUBLE, 1.5, T0, alias=1)
COUNT = Metric("count", DataType.UINT64, 2**64 - 1, T0, alias=2)
LEVEL = Metric("level", DataType.INT16, -5, T0, alias=3)


def node_birth(
    *metrics: Metric, bd_seq: int | None = 0, seq: int | None = 0, at_ms: int = T0
) -> Publish:
    """An NBIRTH with what each must have, and these metrics."""
    own = [Metric(REBIRTH, DataType.BOOLEAN, False, at_ms)]
    if bd_seq is not None:
        own.append(Metric(BD_SEQ, DataType.INT64, bd_seq, at_ms))
    return message(MessageType.NBIRTH, None, (*own, *metrics), seq, at_ms)


def device_birth(
    *metrics: Metric, seq: int | None = 1, device: str = "filler", at_ms: int = T0
) -> Publish:
    """A DBIRTH."""
    return message(MessageType.DBIRTH, device, metrics, seq, at_ms)


def device_death(*, seq: int | None, device: str = "filler", at_ms: int = T0) -> Publish:
    """A DDEATH."""
    return message(MessageType.DDEATH, device, (), seq, at_ms)


def node_death(bd_seq: int | None = 0, at_ms: int = T0) -> Publish:
    """An NDEATH."""
    metrics = () if bd_seq is None else (Metric(BD_SEQ, DataType.INT64, bd_seq, at_ms),)
    return message(MessageType.NDEATH, None, metrics, None, at_ms)


def data(
    *metrics: Metric, seq: int | None, device: str | None = None, at_ms: int = T0 + 1
) -> Publish:
    """NDATA, or DDATA of a device."""
    kind = MessageType.NDATA if device is None else MessageType.DDATA
    return message(kind, device, metrics, seq, at_ms)


def count(value: Value, at_ms: int = T0 + 1, **more: bool) -> Metric:
    """The metric ``count`` as data carry it."""
    return Metric(alias=2, value=value, timestamp_ms=at_ms, **more)  # type: ignore[arg-type]  # flags


def message(
    kind: MessageType,
    device: str | None,
    metrics: Sequence[Metric],
    seq: int | None,
    at_ms: int,
) -> Publish:
    """Any message of the node."""
    payload = encode_payload(Payload(at_ms, seq, tuple(metrics)))
    return Publish(format_topic(kind, NODE, device), payload)


@dataclass
class Host:
    """A tracker that hears messages at a time, and what it said since the beginning."""

    now_ms: int = T0
    tracker: HostTracker = field(
        default_factory=lambda: HostTracker(host_id="scada", options=OPTIONS)
    )
    said: list[HostAction] = field(default_factory=list)

    def hears(self, *messages: Publish) -> list[HostAction]:
        """What the host says to these messages."""
        actions = [
            action
            for each in messages
            for action in self.tracker.receive(each.topic, each.payload, self.now_ms)
        ]
        self.said += actions
        return actions

    def waits(self, milliseconds: int) -> list[HostAction]:
        """What the host says while time passes, as if it were woken when it wants to be."""
        end_ms = self.now_ms + milliseconds
        actions: list[HostAction] = []
        while (due_ms := self.tracker.next_deadline_ms) is not None and due_ms <= end_ms:
            self.now_ms = max(self.now_ms, due_ms)
            actions += self.tracker.tick(self.now_ms)
        self.now_ms = end_ms
        self.said += actions
        return actions

    @property
    def view(self) -> NodeView:
        """The picture of the node."""
        return self.tracker.nodes[NODE]

    def metric(self, name: str, device: str | None = None) -> MetricView:
        """A metric of the node."""
        found = self.view.metric(device, name)
        assert found is not None
        return found


def born_host() -> Host:
    """A host that knows the node with ``count``, and its device with ``speed`` and ``level``."""
    host = Host()
    host.hears(node_birth(COUNT), device_birth(SPEED, LEVEL))
    host.said.clear()
    return host


def rebirth_requests(actions: Sequence[HostAction]) -> int:
    """How many rebirth requests there are among the actions."""
    return sum(
        isinstance(action, Publish) and decode_payload(action.payload).metrics[0].name == REBIRTH
        for action in actions
    )


def violations(actions: Sequence[HostAction]) -> list[ViolationKind]:
    """The kinds of violation among the actions."""
    return [action.kind for action in actions if isinstance(action, Violation)]


def events(actions: Sequence[HostAction]) -> list[HostAction]:
    """What happened to the picture: neither publications nor violations."""
    return [action for action in actions if not isinstance(action, (Publish, Violation))]
