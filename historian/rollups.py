"""Keeps historian.rollup: makes buckets when they have ended, and again when late samples come."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Final

import structlog

from historian.database import Connection, explain_errors
from historian.due import STEPS_MS, DueBuckets, Span
from historian.errors import HistorianError
from historian.ingest import now_ms
from historian.rows import Rows

EVERY_S: Final = 20.0
GRACE_MS: Final = 5_000
"""Buckets are made so long after their end: most of what is on its way has arrived by then."""
_AT_ONCE: Final = 200
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
        """Note what a committed batch touches."""
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

    async def _find_missing(self) -> None:
        """After a start: what was not made by those before us."""
        session = await self._connection.open()
        for step_ms in STEPS_MS:
            with explain_errors("rollups"):
                rows = await session.fetch(_MISSING, timedelta(milliseconds=step_ms))
            oldest = {row["metric_id"]: int(row["low"].timestamp() * 1000) for row in rows}
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


def _to_time(time_ms: int) -> datetime:
    return datetime.fromtimestamp(time_ms / 1000, UTC)
