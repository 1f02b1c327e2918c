"""Rows → database, with several COPYs in flight.

Live rows are copied straight into the sample table by a few lanes, each with a connection of its
own. A lane that is free takes everything that is open: much under load, little when idle. Rows that
may be there already wait until all live rows taken before or with them are committed, then go
through a lane of their own that stores what is missing. A batch stays with its lane until it is
committed.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final

import structlog

from historian.acknowledge import Receipt
from historian.backoff import Backoff
from historian.counters import Counters
from historian.database import Connection, explain_errors
from historian.errors import BatchRejected, SchemaMismatch, StorageUnavailable
from historian.plain import NO_ROWS, PLAIN_COLUMNS, PlainRows
from historian.rows import FULL_COLUMNS, Rows, join_full
from historian.statements import CHECK_SETUP, COMPRESS_DIRECTLY, INSERT_MISSING, LOCK_CHECKS

_EPOCH: Final = date(1970, 1, 1)
_DAYS_AHEAD: Final = 2
_OTHERS_COMMIT_S: Final = 1.0
_DENSE: Final = 50
"""Rows of one metric in a batch from which on it is worth compressing at once."""

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class WriterOptions:
    """How batches are made."""

    lanes: int = 2
    linger_s: float = 0.04
    """How long a free lane gathers before it takes a small batch."""
    enough_points: int = 20_000
    """A batch of this size is taken at once."""
    max_open_points: int = 200_000
    """Beyond this the decoding waits for a lane."""
    shared: bool = False
    """Whether other historians write the same births, and data that precedes them."""


@dataclass(slots=True)
class _Check:
    """Rows to be looked up first, and the live batches that must be committed before."""

    rows: list[bytes]
    days: set[int]
    receipts: list[Receipt]
    after: tuple[asyncio.Event, ...]


class Writer:
    """All lanes into one database.

    Attributes:
        open: where decoded rows go; exchanged when a lane takes it.
        away: why nothing can be stored now, or ``None``.
        direct_compress: whether large batches go straight into the columnstore.
    """

    def __init__(
        self,
        *,
        connect: Callable[[str, Sequence[str]], Connection],
        counters: Counters,
        on_commit: Callable[[Rows], None],
        on_receipts: Callable[[list[Receipt]], None],
        options: WriterOptions | None = None,
    ) -> None:
        self._options = options or WriterOptions()
        self._connect = connect
        self._counters = counters
        self._on_commit = on_commit
        self._on_receipts = on_receipts
        self._in_flight: dict[asyncio.Event, Rows] = {}
        self._checks: deque[_Check] = deque()
        self._checking: _Check | None = None
        self._gathering = asyncio.Lock()
        self._something = asyncio.Event()
        self._enough = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._check_ready = asyncio.Event()
        self._settled = asyncio.Condition()
        self._days: set[int] = set()
        self.open = Rows()
        self.away: str | None = None
        self.direct_compress = False

    # What the decoding calls.

    async def wait_room(self) -> None:
        """Wait until more rows may be added to ``open``."""
        await self._room.wait()

    def offer(self) -> None:
        """Say that rows were added to ``open``."""
        points = self.open.points
        if points or self.open.receipts:
            self._something.set()
        if points >= self._options.enough_points:
            self._enough.set()
        if points >= self._options.max_open_points:
            self._room.clear()

    @property
    def size(self) -> int:
        """Bytes of memory that all uncommitted rows take, roughly."""
        waiting = sum(rows.size for rows in self._in_flight.values())
        return self.open.size + waiting

    async def drain(self) -> None:
        """Wait until everything offered is committed."""
        self._enough.set()
        async with self._settled:
            await self._settled.wait_for(self._is_settled)

    async def run(self) -> None:
        """Write until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for number in range(self._options.lanes):
                tasks.create_task(self._run_lane(self._connect(f"lane-{number}", CHECK_SETUP)))
            tasks.create_task(self._run_checks(self._connect("check", CHECK_SETUP)))

    def _is_settled(self) -> bool:
        offered = self.open.points or self.open.receipts
        return not (offered or self._in_flight or self._checks or self._checking)

    # Live rows.

    async def _run_lane(self, connection: Connection) -> None:
        while True:
            async with self._gathering:
                await self._something.wait()
                await self._gather()
                rows, done = self._take()
            await self._store_live(connection, rows)
            await self._finish(rows, done)

    async def _gather(self) -> None:
        try:
            async with asyncio.timeout(self._options.linger_s):
                await self._enough.wait()
        except TimeoutError:
            return

    def _take(self) -> tuple[Rows, asyncio.Event]:
        rows, self.open = self.open, Rows()
        self._something.clear()
        self._enough.clear()
        self._room.set()
        done = asyncio.Event()
        self._in_flight[done] = rows
        if rows.staged:
            after = tuple(self._in_flight)
            self._checks.append(_Check(rows.staged, rows.days, rows.receipts, after))
            self._check_ready.set()
        return rows, done

    async def _finish(self, rows: Rows, done: asyncio.Event) -> None:
        self._counters.points_stored += rows.live_points
        self._counters.batches += 1
        del self._in_flight[done]
        done.set()
        self._on_commit(rows)
        if not rows.staged:
            self._on_receipts(rows.receipts)
        await self._tell_settled()

    async def _store_live(self, connection: Connection, rows: Rows) -> None:
        attempted = False

        async def store() -> None:
            nonlocal attempted
            await self._ensure_days(connection, rows.days)
            if not rows.live_points:
                return
            # After a loss nobody knows whether it was committed: then only what is missing goes in.
            again, attempted = attempted, True
            await self._copy_all(
                connection, rows.plain, rows.full, again=again, direct=self._is_dense(rows)
            )

        await self._retry(connection, store, lambda: self._store_halves(connection, rows))

    async def _copy_all(
        self,
        connection: Connection,
        plain: PlainRows,
        full: list[bytes],
        *,
        again: bool,
        direct: bool,
    ) -> None:
        if again:
            await self._insert_missing(connection, plain, full)
            return
        # By metric and time: an index is walked in order, and the columnstore has little to sort.
        if not full and not direct:
            await connection.copy("historian.sample", PLAIN_COLUMNS, plain.encode())
            return
        session = await connection.open()
        with explain_errors("database"):
            async with session.transaction():
                if full:
                    await connection.copy("historian.sample", FULL_COLUMNS, join_full(full))
                if direct:
                    await session.execute(COMPRESS_DIRECTLY)
                if len(plain):
                    await connection.copy("historian.sample", PLAIN_COLUMNS, plain.encode())

    def _is_dense(self, rows: Rows) -> bool:
        # A batch of the columnstore holds one metric: few rows each would take more room than in
        # the rowstore, from where a policy moves them together later.
        plain = rows.plain
        return self.direct_compress and len(plain) >= _DENSE * max(1, len(plain.newest()))

    async def _store_halves(self, connection: Connection, rows: Rows) -> None:
        """Find the rows that the database refuses and store all others."""
        await self._ensure_days(connection, rows.days)
        nothing: list[bytes] = []
        for plain, full in ((rows.plain, nothing), (NO_ROWS, rows.full)):
            refused = await self._bisect(connection, plain, full)
            self._counters.points_dropped += refused
            self._counters.points_stored -= refused  # counted with the batch

    async def _bisect(self, connection: Connection, plain: PlainRows, full: list[bytes]) -> int:
        if not len(plain) and not full:
            return 0
        try:
            await self._insert_missing(connection, plain, full)
        except BatchRejected as error:
            if len(plain) + len(full) == 1:
                log.warning("row_refused", reason=str(error))
                return 1
            half, half_full = len(plain) // 2, len(full) // 2
            return await self._bisect(
                connection, plain[:half], full[:half_full]
            ) + await self._bisect(connection, plain[half:], full[half_full:])
        return 0

    # Rows that may be there.

    async def _run_checks(self, connection: Connection) -> None:
        while True:
            await self._check_ready.wait()
            self._checking = check = self._checks.popleft()
            if not self._checks:
                self._check_ready.clear()
            for event in check.after:
                await event.wait()
            if self._options.shared:
                # Others have what was published just before a birth: they get time to commit it.
                await asyncio.sleep(_OTHERS_COMMIT_S)
            await self._store_check(connection, check)
            self._on_receipts(check.receipts)
            self._checking = None
            await self._tell_settled()

    async def _store_check(self, connection: Connection, check: _Check) -> None:
        inserted = 0

        async def store() -> None:
            nonlocal inserted
            await self._ensure_days(connection, check.days)
            inserted = await self._insert_missing(connection, NO_ROWS, check.rows)

        async def find_refused() -> None:
            nonlocal inserted
            await self._ensure_days(connection, check.days)
            refused = await self._bisect(connection, NO_ROWS, check.rows)
            self._counters.points_dropped += refused
            inserted = len(check.rows) - refused

        await self._retry(connection, store, find_refused)
        self._counters.points_stored += inserted
        self._counters.points_duplicate += len(check.rows) - inserted

    async def _insert_missing(
        self, connection: Connection, plain: PlainRows, full: list[bytes]
    ) -> int:
        session = await connection.open()
        with explain_errors("database"):
            async with session.transaction():
                if len(plain):
                    await connection.copy("pg_temp.arriving", PLAIN_COLUMNS, plain.encode())
                if full:
                    await connection.copy("pg_temp.arriving", FULL_COLUMNS, join_full(full))
                if self._options.shared:
                    await session.execute(LOCK_CHECKS)
                tag = await session.execute(INSERT_MISSING)
        return int(tag.rpartition(" ")[2])

    # Common to both.

    async def _ensure_days(self, connection: Connection, days: set[int]) -> None:
        today = (datetime.now(UTC).date() - _EPOCH).days
        wanted = days | set(range(today, today + _DAYS_AHEAD + 1))
        missing = sorted(wanted - self._days)
        if not missing:
            return
        session = await connection.open()
        with explain_errors("partitions"):
            for day in missing:
                await session.execute(
                    "SELECT historian.ensure_day($1)", _EPOCH + timedelta(days=day)
                )
        self._days.update(missing)

    async def _retry(
        self,
        connection: Connection,
        store: Callable[[], Awaitable[None]],
        find_refused: Callable[[], Awaitable[None]],
    ) -> None:
        backoff = Backoff()
        attempt = store
        while True:
            try:
                await attempt()
            except BatchRejected as error:
                log.warning("batch_refused", reason=str(error), advice="looking for the row")
                attempt = find_refused
                self._days.clear()  # a partition may have been dropped behind our back
            except (StorageUnavailable, SchemaMismatch) as error:
                connection.abandon()
                self._tell_away(str(error))
                await asyncio.sleep(backoff.fail())
            else:
                if self.away is not None:
                    self.away = None
                    log.info("database_back")
                return

    def _tell_away(self, reason: str) -> None:
        if self.away is None:
            log.error(  # the reason says it all
                "database_away", reason=reason, advice="rows are kept, trying again"
            )
        else:
            log.debug("database_still_away", reason=reason)
        self.away = reason

    async def _tell_settled(self) -> None:
        async with self._settled:
            self._settled.notify_all()
