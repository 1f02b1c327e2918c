"""What a driver is to the edge node: something that is opened, polled in columns, and written to.

A poll is one batch: a column of values aligned with the poll group's tags, never an object a value.
A driver knows its protocol and nothing of MQTT, Sparkplug or the pipeline.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from proto.sparkplug.datatypes import DataType

RawValue = bool | int | float | str | bytes | None

Trace = Callable[[Literal["sent", "received"], bytes], None]
"""Is told the bytes that go over the wire, as they go."""

QUALITY_BAD = 0
QUALITY_GOOD = 192


class DriverError(Exception):
    """Anything a driver reports; the subclass tells what to do."""


class DeviceUnreachable(DriverError):
    """The connection is gone or never came: throw it away, back off, connect again."""


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


@dataclass(slots=True)
class PollResult:
    """One poll of one group.

    Attributes:
        timestamp_ms: when the values were read, milliseconds since the epoch, floored.
        values: aligned with the group's tags; ``None`` where ``bad`` has the index.
        bad: index into ``values`` → why the value could not be had.
        requests: how many requests the poll took.
    """

    timestamp_ms: int
    values: list[RawValue]
    bad: Mapping[int, str] = field(default_factory=dict)
    requests: int = 0


class Driver(Protocol):
    """One device. Made from a checked document; owns no task that outlives its methods.

    Methods are called by one task at a time, but for ``write``, which the driver itself orders
    before its next poll.
    """

    groups: Mapping[str, Sequence[TagInfo]]
    """Poll group name → its tags, in the order of ``PollResult.values``."""

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

    async def write(self, tag: str, value: RawValue) -> None:
        """Write a raw value to one tag.

        Raises:
            RequestRejected: the device refused, or the value does not fit.
            DeviceUnreachable: the connection must be opened again.
        """

    async def aclose(self) -> None:
        """Close the connection at once; never raises and never waits for the device."""
