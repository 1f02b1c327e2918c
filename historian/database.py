"""Connections to the database: opened on demand, errors told by what to do about them.

A connection carries a name that no other historian uses, under an advisory lock: whoever opens it
again after a loss waits until the server has ended what the lost one was doing. So a batch that is
tried again finds either all of it or nothing of it.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Final

import asyncpg

from historian.errors import BatchRejected, SchemaMismatch, StorageUnavailable
from historian.plain import HEADER, TRAILER

CONNECT_TIMEOUT_S: Final = 10.0
STATEMENT_TIMEOUT_S: Final = 120.0
_LOCK_SPACE: Final = 0x4E58
_DATA_ERRORS: Final = frozenset({"22", "23"})
_STRUCTURE_ERRORS: Final = frozenset({"3F", "42"})

Setup = Callable[["Connection"], str]


@contextmanager
def explain_errors(what: str) -> Iterator[None]:
    """Turn asyncpg's errors into ours.

    Raises:
        BatchRejected: the data is refused; the message is the server's.
        SchemaMismatch: a table or column is not there, or not ours to use.
        StorageUnavailable: anything else: not now.
    """
    try:
        yield
    except asyncpg.PostgresError as error:
        state = (error.sqlstate or "")[:2]
        text = f"{what}: {error}"
        if state in _DATA_ERRORS:
            raise BatchRejected(text) from error
        if state in _STRUCTURE_ERRORS:
            raise SchemaMismatch(text) from error
        raise StorageUnavailable(text) from error
    except (asyncpg.InterfaceError, asyncpg.InternalClientError, OSError) as error:
        raise StorageUnavailable(f"{what}: {error!s} ({type(error).__name__})") from error
    except TimeoutError as error:
        raise StorageUnavailable(f"{what}: no answer in time") from error


class Connection:
    """One connection that comes back.

    Args:
        url: a ``postgresql://`` address.
        name: unique among all connections of all historians on this database.
        setup: statements to run once on each new connection.
    """

    def __init__(self, url: str, name: str, setup: Sequence[str] = ()) -> None:
        self._url = url
        self._name = name
        self._setup = setup
        self._connection: asyncpg.Connection[asyncpg.Record] | None = None

    async def open(self) -> "asyncpg.Connection[asyncpg.Record]":
        """The connection, made now if there is none.

        Raises:
            StorageUnavailable: it cannot be made now.
            SchemaMismatch: the set-up statements do not fit the schema.
        """
        if self._connection is not None and not self._connection.is_closed():
            return self._connection
        with explain_errors("database"):
            connection = await asyncpg.connect(
                self._url,
                timeout=CONNECT_TIMEOUT_S,
                command_timeout=STATEMENT_TIMEOUT_S,
                server_settings={
                    "application_name": self._name,
                    "timezone": "UTC",
                    "client_min_messages": "warning",
                    # Of a machine that is gone, a transaction would hold up all rollups for hours.
                    "tcp_keepalives_idle": "30",
                    "tcp_keepalives_interval": "10",
                    "tcp_keepalives_count": "3",
                },
            )
            try:
                await self._take_name(connection)
                for statement in self._setup:
                    await connection.execute(statement)
            except BaseException:
                connection.terminate()
                raise
        self._connection = connection
        return connection

    async def _take_name(self, connection: "asyncpg.Connection[asyncpg.Record]") -> None:
        lock = "SELECT pg_try_advisory_lock($1, hashtext($2))"
        if await connection.fetchval(lock, _LOCK_SPACE, self._name):
            return
        # Whatever still holds it is what we have lost, and has nobody to report to.
        await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = $1 AND pid <> pg_backend_pid()"
            " AND usename = current_user AND datname = current_database()",
            self._name,
        )
        await connection.execute(
            "SELECT pg_advisory_lock($1, hashtext($2))", _LOCK_SPACE, self._name
        )

    async def copy(self, table: str, columns: Sequence[str], rows: Iterable[bytes]) -> None:
        """Copy packed rows into a table; an own transaction unless one is open.

        Args:
            table: schema and name.
            columns: of the rows.
            rows: in the binary format of COPY, in pieces of any size.

        Raises:
            BatchRejected: a row is refused.
            StorageUnavailable: not now.
        """
        connection = await self.open()
        schema, _, name = table.rpartition(".")
        with explain_errors("database"):
            async with _limit(connection):
                await connection.copy_to_table(
                    name,
                    schema_name=schema or None,
                    columns=list(columns),
                    source=_stream(rows),
                    format="binary",
                )

    def abandon(self) -> None:
        """Throw the connection away; the next use opens another."""
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None

    async def close(self) -> None:
        """Say goodbye, or drop it where that takes too long."""
        if self._connection is None:
            return
        try:
            with explain_errors("database"):
                await self._connection.close(timeout=2.0)
        except StorageUnavailable:
            self._connection.terminate()
        self._connection = None


@asynccontextmanager
async def _limit(connection: "asyncpg.Connection[asyncpg.Record]") -> AsyncIterator[None]:
    """Give up after the usual time, and at once when the connection is lost.

    asyncpg waits for ever for room to write on a connection that was lost while there was none.

    Raises:
        StorageUnavailable: either has happened.
    """
    is_lost = False

    def note_lost(_: object) -> None:
        nonlocal is_lost
        is_lost = True
        limit.reschedule(asyncio.get_running_loop().time())

    try:
        async with asyncio.timeout(STATEMENT_TIMEOUT_S) as limit:
            connection.add_termination_listener(note_lost)
            yield
    except TimeoutError as error:
        reason = "connection was lost" if is_lost else "no answer in time"
        raise StorageUnavailable(f"database: {reason}") from error
    finally:
        connection.remove_termination_listener(note_lost)


async def _stream(rows: Iterable[bytes]) -> AsyncIterator[bytes]:
    yield HEADER
    for piece in rows:
        yield piece
    yield TRAILER
