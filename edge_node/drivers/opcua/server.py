"""A device's items on a connected server: found, read, followed, written.

asyncio. The driver's trio side makes one for each connection and throws it away with it.
"""

import asyncio
import struct
import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, TypeVar

import structlog

from edge_node.drivers.base import (
    QUALITY_BAD,
    QUALITY_UNCERTAIN,
    DeviceUnreachable,
    OpcQuality,
    PollResult,
    RawValue,
    Reason,
    RequestRejected,
    Trace,
)
from edge_node.drivers.opcua.connection import Credentials, connect, disconnect
from edge_node.drivers.opcua.inbox import Inbox
from edge_node.drivers.opcua.items import Item, Taker
from edge_node.drivers.opcua.methods import Methods
from edge_node.drivers.opcua.monitor import Monitor, now_ms
from edge_node.drivers.opcua.nodes import BrowsePath
from edge_node.drivers.opcua.points import Point
from edge_node.drivers.opcua.reasons import LOST_NODE_CODES, is_good, plain_code
from edge_node.drivers.opcua.session import ServiceRefused, Session
from edge_node.drivers.opcua.structures import Layouts
from edge_node.drivers.opcua.typefinder import find_layouts
from edge_node.drivers.opcua.wire import Opaque, Sample
from edge_node.drivers.opcua.writing import write_value
from edge_node.drivers.traffic import Traffic
from proto.control.opcua import OpcUaConnection

_E = TypeVar("_E", bound=BaseException)

_READ_BACK_S: Final = 0.1
"""How soon a value that was written is looked at again; gateways take a moment."""

log = structlog.get_logger(__name__)


