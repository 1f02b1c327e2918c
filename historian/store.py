"""How a batch gets into historian.sample: copied, or looked up first. One connection at a time.

What is copied is new; what may be there already, and what is tried again after a loss of which
nobody knows the outcome, goes in where it is missing. Knows no lanes and no retries.
"""

from datetime import UTC, date, datetime, timedelta
from typing import Final

import structlog

from historian.database import Connection, explain_errors
from historian.errors import BatchRejected
from historian.late import find_spans, split_late
from historian.plain import PLAIN_COLUMNS, PlainRows
from historian.rows import FULL_COLUMNS, Batch, Rows, join_full
from historian.statements import (
    BEGIN_LIVE,
    COMPRESS_DIRECTLY,
    COMPRESS_LATER,
    KEEP_FROM_AGGREGATES,
    LOCK_CHECKS,
    NOTE_LATE,
    STORE_MISSING,
)

_EPOCH: Final = date(1970, 1, 1)
_DAYS_AHEAD: Final = 2
_DENSE: Final = 50
"""Rows of one metric in a batch from which on it is worth compressing at once."""

log = structlog.get_logger(__name__)


class SampleStore:
    """The sample table of one database.

    Args:
        shared: whether other historians write the same births, and data that precedes them.

    Attributes:
        direct_compress: whether large batches go straight into the columnstore.
    """

    def __init__(self, *, shared: bool = False) -> None:
        self._shared = shared
        self._days: set[int] = set()
        self.direct_compress = False

    async def copy_new(self, connection: Connection, rows: Rows) -> None:
        """Store the live rows of a batch, and note which rollups those touch that come late.

        Raises:
            BatchRejected: a row is refused; nothing is stored.
            StorageUnavailable: not now, and whether anything is stored is not known.
        """
        session = await connection.open()
        with explain_errors("database"):
            async with session.transaction():
                made = await session.fetchval(BEGIN_LIVE)
                in_time, late = split_late(rows, int(made.timestamp() * 1000))
                await self._copy(connection, in_time)
                if late:
                    await session.execute(KEEP_FROM_AGGREGATES)
                    if self.direct_compress:
                        await session.execute(COMPRESS_LATER)
                    await self._copy(connection, late)
                    spans = [
                        (metric_id, _to_time(low_ms), _to_time(high_ms))
                        for metric_id, (low_ms, high_ms) in find_spans(late).items()
                    ]
                    await session.execute(NOTE_LATE, *zip(*spans, strict=True))

    async def _copy(self, connection: Connection, rows: Batch) -> None:
        # By metric and time: an index is walked in order, and the columnstore has little to sort.
        if rows.full:
            await connection.copy("historian.sample", FULL_COLUMNS, join_full(rows.full))
        if not len(rows.plain):
            return
        if self._is_dense(rows.plain):
            session = await connection.open()
            await session.execute(COMPRESS_DIRECTLY)
        await connection.copy("historian.sample", PLAIN_COLUMNS, rows.plain.encode())

    def _is_dense(self, plain: PlainRows) -> bool:
        # A batch of the columnstore holds one metric: few rows each would take more room than in
        # the rowstore, from where a policy moves them together later.
        return self.direct_compress and len(plain) >= _DENSE * max(1, len(plain.newest()))

    async def insert_missing(self, connection: Connection, batch: Batch) -> int:
        """Store the rows that are not there with the same metric, time and value.

        Returns:
            How many were missing.

        Raises:
            BatchRejected: a row is refused; nothing is stored.
            StorageUnavailable: not now.
        """
        lots = (
            ("pg_temp.arriving", PLAIN_COLUMNS, batch.plain, batch.plain.encode()),
            # What arrives there says of itself that it is historical, and is in the other as well.
            (
                "pg_temp.arriving_historical",
                PLAIN_COLUMNS,
                batch.historical,
                batch.historical.encode(),
            ),
            ("pg_temp.arriving", FULL_COLUMNS, batch.full, join_full(batch.full)),
        )
        session = await connection.open()
        with explain_errors("database"):
            async with session.transaction():
                await session.execute(KEEP_FROM_AGGREGATES)
                for table, columns, rows, encoded in lots:
                    if len(rows):
                        await connection.copy(table, columns, encoded)
                if self._shared:
                    await session.execute(LOCK_CHECKS)
                stored = await session.fetchval(STORE_MISSING)
        return int(stored)

    async def insert_accepted(self, connection: Connection, batch: Batch) -> int:
        """Find the rows that the database refuses, and store all others where they are missing.

        Returns:
            How many are refused.

        Raises:
            StorageUnavailable: not now.
        """
        if not len(batch):
            return 0
        try:
            await self.insert_missing(connection, batch)
        except BatchRejected as error:
            if len(batch) == 1:
                log.warning("row_refused", reason=str(error))
                return 1
            one, two = batch.split()
            return await self.insert_accepted(connection, one) + await self.insert_accepted(
                connection, two
            )
        return 0

    async def ensure_days(self, connection: Connection, days: set[int]) -> None:
        """Make the partitions of days, and of those to come.

        Raises:
            StorageUnavailable: not now.
        """
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

    def forget_days(self) -> None:
        """A partition may have been dropped behind our back."""
        self._days.clear()


def _to_time(time_ms: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=int(time_ms))
