"""The schema from every earlier version: what was stored before an upgrade is read after it."""

import re
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest

from historian.database import Connection
from historian.plain import PlainRows
from historian.queries import History, Selection
from historian.rows import Rows
from historian.schema import migrate as migrations
from historian.schema.migrate import migrate, normalize_url
from historian.store import SampleStore
from tests.integration.historian_rig import query

FILES = sorted(migrations._MIGRATIONS.glob("*.sql"))
EARLIER = [file.stem for file in FILES[:-1]]
START = datetime(2026, 11, 1, 6, 0, tzinfo=UTC)
END = START + timedelta(hours=1)
MOMENTS = "SELECT time, metric_id, value, sent FROM historian.samples"


def apply_until(url: str, newest: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the schema as an earlier version did."""
    folder.mkdir()
    for file in FILES:
        if file.stem <= newest:
            shutil.copy(file, folder)
    with monkeypatch.context() as patch:
        patch.setattr(migrations, "_MIGRATIONS", folder)
        migrate(url)


def put_data(url: str) -> None:
    """Store what every version could store."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SELECT historian.ensure_day('2026-11-01')")
        connection.execute(
            "INSERT INTO historian.metric (group_name, edge, device, name, datatype, unit,"
            " superseded) VALUES ('plant', 'line', 'filler', 'level', 'Int32', 'mm', true),"
            " ('plant', 'line', 'filler', 'level', 'Double', 'mm', false),"
            " ('plant', 'line', 'filler', 'count', 'UInt64', NULL, false),"
            " ('plant', 'line', 'filler', 'text', 'String', NULL, false),"
            " ('plant', 'line', 'filler', 'set', 'DataSet', NULL, false),"
            " ('plant', 'line', 'filler', 'raw', 'Bytes', NULL, false)"
        )
        connection.execute(
            "INSERT INTO historian.sample"
            " (time, metric_id, value, text, json, bytes, quality, sent, historical) VALUES"
            " ('2026-11-01 06:00Z', 1, 1, NULL, NULL, NULL, 192, NULL, false),"
            " ('2026-11-01 06:10Z', 2, 'NaN', NULL, NULL, NULL, 192, NULL, false),"
            " ('2026-11-01 06:20Z', 2, 2.5, NULL, NULL, NULL, 0, '2026-11-01 06:30Z', true),"
            " ('2026-11-01 06:20Z', 3, 18446744073709551615, '18446744073709551615',"
            "  NULL, NULL, 192, NULL, false),"
            " ('2026-11-01 06:20Z', 4, NULL, 'a', NULL, NULL, 192, NULL, false),"
            " ('2026-11-01 06:20Z', 5, NULL, NULL, '{\"rows\": [[1]]}', NULL, 192, NULL, false),"
            " ('2026-11-01 06:20Z', 6, NULL, NULL, NULL, '\\x00ff', 192, NULL, false)"
        )
        connection.execute(
            "INSERT INTO historian.current_value (time, metric_id, value)"
            " VALUES ('2026-11-01 06:20Z', 2, 2.5)"
        )
        connection.execute(
            "INSERT INTO historian.event (time, kind, group_name, edge)"
            " VALUES ('2026-11-01 06:00Z', 'node_birth', 'plant', 'line')"
        )


async def read_all(url: str) -> dict[str, Any]:
    history = History(url)
    found = {}
    for metric in await history.find_metrics(Selection(like="plant/%"), 100):
        samples, _ = await history.read_samples(metric, START, END, 100)
        found[metric.name] = [
            (
                sample.time.minute,
                repr(sample.value),
                sample.quality,
                sample.historical,
                sample.sent.minute,
            )
            for sample in samples
        ]
    await history.close()
    return found


def describe(url: str) -> dict[str, list[dict[str, Any]]]:
    """Give everything that the schema is made of."""
    return {
        "columns": query(
            url,
            "SELECT table_name, column_name, data_type, is_nullable, column_default"
            " FROM information_schema.columns WHERE table_schema = 'historian'"
            " AND table_name !~ '^(_yoyo|yoyo|sample_)' ORDER BY 1, 2",
        ),
        "functions": query(
            url,
            "SELECT p.oid::regprocedure::text AS name, prosrc, proacl::text, prosecdef"
            " FROM pg_proc AS p WHERE pronamespace = 'historian'::regnamespace ORDER BY 1",
        ),
        "indexes": query(
            url,
            "SELECT tablename, indexdef FROM pg_indexes WHERE schemaname = 'historian'"
            " AND tablename !~ '^(_yoyo|yoyo|sample_)' ORDER BY 1, 2",
        ),
    }


