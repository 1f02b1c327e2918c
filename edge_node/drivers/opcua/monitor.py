"""A device's subscriptions: groups of monitored items that the server tells of, and their mending.

asyncio. One bad node never costs its neighbours: each item has its own status and is tried again by
itself, later each time. Items that were silent are read now and then, since most servers say
nothing when a node is deleted and made again.
"""

import asyncio
import time
from collections.abc import Sequence
from typing import Final

import structlog

from edge_node.drivers.base import QUALITY_BAD, QUALITY_GOOD, DeviceUnreachable
from edge_node.drivers.opcua.inbox import Inbox
from edge_node.drivers.opcua.items import Item, Taker
from edge_node.drivers.opcua.notifications import Notification
from edge_node.drivers.opcua.publishing import Publisher
from edge_node.drivers.opcua.reasons import (
    LOST_NODE_CODES,
    explain_server,
    has_overflowed,
    plain_code,
)
from edge_node.drivers.opcua.session import ServiceRefused, Session
from edge_node.drivers.opcua.subscriptions import Subscriptions
from edge_node.drivers.opcua.typefinder import find_layouts
from edge_node.drivers.opcua.wire import Sample

_TICK_S: Final = 1.0

log = structlog.get_logger(__name__)


class Monitor:
    """The subscriptions of one session.

    Args:
        session: that stands.
        publisher: brings what the server publishes on the session.
        items: all of the device that can be followed, by client handle.
        inbox: gets what the server tells.
        taker: makes values of samples; structures that it does not know are looked up.
        told: what the log has already of the device, whatever becomes of its sessions.

    Attributes:
        traffic: counts what goes over the wire for this device.
    """

    def __init__(
        self,
        session: Session,
        publisher: Publisher,
        items: Sequence[Item],
        inbox: Inbox,
        taker: Taker,
        *,
        told: set[str],
    ) -> None:
        self.traffic = session.traffic
        self._session = session
        self._publisher = publisher
        self._items = items
        self._inbox = inbox
        self._taker = taker
        self._layouts = taker.layouts
        self._subscriptions = Subscriptions(session, self._tell_bad, told)
        self._followed: list[Item] = []
        self._where = session.settings.url

    async def follow(self, group: str, interval_s: float, items: Sequence[Item]) -> None:
        """Subscribe to a group; what cannot be followed is bad and tried again.

        Raises:
            DeviceUnreachable: the server gives no subscription, or is gone.
        """
        if group in self._subscriptions:
            return
        self._publisher.add(await self._subscriptions.create(group, interval_s), self)
        self._followed += items
        now = time.monotonic()
        for item in items:
            item.heard_at = now
            if item.node is None:
                item.postpone(now)
        await self._subscriptions.add(group, [item for item in items if item.node is not None])
        self._inbox.tell()

    async def run(self) -> None:
        """Mend what is not followed as it should be; return only by raising.

        Raises:
            DeviceUnreachable: the session or a subscription is gone.
        """
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._mend_forever())
            if self._session.settings.recheck_s:
                tasks.create_task(self._recheck_forever())

    def _tell_bad(self, item: Item, reason: str) -> None:
        point = item.point
        self._inbox.bad(point.group)[point.index] = reason
        self._inbox.add(point.group, point.index, None, (now_ms(), QUALITY_BAD))

    # What the server tells.

    async def end(self) -> None:
        """Give the subscriptions back.

        Raises:
            ServiceRefused: the server does not take them.
            DeviceUnreachable: no answer, or the session is gone.
        """
        for subscription in self._subscriptions.ids:
            self._publisher.remove(subscription)
        await self._subscriptions.delete()

    def fail(self, failure: DeviceUnreachable) -> None:
        """Tell the device that there will be no more."""
        self._inbox.fail(failure)

    def take(self, notification: Notification) -> None:
        """Take what the server published for one of the subscriptions.

        Raises:
            DeviceUnreachable: it ended the subscription.
        """
        self._subscriptions.hear(notification.subscription)
        if notification.ended:
            raise DeviceUnreachable(
                f"{self._where} ended a subscription: {explain_server(notification.ended)}"
            )
        if not notification.has_data:
            return
        now, wall_ms = time.monotonic(), now_ms()
        items = self._items
        for handle, sample in notification.changes:
            if handle < len(items):
                self.take_sample(items[handle], sample, now, wall_ms)
        self._inbox.tell()

    def take_sample(self, item: Item, sample: Sample, now: float, wall_ms: int) -> None:
        """Put what the server says of an item into the inbox.

        Args:
            item: of a followed group.
            sample: what it said.
            now: by the monotonic clock, seconds.
            wall_ms: by the wall clock.
        """
        point, inbox = item.point, self._inbox
        item.heard_at = now
        item.sample = sample
        taken = self._taker.take(point, sample, wall_ms)
        bad = inbox.bad(point.group)
        if taken.quality == QUALITY_GOOD:
            if bad:
                bad.pop(point.index, None)
        elif taken.quality == QUALITY_BAD:
            bad[point.index] = taken.reason or ""
            if plain_code(sample.status) in LOST_NODE_CODES:
                item.postpone(now)
        else:
            bad.pop(point.index, None)
        if sample.status and has_overflowed(sample.status):
            inbox.drop(point.group)
        inbox.add(point.group, point.index, taken.value, (taken.timestamp_ms, taken.quality))

    # Mending.

    async def _mend_forever(self) -> None:
        while True:
            await asyncio.sleep(_TICK_S)
            now = time.monotonic()
            if (silent_s := self._subscriptions.silent_for(now)) is not None:
                failure = DeviceUnreachable(
                    f"{self._where}: nothing was published for {silent_s:.0f} s, not even that"
                    " nothing changed"
                )
                if now - self._publisher.heard_at >= silent_s:
                    # for nobody at all: another subscription on this session would fare no better
                    self._session.facts.failure = failure
                raise failure
            if self._layouts.has_unknown:
                await find_layouts(self._session, self._layouts)
                for item in self._followed:
                    if item.point.kind is None:
                        item.retry_at = now
            due = [i for i in self._followed if i.retry_at is not None and i.retry_at <= now]
            if due:
                await self._try_again(due)

    async def _try_again(self, items: Sequence[Item]) -> None:
        """Find the nodes of items and follow them anew."""
        now = time.monotonic()
        await self._subscriptions.remove([item for item in items if item.server_id is not None])
        await self._session.refresh_namespaces()
        nodes = await self._session.resolve([item.point.address for item in items])
        groups: dict[str, list[Item]] = {}
        for item, node in zip(items, nodes, strict=True):
            if isinstance(node, str):
                item.node = None
                item.postpone(now)
                self._inbox.bad(item.point.group)[item.point.index] = node
            else:
                item.node = node
                groups.setdefault(item.point.group, []).append(item)
        for group, found in groups.items():
            await self._subscriptions.add(group, found)
        self._inbox.tell()

    async def _recheck_forever(self) -> None:
        recheck_s = self._session.settings.recheck_s
        while True:
            await asyncio.sleep(recheck_s)
            now = time.monotonic()
            silent = [
                item
                for item in self._followed
                if item.server_id is not None and now - item.heard_at >= recheck_s
            ]
            if silent:
                await self._recheck(silent)

    async def _recheck(self, silent: Sequence[Item]) -> None:
        """Read items that were silent; those that should not have been are followed anew."""
        asked_at = time.monotonic()
        try:
            samples = await self._session.read_values([item.node for item in silent])
        except ServiceRefused as exc:
            log.info("opcua_recheck_refused", url=self._where, reason=str(exc))
            return
        wall_ms = now_ms()
        for item, sample in zip(silent, samples, strict=True):
            if item.heard_at > asked_at:
                continue
            if plain_code(sample.status) in LOST_NODE_CODES:
                log.info("opcua_node_gone", url=self._where, tag=item.point.name)
                self.take_sample(item, sample, asked_at, wall_ms)
            elif not item.point.deadband and _differs(item.sample, sample):
                log.info("opcua_item_was_silent", url=self._where, tag=item.point.name)
                self.take_sample(item, sample, asked_at, wall_ms)
                item.retry_at = asked_at
        self._inbox.tell()


def _differs(told: Sample | None, read: Sample) -> bool:
    """Whether a value that was read should have been told."""
    return told is not None and (told.value, told.status) != (read.value, read.status)


def now_ms() -> int:
    """Return the wall clock in milliseconds since the epoch."""
    return time.time_ns() // 1_000_000
