"""Rollups: made when a bucket ends, made again when late samples come, the same on every server."""

import os
import signal
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import psycopg
import pytest

from deploy.local.broker import MqttBroker
from deploy.local.checkout import ROOT
from deploy.local.process import Process
from historian.database import Connection
from historian.plain import PlainRows
from historian.rollups import Rollups
from historian.rows import Rows
from historian.schema.migrate import migrate, normalize_url
from historian.statements import CHECK_SETUP
from historian.store import SampleStore
from proto.sparkplug.codec import Metric
from proto.sparkplug.datatypes import DataType
from proto.sparkplug.topics import MessageType, NodeId
from tests.integration.historian_rig import (
    edge_node,
    pause_policies,
    query,
    roll_up,
    running,
    until,
)

pytestmark = pytest.mark.asyncio

LINE = NodeId("plant", "line")
STATUS = "$nexus/historian/killed/status"
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
    return prepare(historian_databases)


def prepare(url: str) -> str:
    migrate(normalize_url(url))
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SELECT historian.ensure_day('2026-11-01')")
        connection.execute(
            "INSERT INTO historian.metric (group_name, edge, device, name, datatype)"
            " VALUES ('plant', 'line', 'filler', 'level', 'Double')"
        )
    pause_policies(url)
    return url


async def test_ended_buckets_are_made_and_late_samples_make_them_again(database: str) -> None:
    connection = Connection(normalize_url(database), "test-rollups")
    rollups = Rollups(connection)
    for offset, value in ((0, 1.0), (0.5, 3.0), (20, 5.0)):
        rollups.take(put(database, offset, value))
    await roll_up(database, rollups, at_ms(14))
    assert query(database, "SELECT count(*) AS n FROM historian.rollup_15m") == [{"n": 0}]
    await roll_up(database, rollups, at_ms(16))
    (minute,) = query(database, "SELECT * FROM historian.rollup_1m WHERE bucket = %s", START)
    assert (minute["metric"], minute["count"], minute["avg"]) == ("level", 2, 2.0)
    assert (minute["first"], minute["last"]) == (1.0, 3.0)
    (quarter,) = query(database, "SELECT * FROM historian.rollup_15m")
    assert quarter["time_weighted_avg"] == pytest.approx((1.0 * 30 + 3.0 * 870) / 900)
    rollups.take(put(database, 10, 9.0))
    await roll_up(database, rollups, at_ms(61))
    (quarter,) = query(database, "SELECT * FROM historian.rollup_15m WHERE bucket = %s", START)
    assert (quarter["count"], quarter["max"]) == (3, 9.0)
    (hour,) = query(database, "SELECT * FROM historian.rollup_1h")
    assert (hour["count"], hour["min"], hour["max"], hour["last"]) == (4, 1.0, 9.0, 5.0)
    await connection.close()


async def test_restart_goes_on_where_the_last_one_stopped(postgres_url: str) -> None:
    database = prepare(postgres_url)
    put(database, 1, 1.0)
    put(database, 3, 2.0)
    connection = Connection(normalize_url(database), "test-rollups")
    rollups = Rollups(connection)
    await rollups._find_missing()
    await rollups.make(at_ms(4))
    rows = query(database, "SELECT bucket, last FROM historian.rollup_1m ORDER BY bucket")
    assert [row["last"] for row in rows] == [1.0, 2.0]
    assert query(database, "SELECT * FROM historian.missing_rollups(interval '1 minute')") == []
    await connection.close()


async def test_late_sample_is_rolled_up_though_the_historian_was_killed_before(
    database: str, mqtt_broker: MqttBroker, tmp_path: Path
) -> None:
    connection = Connection(normalize_url(database), "test-rollups")
    rollups = Rollups(connection)
    for minute, value in ((0, 1.0), (3, 3.0)):
        rollups.take(put(database, minute, value))
    await roll_up(database, rollups, at_ms(10))
    await connection.close()
    minutes = "SELECT bucket, last, count FROM historian.rollup_1m ORDER BY bucket"
    before = query(database, minutes)
    assert [row["last"] for row in before] == [1.0, 3.0]

    process = Process(
        "historian",
        [
            sys.executable,
            "-m",
            "deploy.local.cli",
            "historian",
            "--id",
            "killed",
            "--status-interval",
            "0.2",
        ],
        log=tmp_path / "log",
        env={
            **os.environ,
            "NEXUS_DATABASE_URL": database,
            "NEXUS_MQTT_URL": mqtt_broker.url,
            "PYTHONPATH": str(ROOT),
        },
    )
    try:
        # While the table is held no rollup is made: the historian dies between commit and rollup.
        with psycopg.connect(database) as holder, edge_node(mqtt_broker, LINE) as node:
            holder.execute("LOCK TABLE historian.rollup_kept IN EXCLUSIVE MODE")
            statuses: list[str] = []
            node.client.message_callback_add(
                STATUS, lambda _c, _u, message: statuses.append(message.payload.decode())
            )
            node.client.subscribe(STATUS, 1)
            await until(
                lambda: statuses and '"connecting"' not in statuses[-1], "the historian's status"
            )
            node.birth()
            tag = Metric("level", DataType.DOUBLE, 9.0, at_ms(1.5), alias=1, is_historical=True)
            node.publish(MessageType.DBIRTH, [tag], "filler")
            await until(
                lambda: query(database, "SELECT FROM historian.sample WHERE value = 9"),
                "the late sample",
            )
            os.kill(process.pid, signal.SIGKILL)
            await until(lambda: process.poll() is not None)
    finally:
        process.stop(grace_s=5)
    assert query(database, minutes) == before
    async with running(mqtt_broker, database):
        await until(lambda: not query(database, "SELECT FROM historian.rollup_due"), "the rollups")
    rows = query(database, minutes)
    assert [(row["last"], row["count"]) for row in rows] == [(1, 1), (9, 1), (3, 1)]


