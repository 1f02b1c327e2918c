"""Subscriptions and their monitored items on the server: asked for, noted, given back.

asyncio. One bad node never costs its neighbours: each item has its own status.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import structlog
from asyncua import ua

from edge_node.drivers.base import DeviceUnreachable
from edge_node.drivers.opcua.items import PLAIN_TRIGGER, Item
from edge_node.drivers.opcua.reasons import (
    FILTER_CODES,
    TOO_LARGE_CODES,
    describe_status,
    explain_node,
    plain_code,
)
from edge_node.drivers.opcua.session import ServiceRefused, Session

_MOST_NOTIFICATIONS: Final = 10_000
_MOST_KEEP_ALIVES: Final = 10_000
_MOST_NAMED: Final = 10

log = structlog.get_logger(__name__)


class Subscriptions:
    """One subscription for each group of a session.

    Args:
        session: that stands.
        tell_bad: is told each item that the server does not follow, and why.
        told: the reasons for which filters were refused that the log has already.

    """

    def __init__(
        self, session: Session, tell_bad: Callable[[Item, str], None], told: set[str]
    ) -> None:
        self._session = session
        self._tell_bad = tell_bad
        self._told = told
        self._refused_filters: dict[str, list[Item]] = {}
        self._ids: dict[str, int] = {}
        self._patience_s: dict[int, float] = {}
        self._heard_at: dict[int, float] = {}
        self._where = session.settings.url

    def __bool__(self) -> bool:
        return bool(self._ids)

    def __contains__(self, group: str) -> bool:
        return group in self._ids

    @property
    def ids(self) -> list[int]:
        """The subscriptions' numbers on the server."""
        return list(self._ids.values())

    def hear(self, subscription: int) -> None:
        """Note that something was published for a subscription, be it that nothing changed."""
        self._heard_at[subscription] = time.monotonic()

    def silent_for(self, now: float) -> float | None:
        """Return for how many seconds a subscription was silent that the server has forgotten.

        Args:
            now: by the monotonic clock.
        """
        for subscription, patience_s in self._patience_s.items():
            if (silent_s := now - self._heard_at[subscription]) > patience_s:
                return silent_s
        return None

    async def create(self, group: str, interval_s: float) -> int:
        """Subscribe, and return the subscription's number.

        Raises:
            DeviceUnreachable: the server gives no subscription, or is gone.
        """
        settings = self._session.settings
        keep_alives = _count(settings.watchdog_s / 2, interval_s)
        request = ua.CreateSubscriptionRequest()
        parameters = request.Parameters
        parameters.RequestedPublishingInterval = 1000 * interval_s
        parameters.RequestedMaxKeepAliveCount = keep_alives
        parameters.RequestedLifetimeCount = max(
            3 * keep_alives, _count(settings.session_timeout_s, interval_s)
        )
        parameters.MaxNotificationsPerPublish = _MOST_NOTIFICATIONS
        parameters.PublishingEnabled = True
        try:
            answer = await self._session.ask(request, ua.CreateSubscriptionResponse)
        except ServiceRefused as exc:
            raise DeviceUnreachable(f"{self._where} gave no subscription: {exc}") from exc
        given = answer.Parameters
        keep_alive_s = given.RevisedPublishingInterval * given.RevisedMaxKeepAliveCount / 1000
        subscription = int(given.SubscriptionId)
        self._patience_s[subscription] = 2 * keep_alive_s + settings.timeout_s
        self.hear(subscription)
        if given.RevisedPublishingInterval > 1000 * interval_s:
            log.info(
                "opcua_interval_revised",
                url=self._where,
                asked_s=interval_s,
                given_s=given.RevisedPublishingInterval / 1000,
            )
        self._ids[group] = subscription
        return subscription

    async def delete(self) -> None:
        """Give all subscriptions back, with their items.

        Raises:
            ServiceRefused: the server does not take them.
            DeviceUnreachable: no answer, or the session is gone.
        """
        if not self._ids:
            return
        request = ua.DeleteSubscriptionsRequest()
        request.Parameters.SubscriptionIds = self.ids
        self._ids.clear()
        self._patience_s.clear()
        await self._session.ask(request, ua.DeleteSubscriptionsResponse)

    async def add(self, group: str, items: Sequence[Item]) -> None:
        """Have items followed; those that cannot be are bad and to be tried again.

        Raises:
            DeviceUnreachable: the server follows nothing, or is gone.
        """
        waiting = list(items)
        while waiting:
            size = self._session.limit("monitor")
            batch, waiting = waiting[:size], waiting[size:]
            try:
                results = await self._ask_items(group, batch)
            except ServiceRefused as exc:
                if exc.code in TOO_LARGE_CODES and len(batch) > 1:
                    self._session.learn_limit("monitor", len(batch))
                    waiting = batch + waiting
                    continue
                raise DeviceUnreachable(f"{self._where} follows no items: {exc}") from exc
            waiting += self._note_items(batch, results)
        self._tell_refused_filters()

    def _tell_refused_filters(self) -> None:
        """Say once what the server does not apply, whatever becomes of its items later."""
        for reason, items in self._refused_filters.items():
            if reason in self._told:
                continue
            self._told.add(reason)
            log.warning(
                "opcua_filter_refused",
                url=self._where,
                reason=reason,
                tags=[item.point.name for item in items[:_MOST_NAMED]],
                count=len(items),
                instead="the edge node applies their deadband",
            )
        self._refused_filters.clear()

    async def _ask_items(self, group: str, batch: Sequence[Item]) -> Sequence[Any]:
        request = ua.CreateMonitoredItemsRequest()
        request.Parameters.SubscriptionId = self._ids[group]
        request.Parameters.TimestampsToReturn = ua.TimestampsToReturn.Both
        request.Parameters.ItemsToCreate = [
            ua.MonitoredItemCreateRequest(
                ItemToMonitor=ua.ReadValueId(NodeId=item.node, AttributeId=ua.AttributeIds.Value),
                MonitoringMode=ua.MonitoringMode.Reporting,
                RequestedParameters=self._parameters(item),
            )
            for item in batch
        ]
        answer = await self._session.ask(request, ua.CreateMonitoredItemsResponse)
        results: Sequence[Any] = answer.Results
        return results

    def _parameters(self, item: Item) -> Any:
        point = item.point
        parameters = ua.MonitoringParameters()
        parameters.ClientHandle = item.handle
        parameters.SamplingInterval = point.sampling_ms
        parameters.QueueSize = point.queue_size
        parameters.DiscardOldest = True
        asked = item.asked_filter if self._session.facts.profile.filters else "none"
        deadband = point.deadband if asked == "all" else 0.0
        if asked != "none" and (deadband or point.trigger != PLAIN_TRIGGER):
            change_filter = ua.DataChangeFilter()
            change_filter.Trigger = ua.DataChangeTrigger(point.trigger)
            change_filter.DeadbandType = 1 if deadband else 0
            change_filter.DeadbandValue = deadband
            parameters.Filter = change_filter
        return parameters

    def _note_items(self, batch: Sequence[Item], results: Sequence[Any]) -> list[Item]:
        """Note what became of items; return those to be asked for again at once."""
        again: list[Item] = []
        now = time.monotonic()
        for item, result in zip(batch, results, strict=True):
            code = result.StatusCode.value
            if result.StatusCode.is_good():
                item.server_id = result.MonitoredItemId
                item.heard_at = now
                item.recover()
            elif plain_code(code) in FILTER_CODES and item.ask_less():
                again.append(item)  # the edge has its own deadband
                self._refused_filters.setdefault(describe_status(code), []).append(item)
            else:
                item.server_id = None
                item.postpone(now)
                self._tell_bad(item, explain_node(code))
        return again

    async def remove(self, items: Sequence[Item]) -> None:
        """Give monitored items back; that they may be gone already is why."""
        groups: dict[str, list[Item]] = {}
        for item in items:
            groups.setdefault(item.point.group, []).append(item)
        for group, found in groups.items():
            size = self._session.limit("monitor")
            for start in range(0, len(found), size):
                await self._remove_batch(group, found[start : start + size])

    async def _remove_batch(self, group: str, batch: Sequence[Item]) -> None:
        request = ua.DeleteMonitoredItemsRequest()
        request.Parameters.SubscriptionId = self._ids[group]
        request.Parameters.MonitoredItemIds = [item.server_id for item in batch]
        try:
            await self._session.ask(request, ua.DeleteMonitoredItemsResponse)
        except ServiceRefused as exc:
            log.debug("opcua_items_not_deleted", url=self._where, reason=str(exc))
        for item in batch:
            item.server_id = None


def _count(span_s: float, interval_s: float) -> int:
    return max(1, min(_MOST_KEEP_ALIVES, int(span_s / max(interval_s, 0.05))))
