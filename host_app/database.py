"""The connection to PostgreSQL: made again for ever, and its absence told rather than suffered.

Everything else in the host goes on without it. It knows no tables.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final, TypeAlias

import asyncpg
import structlog

from host_app.errors import StorageUnavailable
from host_app.migrations import migrate

log = structlog.get_logger(__name__)

Connection: TypeAlias = "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"

FIRST_PAUSE_S: Final = 0.5
LONGEST_PAUSE_S: Final = 10.0
CHECK_INTERVAL_S: Final = 5.0
COMMAND_TIMEOUT_S: Final = 5.0

_AWAY = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError)


class Database:
    """A pool of connections that comes and goes with the server.

    Attributes:
        problem: why it is away, None while it answers.
        on_change: called with ``problem`` whenever it changes.
    """

    def __init__(self, url: str | None) -> None:
        self.problem: str | None = (
            "not connected yet" if url else "no database is configured, set NEXUS_DATABASE_URL"
        )
        self.on_change: Callable[[str | None], None] = _ignore
        self._url = url
        self._pool: asyncpg.Pool[asyncpg.Record] | None = None
        self._ready = asyncio.Event()
        self._suspect = asyncio.Event()

    @property
    def is_ready(self) -> bool:
        """Whether it answered the last time it was asked."""
        return self._ready.is_set()

    async def wait_ready(self) -> None:
        """Wait until it answers."""
        await self._ready.wait()

    async def run(self, refresh: Callable[[], Awaitable[None]]) -> None:
        """Connect, migrate, watch, for ever.

        Args:
            refresh: reads what the host keeps in memory; awaited after each connect, before the
                database counts as ready, and every few seconds after.
        """
        if self._url is None:
            log.warning("database_not_configured", effect="nobody can sign in to the console")
            return
        pause_s = FIRST_PAUSE_S
        while True:
            started = time.monotonic()
            try:
                await self.connect_once(refresh)
                await self._watch(refresh)
            except StorageUnavailable as exc:
                self._tell(_describe(exc))
            finally:
                await self.close()
            if time.monotonic() - started > LONGEST_PAUSE_S:
                pause_s = FIRST_PAUSE_S
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """Lend a connection.

        Raises:
            StorageUnavailable: the database does not answer.
        """
        if self._pool is None:
            raise StorageUnavailable(f"database: {self.problem}")
        try:
            async with self._pool.acquire(timeout=COMMAND_TIMEOUT_S) as connection:
                yield connection
        except asyncpg.IntegrityConstraintViolationError:
            raise
        except _AWAY as exc:
            self._suspect.set()
            raise StorageUnavailable(f"database: {_describe(exc)}") from exc

    async def connect_once(self, refresh: Callable[[], Awaitable[None]]) -> None:
        """Connect and migrate.

        Args:
            refresh: as for :meth:`run`.

        Raises:
            StorageUnavailable: the database does not answer.
        """
        if self._url is None:
            raise StorageUnavailable(f"database: {self.problem}")
        applied = await asyncio.to_thread(migrate, self._url)
        if applied:
            log.info("schema_migrated", migrations=applied)
        try:
            self._pool = await asyncpg.create_pool(
                self._url,
                min_size=1,
                max_size=4,
                timeout=COMMAND_TIMEOUT_S,
                command_timeout=COMMAND_TIMEOUT_S,
            )
        except _AWAY as exc:
            raise StorageUnavailable(f"database: {_describe(exc)}") from exc
        await refresh()
        self._tell(None)

    async def _watch(self, refresh: Callable[[], Awaitable[None]]) -> None:
        while True:
            self._suspect.clear()
            try:
                async with asyncio.timeout(CHECK_INTERVAL_S):
                    await self._suspect.wait()
            except TimeoutError:
                pass  # nobody complained: ask for ourselves
            await refresh()

    async def close(self) -> None:
        """Drop all connections."""
        self._ready.clear()
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.terminate()

    def _tell(self, problem: str | None) -> None:
        if problem is None:
            self._ready.set()
            log.info("database_ready")
        elif self._ready.is_set() or self.problem != problem:
            log.error("database_away", reason=problem)
        else:
            log.debug("database_away", reason=problem)
        changed, self.problem = problem != self.problem, problem
        if changed:
            self.on_change(problem)


def _describe(exc: BaseException) -> str:
    text = str(exc).strip() or type(exc).__name__
    return text.splitlines()[0].removeprefix("database: ")


def _ignore(_problem: str | None) -> None:
    pass
