"""What the samples take on disk: all of them, and metric by metric."""

from dataclasses import dataclass
from typing import Final

import psycopg
from psycopg.rows import class_row

from historian.errors import SchemaMismatch, StorageUnavailable

_TOTAL: Final = """
    SELECT count(*) AS points, historian.storage_size() AS bytes, min(time) AS oldest,
        max(time) AS newest
    FROM historian.sample
"""
_METRICS: Final = """
    SELECT concat_ws('/', m.group_name, m.edge, m.device, m.name) AS metric, m.datatype,
        counted.points
    FROM (
        SELECT s.metric_id, count(*) AS points FROM historian.sample AS s GROUP BY s.metric_id
    ) AS counted
    JOIN historian.metric AS m USING (metric_id)
    ORDER BY counted.points DESC, metric
    LIMIT %s
"""


@dataclass(frozen=True, slots=True)
class MetricStorage:
    """One metric's share."""

    metric: str
    datatype: str
    points: int


@dataclass(frozen=True, slots=True)
class StorageReport:
    """What is stored.

    Attributes:
        points: samples.
        bytes: on disk, indexes included.
        oldest: ISO 8601 time of the oldest sample, ``None`` without any.
        newest: the same of the newest.
        metrics: those with most samples, most first.
    """

    points: int
    bytes: int
    oldest: str | None
    newest: str | None
    metrics: tuple[MetricStorage, ...]

    @property
    def bytes_per_point(self) -> float | None:
        """Bytes on disk for each sample."""
        return self.bytes / self.points if self.points else None


def read_report(url: str, limit: int) -> StorageReport:
    """Count everything; takes its time on large databases.

    Raises:
        StorageUnavailable: the database does not answer.
        SchemaMismatch: there is no historian's schema in it.
    """
    try:
        with psycopg.connect(url, connect_timeout=10) as connection:
            total = connection.execute(_TOTAL).fetchone()
            with connection.cursor(row_factory=class_row(MetricStorage)) as cursor:
                metrics = cursor.execute(_METRICS, [limit]).fetchall()
    except psycopg.OperationalError as error:
        raise StorageUnavailable(f"database: {str(error).strip()}") from error
    except psycopg.errors.UndefinedTable as error:
        raise SchemaMismatch(
            "database: found no tables of the historian, expected one that a historian has used"
        ) from error
    points, size, oldest, newest = total if total is not None else (0, 0, None, None)
    return StorageReport(
        points,
        size,
        None if oldest is None else oldest.isoformat(),
        None if newest is None else newest.isoformat(),
        tuple(metrics),
    )
