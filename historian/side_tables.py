"""Current values and events → database, beside the samples and never in their way.

Current values follow the commits: of what arrived since the last flush, the newest of each metric.
A flush takes its time under load and then covers more; idle, it follows within moments.
"""

import asyncio
import json
from collections import deque
from typing import Final

import structlog

from historian.backoff import Backoff
from historian.database import Connection, explain_errors
from historian.errors import HistorianError
from historian.plain import PLAIN_COLUMNS, PlainRows, join_rows
from historian.resolve import Note
from historian.rows import FULL_COLUMNS, Rows, join_full, read_time
from historian.statements import INSERT_EVENTS, UPSERT_CURRENT

_PAUSE_S: Final = 0.5
_MAX_EVENTS: Final = 100_000
_EVENTS_AT_ONCE: Final = 5_000
_MOST_PIECES: Final = 64
"""Newest rows of so many batches are kept apart; then they become one."""

log = structlog.get_logger(__name__)


class SideTables:
    """Keeps historian.current_value and historian.event.

    Attributes:
        events_written: since the start.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._plain: list[PlainRows] = []
        self._full: dict[int, bytes] = {}
        self._events: deque[Note] = deque(maxlen=_MAX_EVENTS)
        self._work = asyncio.Event()
        self._settled = asyncio.Event()
        self._settled.set()
        self._hurry = False
        self.events_written = 0

    def take_latest(self, rows: Rows) -> None:
        """Remember the newest values of a batch that is committed."""
        newest = rows.plain.newest()
        if len(newest):
            self._plain.append(newest)
            if len(self._plain) > _MOST_PIECES:
                self._plain = [join_rows(self._plain).sort().newest()]
        full = self._full
        for metric_id, row in rows.latest.items():
            known = full.get(metric_id)
            # Batches are not committed in their order.
            if known is None or read_time(row) >= read_time(known):
                full[metric_id] = row
        if self._plain or full:
            self._wake()

    def take_notes(self, notes: list[Note]) -> None:
        """Remember events; of those that cannot be written for long, the oldest are forgotten."""
        if notes:
            self._events.extend(notes)
            self._wake()

    async def drain(self) -> None:
        """Wait until everything taken is written."""
        self._hurry = True
        await self._settled.wait()

    async def run(self) -> None:
        """Write until cancelled."""
        backoff = Backoff()
        while True:
            await self._work.wait()
            try:
                await self._flush()
            except HistorianError as error:
                tell = log.debug if backoff.failures else log.warning
                tell("current_values_wait", reason=str(error))
                self._connection.abandon()
                await asyncio.sleep(backoff.fail())
                continue
            backoff.succeed()
            if not (self._plain or self._full or self._events):
                self._work.clear()
                self._settled.set()
            if not self._hurry:
                await asyncio.sleep(_PAUSE_S)

    def _wake(self) -> None:
        self._settled.clear()
        self._work.set()

    async def _flush(self) -> None:
        plain, self._plain = self._plain, []
        full, self._full = self._full, {}
        try:
            if plain or full:
                await self._write_latest(join_rows(plain).sort().newest(), list(full.values()))
        except BaseException:
            # What came meanwhile is newer.
            self._plain = plain + self._plain
            self._full = full | self._full
            raise
        while self._events:
            await self._write_events()

    async def _write_latest(self, plain: PlainRows, full: list[bytes]) -> None:
        session = await self._connection.open()
        arriving = "pg_temp.arriving_current"
        with explain_errors("table historian.current_value"):
            async with session.transaction():
                if len(plain):
                    await self._connection.copy(arriving, PLAIN_COLUMNS, plain.encode())
                if full:
                    await self._connection.copy(arriving, FULL_COLUMNS, join_full(full))
                await session.execute(UPSERT_CURRENT)

    async def _write_events(self) -> None:
        notes = [self._events[i] for i in range(min(len(self._events), _EVENTS_AT_ONCE))]
        session = await self._connection.open()
        with explain_errors("table historian.event"):
            await session.execute(
                INSERT_EVENTS,
                [note.time_ms for note in notes],
                [note.kind for note in notes],
                [note.node.group for note in notes],
                [note.node.edge for note in notes],
                [note.device for note in notes],
                [None if note.detail is None else json.dumps(dict(note.detail)) for note in notes],
            )
        for note in notes:
            if self._events and self._events[0] is note:
                self._events.popleft()
        self.events_written += len(notes)
