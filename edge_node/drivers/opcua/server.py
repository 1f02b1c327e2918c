"""A device's items on a connected server: found, read, followed, written.

asyncio. The driver's trio side makes one each time the device is opened, and throws it away; the
session may be others' too.
"""

import asyncio
import struct
import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

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
)
from edge_node.drivers.opcua.inbox import Inbox
from edge_node.drivers.opcua.items import Item, Taker
from edge_node.drivers.opcua.methods import Methods
from edge_node.drivers.opcua.monitor import Monitor, now_ms
from edge_node.drivers.opcua.nodes import BrowsePath
from edge_node.drivers.opcua.points import Point
from edge_node.drivers.opcua.reasons import LOST_NODE_CODES, is_good, plain_code
from edge_node.drivers.opcua.session import ServiceRefused, Session
from edge_node.drivers.opcua.shared import SharedSession, first_of
from edge_node.drivers.opcua.structures import Layouts
from edge_node.drivers.opcua.typefinder import find_layouts
from edge_node.drivers.opcua.wire import Opaque, Sample
from edge_node.drivers.opcua.writing import write_value
from edge_node.drivers.traffic import Traffic
from proto.control.opcua import OpcUaConnection

_READ_BACK_S: Final = 0.1
"""How soon a value that was written is looked at again; gateways take a moment."""
_GOODBYE_S: Final = 1.0

log = structlog.get_logger(__name__)


class Server:
    """One device on a session.

    Args:
        settings: how the server is reached.
        groups: poll group → points.
        intervals: poll group → seconds.
        followed: the groups that the server is to tell of.
        traffic: counts what goes over the wire for the device.
        told: what the log has already of the device; it is added to.

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
        told: set[str],
    ) -> None:
        self.inbox = Inbox(groups)
        self._settings = settings
        self._groups = groups
        self._intervals = intervals
        self._followed = followed
        self._traffic = traffic
        self._told = told
        readable = [p for group in groups.values() for p in group if p.method is None]
        self._items = [Item(point, handle) for handle, point in enumerate(readable)]
        self._by_name = {item.point.name: item for item in self._items}
        self._methods = Methods(groups, followed, self.inbox)
        self._layouts = Layouts()
        self._taker = Taker(settings.timestamps, self._layouts)
        self._shared: SharedSession | None = None
        self._session: Session | None = None
        self._monitor: Monitor | None = None
        self._mending: asyncio.Task[None] | None = None

    async def start(self, shared: SharedSession) -> None:
        """Find the nodes on a session.

        Raises:
            DeviceUnreachable: no answer, or the session is gone.
        """
        session = shared.session.of(self._settings, self._traffic)
        self._shared, self._session = shared, session
        shared.add(self.inbox.fail)
        try:
            await self._find(self._items)
        except ServiceRefused as exc:
            raise DeviceUnreachable(f"{self._settings.url}: {exc}") from exc
        self._monitor = Monitor(
            session, shared.publisher, self._items, self.inbox, self._taker, told=self._told
        )
        self._mending = asyncio.create_task(self._mend(self._monitor))

    async def stop(self, *, give_back: bool) -> None:
        """Leave the session; never raises, waits a second at most.

        Args:
            give_back: whether the session goes on, for others, without this device's subscriptions.
        """
        mending, self._mending = self._mending, None
        if mending is not None:
            mending.cancel()
            await asyncio.wait([mending])
        shared, self._shared = self._shared, None
        if shared is None:
            return
        shared.remove(self.inbox.fail)
        if self._monitor is not None and give_back and shared.stands:
            try:
                await asyncio.wait_for(self._monitor.end(), _GOODBYE_S)
            except (TimeoutError, ServiceRefused, DeviceUnreachable) as exc:
                log.info("opcua_subscriptions_left", url=self._settings.url, reason=str(exc))

    async def read(self, group: str) -> PollResult:
        """Read a group; the first time a group that is to be followed is read, follow it.

        Raises:
            DeviceUnreachable: no answer, or the connection is gone.
        """
        session, monitor = self._connected()
        points = self._groups[group]
        items = [self._by_name[point.name] for point in points if point.method is None]
        requests = self._traffic.requests
        now = time.monotonic()
        if again := [item for item in items if self._is_due(item, now)]:
            await session.refresh_namespaces()
            await self._find(again)
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

    async def _mend(self, monitor: Monitor) -> None:
        """Mend what is not as it should be; failures reach who waits for changes or reads next."""
        url = self._settings.url
        try:
            await monitor.run()
        except* DeviceUnreachable as group:
            self.inbox.fail(first_of(group))
        except* ServiceRefused as group:
            self.inbox.fail(DeviceUnreachable(f"{url}: {first_of(group)}"))
        except* Exception as group:  # a crash stays with its device
            log.exception("opcua_crashed", url=url)
            crash = first_of(group)
            reason = f"{url}: internal error: {type(crash).__name__}: {crash}"
            self.inbox.fail(DeviceUnreachable(reason))

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
            if taken.quality != QUALITY_BAD and self._is_polled(item):
                item.recover()
            item.sample = sample
            result.values[index] = taken.value
            times[index] = taken.timestamp_ms
            if taken.quality == QUALITY_BAD:
                bad[index] = taken.reason or ""
                if plain_code(sample.status) in LOST_NODE_CODES:
                    self._lose(item)
            elif taken.quality == QUALITY_UNCERTAIN:
                uncertain[index] = taken.reason or ""
        result.timestamp_ms = wall_ms
        result.timestamps_ms = times
        result.bad, result.uncertain = bad, uncertain

    def _lose(self, item: Item) -> None:
        """Have a node that the server does not have looked up anew in a while, where that helps."""
        address = item.point.address
        if isinstance(address, BrowsePath):
            item.node = None  # it may be there again as another node
            item.postpone(time.monotonic())
        elif isinstance(address.namespace, str) and item.retry_at is None and self._is_polled(item):
            item.postpone(time.monotonic())

    def _is_due(self, item: Item, now: float) -> bool:
        """Whether an item's node is to be looked up before it is read."""
        if item.retry_at is None:
            return item.node is None
        return item.retry_at <= now and (item.node is None or self._is_polled(item))

    def _is_polled(self, item: Item) -> bool:
        """Whether an item is for this class to mend; those that are followed are the monitor's."""
        return item.point.group not in self._followed


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
