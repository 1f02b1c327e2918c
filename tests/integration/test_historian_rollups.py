"""Rollups: made when a bucket ends, made again when late samples come, the same on every server."""

from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from historian.database import Connection
from historian.rollups import Rollups
from historian.rows import Rows
from historian.schema.migrate import migrate, normalize_url
from tests.integration.historian_rig import query

pytestmark = pytest.mark.asyncio

START = datetime(2026, 11, 1, 6, 0, tzinfo=UTC)


def put(url: str, minute: float, value: float) -> Rows:
    at = START + timedelta(minutes=minute)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO historian.sample (time, metric_id, value) VALUES (%s, 1, %s)", (at, value)
        )
        connection.execute(
            "INSERT INTO historian.current_value (time, metric_id, value) VALUES (%s, 1, %s)"
            " ON CONFLICT (metric_id) DO UPDATE SET time = excluded.time",
            (at, value),
        )
    rows = Rows()
    rows.oldest[1] = rows.newest_ms = int(at.timestamp() * 1000)
    return rows


def at_ms(minute: float) -> int:
    return int((START + timedelta(minutes=minute)).timestamp() * 1000)


@pytest.fixture
def database(historian_databases: str) -> str:
    migrate(normalize_url(historian_databases))
    with psycopg.connect(historian_databases, autocommit=True) as connection:
        connection.execute("SELECT historian.ensure_day('2026-11-01')")
        connection.execute(
            "INSERT INTO historian.metric (group_name, edge, device, name, datatype)"
            " VALUES ('plant', 'line', 'filler', 'level', 'Double')"
        )
    return historian_databases


async def test_ended_buckets_are_made_and_late_samples_make_them_again(database: str) -> None:
    connection = Connection(normalize_url(database), "test-rollups")
    rollups = Rollups(connection)
    for offset, value in ((0, 1.0), (0.5, 3.0), (20, 5.0)):
        rollups.take(put(database, offset, value))
    await rollups.make(at_ms(14))
    assert query(database, "SELECT count(*) AS n FROM historian.rollup_15m") == [{"n": 0}]
    await rollups.make(at_ms(16))
    (minute,) = query(database, "SELECT * FROM historian.rollup_1m WHERE bucket = %s", START)
    assert (minute["metric"], minute["count"], minute["avg"]) == ("level", 2, 2.0)
    assert (minute["first"], minute["last"]) == (1.0, 3.0)
    (quarter,) = query(database, "SELECT * FROM historian.rollup_15m")
    assert quarter["time_weighted_avg"] == pytest.approx((1.0 * 30 + 3.0 * 870) / 900)
    rollups.take(put(database, 10, 9.0))
    await rollups.make(at_ms(61))
    (quarter,) = query(database, "SELECT * FROM historian.rollup_15m WHERE bucket = %s", START)
    assert (quarter["count"], quarter["max"]) == (3, 9.0)
    (hour,) = query(database, "SELECT * FROM historian.rollup_1h")
    assert (hour["count"], hour["min"], hour["max"], hour["last"]) == (4, 1.0, 9.0, 5.0)
    await connection.close()


async def test_restart_goes_on_where_the_last_one_stopped(database: str) -> None:
    put(database, 1, 1.0)
    put(database, 3, 2.0)
    connection = Connection(normalize_url(database), "test-rollups")
    rollups = Rollups(connection)
    await rollups._find_missing()
    await rollups.make(at_ms(4))
    rows = query(database, "SELECT bucket, last FROM historian.rollup_1m ORDER BY bucket")
    assert [row["last"] for row in rows] == [1.0, 1.0, 2.0]
    assert query(database, "SELECT * FROM historian.missing_rollups(interval '1 minute')") == []
    await connection.close()
