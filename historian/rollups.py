"""Makes buckets of the rollups when they have ended, and again when late samples come.

Where the server has continuous aggregates, these make the buckets in their turn; what comes late is
made here on every server.
"""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Final

import asyncpg
import structlog

from historian.database import Connection, explain_errors
from historian.due import STEPS_MS, DueBuckets, Span, split_spans
from historian.errors import HistorianError
from historian.ingest import now_ms
from historian.rows import Rows
from historian.statements import FORGET_DUE, KEEP_DUE, READ_DUE, SETTLED_UNTIL

EVERY_S: Final = 20.0
_AT_ONCE: Final = 200
_DUE_AT_ONCE: Final = 20_000
_PAUSE_S: Final = 0.05

_MISSING: Final = "SELECT metric_id, low FROM historian.missing_rollups($1)"
_REFRESH: Final = "SELECT historian.refresh_rollup($1, $2, $3, $4)"

log = structlog.get_logger(__name__)


class Rollups:
    """The worker; one connection, and pauses so that ingest comes first.

    Attributes:
        are_continuous: whether the server makes the buckets of what comes in time.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._due = DueBuckets()
        self.are_continuous = False

    def take(self, rows: Rows) -> None:
        """Note what the live rows of a committed batch touch.

        Rows that were looked up first are noted in the database, with those that came late.
        """
        if self.are_continuous:
            return
        first = rows.plain.oldest()
        oldest = dict(zip(first.metric_id.tolist(), first.time_ms.tolist(), strict=True))
        for metric_id, time_ms in rows.oldest.items():
            oldest[metric_id] = min(time_ms, oldest.get(metric_id, time_ms))
        self._due.touch(oldest, rows.newest_ms)

    async def run(self) -> None:
        """Work until cancelled."""
        begun = False
        while True:
            try:
                if not begun and not self.are_continuous:
                    await self._find_missing()
                    begun = True
                until_ms = await self._read_settled()
                await self.make_again(until_ms)
                await self.make(until_ms)
            except HistorianError as error:
                self._connection.abandon()
                log.debug("rollups_wait", reason=str(error))
            await asyncio.sleep(EVERY_S)

    async def make(self, until_ms: int) -> int:
        """Make every bucket that is due and ended before ``until_ms``.

        Returns:
            How many rows were written.

        Raises:
            StorageUnavailable: not now; what is not made stays due.
        """
        written = 0
        for step_ms in STEPS_MS:
            while spans := self._due.take(step_ms, until_ms, _AT_ONCE):
                try:
                    written += await self._refresh(step_ms, spans)
                except BaseException:
                    self._due.give_back(step_ms, spans)
                    raise
                await asyncio.sleep(_PAUSE_S)
        return written

    async def make_again(self, until_ms: int) -> int:
        """Make again what samples fell into afterwards, as the database has noted it.

        The notes are removed when it is done, so that neither a crash nor another historian's end
        forgets any; what they say of buckets that have not ended is noted again.

        Returns:
            How many rows were written.

        Raises:
            StorageUnavailable: not now; the notes stay.
        """
        written = 0
        until_ms -= until_ms % STEPS_MS[0]
        while True:
            session = await self._connection.open()
            with explain_errors("rollups"):
                notes = await session.fetch(READ_DUE, _to_time(until_ms), _DUE_AT_ONCE)
            if not notes:
                return written
            for step_ms in STEPS_MS:
                spans = [
                    _find_span(note, until_ms)
                    for note in notes
                    if note["step"] in (None, timedelta(milliseconds=step_ms))
                ]
                pieces = split_spans(spans, step_ms, until_ms)
                while some := list(islice(pieces, _AT_ONCE)):
                    written += await self._refresh(step_ms, some)
                    await asyncio.sleep(_PAUSE_S)
            open_ = [row for note in notes for row in _find_open(note, until_ms)]
            session = await self._connection.open()
            with explain_errors("rollups"):
                async with session.transaction():
                    if open_:
                        await session.execute(KEEP_DUE, *zip(*open_, strict=True))
                    due_ids = [due_id for note in notes for due_id in note["due_ids"]]
                    await session.execute(FORGET_DUE, due_ids)

    async def _read_settled(self) -> int:
        session = await self._connection.open()
        with explain_errors("rollups"):
            return _to_ms(await session.fetchval(SETTLED_UNTIL))

    async def _find_missing(self) -> None:
        """After a start: what was not made by those before us."""
        session = await self._connection.open()
        for step_ms in STEPS_MS:
            with explain_errors("rollups"):
                rows = await session.fetch(_MISSING, timedelta(milliseconds=step_ms))
            oldest = {row["metric_id"]: _to_ms(row["low"]) for row in rows}
            self._due.touch_step(step_ms, oldest, now_ms())

    async def _refresh(self, step_ms: int, spans: list[Span]) -> int:
        session = await self._connection.open()
        with explain_errors("rollups"):
            written = await session.fetchval(
                _REFRESH,
                timedelta(milliseconds=step_ms),
                [span.metric_id for span in spans],
                [_to_time(span.low_ms) for span in spans],
                [_to_time(span.high_ms) for span in spans],
            )
        return int(written)


def _find_span(note: asyncpg.Record, until_ms: int) -> Span:
    """What a note says is to be made again: up to the next sample, or of its step one bucket."""
    low_ms = _to_ms(note["low"])
    if note["step"] is not None:
        return Span(note["metric_id"], low_ms, _to_ms(note["newest"]))
    high_ms = until_ms if note["high"] is None else _to_ms(note["high"])
    return Span(note["metric_id"], low_ms, high_ms)


def _find_open(
    note: asyncpg.Record, until_ms: int
) -> Iterator[tuple[int, timedelta | None, datetime, datetime]]:
    """What a note says of buckets that have not ended, as rows of historian.rollup_due."""
    metric_id, newest_ms = note["metric_id"], _to_ms(note["newest"])
    if note["step"] is not None:
        return
    if newest_ms >= until_ms:
        yield metric_id, None, _to_time(until_ms), note["newest"]
    for step_ms in STEPS_MS:
        begin_ms = until_ms - until_ms % step_ms
        if begin_ms < until_ms and newest_ms >= begin_ms:
            begin = _to_time(begin_ms)
            yield metric_id, timedelta(milliseconds=step_ms), begin, begin


def _to_ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def _to_time(time_ms: int) -> datetime:
    return datetime.fromtimestamp(time_ms / 1000, UTC)
