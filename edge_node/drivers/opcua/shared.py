"""Sessions of an edge node's devices: those whose settings agree have one together.

trio without, asyncio within. Servers have few sessions, and small ones take long over each; what is
on a session, subscriptions and items, stays each device's own, and so does its trouble.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final, TypeVar, TypeVarTuple
from urllib.parse import urlsplit

import structlog
import trio

from edge_node.drivers.base import CannotConnect, DeviceUnreachable, Trace
from edge_node.drivers.opcua.connection import (
    DEFAULT_PORT,
    Credentials,
    connect,
    disconnect,
    load_credentials,
)
from edge_node.drivers.opcua.loop import AsyncioLoop
from edge_node.drivers.opcua.publishing import Publisher
from edge_node.drivers.opcua.session import ServiceRefused, Session
from edge_node.drivers.traffic import Traffic
from proto.control.opcua import OpcUaConnection

_T = TypeVar("_T")
_Args = TypeVarTuple("_Args")
_E = TypeVar("_E", bound=BaseException)

_OF_THE_DEVICE: Final = {"timestamps": "source", "recheck_s": 60.0}
"""Settings in which devices that share a session may differ."""

log = structlog.get_logger(__name__)


class SharedSession:
    """A session that stands, with what keeps it so.

    Args:
        session: that was just made.

    Attributes:
        session: of its first user.
        publisher: brings what the server publishes.
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        self.publisher = Publisher(session)
        self._on_failure: list[Callable[[DeviceUnreachable], None]] = []
        self._keeping = asyncio.create_task(self._keep())

    @classmethod
    async def open(
        cls,
        settings: OpcUaConnection,
        credentials: Credentials,
        traffic: Traffic,
        trace: Trace | None,
    ) -> "SharedSession":
        """Connect, and learn what the server is.

        Raises:
            DeviceUnreachable: with the step that failed and what can be done.
        """
        client = await connect(settings, credentials, traffic, trace)
        session = Session(client, settings, traffic)
        try:
            await session.look_around()
        except ServiceRefused as exc:
            await disconnect(client)
            raise DeviceUnreachable(f"{settings.url}: {exc}") from exc
        except BaseException:
            await disconnect(client)
            raise
        return cls(session)

    @property
    def stands(self) -> bool:
        """Whether something may be asked on it."""
        protocol = self.session.client.uaclient.protocol
        return (
            self.session.facts.failure is None and protocol is not None and not protocol.is_closed
        )

    def add(self, on_failure: Callable[[DeviceUnreachable], None]) -> None:
        """Have a user told when the session is gone."""
        self._on_failure.append(on_failure)

    def remove(self, on_failure: Callable[[DeviceUnreachable], None]) -> None:
        """Leave a user alone."""
        if on_failure in self._on_failure:
            self._on_failure.remove(on_failure)

    async def close(self) -> None:
        """Close the session; never raises, waits a second at most."""
        self._keeping.cancel()
        await asyncio.wait([self._keeping])
        url = self.session.settings.url
        self._fail(self.session.facts.failure or DeviceUnreachable(f"{url}: the session is closed"))
        await disconnect(self.session.client)

    async def _keep(self) -> None:
        """Keep the session; all users hear of it when it is gone."""
        url = self.session.settings.url
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self.session.watch())
                tasks.create_task(self.session.keep_channel())
                tasks.create_task(self.publisher.run())
        except* DeviceUnreachable as group:
            self._fail(first_of(group))
        except* ServiceRefused as group:
            self._fail(DeviceUnreachable(f"{url}: {first_of(group)}"))
        except* Exception as group:  # a crash stays with the session
            log.exception("opcua_crashed", url=url)
            crash = first_of(group)
            reason = f"{url}: internal error: {type(crash).__name__}: {crash}"
            self._fail(DeviceUnreachable(reason))

    def _fail(self, failure: DeviceUnreachable) -> None:
        self.session.facts.failure = self.session.facts.failure or failure
        users, self._on_failure = self._on_failure, []
        for tell in users:
            tell(failure)


