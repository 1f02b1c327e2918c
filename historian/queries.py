"""What was, asked by others than the historian: metrics, samples and figures made of them.

The one module of the historian that the web uses. It reads through the functions of the schema
(``historian/schema``) and through a role that can do nothing else; it knows no MQTT and no HTTP.
A query that takes too long is ended by the database.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple, TypeAlias

import asyncpg

from historian import queries_sql as sql
from historian.errors import ConfigError, HistorianError, StorageUnavailable
from historian.exact import Columns, StoredValue, from_columns
from historian.queries_sql import (
    AGGREGATES,
    CHANGES,
    COUNTER,
    CYCLIC,
    FILLED,
    INTERPOLATED,
    ROUND_TRIP,
    SLOPES,
    SPELLS,
    VALUE_STATE,
    Mode,
)
from historian.schema.migrate import normalize_url
from historian.series import Series, read_series

__all__ = [
    "AGGREGATES",
    "CHANGES",
    "COUNTER",
    "CYCLIC",
    "FILLED",
    "INTERPOLATED",
    "ROUND_TRIP",
    "SLOPES",
    "SPELLS",
    "VALUE_STATE",
    "ConfigError",
    "HistorianError",
    "History",
    "Metric",
    "Mode",
    "QueryRefused",
    "Selection",
    "Series",
    "StorageUnavailable",
    "StoredValue",
]

CONNECTIONS: Final = 4
CONNECT_TIMEOUT_S: Final = 5.0
STATEMENT_TIMEOUT_S: Final = 10.0
_ROLLED_S: Final = 60.0
"""Buckets of a picture that are at least this long come from rollups."""
_SAMPLES_A_COLUMN: Final = 4

_Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"
_Connection: TypeAlias = "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"


class QueryRefused(HistorianError):
    """The question cannot be answered as it was asked: tell who asked."""


@dataclass(frozen=True, slots=True)
class Metric:
    """A measuring point.

    Attributes:
        ids: its rows in ``historian.metric``, the present one last; earlier ones are of another
            data type or name.
    """

    ids: tuple[int, ...]
    group: str
    edge: str
    device: str | None
    name: str
    datatype: str
    unit: str | None
    low: float | None
    high: float | None
    description: str | None
    uns_path: str | None
    first_seen: datetime

    @property
    def metric_id(self) -> int:
        """The present row."""
        return self.ids[-1]


@dataclass(frozen=True, slots=True)
class Selection:
    """Which metrics: each given condition must hold.

    Attributes:
        ids: exactly these rows of ``historian.metric``.
        like: LIKE pattern of ``group/edge/device/name`` or of the UNS path.
        uns: UNS path of a metric, or of anything above it.
        group: exactly; so are edge, device and name.
    """

    ids: tuple[int, ...] = ()
    like: str | None = None
    uns: str | None = None
    group: str | None = None
    edge: str | None = None
    device: str | None = None
    name: str | None = None


class Sample(NamedTuple):
    """A value as it was stored."""

    time: datetime
    value: StoredValue
    quality: int
    sent: datetime
    historical: bool


@dataclass(frozen=True, slots=True)
class Picture:
    """What a plot is drawn from.

    Attributes:
        step: length of a bucket; ``None`` for samples.
        rows: samples as (time, value, quality), or buckets as (begin, min, max, avg, last, count).
    """

    step: timedelta | None
    rows: list[tuple[Any, ...]]


class History:
    """The history in a database, through a few connections made when needed.

    Args:
        url: of the database, with the account of a reader.

    Raises:
        ConfigError: not an address of a PostgreSQL database.
    """

    def __init__(self, url: str) -> None:
        self._url = normalize_url(url)
        self._pool: _Pool | None = None

    async def close(self) -> None:
        """Drop all connections."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.terminate()

    async def find_metrics(self, selection: Selection, limit: int) -> list[Metric]:
        """Return up to ``limit`` metrics, by name.

        Raises:
            StorageUnavailable: the database does not answer.
            QueryRefused: as every query here, when it takes too long.
        """
        rows = await self._fetch(
            sql.METRICS,
            list(selection.ids) or None,
            selection.like,
            selection.uns,
            selection.group,
            selection.edge,
            selection.device,
            selection.name,
            limit,
        )
        return [
            Metric(
                ids=tuple(row["ids"]),
                group=row["group_name"],
                edge=row["edge"],
                device=row["device"],
                name=row["name"],
                datatype=row["datatype"],
                unit=row["unit"],
                low=row["low"],
                high=row["high"],
                description=row["description"],
                uns_path=row["uns_path"],
                first_seen=row["first_seen"],
            )
            for row in rows
        ]

    async def read_samples(
        self, metric: Metric, start: datetime, end: datetime, limit: int
    ) -> tuple[list[Sample], datetime | None]:
        """Return the samples of a time, oldest first, exactly as they were sent.

        Returns:
            Up to ``limit`` samples, and where to go on when there are more.
        """
        rows = await self._fetch(sql.SAMPLES, list(metric.ids), start, end, limit + 1)
        following = None
        if len(rows) > limit:
            # All samples of one moment stay together.
            following = rows[-1]["time"]
            whole = [row for row in rows if row["time"] < following]
            if not whole:
                raise QueryRefused(
                    f"samples: found more than {limit} of one moment, expected a greater limit"
                )
            rows = whole
        return [_read_sample(row) for row in rows], following

    async def read_series(self, metric: Metric, start: datetime, end: datetime) -> Series:
        """Return all numbers of a time as arrays, for those who compute."""
        async with self._connection() as connection:
            return await read_series(connection, metric.ids, start, end)

    async def read_at(self, metric: Metric, moment: datetime) -> Sample | None:
        """Return what a metric had at a moment: the newest sample not after it."""
        rows = await self._fetch(sql.AT, list(metric.ids), moment)
        return _read_sample(rows[0]) if rows else None

    async def read_picture(
        self, metric: Metric, start: datetime, end: datetime, points: int
    ) -> Picture:
        """Return at most about ``points`` points that draw the same picture as all samples.

        Samples (M4) for short times, buckets from rollups for long ones.
        """
        columns = max(points // _SAMPLES_A_COLUMN, 1)
        step = (end - start) / columns
        if step.total_seconds() >= _ROLLED_S:
            rows = await self._fetch(sql.TREND, list(metric.ids), start, end, columns)
            return Picture(step, [tuple(row) for row in rows])
        rows = await self._fetch(sql.BEST_FIT, list(metric.ids), start, end, points)
        return Picture(None, [tuple(row) for row in rows])

    async def read_mode(
        self, mode: Mode, metric: Metric, start: datetime, end: datetime, *more: object
    ) -> list[tuple[Any, ...]]:
        """Return the rows of one of the schema's retrieval functions.

        Args:
            mode: the function; its columns are those of ``mode.columns``.
            metric: of which.
            start: first moment.
            end: first moment left out.
            more: the function's further arguments.

        Raises:
            QueryRefused: an argument is none that the function takes.
        """
        rows = await self._fetch(mode.statement, metric.metric_id, start, end, *more)
        return [tuple(row) for row in rows]

    async def read_figures(
        self,
        metric: Metric,
        start: datetime,
        end: datetime,
        step: timedelta,
        *,
        names: Sequence[str],
        fill: str,
    ) -> list[tuple[Any, ...]]:
        """Return the buckets of a time: the begin of each, and the figures of these names.

        Args:
            metric: of which.
            start: first moment.
            end: first moment left out.
            step: length of a bucket.
            names: aggregates as ``historian.filled`` takes them.
            fill: what stands where a bucket has none: ``none``, ``previous`` or ``linear``.

        Raises:
            QueryRefused: an argument is none that the functions take.
        """
        if fill != "none" or len(names) == 1:
            filled = [
                await self.read_mode(FILLED, metric, start, end, step, name, fill) for name in names
            ]
            return [
                (cells[0][0], *(cell[1] for cell in cells)) for cells in zip(*filled, strict=True)
            ]
        # All at once: the samples are read once.
        wanted = ", ".join(["bucket", *(sql.FIGURES[name] for name in names)])
        statement = f"SELECT {wanted} FROM historian.aggregates($1, $2, $3, $4)"  # noqa: S608  # names of ours
        return [
            tuple(row) for row in await self._fetch(statement, metric.metric_id, start, end, step)
        ]

    async def read_outages(
        self, group: str, edge: str, device: str | None, start: datetime, end: datetime
    ) -> list[tuple[datetime, datetime, str]]:
        """Return when a node or device was offline, and why."""
        rows = await self._fetch(sql.OUTAGES, group, edge, start, end, device)
        return [(row["since"], row["until"], row["reason"]) for row in rows]

    async def read_online_percentage(
        self, group: str, edge: str, device: str | None, start: datetime, end: datetime
    ) -> float | None:
        """Return which part of a time a node or device was online; the future does not count."""
        rows = await self._fetch(sql.ONLINE, group, edge, start, end, device)
        percent: float | None = rows[0][0]
        return percent

    async def read_events(
        self,
        start: datetime,
        end: datetime,
        *,
        limit: int,
        group: str | None = None,
        edge: str | None = None,
        device: str | None = None,
        kinds: Sequence[str] = (),
    ) -> list[dict[str, Any]]:
        """Return births, deaths, gaps and rebirth requests, the newest first."""
        rows = await self._fetch(
            sql.EVENTS, start, end, group, edge, device, list(kinds) or None, limit
        )
        return [dict(row) for row in rows]

    async def _fetch(self, statement: str, *arguments: object) -> "list[asyncpg.Record]":
        async with self._connection() as connection:
            return await connection.fetch(statement, *arguments)

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[_Connection]:
        try:
            pool = await self._open()
            async with pool.acquire(timeout=CONNECT_TIMEOUT_S) as connection:
                yield connection
        except asyncpg.QueryCanceledError as exc:
            raise QueryRefused(
                f"history: found no answer within {STATEMENT_TIMEOUT_S:.0f} s,"
                " expected a shorter time, fewer metrics or a longer step"
            ) from exc
        except asyncpg.DataError as exc:
            raise QueryRefused(f"history: {exc}") from exc
        except asyncpg.InsufficientPrivilegeError as exc:
            raise StorageUnavailable(f"history: {exc}, expected an account that may read") from exc
        except asyncpg.SyntaxOrAccessError as exc:
            raise StorageUnavailable(
                f"history: {exc}, expected the schema of a historian of this version"
            ) from exc
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as exc:
            reason = str(exc) or "no answer in time"
            raise StorageUnavailable(f"history: {reason}") from exc

    async def _open(self) -> _Pool:
        if self._pool is None:
            self._pool = await asyncpg.create_pool(
                self._url,
                min_size=0,
                max_size=CONNECTIONS,
                timeout=CONNECT_TIMEOUT_S,
                command_timeout=STATEMENT_TIMEOUT_S + CONNECT_TIMEOUT_S,
                server_settings={
                    "application_name": "nexus-history",
                    "timezone": "UTC",
                    "default_transaction_read_only": "on",
                    "statement_timeout": f"{STATEMENT_TIMEOUT_S * 1000:.0f}",
                    # A plan that knows the times leaves out all other days; to compile it takes
                    # longer than it saves.
                    "plan_cache_mode": "force_custom_plan",
                    "jit": "off",
                },
            )
        return self._pool


def _read_sample(row: "asyncpg.Record") -> Sample:
    columns = Columns(row["value"], row["text"], row["json"], row["bytes"])
    value = from_columns(row["datatype"], columns)
    return Sample(row["time"], value, row["quality"], row["sent"], row["historical"])
