"""Keeps historian.rollup: makes buckets when they have ended, and again when late samples come."""

import asyncio
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Final

import structlog

from historian.database import Connection, explain_errors
from historian.due import GRACE_MS, STEPS_MS, DueBuckets, Span, split_span
from historian.errors import HistorianError
from historian.ingest import now_ms
from historian.rows import Rows
from historian.statements import FORGET_DUE, READ_DUE

EVERY_S: Final = 20.0
_AT_ONCE: Final = 200
_DUE_AT_ONCE: Final = 20_000
_PAUSE_S: Final = 0.05

_MISSING: Final = "SELECT metric_id, low FROM historian.missing_rollups($1)"
_REFRESH: Final = "SELECT historian.refresh_rollup($1, $2, $3, $4)"

log = structlog.get_logger(__name__)


class Rollups:
    """The worker; one connection, and pauses so that ingest comes first."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._due = DueBuckets()

    def take(self, rows: Rows) -> None:
        """Note what the live rows of a committed batch touch.

        Rows that were looked up first are noted in the database, with those that came late.
        """
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
                if not begun:
                    await self._find_missing()
                    begun = True
                await self.make_again(now_ms() - GRACE_MS)
                await self.make(now_ms() - GRACE_MS)
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
        forgets any.

        Returns:
            How many rows were written.

        Raises:
            StorageUnavailable: not now; the notes stay.
        """
        written = 0
        ended_ms = until_ms - until_ms % STEPS_MS[0]
        while True:
            session = await self._connection.open()
            with explain_errors("rollups"):
                notes = await session.fetch(READ_DUE, _to_time(ended_ms), _DUE_AT_ONCE)
            spans = [
                Span(
                    note["metric_id"],
                    _to_ms(note["low"]),
                    until_ms if note["high"] is None else _to_ms(note["high"]),
                )
                for note in notes
            ]
            for step_ms in STEPS_MS:
                pieces = (piece for span in spans for piece in split_span(span, step_ms, until_ms))
                while some := list(islice(pieces, _AT_ONCE)):
                    written += await self._refresh(step_ms, some)
                    await asyncio.sleep(_PAUSE_S)
                # What has not ended yet is made in its turn.
                begin_ms = until_ms - until_ms % step_ms
                open_ = {
                    span.metric_id: max(span.low_ms, begin_ms)
                    for span in spans
                    if span.high_ms >= begin_ms
                }
                self._due.touch_step(step_ms, open_, until_ms)
            if not notes:
                return written
            with explain_errors("rollups"):
                await session.execute(FORGET_DUE, [i for note in notes for i in note["due_ids"]])

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


def _to_ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def _to_time(time_ms: int) -> datetime:
    return datetime.fromtimestamp(time_ms / 1000, UTC)
