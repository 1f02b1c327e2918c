"""What the samples take on disk: all of them, and metric by metric.

Read part by part (a part is a day), each in a statement of its own, so that nothing is locked for
long. What is in the columnstore is counted by its batches, which tell how many rows they have: one
row read for a thousand samples, and nothing taken apart. Rows that are not there are read whole
while they are few, else some of their pages, by chance.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Final

import psycopg
from psycopg import sql

from historian.errors import SchemaMismatch, StorageUnavailable
from historian.parts import Part, find_parts, find_table, list_columns

MOST_BYTES: Final = 2**30
"""Rows outside the columnstore are all read while they take no more than this together."""
_FEWEST_PERCENT: Final = 0.01
_BLOCK: Final = 8192

# Head of the row, its place in the page, and the columns that every row has.
_ROWS: Final = """
    SELECT metric_id, count(*), min(time), max(time), count(*) * 60
        + coalesce(sum(pg_column_size(text)), 0) + coalesce(sum(pg_column_size(json)), 0)
        + coalesce(sum(pg_column_size(bytes)), 0)
    FROM ONLY {table} {sample} GROUP BY metric_id
"""
_BATCHES: Final = """
    SELECT metric_id, sum(_ts_meta_count), min(_ts_meta_min_1), max(_ts_meta_max_1),
        sum(28 + {widths})
    FROM {table} GROUP BY metric_id
"""
_METRICS: Final = """
    SELECT metric_id, concat_ws('/', group_name, edge, device, name), datatype
    FROM historian.metric WHERE metric_id = ANY (%s)