class Server:
    """One connection with everything on it.

    Args:
        settings: how the server is reached.
        groups: poll group → points.
        intervals: poll group → seconds.
        followed: the groups that the server is to tell of.
        traffic: counts what goes over the wire.
        trace: is told the bytes.

    Attributes:
        inbox: what the server told.
    """

    def __init__(
        self,
        settings: OpcUaConnection,
        groups: Mapping[str, Sequence[Point]],
        intervals: Mapping[str, float],
        *,
        followed: Collection[str],
        traffic: Traffic,
        trace: Trace | None = None,
    ) -> None:
        self.inbox = Inbox(groups)
        self._settings = settings
        self._groups = groups
        self._intervals = intervals
        self._followed = followed
        self._traffic = traffic
        self._trace = trace
        readable = [p for group in groups.values() for p in group if p.method is None]
        self._items = [Item(point, handle) for handle, point in enumerate(readable)]
        self._by_name = {item.point.name: item for item in self._items}
        self._methods = Methods(groups, followed, self.inbox)
        self._layouts = Layouts()
        self._taker = Taker(settings.timestamps, self._layouts)
        self._session: Session | None = None
        self._monitor: Monitor | None = None
        self._keeping: asyncio.Task[None] | None = None

    async def start(self, credentials: Credentials) -> None:
        """Connect, learn what the server is, and find the nodes.

        Raises:
            DeviceUnreachable: with the step that failed and what can be done.
        """
        settings = self._settings
        client = await connect(settings, credentials, self._traffic, self._trace)
        session = Session(client, settings, self._traffic)
        self._session = session
        try:
            await session.look_around()
            await self._find(self._items)
        except ServiceRefused as exc:
            raise DeviceUnreachable(f"{settings.url}: {exc}") from exc
        self._monitor = Monitor(session, self._items, self.inbox, self._taker, self._layouts)
        self._keeping = asyncio.create_task(self._keep(session, self._monitor))

    async def stop(self) -> None:
        """Close the session; never raises, waits a second at most."""
        keeping, self._keeping = self._keeping, None
        if keeping is not None:
            keeping.cancel()
            await asyncio.wait([keeping])
        if self._session is not None:
            await disconnect(self._session.client)

    async def read(self, group: str) -> PollResult:
        """Read a group; the first time a group that is to be followed is read, follow it.

        Raises:
            DeviceUnreachable: no answer, or the connection is gone.
        """
        _, monitor = self._connected()
        points = self._groups[group]
        items = [self._by_name[point.name] for point in points if point.method is None]
        requests = self._traffic.requests
        now = time.monotonic()
        await self._find([i for i in items if i.node is None and (i.retry_at or 0) <= now])
        result = PollResult(now_ms(), [None] * len(points), {}, 0, {}, [now_ms()] * len(points))
        try:
            await self._read_into(result, items)
        except ServiceRefused as exc:
            raise DeviceUnreachable(f"{self._settings.url} reads nothing: {exc}") from exc
        self._methods.tell(result, points)
        if group in self._followed:
            self.inbox.bad(group).update(result.bad)
            await monitor.follow(group, self._intervals[group], items)
        self._traffic.quarantined = sum(item.retry_at is not None for item in self._items)
        result.requests = self._traffic.requests - requests
        return result

    async def write(self, point: Point, value: RawValue) -> Mapping[str, RawValue] | None:
        """Write a value, or call a method with it; the group's followers are told the new value.

        Where the tag is to be read back, this waits until the node holds the value, for as long as
        an answer may take: gateways need a moment. What it holds then is for the reader to judge.

        Returns:
            What a method gave back.

        Raises:
            RequestRejected: it does not fit, or the server refused it.
            DeviceUnreachable: no answer, or the connection is gone.
        """
        session, monitor = self._connected()
        if point.method is not None:
            if point.method.gives is not None:
                raise RequestRejected("the tag has what a method gives back, and calls none")
            return await self._methods.call(session, self._layouts, point, value)
        item = self._by_name[point.name]
        if item.node is None:
            await self._find([item])
        if item.node is None:
            raise RequestRejected(self.inbox.bad(point.group).get(point.index, "node not found"))
        bodies = await write_value(session, self._layouts, point, item.node, value)
        deadline = time.monotonic() + self._settings.timeout_s
        while True:
            try:
                (sample,) = await session.read_values([item.node])
            except ServiceRefused as exc:
                log.info("opcua_not_read_back", tag=point.name, reason=str(exc))
                return None
            if self._holds(point, sample, bodies or value) or not point.read_back:
                break
            if time.monotonic() > deadline:
                break
            await asyncio.sleep(_READ_BACK_S)
        if point.group in self._followed and is_good(sample.status):
            monitor.take_sample(item, sample, time.monotonic(), now_ms())
            self.inbox.tell()
        return None

    def _holds(self, point: Point, sample: Sample, written: Any) -> bool:
        """Whether a node holds what was written to it; structures byte for byte."""
        if point.kind is None:
            found = sample.value if isinstance(sample.value, list) else [sample.value]
            bodies = [each.body for each in found if isinstance(each, Opaque)]
            return bool(bodies == written)
        taken = self._taker.take(point, sample, now_ms())
        return taken.quality != QUALITY_BAD and _is_same(point, taken.value, written)

    def _connected(self) -> tuple[Session, Monitor]:
        if self.inbox.failure is not None:
            raise self.inbox.failure
        if self._session is None or self._monitor is None:
            raise DeviceUnreachable(f"{self._settings.url}: not connected")
        return self._session, self._monitor

    async def _keep(self, session: Session, monitor: Monitor) -> None:
        """Keep everything going; a failure reaches whoever waits for changes or reads next."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(session.watch())
                tasks.create_task(session.keep_channel())
                tasks.create_task(monitor.run())
        except* DeviceUnreachable as group:
            self.inbox.fail(_first(group))
        except* ServiceRefused as group:
            self.inbox.fail(DeviceUnreachable(f"{self._settings.url}: {_first(group)}"))
        except* Exception as group:  # a crash stays with its device
            log.exception("opcua_crashed", url=self._settings.url)
            crash = _first(group)
            self.inbox.fail(
                DeviceUnreachable(
                    f"{self._settings.url}: internal error: {type(crash).__name__}: {crash}"
                )
            )

    async def _find(self, items: Sequence[Item]) -> None:
        """Find the nodes of items; those that are not there are bad."""
        if not items:
            return
        assert self._session is not None  # noqa: S101  # start made it
        nodes = await self._session.resolve([item.point.address for item in items])
        now = time.monotonic()
        for item, node in zip(items, nodes, strict=True):
            if isinstance(node, str):
                quality = node.quality if isinstance(node, Reason) else OpcQuality.BAD
                reason = Reason(f"{item.point.address}: {node}", quality)
                self.inbox.bad(item.point.group)[item.point.index] = reason
                item.postpone(now)
            else:
                item.node = node
                item.recover()

    async def _read_into(self, result: PollResult, items: Sequence[Item]) -> None:
        assert self._session is not None  # noqa: S101  # start made it
        bad: dict[int, str] = {}
        uncertain: dict[int, str] = {}
        found = [item for item in items if item.node is not None]
        for item in items:
            if item.node is None:
                point = item.point
                bad[point.index] = self.inbox.bad(point.group).get(point.index, "node not found")
        samples = await self._session.read_values([item.node for item in found])
        wall_ms = now_ms()
        takes = [
            self._taker.take(item.point, sample, wall_ms)
            for item, sample in zip(found, samples, strict=True)
        ]
        if self._layouts.has_unknown:
            await find_layouts(self._session, self._layouts)
            takes = [
                self._taker.take(item.point, sample, wall_ms)
                for item, sample in zip(found, samples, strict=True)
            ]
        times: list[int] = [wall_ms] * len(result.values)
        for item, sample, taken in zip(found, samples, takes, strict=True):
            index = item.point.index
            item.sample = sample
            result.values[index] = taken.value
            times[index] = taken.timestamp_ms
            if taken.quality == QUALITY_BAD:
                bad[index] = taken.reason or ""
                if isinstance(item.point.address, BrowsePath) and (
                    plain_code(sample.status) in LOST_NODE_CODES
                ):
                    item.node = None  # it may be there again as another node
                    item.postpone(time.monotonic())
            elif taken.quality == QUALITY_UNCERTAIN:
                uncertain[index] = taken.reason or ""
        result.timestamp_ms = wall_ms
        result.timestamps_ms = times
        result.bad, result.uncertain = bad, uncertain


def _is_same(point: Point, held: RawValue, written: Any) -> bool:
    """Whether a node holds what was written, as far as its type can."""
    if point.kind is not None and point.kind.name == "float":
        try:
            return _as_float32(held) == _as_float32(written)
        except (struct.error, TypeError, OverflowError):
            return False
    return bool(held == written)


def _as_float32(value: RawValue) -> bytes:
    values = value if isinstance(value, list) else [value]
    return struct.pack(f"<{len(values)}f", *values)


def _first(group: BaseExceptionGroup[_E]) -> _E:
    error = group.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error
