"""Rollups as continuous aggregates, where there are any: TimescaleDB Community from 2.28 on."""

import shutil
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import psycopg
import pytest

from historian.database import Connection
from historian.exact import Columns
from historian.maintenance import Maintenance
from historian.rollups import Rollups
from historian.rows import Batch, Rows, pack_full
from historian.schema import migrate as migrations
from historian.schema.migrate import migrate, normalize_url
from historian.statements import CHECK_SETUP
from historian.store import SampleStore
from tests.integration.historian_rig import WAIT_S, pause_policies, query

pytestmark = pytest.mark.asyncio

STEPS: Final = ("1m", "15m", "1h", "1d")
DAY: Final = timedelta(days=1)
START: Final = datetime.now(UTC).replace(hour=6, minute=0, second=0, microsecond=0) - 3 * DAY


@pytest.fixture
def community(timescale_url: str) -> str:
    """Give a database of the edition that has continuous aggregates."""
    url = normalize_url(timescale_url)
    server = migrate(url)
    if not server.continuous_aggregates:
        pytest.skip(
            f"needs TimescaleDB Community 2.28, found {server.edition} {server.timescale};"
            " NEXUS_TEST_TIMESCALE_URL names another server"
        )
    pause_policies(url)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO historian.metric (group_name, edge, device, name, datatype)"
            " VALUES ('plant', 'line', 'filler', 'level', 'Double'),"
            " ('plant', 'line', 'filler', 'speed', 'Double')"
        )
    return url