async def test_live_samples_that_come_late_are_noted_and_others_are_not(database: str) -> None:
    connection = Connection(normalize_url(database), "test-late", CHECK_SETUP)
    store = SampleStore()
    now = time.time_ns() // 1_000_000
    for at, value in ((now, 1.0), (now - 120_000, 2.0), (now - 180_000, 3.0)):
        rows = Rows()
        await store.ensure_days(connection, {at // 86_400_000})
        rows.add_plain(
            PlainRows(np.array([1], np.int32), np.array([at]), np.array([value]), np.array([at]))
        )
        await store.copy_new(connection, rows)
    assert query(database, "SELECT count(*) AS n FROM historian.sample") == [{"n": 3}]
    noted = query(database, "SELECT metric_id, low FROM historian.rollup_due ORDER BY due_id")
    assert [(row["metric_id"], int(row["low"].timestamp() * 1000)) for row in noted] == [
        (1, now - 120_000),
        (1, now - 180_000),
    ]
    rollups = Rollups(connection)
    until_ms = now - now % 60_000 - 60_000
    await rollups.make_again(until_ms)
    made = query(database, "SELECT last FROM historian.rollup_1m ORDER BY bucket LIMIT 1")
    assert [row["last"] for row in made] == [3.0]
    # Longer buckets that have not ended wait for their end.
    assert query(database, "SELECT FROM historian.rollup_due WHERE step IS NULL") == []
    await connection.close()


async def test_buckets_that_a_killed_historian_left_behind_are_made_by_the_next(
    postgres_url: str,
) -> None:
    database = prepare(postgres_url)
    connection = Connection(normalize_url(database), "test-rollups")
    rollups = Rollups(connection)
    rollups.take(put(database, 1, 1.0))
    await rollups.make(at_ms(2))
    put(database, 3, 2.0)  # by another, which was killed before it made the bucket
    rollups.take(put(database, 7, 3.0))
    await rollups.make(at_ms(60))
    rows = query(database, "SELECT bucket, first, last FROM historian.rollup_1m ORDER BY bucket")
    assert [(row["bucket"] - START, row["first"], row["last"]) for row in rows] == [
        (timedelta(minutes=1), 1.0, 1.0),
        (timedelta(minutes=3), 2.0, 2.0),
        (timedelta(minutes=7), 3.0, 3.0),
    ]
    quarters = query(database, "SELECT count FROM historian.rollup_15m")
    assert quarters == [{"count": 3}]
    await connection.close()


async def test_bucket_waits_for_a_copy_that_takes_long(database: str) -> None:
    connection = Connection(normalize_url(database), "test-rollups")
    rollups = Rollups(connection)
    now_ms = time.time_ns() // 1_000_000
    begin_ms = now_ms - now_ms % 60_000 - 300_000
    minute = timedelta(milliseconds=begin_ms)
    with psycopg.connect(database, autocommit=True) as other:
        for ms in (begin_ms, begin_ms + 60_000):
            at = datetime.fromtimestamp(ms / 1000, UTC)
            other.execute("SELECT historian.ensure_day(%s::date)", [at])
            other.execute(
                "INSERT INTO historian.sample (time, metric_id, value) VALUES (%s, 1, 1)", [at]
            )
    with psycopg.connect(database) as slow:
        # As begin_live() did for a COPY that began five minutes ago.
        slow.execute(
            "SELECT pg_advisory_xact_lock_shared(20044, %s)", [minute // timedelta(minutes=1)]
        )
        late = datetime.fromtimestamp((begin_ms + 30_000) / 1000, UTC)
        slow.execute(
            "INSERT INTO historian.sample (time, metric_id, value) VALUES (%s, 1, 9)", [late]
        )
        assert await rollups._read_settled() == begin_ms
        await rollups._find_missing()
        assert await rollups.make(await rollups._read_settled()) == 0
        slow.commit()
    settled_ms = await rollups._read_settled()
    assert settled_ms > begin_ms + 60_000
    assert await rollups.make(settled_ms) >= 2
    counts = query(database, "SELECT count FROM historian.rollup_1m ORDER BY bucket")
    assert [row["count"] for row in counts] == [2, 1]
    await connection.close()


async def test_live_rows_hold_up_the_buckets_that_they_may_fall_into(database: str) -> None:
    held = (
        "SELECT objid::bigint AS minute FROM pg_locks WHERE locktype = 'advisory'"
        " AND classid = 20044 AND database = (SELECT oid FROM pg_database"
        " WHERE datname = current_database())"
    )
    with psycopg.connect(database) as writer:
        row = writer.execute("SELECT historian.begin_live()").fetchone()
        assert row is not None
        (made,) = row
        assert made <= datetime.now(UTC) - timedelta(seconds=5)
        assert made.second == made.microsecond == 0
        assert query(database, held) == [{"minute": int(made.timestamp()) // 60}]
        (settled,) = query(database, "SELECT historian.settled_until() AS until")
        assert settled["until"] == made
    assert query(database, held) == []
