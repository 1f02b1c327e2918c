"""A device's methods: tags that call them, tags that have what they gave back.

asyncio. No node is read for such tags: they have what was last called with, or given back.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from edge_node.drivers.base import (
    QUALITY_BAD,
    QUALITY_GOOD,
    OpcQuality,
    PollResult,
    RawValue,
    Reason,
)
from edge_node.drivers.opcua.calling import Output, call_method
from edge_node.drivers.opcua.inbox import Inbox
from edge_node.drivers.opcua.kinds import convert
from edge_node.drivers.opcua.monitor import now_ms
from edge_node.drivers.opcua.points import Point
from edge_node.drivers.opcua.session import Session
from edge_node.drivers.opcua.structures import Layouts
from proto.sparkplug.metrics import DataSet


class _Held(NamedTuple):
    value: RawValue
    timestamp_ms: int
    reason: Reason | None = None


class Methods:
    """What the tags of methods have.

    Args:
        groups: poll group → points.
        followed: the groups that the inbox tells of.
        inbox: is told what changes.
    """

    def __init__(
        self, groups: Mapping[str, Sequence[Point]], followed: Collection[str], inbox: Inbox
    ) -> None:
        self._outputs = [
            point
            for group in groups.values()
            for point in group
            if point.method is not None and point.method.gives is not None
        ]
        self._followed = followed
        self._inbox = inbox
        self._held: dict[str, _Held] = {}

    async def call(
        self, session: Session, layouts: Layouts, point: Point, value: RawValue
    ) -> Mapping[str, RawValue]:
        """Call the method of a tag; return what it gave back, by the output arguments' names.

        Raises:
            RequestRejected: an argument does not fit, or the server refused.
            DeviceUnreachable: no answer, or the session is gone.
        """
        method = point.method
        assert method is not None  # noqa: S101  # the caller knows
        given = await call_method(session, layouts, method, value)
        called_ms = now_ms()
        self._hold(point, _Held(value, called_ms))
        for other in self._outputs:
            if other.method is not None and other.method.is_of(method):
                self._hold(other, _take_output(other, given, called_ms))
        self._inbox.tell()
        return {name: output.value for name, output in given.items()}

    def tell(self, result: PollResult, points: Sequence[Point]) -> None:
        """Put what the tags of methods have into what was read of their group."""
        times, bad = result.timestamps_ms, dict(result.bad)
        for point in points:
            if point.method is None or (held := self._held.get(point.name)) is None:
                continue
            result.values[point.index] = held.value
            if isinstance(times, list):
                times[point.index] = held.timestamp_ms
            if held.reason is not None:
                bad[point.index] = held.reason
        result.bad = bad

    def _hold(self, point: Point, held: _Held) -> None:
        self._held[point.name] = held
        if point.group not in self._followed:
            return
        bad = self._inbox.bad(point.group)
        if held.reason is None:
            bad.pop(point.index, None)
        else:
            bad[point.index] = held.reason
        quality = QUALITY_GOOD if held.reason is None else QUALITY_BAD
        stamp = (held.timestamp_ms, quality)
        self._inbox.add(point.group, point.index, held.value, stamp)


def _take_output(point: Point, given: Mapping[str, Output], called_ms: int) -> _Held:
    assert point.method is not None  # noqa: S101  # the caller knows
    name = point.method.gives or ""
    output = given.get(name)
    if output is None and name.isdecimal() and 0 < int(name) <= len(given):
        output = list(given.values())[int(name) - 1]
    found = ", ".join(given) or "nothing"
    reason = f"the method gives {found}, expected {name}"
    if output is not None:
        try:
            return _Held(_convert(point, output), called_ms)
        except ValueError as exc:
            reason = f"output {name!r}: {exc}"
    return _Held(None, called_ms, Reason(reason, OpcQuality.CONFIG_ERROR))


def _convert(point: Point, output: Output) -> RawValue:
    value = output.value
    if point.kind is None:
        if not isinstance(value, DataSet):
            raise ValueError("found no structure, expected one")
        return value
    if value is None:
        raise ValueError("found no value")
    return convert(value, output.code, point.kind, array=point.array)