@pytest.mark.asyncio
@pytest.mark.parametrize("version", EARLIER)
async def test_history_of_an_earlier_version_is_read_after_the_upgrade(
    historian_databases: str, version: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = normalize_url(historian_databases)
    apply_until(url, version, tmp_path / "earlier", monkeypatch)
    put_data(url)
    migrate(url)
    assert await read_all(url) == {
        "level": [
            (0, "1", 192, False, 0),
            (10, "nan", 192, False, 10),
            (20, "2.5", 0, True, 30),
        ],
        "count": [(20, "18446744073709551615", 192, False, 20)],
        "text": [(20, "'a'", 192, False, 20)],
        "set": [(20, "{'rows': [[1]]}", 192, False, 20)],
        "raw": [(20, repr(b"\x00\xff"), 192, False, 20)],
    }
    (latest,) = query(url, "SELECT metric, value FROM historian.latest")
    assert latest == {"metric": "level", "value": 2.5}
    assert query(url, "SELECT kind FROM historian.event") == [{"kind": "node_birth"}]


@pytest.mark.asyncio
async def test_a_day_that_was_moved_before_delays_is_read_and_takes_more(
    historian_databases: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = normalize_url(historian_databases)
    apply_until(url, "0011.lost", tmp_path / "earlier", monkeypatch)
    put_data(url)
    query(url, "UPDATE historian.current_value SET sent = time - interval '7 ms' RETURNING 1")
    compress(url)
    server = migrate(url)
    before = query(url, f"{MOMENTS} ORDER BY metric_id, time")
    assert [(row["time"].minute, row["sent"].minute) for row in before[:3]] == [
        (0, 0),
        (10, 10),
        (20, 30),
    ]
    assert query(url, "SELECT delay FROM historian.current_value") == [{"delay": -7}]

    start_ms = round(START.timestamp() * 1000)
    times = start_ms + np.arange(200, dtype=np.int64) * 1000
    rows = Rows()
    rows.days.add(start_ms // 86_400_000)
    values = np.arange(200, dtype=np.float64)
    # At once, a second before, and some years after: not every row has a delay.
    delays = np.array([0, -1000, 101, 2**40], np.int64)
    sent = times + np.resize(delays, 200)
    rows.add_plain(PlainRows(np.full(200, 2, np.int32), times, values, sent))
    store = SampleStore()
    store.direct_compress = server.direct_compress
    connection = Connection(url, "test")
    await connection.open()
    await store.ensure_days(connection, rows.days)
    await store.copy_new(connection, rows)
    await connection.close()
    for moved in (False, True):
        if moved:
            compress(url)
        assert query(url, f"{MOMENTS} WHERE metric_id <> 2 ORDER BY metric_id, time") == [
            row for row in before if row["metric_id"] != 2
        ]
        live = query(url, f"{MOMENTS} WHERE metric_id = 2 AND value < 200 ORDER BY time, value")
        found = [
            (as_ms(row["time"]), row["value"], as_ms(row["sent"]))
            for row in live
            if row["value"] != 2.5
        ]
        assert found == list(zip(times.tolist(), values.tolist(), sent.tolist(), strict=True))


def compress(url: str) -> None:
    """Move every day into the columnstore, where the server has one."""
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute("SELECT current_setting('timescaledb.license', true)").fetchone()
        if row == ("timescale",):
            connection.execute(
                "SELECT compress_chunk(c, recompress => true)"
                " FROM show_chunks('historian.sample') AS c"
            )


def as_ms(moment: datetime) -> int:
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


def test_upgraded_schema_is_the_same_as_a_new_one(
    historian_databases: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = normalize_url(historian_databases)
    for number, version in enumerate(EARLIER):
        apply_until(url, version, tmp_path / str(number), monkeypatch)
    migrate(url)
    upgraded = describe(url)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("DROP SCHEMA historian CASCADE")
    migrate(url)
    assert describe(url) == upgraded


def test_marks_that_early_versions_left_are_no_newer_schema(historian_databases: str) -> None:
    url = normalize_url(historian_databases)
    migrate(url)
    for module in ("migrate", "server"):  # they took the modules beside for migrations
        query(
            url,
            "INSERT INTO historian._yoyo_migration (migration_hash, migration_id)"
            " VALUES (%s, %s) RETURNING 1",
            module,
            module,
        )
    migrate(url)


def test_everything_has_a_comment(historian_databases: str) -> None:
    url = normalize_url(historian_databases)
    migrate(url)
    silent = query(
        url,
        "SELECT c.relname, a.attname FROM pg_class AS c"
        " JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum >= 0 AND NOT a.attisdropped"
        " WHERE c.relnamespace = 'historian'::regnamespace AND c.relkind IN ('r', 'p', 'v')"
        " AND NOT c.relispartition AND c.relname !~ '^(_yoyo|yoyo)'"
        # The columns of the rollup views are those of the table, as their own comment says.
        " AND c.relname !~ '^rollup_' AND col_description(c.oid, a.attnum) IS NULL",
    )
    silent += query(
        url,
        "SELECT c.relname FROM pg_class AS c WHERE c.relnamespace = 'historian'::regnamespace"
        " AND c.relkind IN ('r', 'p', 'v') AND NOT c.relispartition"
        " AND c.relname !~ '^(_yoyo|yoyo)' AND obj_description(c.oid, 'pg_class') IS NULL",
    )
    silent += query(
        url,
        "SELECT p.oid::regprocedure::text FROM pg_proc AS p"
        " WHERE p.pronamespace = 'historian'::regnamespace"
        " AND obj_description(p.oid, 'pg_proc') IS NULL",
    )
    assert silent == []


def test_migrations_have_a_number_each_and_follow_an_earlier_one() -> None:
    numbers = [int(file.name.partition(".")[0]) for file in FILES]
    assert len(set(numbers)) == len(numbers)
    for file in FILES[1:]:
        found = re.search(r"^-- depends: (\S+)$", file.read_text(), re.MULTILINE)
        assert found is not None, file.name
        assert found[1] < file.stem
        assert found[1] in {other.stem for other in FILES}
