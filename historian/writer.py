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
from typing import Final

import structlog

from historian.acknowledge import Receipt
from historian.backoff import Backoff
from historian.counters import Counters
from historian.database import Connection
from historian.errors import BatchRejected, SchemaMismatch, StorageUnavailable
from historian.rows import Batch, Rows, join_batches
from historian.statements import CHECK_SETUP
from historian.store import SampleStore

_OTHERS_COMMIT_S: Final = 1.0

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
    max_open_bytes: int = 32 * 2**20
    """Beyond either the decoding waits for a lane."""
    max_check_bytes: int = 64 * 2**20
    """When more than this waits to be looked up, the decoding waits for that."""
    check_points: int = 50_000
    """So many rows are looked up in one go at most, if not one batch has more."""
    shared: bool = False
    """Whether other historians write the same births, and data that precedes them."""


@dataclass(slots=True)
class _Check:
    """Rows to be looked up first, and the live batches that must be committed before."""

    batches: list[Batch]
    points: int
    size: int
    days: set[int]
    receipts: list[Receipt]
    after: set[asyncio.Event]

    def join(self, other: "_Check") -> None:
        """Take in a later one."""
        self.batches += other.batches
        self.points += other.points
        self.size += other.size
        self.days |= other.days
        self.receipts += other.receipts
        self.after |= other.after


class Writer:
    """All lanes into one database.

    Attributes:
        open: where decoded rows go; exchanged when a lane takes it.
        away: why nothing can be stored now, or ``None``.
        store: the table that it writes.
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
        self._check_bytes = 0
        self._gathering = asyncio.Lock()
        self._something = asyncio.Event()
        self._enough = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._check_ready = asyncio.Event()
        self._settled = asyncio.Condition()
        self.open = Rows()
        self.away: str | None = None
        self.store = SampleStore(shared=self._options.shared)

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
        if not self._has_room():
            self._room.clear()

    @property
    def size(self) -> int:
        """Bytes of memory that all uncommitted rows take, roughly."""
        live = sum(rows.size - rows.staged_bytes for rows in self._in_flight.values())
        return self.open.size + live + self._check_bytes

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

    def _has_room(self) -> bool:
        options = self._options
        return (
            self.open.points < options.max_open_points
            and self.open.size < options.max_open_bytes
            and self._check_bytes < options.max_check_bytes
        )

    def _make_room(self) -> None:
        if self._has_room():
            self._room.set()

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
        done = asyncio.Event()
        self._in_flight[done] = rows
        if rows.staged_bytes:
            batch, after = rows.batch_staged(), set(self._in_flight)
            days, receipts = {*rows.days}, [*rows.receipts]
            self._checks.append(
                _Check([batch], len(batch), rows.staged_bytes, days, receipts, after)
            )
            self._check_bytes += rows.staged_bytes
            self._check_ready.set()
        self._make_room()
        return rows, done

    async def _finish(self, rows: Rows, done: asyncio.Event) -> None:
        self._counters.points_stored += rows.live_points
        self._counters.batches += 1
        del self._in_flight[done]
        done.set()
        self._on_commit(rows)
        if not rows.staged_bytes:
            self._on_receipts(rows.receipts)
        await self._tell_settled()

    async def _store_live(self, connection: Connection, rows: Rows) -> None:
        attempted = False
        live = Batch(plain=rows.plain, full=rows.full)

        async def store() -> None:
            nonlocal attempted
            await self.store.ensure_days(connection, rows.days)
            if not rows.live_points:
                return
            # After a loss nobody knows whether it was committed: then only what is missing goes in.
            again, attempted = attempted, True
            if again:
                await self.store.insert_missing(connection, live)
            else:
                await self.store.copy_new(connection, rows)

        async def find_refused() -> None:
            await self.store.ensure_days(connection, rows.days)
            refused = await self.store.insert_accepted(connection, live)
            self._counters.points_dropped += refused
            self._counters.points_stored -= refused  # counted with the batch

        await self._retry(connection, store, find_refused)

    # Rows that may be there.

    async def _run_checks(self, connection: Connection) -> None:
        while True:
            await self._check_ready.wait()
            self._checking = check = self._take_check()
            for event in check.after:
                await event.wait()
            if self._options.shared:
                # Others have what was published just before a birth: they get time to commit it.
                await asyncio.sleep(_OTHERS_COMMIT_S)
            await self._store_check(connection, check)
            self._on_receipts(check.receipts)
            self._checking = None
            self._check_bytes -= check.size
            self._make_room()
            await self._tell_settled()

    def _take_check(self) -> _Check:
        check = self._checks.popleft()
        most = self._options.check_points
        while self._checks and check.points + self._checks[0].points <= most:
            check.join(self._checks.popleft())
        if not self._checks:
            self._check_ready.clear()
        return check

    async def _store_check(self, connection: Connection, check: _Check) -> None:
        inserted = 0
        batch = join_batches(check.batches)

        async def store() -> None:
            nonlocal inserted
            await self.store.ensure_days(connection, check.days)
            inserted = await self.store.insert_missing(connection, batch)

        async def find_refused() -> None:
            nonlocal inserted
            await self.store.ensure_days(connection, check.days)
            refused = await self.store.insert_accepted(connection, batch)
            self._counters.points_dropped += refused
            inserted = len(batch) - refused

        await self._retry(connection, store, find_refused)
        self._counters.points_stored += inserted
        self._counters.points_duplicate += len(batch) - inserted

    # Common to both.

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
                self.store.forget_days()
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