class Link:
    """The way to one server, for all devices that reach it with the same settings.

    Args:
        settings: of the first of them.
        links: whose it is.
        trace: is told every byte.

    Attributes:
        has_room: whether it has a session, or is about to.
    """

    def __init__(self, settings: OpcUaConnection, links: "Links", trace: Trace | None) -> None:
        self.settings = settings
        self.has_room = False
        self._links = links
        self._trace = trace
        self._loop = AsyncioLoop()
        self._users: set[object] = set()
        self._turn = trio.Lock()
        self._session: SharedSession | None = None
        self._attempts = 0
        self._failure: DeviceUnreachable | None = None

    @property
    def is_shared(self) -> bool:
        """Whether more than one device uses it now."""
        return len(self._users) > 1

    async def join(
        self, user: object, settings: OpcUaConnection, traffic: Traffic
    ) -> SharedSession:
        """Return the session, made anew where there is none that stands.

        Args:
            user: who needs it until ``leave``.
            settings: the user's own.
            traffic: counts what connecting takes.

        Raises:
            DeviceUnreachable: with the step that failed and what can be done.
        """
        self._users.add(user)
        seen = self._attempts
        async with self._turn:
            if self._session is not None and self._session.stands:
                return self._session
            if self._attempts != seen and self._failure is not None:
                # someone tried while this one waited; each trying in turn would take for ever
                raise type(self._failure)(str(self._failure))
            self._attempts += 1
            self._failure = None
            try:
                return await self._connect(settings, traffic)
            except DeviceUnreachable as exc:
                self._failure = exc
                raise

    async def run(self, function: Callable[[*_Args], Awaitable[_T]], *arguments: *_Args) -> _T:
        """Run an asyncio coroutine function where the session is.

        Raises:
            DeviceUnreachable: not connected.
        """
        return await self._loop.run(function, *arguments)

    async def leave(self, user: object) -> None:
        """Stop using the link; the last user closes it."""
        self._users.discard(user)
        if self._users:
            return
        self._links.forget(self)
        async with self._turn:
            await self._close()
            await self._loop.stop()

    async def _connect(self, settings: OpcUaConnection, traffic: Traffic) -> SharedSession:
        credentials = await trio.to_thread.run_sync(load_credentials, settings)
        if not self._loop.is_running:
            await self._loop.start()
        await self._close()
        self._links.take_room(self, settings)
        try:
            self._session = await self._loop.run(
                SharedSession.open, settings, credentials, traffic, self._trace
            )
        finally:
            self.has_room = self._session is not None
        return self._session

    async def _close(self) -> None:
        session, self._session = self._session, None
        self.has_room = False
        if session is not None:
            with suppress(DeviceUnreachable):  # the loop has ended, and everything with it
                await self._loop.run(session.close)


class Links:
    """The links of one edge node.

    Args:
        trace: is told every byte that is sent and received.
    """

    def __init__(self, trace: Trace | None = None) -> None:
        self._trace = trace
        self._shared: dict[OpcUaConnection, Link] = {}
        self._all: list[Link] = []

    def take(self, settings: OpcUaConnection) -> Link:
        """Return the link to a server, the same for all that may share it."""
        key = settings.model_copy(update=_OF_THE_DEVICE)
        link = self._shared.get(key) if settings.shared else None
        if link is None:
            link = Link(settings, self, self._trace)
            self._all.append(link)
            if settings.shared:
                self._shared[key] = link
        return link

    def forget(self, link: Link) -> None:
        """Give out another link next time."""
        self._shared = {key: one for key, one in self._shared.items() if one is not link}
        if link in self._all:
            self._all.remove(link)

    def take_room(self, link: Link, settings: OpcUaConnection) -> None:
        """Have a link make a session, where the server is to be given one more.

        Raises:
            CannotConnect: how many there are and may be.
        """
        where = _place(settings)
        count = sum(other.has_room and _place(other.settings) == where for other in self._all)
        if settings.max_sessions is not None and count >= settings.max_sessions:
            raise CannotConnect(
                f"{settings.url}: this node has {count} sessions to {where[0]}:{where[1]} already,"
                f" max_sessions is {settings.max_sessions}: devices with the same settings share"
                " one"
            )
        link.has_room = True


def _place(settings: OpcUaConnection) -> tuple[str, int]:
    parts = urlsplit(settings.url)
    return parts.hostname or "", parts.port or DEFAULT_PORT


def first_of(group: BaseExceptionGroup[_E]) -> _E:
    """Return the first error of a group of groups."""
    error = group.exceptions[0]
    return first_of(error) if isinstance(error, BaseExceptionGroup) else error
