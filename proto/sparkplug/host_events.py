"""How a host's tracker is set up, and what it tells its caller."""

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from proto.sparkplug.node_view import MetricView
from proto.sparkplug.topics import NodeId


@dataclass(frozen=True, slots=True)
class TrackerOptions:
    """Choices the specification leaves to a host application.

    Attributes:
        reorder_timeout_ms: how long a missing message may stay away before births are asked for
            (5.11). Also how far back network delays may reach.
        rebirth_throttle_ms: shortest time between two rebirth requests to one node; doubles while
            they do not help.
        rebirth_throttle_max_ms: where the doubling ends.
        reconnect_spacing_ms: after the host's own connection was lost, nodes are asked for births
            one after the other, this far apart.
        violation_interval_ms: a node's violations of one kind become one event in this time; the
            counters count them all.
        uint32_as_long: UInt32 in commands travels in ``long_value`` (see ``codec_encode``).
    """

    reorder_timeout_ms: int = 2_000
    rebirth_throttle_ms: int = 5_000
    rebirth_throttle_max_ms: int = 300_000
    reconnect_spacing_ms: int = 20
    violation_interval_ms: int = 10_000
    uint32_as_long: bool = False


class ViolationKind(StrEnum):
    """What a node, or whoever published, does not keep to."""

    TOPIC = "topic is none of Sparkplug's"
    PAYLOAD = "payload cannot be decoded"
    NO_SEQ = "message without seq"
    BAD_SEQ = "seq is beyond 255"
    GAP = "messages are missing"
    NO_BD_SEQ = "no bdSeq"
    BD_SEQ_MISMATCH = "death does not match the birth"
    NO_REBIRTH_METRIC = "birth without Node Control/Rebirth"
    NO_NAME = "birth metric without name"
    DUPLICATE_NAME = "birth names a metric twice"
    DUPLICATE_ALIAS = "alias stands for two metrics"
    DATATYPE = "data type missing, unknown or changed"
    VALUE = "value does not fit its data type"
    PROPERTIES = "properties cannot be decoded"
    UNKNOWN_METRIC = "data of a metric no birth told of"
    UNKNOWN_DEVICE = "message of a device that is not born"
    UNKNOWN_NODE = "message of a node that is not born"
    SECOND_DBIRTH = "device born twice"


@dataclass(frozen=True, slots=True)
class NodeBorn:
    """NBIRTH: the node's own metrics are new, its devices are offline until their DBIRTHs."""

    node: NodeId


@dataclass(frozen=True, slots=True)
class NodeDied:
    """The node and all its devices are offline, all their metrics stale."""

    node: NodeId
    reason: str


@dataclass(frozen=True, slots=True)
class DeviceBorn:
    """DBIRTH: the device's metrics are new."""

    node: NodeId
    device: str


@dataclass(frozen=True, slots=True)
class DeviceDied:
    """The device is offline, its metrics are stale."""

    node: NodeId
    device: str


@dataclass(frozen=True, slots=True)
class MetricsChanged:
    """NDATA or DDATA.

    Attributes:
        device: ``None`` for the node's own metrics.
        changed: the views, already updated; they change again with the next message.
    """

    node: NodeId
    device: str | None
    changed: list[MetricView]


@dataclass(frozen=True, slots=True)
class RebirthRequested:
    """A rebirth request stands beside this event, to be published."""

    node: NodeId
    reason: str


@dataclass(frozen=True, slots=True)
class Violation:
    """Something that is not as the specification says. Nothing raised, nobody else was touched."""

    node: NodeId | None
    topic: str
    kind: ViolationKind
    reason: str


HostEvent: TypeAlias = (
    NodeBorn | NodeDied | DeviceBorn | DeviceDied | MetricsChanged | RebirthRequested | Violation
)
