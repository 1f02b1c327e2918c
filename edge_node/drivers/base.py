"""What a driver is to the edge node: something that is opened, polled in columns, and written to.

A poll is one batch: a column of values aligned with the poll group's tags, never an object a value.
A device that tells changes by itself is a ``Subscriber`` as well; its changes come in batches too.
A driver knows its protocol and nothing of MQTT, Sparkplug's messages or the pipeline.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Literal, Protocol, Self, TypeAlias, runtime_checkable

from edge_node.drivers.traffic import ErrorKind, Traffic
from proto.sparkplug.datatypes import DataType
from proto.sparkplug.metrics import Metric, Value

RawValue: TypeAlias = Value
"""A scalar, bytes, a list of scalars of one kind, a DataSet, a Template instance; ``None`` is no
value. A value that was handed over is never changed: what is new is another object."""

Trace = Callable[[Literal["sent", "received"], bytes], None]
"""Is told the bytes that go over the wire, as they go."""

QUALITY_BAD = 0
QUALITY_GOOD = 192
QUALITY_UNCERTAIN = 500
"""There is a value, but it may not be what is at the device now. Sparkplug has three qualities only
(6.4.9.1), and this one, STALE, is what OPC's uncertain comes closest to."""


class OpcQuality(IntEnum):
    """What kind of trouble a bad value is in (OPC DA 3.0, 6.8).

    Sparkplug and the JSON mirror know 0 alone for all of them; the status document tells which.
    """

    BAD = 0
    CONFIG_ERROR = 4
    """The address, datatype or size is none that the device has."""
    NOT_CONNECTED = 8
    DEVICE_FAILURE = 12
    SENSOR_FAILURE = 16
    COMM_FAILURE = 24
    """What came is not what was asked for, or the device had no time."""
    OUT_OF_SERVICE = 28
    WAITING = 32
    """There was no value yet."""


class Reason(str):
    """Why a tag has no value, in words, and what kind of trouble that is.

    Where a driver gives plain text, the kind is ``BAD``.
    """

    __slots__ = ("quality",)

    quality: OpcQuality

    def __new__(cls, text: str, quality: OpcQuality) -> Self:
        """Make one of its words and its kind."""
        made = super().__new__(cls, text)
        made.quality = quality
        return made


class DriverError(Exception):
    """Anything a driver reports; the subclass tells what to do."""


class DeviceUnreachable(DriverError):
    """The connection is gone or never came: throw it away, back off, connect again."""

    kind: ErrorKind = "lost"


class CannotConnect(DeviceUnreachable):
    """The connection never came."""

    kind = "connect"


class NoAnswer(DeviceUnreachable):
    """The device kept silent for longer than it may."""

    kind = "timeout"


class NotUnderstood(DeviceUnreachable):
    """What the device sent is not the protocol; what follows cannot be trusted."""

    kind = "protocol"


class RequestRejected(DriverError):
    """The device answered and refused: keep the connection, the tags concerned are bad."""


class ConfigError(DriverError):
    """The configuration cannot work.

    Attributes:
        mistakes: one line each: subject, what was found, what was expected.
    """

    def __init__(self, mistakes: Sequence[str]) -> None:
        super().__init__("; ".join(mistakes))
        self.mistakes = tuple(mistakes)


@dataclass(frozen=True, slots=True)
class TagInfo:
    """What the edge node must know of a tag to publish it."""

    name: str
    datatype: DataType
    """Sparkplug datatype of the raw value, before scaling."""
    definition: Metric | None = None
    """Defines the template that values of type Template are instances of."""


@dataclass(slots=True)
class PollResult:
    """One poll of one group.

    Attributes:
        timestamp_ms: when the values were read, milliseconds since the epoch, floored.
        values: aligned with the group's tags; ``None`` where ``bad`` has the index.
        bad: index into ``values`` → why the value could not be had.
        requests: how many requests the poll took.
        uncertain: index into ``values`` → why the value is doubtful; it is published as stale.
        timestamps_ms: aligned with ``values`` where the device tells when each was acquired;
            ``None`` where all are of ``timestamp_ms``.
    """

    timestamp_ms: int
    values: list[RawValue]
    bad: Mapping[int, str] = field(default_factory=dict)
    requests: int = 0
    uncertain: Mapping[int, str] = field(default_factory=dict)
    timestamps_ms: Sequence[int] | None = None


@dataclass(slots=True)
class Changes:
    """What a subscription brought for one group since the last batch, oldest first.

    Attributes:
        group: whose tags they are.
        indices: positions in the group; a tag that changed twice stands twice.
        values: aligned with ``indices``; ignored where the quality is bad.
        stamps: aligned with ``indices``: when the value was acquired, milliseconds since the epoch,
            and its quality (0, 192 or 500).
        bad: index → reason, for every tag of the group that has no value now.
        dropped: samples that were lost on the way since the last batch.
    """

    group: str
    indices: Sequence[int]
    values: Sequence[RawValue]
    stamps: Sequence[tuple[int, int]]
    bad: Mapping[int, str]
    dropped: int = 0


class Driver(Protocol):
    """One device. Made from a checked document; owns no task that outlives ``aclose``.

    Methods are called by one task at a time, but for ``write``, which the driver itself orders
    before its next poll, and a subscriber's ``wait_changes``.
    """

    groups: Mapping[str, Sequence[TagInfo]]
    """Poll group name → its tags, in the order of ``PollResult.values``."""
    traffic: Traffic
    """What was sent, received and refused; the driver counts, the supervisor tells."""

    async def open(self) -> None:
        """Connect.

        Raises:
            DeviceUnreachable: with the address and the reason.
        """

    async def read(self, group: str) -> PollResult:
        """Poll one group.

        Raises:
            DeviceUnreachable: the connection must be opened again.
        """
        ...

    async def write(self, tag: str, value: RawValue) -> Mapping[str, RawValue] | None:
        """Write a raw value to one tag.

        Returns:
            What the device gave back of its own accord, by name, where it does: a method's outputs.

        Raises:
            RequestRejected: the device refused, or the value does not fit.
            DeviceUnreachable: the connection must be opened again.
        """

    async def aclose(self) -> None:
        """Close the connection at once; never raises and never waits for the device."""


@runtime_checkable
class Subscriber(Protocol):
    """A driver whose device tells changes of some groups by itself.

    Those groups are read once after ``open``, for the birth, and not polled. After a write to one
    of their tags the driver brings the tag's new value by itself.
    """

    subscribed: Collection[str]
    """The groups that are not polled."""

    async def wait_changes(self) -> Sequence[Changes]:
        """Wait until something changed and return it; what waits is bounded, the oldest goes first.

        May be cancelled at any time without losing anything.

        Raises:
            DeviceUnreachable: the connection must be opened again.
        """
        ...
