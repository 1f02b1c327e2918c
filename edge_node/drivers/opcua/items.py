"""A point on a server: its node there, how it is followed, and what a sample means for it.

Pure but for the library's node ids.
"""

from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple

from edge_node.drivers.base import (
    QUALITY_BAD,
    QUALITY_GOOD,
    QUALITY_UNCERTAIN,
    OpcQuality,
    RawValue,
    Reason,
)
from edge_node.drivers.opcua.kinds import convert
from edge_node.drivers.opcua.points import Point
from edge_node.drivers.opcua.reasons import (
    describe_status,
    explain_node,
    is_good,
    is_uncertain,
)
from edge_node.drivers.opcua.structures import Layouts
from edge_node.drivers.opcua.wire import Opaque, Sample

FIRST_RETRY_S: Final = 5.0
LAST_RETRY_S: Final = 60.0
PLAIN_TRIGGER: Final = 1
"""Status and value: what servers tell of without a filter (OPC 10000-4 7.22.2)."""

TimestampSource = Literal["source", "server", "edge"]


@dataclass(slots=True)
class Item:
    """What is known of one point on the server.

    Attributes:
        handle: its client handle, unique in the device.
        node: its node id on this server, ``None`` while it is not found.
        server_id: of its monitored item, ``None`` while it is not followed.
        heard_at: when the server last told of it, by the monotonic clock.
        sample: what it told last.
        retry_at: when it is tried again; ``None`` when nothing is wrong.
        asked_filter: what of its filter the server is asked for: less each time it refuses.
    """

    point: Point
    handle: int
    node: Any = None
    server_id: int | None = None
    heard_at: float = 0.0
    sample: Sample | None = None
    retry_at: float | None = None
    patience_s: float = FIRST_RETRY_S
    asked_filter: Literal["all", "trigger", "none"] = "all"

    def postpone(self, now: float) -> None:
        """Have the point tried again, later each time."""
        self.retry_at = now + self.patience_s
        self.patience_s = min(2 * self.patience_s, LAST_RETRY_S)

    def ask_less(self) -> bool:
        """Ask for less of the filter the next time; return whether there was more to ask for."""
        point = self.point
        if self.asked_filter == "all" and point.deadband and point.trigger != PLAIN_TRIGGER:
            self.asked_filter = "trigger"
            return True
        asked, self.asked_filter = self.asked_filter, "none"
        return asked != "none"

    def recover(self) -> None:
        """Note that nothing is wrong any more."""
        self.retry_at = None
        self.patience_s = FIRST_RETRY_S


class Taken(NamedTuple):
    """A sample as the edge node wants it; ``reason`` says why it is not good."""

    value: RawValue
    timestamp_ms: int
    quality: int
    reason: str | None = None


class Taker:
    """Makes values of samples.

    Args:
        timestamps: whose time they have.

    Attributes:
        layouts: of the server's structures.
    """

    def __init__(self, timestamps: TimestampSource, layouts: Layouts) -> None:
        self._timestamps = timestamps
        self.layouts = layouts

    def take(self, point: Point, sample: Sample, now_ms: int) -> Taken:
        """Return what a sample is worth for a point.

        Args:
            point: whose.
            sample: as it came.
            now_ms: the current time, where the server tells none.
        """
        timestamp_ms = self._time_of(sample, now_ms)
        status = sample.status
        if not is_good(status) and not is_uncertain(status):
            return Taken(None, timestamp_ms, QUALITY_BAD, explain_node(status))
        try:
            value = self._value_of(point, sample)
        except ValueError as exc:
            quality = OpcQuality.WAITING if sample.value is None else OpcQuality.CONFIG_ERROR
            reason = Reason(f"{point.address}: {exc}", quality)
            return Taken(None, timestamp_ms, QUALITY_BAD, reason)
        if is_good(status):
            return Taken(value, timestamp_ms, QUALITY_GOOD)
        return Taken(value, timestamp_ms, QUALITY_UNCERTAIN, describe_status(status))

    def _time_of(self, sample: Sample, now_ms: int) -> int:
        if self._timestamps == "edge":
            return now_ms
        first, second = sample.source_ms, sample.server_ms
        if self._timestamps == "server":
            first, second = second, first
        # Servers without a clock tell 1601, which no Sparkplug timestamp can say.
        for told in (first, second):
            if told is not None and told > 0:
                return told
        return now_ms

    def _value_of(self, point: Point, sample: Sample) -> RawValue:
        value, kind = sample.value, point.kind
        if kind is not None and sample.code == kind.code and isinstance(value, list) == point.array:
            if value is None:
                raise ValueError("the node has no value")
            return value  # type: ignore[no-any-return]  # decoded as this type
        if sample.code == 0 or value is None:
            raise ValueError("the node has no value")
        if kind is not None:
            return convert(value, sample.code, kind, array=point.array)
        found = value if isinstance(value, list) else [value]
        if not all(isinstance(each, Opaque) for each in found):
            raise ValueError("found no structure, expected one")
        return self.layouts.decode(point, found)
