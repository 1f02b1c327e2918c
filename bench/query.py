"""How soon the usual questions are answered over many rows: 99th percentiles, milliseconds.

Thirty days of forty tags once a second (about a hundred million rows) and the newest value of ten
thousand tags; and, in medians, every retrieval mode over a day and over the month of one tag. The
baseline is the bare round trip of a query that reads nothing.
"""

import asyncio
import contextlib
import json
import os
import platform
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import asyncpg
import click
import numpy as np

from bench.query_modes import measure_modes
from deploy.local.database import EmbeddedServer
from deploy.local.process import ProcessError
from historian.database import Connection
from historian.plain import PLAIN_COLUMNS, POSTGRES_EPOCH_MS, PlainRows
from historian.schema.migrate import migrate, normalize_url
from historian.schema.server import DatabaseServer
from historian.series import read_series

DAYS = 30
TAGS_LATEST = 10_000
TAGS_TREND = 8
POINTS = 1_000
SECONDS_A_DAY = 86_400
_CHUNK_ROWS = 5_400

Ask = Callable[[], Awaitable[object]]


@click.command()
@click.option("--rows", type=click.IntRange(min=20_736_000), default=103_680_000, show_default=True)
@click.option("--repeat", type=click.IntRange(min=5), default=100, show_default=True)
@click.option("--filled", is_flag=True, help="An earlier run has filled the database: only ask.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on the last line.")
@click.option(
    "--database-url",
    envvar=["NEXUS_DATABASE_URL", "NEXUS_TEST_TIMESCALE_URL"],
    help="Where to put the rows: an empty database. An embedded PostgreSQL when absent.",
)
def main(rows: int, repeat: int, filled: bool, as_json: bool, database_url: str | None) -> None:
    """Measure the historian's queries over many rows."""
    folder = Path(tempfile.mkdtemp(prefix="nexus-bench-"))
    folder.chmod(0o755)
    try:
        with contextlib.ExitStack() as stack:
            url = normalize_url(database_url or stack.enter_context(_embedded(folder)))
            server = migrate(url)
            report = asyncio.run(_run(url, server, rows, repeat, fill=not filled))
    except ProcessError as error:
        raise click.ClickException(str(error)) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if not as_json:
        click.echo(json.dumps(report, indent=2), err=True)
    print(json.dumps(report))


@contextlib.contextmanager
def _embedded(folder: Path) -> Iterator[str]:
    with EmbeddedServer(folder / "database").start() as server:
        yield server.create_database("bench")


