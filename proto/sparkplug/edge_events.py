"""How an edge session is set up, and what it tells its caller."""

from dataclasses import dataclass
from typing import TypeAlias

from proto.sparkplug.datatypes import DataType
from proto.sparkplug.metrics import Value

Reading: TypeAlias = tuple[int, Value, int, int]
"""Alias, value (``None`` is null), timestamp in milliseconds, quality (0, 192 or 500)."""


@dataclass(frozen=True, slots=True)
class EdgeOptions:
    """Choices the specification leaves to an edge node.

    Attributes:
        aliases: data goes by alias; otherwise by name, and births carry no aliases.
        primary_host: id of the host whose STATE gates births and data; ``None`` needs no host.
        uint32_as_long: UInt32 travels in ``long_value`` (see ``codec_encode``).
    """

    aliases: bool = True
    primary_host: str | None = None
    uint32_as_long: bool = False


@dataclass(frozen=True, slots=True)
class WriteRequested:
    """A host wants a value written; it fits the metric's data type.

    Attributes:
        device: ``None`` for a metric of the node.
    """

    device: str | None
    metric: str
    alias: int
    datatype: DataType
    value: Value


@dataclass(frozen=True, slots=True)
class Rejected:
    """Something that arrived and was not acted on.

    Attributes:
        reason: subject, found, expected, in one line.
    """

    topic: str
    device: str | None
    metric: str | None
    reason: str


@dataclass(frozen=True, slots=True)
class RebirthDone:
    """A host asked for births; they stand before this event in the same list."""

    births: int


@dataclass(frozen=True, slots=True)
class PrimaryHostOnline:
    """The primary host is there; births, when they were waiting, stand before this event."""

    timestamp_ms: int


@dataclass(frozen=True, slots=True)
class PrimaryHostOffline:
    """The primary host is gone.

    Attributes:
        timestamp_ms: what its STATE message said.
        must_disconnect: the session has ended: publish what stands before this event, disconnect
            within 3 s and connect to the next broker (or to the same one, when it is the only
            one). When false the session had not begun: walk on when there is another broker.
    """

    timestamp_ms: int
    must_disconnect: bool


EdgeEvent: TypeAlias = (
    WriteRequested | Rejected | RebirthDone | PrimaryHostOnline | PrimaryHostOffline
)