def store_in_time(url: str, metric_id: int, minute: float, value: float) -> None:
    """Store what the aggregates have to notice by themselves."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO historian.sample (time, metric_id, value) VALUES (%s, %s, %s)",
            [START + timedelta(minutes=minute), metric_id, value],
        )


async def store_late(url: str, metric_id: int, minute: float, value: float) -> None:
    """Store as what is looked up first, and have the buckets made again."""
    at_ms = round((START + timedelta(minutes=minute)).timestamp() * 1000)
    row = pack_full(
        metric_id,
        at_ms,
        at_ms,
        quality=192,
        historical=True,
        columns=Columns(value, None, None, None),
    )
    connection = Connection(url, "test-late", CHECK_SETUP)
    assert await SampleStore().insert_missing(connection, Batch(full=[row])) == 1
    rollups = Rollups(connection)
    rollups.are_continuous = True
    await rollups.make_again(time.time_ns() // 1_000_000)
    await connection.close()


def run_policies(url: str) -> None:
    """Do what the server does every minute."""
    with psycopg.connect(url, autocommit=True) as connection:
        jobs = connection.execute(
            "SELECT job_id FROM timescaledb_information.jobs"
            " WHERE proc_name = 'policy_refresh_continuous_aggregate' ORDER BY job_id"
        ).fetchall()
        assert len(jobs) == len(STEPS)
        for (job_id,) in jobs:
            run_job(connection, job_id)


def run_job(connection: psycopg.Connection, job_id: int) -> None:
    """Run one now; the server may have begun before it was told to wait."""
    end = time.monotonic() + WAIT_S
    while True:
        try:
            connection.execute(f"CALL run_job({job_id})")
        except psycopg.errors.LockNotAvailable:
            assert time.monotonic() < end, f"job {job_id} is still running"
        else:
            return


def read(url: str, step: str) -> list[tuple[str, float, int, float]]:
    wanted = "SELECT metric, bucket, count, time_weighted_avg"
    rows = query(url, f"{wanted} FROM historian.rollup_{step} ORDER BY metric, bucket")
    return [
        (
            row["metric"],
            (row["bucket"] - START) / timedelta(minutes=1),
            row["count"],
            round(row["time_weighted_avg"], 6),
        )
        for row in rows
    ]


async def test_server_rolls_up_what_arrives_in_time_by_its_policies(community: str) -> None:
    for minute, value in ((0.5, 10.0), (1.25, 20.0), (20.0, 30.0)):
        store_in_time(community, 1, minute, value)
    run_policies(community)
    assert read(community, "1m") == [
        ("level", 0, 1, 10),
        ("level", 1, 1, (10 * 15 + 20 * 45) / 60),
        ("level", 20, 1, 30),
    ]
    assert read(community, "15m") == [
        ("level", 0, 2, round((10 * 45 + 20 * 825) / 870, 6)),
        ("level", 15, 1, round((20 * 300 + 30 * 600) / 900, 6)),
    ]
    assert [row[2] for row in read(community, "1h") + read(community, "1d")] == [3, 3]
    kept = query(community, "SELECT * FROM historian.rollup_kept")
    assert kept == []


async def test_what_the_server_is_told_of_a_slow_copy_is_made_again(community: str) -> None:
    store_in_time(community, 1, 0.5, 10.0)
    run_policies(community)
    store_in_time(community, 1, 0.75, 20.0)
    run_policies(community)
    assert [row[2] for row in read(community, "1m")] == [2]
    assert [row[2] for row in read(community, "1d")] == [2]


async def test_late_sample_is_in_all_buckets_also_where_days_are_compressed(
    community: str,
) -> None:
    for minute, value in ((0.0, 10.0), (30.0, 20.0), (60.0, 30.0)):
        store_in_time(community, 1, minute, value)
        store_in_time(community, 2, minute, value)
    run_policies(community)
    query(community, "SELECT compress_chunk(c) FROM show_chunks('historian.sample') AS c")
    await store_late(community, 1, 10.0, 40.0)
    run_policies(community)
    hours = [
        ("level", 0, 3, (10 * 10 + 40 * 20 + 20 * 30) / 60),
        ("level", 60, 1, 30),
        ("speed", 0, 2, (10 * 30 + 20 * 30) / 60),
        ("speed", 60, 1, 30),
    ]
    assert read(community, "1h") == hours
    assert [row[:3] for row in read(community, "1m")] == [
        ("level", 0, 1),
        ("level", 10, 1),
        ("level", 30, 1),
        ("level", 60, 1),
        ("speed", 0, 1),
        ("speed", 30, 1),
        ("speed", 60, 1),
    ]
    assert [row[2] for row in read(community, "1d")] == [4, 3]


async def test_late_sample_has_the_server_read_nothing_again(community: str) -> None:
    store_in_time(community, 1, 0.0, 10.0)
    run_policies(community)
    log = "SELECT FROM _timescaledb_catalog.continuous_aggs_hypertable_invalidation_log"
    assert query(community, log) == []
    await store_late(community, 1, 5.0, 20.0)
    assert query(community, log) == []
    store_in_time(community, 1, 6.0, 30.0)
    assert len(query(community, log)) == 1


async def test_rollups_outlive_their_samples_and_late_ones_of_that_time(community: str) -> None:
    for minute, value in ((0.0, 10.0), (30.0, 20.0)):
        store_in_time(community, 1, minute, value)
        store_in_time(community, 2, minute, value)
    run_policies(community)
    before = {step: read(community, step) for step in STEPS}
    query(
        community,
        "INSERT INTO historian.retention (pattern, keep) VALUES ('%%', interval '1 day')"
        " RETURNING 1",
    )
    connection = Connection(community, "test-retention")
    await Maintenance(connection).apply_retention()
    await connection.close()
    assert query(community, "SELECT FROM historian.sample") == []
    run_policies(community)
    assert {step: read(community, step) for step in STEPS} == before
    # A new bucket is made of what comes, an old one is not made again of what is left.
    await store_late(community, 1, 30.0, 99.0)
    await store_late(community, 1, 45.0, 99.0)
    run_policies(community)
    after = {step: read(community, step) for step in STEPS}
    assert after.pop("1m") == sorted([*before.pop("1m"), ("level", 45, 1, 99)])
    assert after.pop("15m") == sorted([*before.pop("15m"), ("level", 45, 1, 99)])
    assert after == before


async def test_rollups_of_before_the_upgrade_stay(
    timescale_url: str, community: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert timescale_url
    with psycopg.connect(community, autocommit=True) as connection:
        connection.execute("DROP SCHEMA historian CASCADE")
    for file in migrations._MIGRATIONS.glob("*.sql"):
        if file.stem < "0014":
            shutil.copy(file, tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(migrations, "_MIGRATIONS", tmp_path)
        migrate(community)
    with psycopg.connect(community, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO historian.metric (group_name, edge, device, name, datatype)"
            " VALUES ('plant', 'line', 'filler', 'level', 'Double')"
        )
        for minute, value in ((0.0, 10.0), (30.0, 20.0)):
            store_in_time(community, 1, minute, value)
        for step in ("1 minute", "1 hour"):
            connection.execute(
                "SELECT historian.refresh_rollup(%s::interval, ARRAY[1], ARRAY[%s], ARRAY[%s])",
                [step, START, START + timedelta(hours=1)],
            )
        connection.execute("DELETE FROM historian.sample WHERE time = %s", [START])
    migrate(community)
    pause_policies(community)
    store_in_time(community, 1, 31.0, 30.0)
    run_policies(community)
    assert [row[:3] for row in read(community, "1m")] == [
        ("level", 0, 1),
        ("level", 30, 1),
        ("level", 31, 1),
    ]
    assert read(community, "1h") == [("level", 0, 2, 15)]


async def test_trend_is_the_same_from_the_aggregates_and_from_samples(community: str) -> None:
    for minute in range(120):
        store_in_time(community, 1, minute, float(minute % 7))

    def draw() -> list[dict[str, Any]]:
        return query(
            community,
            "SELECT * FROM historian.trend(1, %s, %s, 8)",
            START,
            START + timedelta(hours=2),
        )

    from_samples = draw()
    assert len(from_samples) == 8
    run_policies(community)
    assert query(community, "SELECT count(*) AS n FROM historian.rollup_15m") == [{"n": 8}]
    assert draw() == from_samples


async def test_historian_notices_who_makes_the_rollups(community: str) -> None:
    assert migrate(community).continuous_aggregates
    rows = Rows()
    rows.oldest[1] = rows.newest_ms = round(START.timestamp() * 1000)
    connection = Connection(community, "test-rollups")
    rollups = Rollups(connection)
    rollups.are_continuous = True
    rollups.take(rows)
    assert await rollups.make(time.time_ns() // 1_000_000) == 0
    await connection.close()