async def _run(
    url: str, server: DatabaseServer, rows: int, repeat: int, *, fill: bool
) -> dict[str, object]:
    tags = max(TAGS_TREND, rows // (DAYS * SECONDS_A_DAY))
    connection = await asyncpg.connect(url, command_timeout=3_600)
    if fill:
        await _fill(url, connection, server, tags)
    newest = await connection.fetchval("SELECT max(time) FROM historian.sample")
    today = (newest + timedelta(seconds=1)).date()
    count = await connection.fetchval("SELECT count(*) FROM historian.sample")
    size = await connection.fetchval("SELECT historian.storage_size()")
    low = datetime.combine(today - timedelta(days=DAYS), datetime.min.time(), UTC)
    took = {
        name: await _measure(ask, repeat) for name, ask in _questions(connection, low, tags).items()
    }
    modes = await measure_modes(connection, 1, low + timedelta(days=DAYS))
    bare = await _measure(lambda: connection.fetchval("SELECT 1"), repeat)
    await connection.close()
    return {
        "bench": "query",
        "figures": {
            "p99_ms": {name: times.p99_ms for name, times in took.items()},
            "median_ms": {name: times.median_ms for name, times in took.items()},
            "modes_median_ms": modes,
            "rows": count,
            "bytes_per_row": round(size / count, 2),
        },
        "baseline": {"round_trip_p99_ms": bare.p99_ms, "round_trip_median_ms": bare.median_ms},
        "ratio": {name: round(times.median_ms / bare.median_ms, 1) for name, times in took.items()},
        "machine": {
            "cores": os.cpu_count(),
            "python": platform.python_version(),
            "system": platform.platform(),
            "database": asdict(server),
        },
    }


def _questions(
    connection: "asyncpg.Connection[asyncpg.Record]", low: datetime, tags: int
) -> dict[str, Ask]:
    chance = random.Random(6)  # noqa: S311  # the same questions every time

    def a_tag_and_a_day() -> tuple[int, datetime, datetime]:
        start = low + timedelta(days=chance.randrange(DAYS))
        return chance.randrange(tags) + 1, start, start + timedelta(days=1)

    async def one_tag_a_day() -> None:
        tag, start, end = a_tag_and_a_day()
        series = await read_series(connection, [tag], start, end)
        assert len(series) == SECONDS_A_DAY, len(series)

    async def one_tag_a_day_as_records() -> None:
        rows = await connection.fetch(
            "SELECT time, value FROM historian.sample"
            " WHERE metric_id = $1 AND time >= $2 AND time < $3 ORDER BY time",
            *a_tag_and_a_day(),
        )
        assert len(rows) == SECONDS_A_DAY, len(rows)

    async def tags_in_buckets() -> None:
        rows = await connection.fetch(
            "SELECT m, t.* FROM generate_series(1, $1::integer) AS m"
            " CROSS JOIN LATERAL historian.trend(m, $2, $3, $4) AS t",
            TAGS_TREND,
            low,
            low + timedelta(days=DAYS),
            POINTS,
        )
        assert len(rows) >= TAGS_TREND * POINTS * 0.9, len(rows)

    async def latest_of_all() -> None:
        rows = await connection.fetch(
            "SELECT edge, device, metric, value, time FROM historian.latest"
        )
        assert len(rows) == TAGS_LATEST, len(rows)

    return {
        "one_tag_a_day_raw": one_tag_a_day,
        "one_tag_a_day_raw_as_python_records": one_tag_a_day_as_records,
        "eight_tags_thirty_days_in_1000_buckets": tags_in_buckets,
        "latest_of_10000_tags": latest_of_all,
    }


class Times(NamedTuple):
    """How long a question took."""

    median_ms: float
    p99_ms: float


async def _measure(ask: Ask, repeat: int) -> Times:
    took = []
    await ask()
    for _ in range(repeat):
        started = time.perf_counter()
        await ask()
        took.append((time.perf_counter() - started) * 1000)
    took.sort()
    return Times(round(took[len(took) // 2], 2), round(took[int(0.99 * (len(took) - 1))], 2))


async def _fill(
    url: str, connection: "asyncpg.Connection[asyncpg.Record]", server: DatabaseServer, tags: int
) -> None:
    today = datetime.now(UTC).date()
    click.echo(f"filling {tags} tags, {DAYS} days", err=True)
    await _fill_metrics(connection, today)
    with click.progressbar(range(DAYS), label="days", file=sys.stderr) as days:
        for number in days:
            await _fill_day(url, connection, server, today - timedelta(days=number + 1), tags)
    await _fill_rollups(connection, server, today)
    await connection.execute("ANALYZE")


async def _fill_metrics(connection: "asyncpg.Connection[asyncpg.Record]", today: date) -> None:
    await connection.execute(
        "INSERT INTO historian.metric (group_name, edge, device, name, datatype)"
        " SELECT 'plant', 'line-' || n / 1000, 'device-' || n / 100, 'tag-' || n, 'Double'"
        " FROM generate_series(0, $1 - 1) AS n",
        TAGS_LATEST,
    )
    await connection.execute(
        "INSERT INTO historian.current_value (time, metric_id, value)"
        " SELECT $1, metric_id, metric_id FROM historian.metric",
        datetime.combine(today, datetime.min.time(), UTC),
    )


async def _fill_day(
    url: str,
    connection: "asyncpg.Connection[asyncpg.Record]",
    server: DatabaseServer,
    day: date,
    tags: int,
) -> None:
    await connection.fetchval("SELECT historian.ensure_day($1)", day)
    setup = ("SET timescaledb.enable_direct_compress_copy = on",) if server.direct_compress else ()
    lane = Connection(url, "bench-fill", setup)
    start_ms = int(datetime.combine(day, datetime.min.time(), UTC).timestamp() * 1000)
    assert start_ms > POSTGRES_EPOCH_MS
    seconds = np.arange(SECONDS_A_DAY)
    time_ms = start_ms + 1000 * seconds
    wave = 20 + (seconds * 37 % 1000) / 16
    for tag in range(1, tags + 1):
        rows = PlainRows(np.full(SECONDS_A_DAY, tag, np.int32), time_ms, wave, time_ms)
        for at in range(0, SECONDS_A_DAY, _CHUNK_ROWS):
            piece = rows[at : at + _CHUNK_ROWS]
            await lane.copy("historian.sample", PLAIN_COLUMNS, piece.encode())
    await lane.close()


async def _fill_rollups(
    connection: "asyncpg.Connection[asyncpg.Record]", server: DatabaseServer, today: date
) -> None:
    if server.continuous_aggregates:
        for step in ("1m", "15m", "1h", "1d"):
            await connection.execute(
                f"CALL refresh_continuous_aggregate('historian.rollup_{step}_parts', NULL, NULL)"
            )
        return
    for number in range(DAYS):
        low = datetime.combine(today - timedelta(days=number + 1), datetime.min.time(), UTC)
        await connection.execute(
            "SELECT historian.refresh_rollup(interval '15 minutes', $1, $2, $3)",
            list(range(1, TAGS_TREND + 1)),
            [low] * TAGS_TREND,
            [low + timedelta(days=1)] * TAGS_TREND,
        )


if __name__ == "__main__":
    main()
