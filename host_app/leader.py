"""Which of several hosts is active: the one that holds an advisory lock of PostgreSQL.

The lock belongs to a connection, so it is free as soon as the server notices that its holder is
gone. Two hosts are never active at once because the times fit: a holder that cannot confirm its
connection is inactive ``HOLD_LIMIT_S + LEAVE_LIMIT_S`` after the last confirmation, and who gets
the lock waits ``SETTLE_S``, which is longer, before it becomes active.
"""

import asyncio
import time
import zlib
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

import asyncpg
import structlog

log = structlog.get_logger(__name__)

CONFIRM_INTERVAL_S: Final = 0.25
CONFIRM_TIMEOUT_S: Final = 1.0
HOLD_LIMIT_S: Final = 1.5
LEAVE_LIMIT_S: Final = 0.5
SETTLE_S: Final = 2.5
RETRY_S: Final = 0.25
IDLE_LIMIT_S: Final = 3.0
"""After this long without a word the server ends a host's connection (PostgreSQL 14 and later)."""

_CONNECT_TIMEOUT_S: Final = 3.0
_LOCK_CLASS: Final = 0x6E65_7875
_SERVER_SETTINGS: Final = {
    "application_name": "nexus-host-leader",
    # The server, too, must notice a host that hangs or vanished, or nobody could take over.
    "idle_session_timeout": str(int(IDLE_LIMIT_S * 1000)),
}
_AWAY = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError)

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
Serve: TypeAlias = Callable[[asyncio.Event], Awaitable[None]]


class Leadership:
    """One host's part in the election.

    Args:
        url: the database, the same for all hosts; not through a pooler that shares connections.
        host_id: hosts of one id compete.

    Attributes:
        is_active: whether this host may act now.
    """

    def __init__(self, url: str, host_id: str) -> None:
        self.is_active = False
        self._url = url
        self._key = zlib.crc32(host_id.encode()) - 2**31
        self._connection: Connection | None = None
        self._problem: str | None = None

    async def run(self, serve: Serve, stop: asyncio.Event) -> None:
        """Compete until told to stop.

        Args:
            serve: be active until its event is set, then leave within ``LEAVE_LIMIT_S``.
            stop: end it all.
        """
        log.info("standby")
        try:
            while not stop.is_set():
                if await self._acquire() and not await _wait(stop, SETTLE_S):
                    await self._lead(serve, stop)
                else:
                    await _wait(stop, RETRY_S)
        finally:
            self._drop()

    async def _lead(self, serve: Serve, stop: asyncio.Event) -> None:
        ended = asyncio.Event()
        self.is_active = True
        log.info("active")
        serving = asyncio.ensure_future(serve(ended))
        holding = asyncio.create_task(self._hold())
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({serving, holding, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if holding.done() and not stop.is_set():
                log.error("leadership_lost", reason=self._problem)
        finally:
            self.is_active = False
            ended.set()
            holding.cancel()
            stopping.cancel()
            await asyncio.gather(holding, stopping, return_exceptions=True)
            await serving

    async def _hold(self) -> None:
        """Confirm the lock; return when it cannot be relied on any more."""
        confirmed = time.monotonic()
        while True:
            await asyncio.sleep(CONFIRM_INTERVAL_S)
            asked = time.monotonic()
            try:
                if self._connection is None:
                    held = await self._acquire()
                else:
                    async with asyncio.timeout(CONFIRM_TIMEOUT_S):
                        await self._connection.execute("SELECT 1")
                    held = True
            except _AWAY as exc:
                self._tell(str(exc) or type(exc).__name__)
                self._drop()
                held = False
            if held:
                confirmed = asked
            elif time.monotonic() - confirmed > HOLD_LIMIT_S - CONFIRM_TIMEOUT_S:
                return

    async def _acquire(self) -> bool:
        try:
            limit_s = CONFIRM_TIMEOUT_S if self.is_active else _CONNECT_TIMEOUT_S
            async with asyncio.timeout(limit_s):
                if self._connection is None:
                    self._connection = await asyncpg.connect(
                        self._url, server_settings=_SERVER_SETTINGS
                    )
                held = bool(
                    await self._connection.fetchval(
                        "SELECT pg_try_advisory_lock($1, $2)", _LOCK_CLASS, self._key
                    )
                )
        except _AWAY as exc:
            self._tell(str(exc) or type(exc).__name__)
            self._drop()
            return False
        self._tell(None)
        return held

    def _tell(self, problem: str | None) -> None:
        if problem is not None and self._problem is None:
            log.error("leader_database_away", reason=problem)
        self._problem = problem

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()


async def _wait(event: asyncio.Event, timeout_s: float) -> bool:
    try:
        async with asyncio.timeout(timeout_s):
            await event.wait()
    except TimeoutError:
        return False
    return True
