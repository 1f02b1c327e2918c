"""What a server publishes on one session, handed to the devices whose subscriptions it is of.

asyncio. Publish requests belong to the session, not to a subscription (OPC 10000-4 5.14.5): a few
wait at the server, which answers one for whichever subscription has something to tell. Trouble of
one device stays with it.
"""

import asyncio
import time
from collections import deque
from typing import Any, Final, Protocol

import structlog
from asyncua import ua

from edge_node.drivers.base import DeviceUnreachable, NotUnderstood
from edge_node.drivers.opcua.notifications import Notification, parse_publish
from edge_node.drivers.opcua.session import ServiceRefused, Session
from edge_node.drivers.opcua.wire import WireError
from edge_node.drivers.traffic import Traffic

_FEWEST: Final = 2
_MOST: Final = 100
"""Publish requests that wait at the server: one more than there are subscriptions, within these."""
_TICK_S: Final = 0.1

log = structlog.get_logger(__name__)


class Listener(Protocol):
    """Whose subscription it is."""

    traffic: Traffic

    def take(self, notification: Notification) -> None:
        """Take what was published; must not block."""

    def fail(self, failure: DeviceUnreachable) -> None:
        """Hear that there will be no more."""


class Publisher:
    """The publish requests of one session.

    Args:
        session: that stands.

    Attributes:
        heard_at: when something was last published, for anyone, by the monotonic clock.
    """

    def __init__(self, session: Session) -> None:
        self.heard_at = time.monotonic()
        self._session = session
        self._listeners: dict[int, Listener] = {}
        self._acknowledgements: deque[Any] = deque()
        self._tasks: asyncio.TaskGroup | None = None
        self._running = 0
        self._most = _MOST
        self._where = session.settings.url

    def add(self, subscription: int, listener: Listener) -> None:
        """Have a subscription's notifications handed to a listener."""
        self._listeners[subscription] = listener
        self._fill()

    def remove(self, subscription: int) -> None:
        """Forget a subscription that was deleted."""
        self._listeners.pop(subscription, None)

    async def run(self) -> None:
        """Take what the server publishes; return only by raising.

        Raises:
            DeviceUnreachable: the session is gone, or publishes no more.
        """
        async with asyncio.TaskGroup() as self._tasks:
            self._fill()
            self._tasks.create_task(_forever())

    def _fill(self) -> None:
        wanted = min(self._most, max(_FEWEST, len(self._listeners) + 1))
        while self._tasks is not None and self._running < wanted:
            self._running += 1
            self._tasks.create_task(self._publish())

    async def _publish(self) -> None:
        payer = self._session.traffic
        while True:
            if not self._listeners:
                await asyncio.sleep(_TICK_S)
                continue
            known = set(self._listeners)
            try:
                notification = await self._ask(payer)
            except ServiceRefused as exc:
                if exc.code == ua.StatusCodes.BadTooManyPublishRequests and self._running > 1:
                    self._running -= 1
                    self._most = self._running
                    return  # the others go on
                if exc.code == ua.StatusCodes.BadTimeout:
                    continue
                if exc.code == ua.StatusCodes.BadNoSubscription and known != set(self._listeners):
                    continue  # the last was deleted, or the first not there yet
                raise DeviceUnreachable(f"{self._where} publishes no more: {exc}") from exc
            self.heard_at = time.monotonic()
            listener = self._listeners.get(notification.subscription)
            payer = self._session.traffic if listener is None else listener.traffic
            self._session.client.claim(payer)
            if notification.has_data:
                self._acknowledgements.append(
                    ua.SubscriptionAcknowledgement(
                        SubscriptionId=notification.subscription,
                        SequenceNumber=notification.sequence,
                    )
                )
            if listener is not None:
                self._hand_over(listener, notification)

    async def _ask(self, payer: Traffic) -> Notification:
        request = ua.PublishRequest()
        acknowledgements = request.Parameters.SubscriptionAcknowledgements
        while self._acknowledgements:
            acknowledgements.append(self._acknowledgements.popleft())
        session = self._session.of(self._session.settings, payer)
        try:
            return parse_publish(await session.ask_raw(request, timeout_s=0))
        except WireError as exc:
            raise NotUnderstood(f"{self._where}: {exc}") from exc

    def _hand_over(self, listener: Listener, notification: Notification) -> None:
        try:
            listener.take(notification)
        except DeviceUnreachable as exc:
            listener.fail(exc)
        except Exception as exc:  # a crash stays with its device
            log.exception("opcua_crashed", url=self._where)
            reason = f"{self._where}: internal error: {type(exc).__name__}: {exc}"
            listener.fail(DeviceUnreachable(reason))


async def _forever() -> None:
    """Keep the group open while no request is under way."""
    await asyncio.get_running_loop().create_future()