"""


@dataclass(frozen=True, slots=True)
class MetricStorage:
    """One metric's share.

    Attributes:
        metric: its group, edge node, device and name.
        datatype: Sparkplug's name of it.
        points: samples.
        bytes: what its columns take, and as much more as whole pages and indexes do.
    """

    metric: str
    datatype: str
    points: int
    bytes: int

    @property
    def bytes_per_point(self) -> float:
        """Bytes on disk for each sample."""
        return self.bytes / self.points


@dataclass(frozen=True, slots=True)
class StorageReport:
    """What is stored.

    Attributes:
        points: samples.
        bytes: on disk, indexes included.
        estimated: whether some rows were counted by a part of their pages.
        moved_points: of the samples, those in the columnstore; they are always counted.
        oldest: ISO 8601 time of the oldest sample, ``None`` without any.
        newest: the same of the newest.
        metrics: those that take most bytes, most first.
    """

    points: int
    bytes: int
    estimated: bool
    moved_points: int
    oldest: str | None
    newest: str | None
    metrics: tuple[MetricStorage, ...]

    @property
    def bytes_per_point(self) -> float | None:
        """Bytes on disk for each sample."""
        return self.bytes / self.points if self.points else None


def describe_report(report: StorageReport) -> dict[str, object]:
    """A report as JSON has it."""
    metrics = [
        asdict(metric) | {"bytes_per_point": metric.bytes_per_point} for metric in report.metrics
    ]
    return asdict(report) | {"bytes_per_point": report.bytes_per_point, "metrics": metrics}


@dataclass(slots=True)
class _Share:
    points: float = 0.0
    bytes: float = 0.0


@dataclass(slots=True)
class _Tally:
    """Shares by metric, growing part by part."""

    shares: dict[int, _Share] = field(default_factory=dict)
    moved_points: int = 0
    oldest: datetime | None = None
    newest: datetime | None = None

    def add(self, rows: list[tuple[Any, ...]], size: int, percent: float = 100.0) -> None:
        """Add a table of ``size`` bytes, of which ``rows`` tell so many percent."""
        told = sum(int(width) for *_, width in rows)
        for metric_id, points, oldest, newest, width in rows:
            share = self.shares.setdefault(metric_id, _Share())
            share.points += int(points) * 100 / percent
            share.bytes += size * int(width) / told
            self.oldest = oldest if self.oldest is None else min(self.oldest, oldest)
            self.newest = newest if self.newest is None else max(self.newest, newest)


def read_report(
    url: str,
    limit: int,
    *,
    most_bytes: int | None = MOST_BYTES,
    progress: Callable[[int, int], None] | None = None,
) -> StorageReport:
    """Count what is stored.

    Args:
        url: of the database.
        limit: how many metrics to name.
        most_bytes: how many bytes of rows outside the columnstore to read; ``None`` for all.
        progress: called with the number of parts read and of all parts.

    Raises:
        StorageUnavailable: the database does not answer.
        SchemaMismatch: there is no historian's schema in it, or its TimescaleDB is too old.
    """
    try:
        with psycopg.connect(
            url, autocommit=True, connect_timeout=10, application_name="historian-report"
        ) as connection:
            return _read(connection, limit, most_bytes, progress)
    except psycopg.OperationalError as error:
        raise StorageUnavailable(f"database: {str(error).strip()}") from error
    except (
        psycopg.errors.InvalidSchemaName,
        psycopg.errors.UndefinedFunction,
        psycopg.errors.UndefinedTable,
    ) as error:
        raise SchemaMismatch(
            "database: found no tables of the historian, expected one that a historian has used"
        ) from error


def _read(
    connection: psycopg.Connection,
    limit: int,
    most_bytes: int | None,
    progress: Callable[[int, int], None] | None,
) -> StorageReport:
    (size,) = connection.execute("SELECT historian.storage_size()").fetchone() or (0,)
    parts = list(find_parts(connection))
    total = sum(part.size for part in parts)
    percent = 100.0
    if most_bytes is not None and total > most_bytes:
        percent = max(_FEWEST_PERCENT, 100.0 * most_bytes / total)
    tally = _Tally()
    for number, part in enumerate(parts, 1):
        if part.size:
            _add_rows(connection, part, percent, tally)
        if part.batches is not None:
            _add_batches(connection, part.batches, tally)
        if progress is not None:
            progress(number, len(parts))
    return StorageReport(
        round(sum(share.points for share in tally.shares.values())),
        size,
        percent < 100,  # per cent
        tally.moved_points,
        None if tally.oldest is None else tally.oldest.isoformat(),
        None if tally.newest is None else tally.newest.isoformat(),
        _name(connection, tally.shares, limit),
    )


def _add_rows(connection: psycopg.Connection, part: Part, percent: float, tally: _Tally) -> None:
    try:
        table, size = find_table(connection, part.rows)
        # Of a small table at least some pages are read.
        mine = min(100.0, max(percent, 100.0 * 64 * _BLOCK / part.size))
        chosen = sql.SQL("" if mine >= 100 else "TABLESAMPLE SYSTEM ({})").format(mine)
        statement = sql.SQL(_ROWS).format(table=table, sample=chosen)
        tally.add(connection.execute(statement).fetchall(), size, mine)
    except psycopg.errors.UndefinedTable:
        return  # Retention was faster.


def _add_batches(connection: psycopg.Connection, oid: int, tally: _Tally) -> None:
    try:
        table, size = find_table(connection, oid)
        columns = list_columns(connection, oid)
        widths = sql.SQL(" + ").join(
            sql.SQL("coalesce(pg_column_size({}), 0)").format(sql.Identifier(name))
            for name in columns
        )
        statement = sql.SQL(_BATCHES).format(table=table, widths=widths)
        rows = connection.execute(statement).fetchall()
    except psycopg.errors.UndefinedTable:
        return
    tally.add(rows, size)
    tally.moved_points += sum(int(row[1]) for row in rows)


def _name(
    connection: psycopg.Connection, shares: dict[int, _Share], limit: int
) -> tuple[MetricStorage, ...]:
    most = sorted(shares, key=lambda metric_id: -shares[metric_id].bytes)[:limit]
    named = {
        metric_id: (name, datatype)
        for metric_id, name, datatype in connection.execute(_METRICS, [most]).fetchall()
    }
    return tuple(
        MetricStorage(*named[metric_id], round(share.points), round(share.bytes))
        for metric_id, share in ((metric_id, shares[metric_id]) for metric_id in most)
        if metric_id in named
    )
