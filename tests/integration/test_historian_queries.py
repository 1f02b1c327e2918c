"""The query functions, on samples that were put in by hand."""

from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from historian.schema.migrate import migrate, normalize_url
from tests.integration.historian_rig import query

START = datetime(2026, 11, 1, 6, 0, tzinfo=UTC)
END = START + timedelta(hours=1)


@pytest.fixture(params=["module_postgres_url", "module_timescale_url"], scope="module")
def database(request: pytest.FixtureRequest) -> str:
    """Give a database with a level, a counter and two turns of a node."""
    url: str = request.getfixturevalue(request.param)
    migrate(normalize_url(url))
    with psycopg.connect(url, autocommit=True) as connection:
        for name in ("level", "counter", "silent"):
            connection.execute(
                "INSERT INTO historian.metric (group_name, edge, device, name, datatype, uns_path)"
                " VALUES ('plant', 'line-1', 'filler', %s, 'Double', 'acme/filler/' || %s)",
                (name, name),
            )
        connection.execute("SELECT historian.ensure_day('2026-11-01')")
        connection.execute("SELECT historian.ensure_day('2026-10-31')")
        put(connection, "level", [(-60, 10.0), (15, 20.0), (45, 40.0)])
        connection.execute(
            "INSERT INTO historian.sample (time, metric_id, value, quality)"
            " VALUES (%s, historian.metric_of('filler', 'level'), 999, 0)",
            (START + timedelta(minutes=50),),
        )
        put(connection, "counter", [(-5, 90.0), (10, 95.0), (20, 3.0), (40, 8.0)])
        for minute, kind in ((-30, "node_birth"), (15, "node_death"), (30, "node_birth")):
            connection.execute(
                "INSERT INTO historian.event (time, kind, group_name, edge)"
                " VALUES (%s, %s, 'plant', 'line-1')",
                (START + timedelta(minutes=minute), kind),
            )
    return url


def put(connection: psycopg.Connection, name: str, samples: list[tuple[int, float]]) -> None:
    for minute, value in samples:
        connection.execute(
            "INSERT INTO historian.sample (time, metric_id, value)"
            " VALUES (%s, historian.metric_of('filler', %s), %s)",
            (START + timedelta(minutes=minute), name, value),
        )


def ask(database: str, function: str, name: str, *arguments: object) -> list[dict[str, Any]]:
    places = ", ".join(["%s"] * len(arguments))
    return query(
        database,
        f"SELECT * FROM historian.{function}"  # noqa: S608  # names of ours
        f"(historian.metric_of('filler', %s), {places})",
        name,
        *arguments,
    )


def test_metric_is_found_by_its_names(database: str) -> None:
    rows = query(database, "SELECT name FROM historian.metrics_like('plant/%%/filler/%%')")
    assert {row["name"] for row in rows} == {"level", "counter", "silent"}
    rows = query(database, "SELECT name FROM historian.metrics_like('acme/filler/lev%%')")
    assert [row["name"] for row in rows] == ["level"]


def test_metric_that_is_not_there_is_told(database: str) -> None:
    with pytest.raises(psycopg.errors.RaiseException, match="metric nothing: found none on device"):
        query(database, "SELECT historian.metric_of('filler', 'nothing')")


def test_last_known_value_is_the_newest_not_after(database: str) -> None:
    (row,) = ask(database, "last_known", "level", START + timedelta(minutes=44))
    assert (row["value"], row["since"]) == (20.0, START + timedelta(minutes=15))
    assert ask(database, "last_known", "silent", END) == []


def test_interpolation_follows_the_straight_line(database: str) -> None:
    rows = ask(database, "interpolated", "level", START, END, timedelta(minutes=30))
    assert [row["value"] for row in rows] == [pytest.approx(18.0), pytest.approx(30.0), 40.0]


def test_buckets_hold_values_and_leave_no_gap(database: str) -> None:
    rows = ask(database, "buckets", "level", START, END, timedelta(minutes=10))
    assert [row["bucket"] for row in rows] == [
        START + timedelta(minutes=10 * number) for number in range(6)
    ]
    assert [row["count"] for row in rows] == [0, 1, 0, 0, 1, 1]
    assert [row["max"] for row in rows] == [None, 20.0, None, None, 40.0, None]
    assert [row["last"] for row in rows[:5]] == [10.0, 20.0, 20.0, 20.0, 40.0]
    assert [row["time_weighted_avg"] for row in rows[:5]] == [10.0, 15.0, 20.0, 20.0, 30.0]
    assert [row["percent_good"] for row in rows] == [None, 100, None, None, 100, 0]


def test_buckets_of_a_silent_metric_are_there_and_empty(database: str) -> None:
    rows = ask(database, "buckets", "silent", START, END, timedelta(minutes=30))
    assert [(row["count"], row["avg"], row["last"]) for row in rows] == [(0, None, None)] * 2


def test_counter_that_begins_again_is_counted_on(database: str) -> None:
    rows = ask(database, "counter_increase", "counter", START, END, timedelta(hours=1))
    assert [(row["increase"], row["resets"]) for row in rows] == [(5 + 3 + 5, 1)]
    rows = ask(database, "counter_increase", "counter", START, END, timedelta(hours=1), 100.0)
    assert [row["increase"] for row in rows] == [5 + 8 + 5]


def test_counter_goes_on_from_its_last_good_reading(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO historian.metric (group_name, edge, device, name, datatype)"
            " VALUES ('plant', 'line-1', 'filler', 'doubtful', 'Double')"
        )
        put(connection, "doubtful", [(-10, 1000.0), (10, 1003.0)])
        connection.execute(
            "INSERT INTO historian.sample (time, metric_id, value, quality)"
            " VALUES (%s, historian.metric_of('filler', 'doubtful'), 0, 0)",
            (START - timedelta(minutes=5),),
        )
    rows = ask(database, "counter_increase", "doubtful", START, END, timedelta(hours=1))
    assert [(row["increase"], row["resets"]) for row in rows] == [(3, 0)]


def test_metrics_below_a_uns_path_are_found_and_no_others(database: str) -> None:
    rows = query(database, "SELECT name FROM historian.metrics_under('acme/filler')")
    assert {row["name"] for row in rows} == {"level", "counter", "silent"}
    rows = query(database, "SELECT name FROM historian.metrics_under('acme/filler/level')")
    assert [row["name"] for row in rows] == ["level"]
    assert query(database, "SELECT name FROM historian.metrics_under('acme/fill')") == []
    assert query(database, "SELECT name FROM historian.metrics_under('acme/_iller')") == []


def test_envelope_keeps_extremes_within_its_budget(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO historian.metric (group_name, edge, device, name, datatype)"
            " VALUES ('plant', 'line-1', 'filler', 'wave', 'Double')"
        )
        connection.execute(
            "INSERT INTO historian.sample (time, metric_id, value)"
            " SELECT %s + n * interval '100 ms', historian.metric_of('filler', 'wave'),"
            " CASE WHEN n = 7777 THEN 1000 ELSE sin(n / 100.0) END"
            " FROM generate_series(0, 35999) AS n",
            (START,),
        )
    rows = ask(database, "envelope", "wave", START, END, 400)
    assert len(rows) <= 400
    values = [row["value"] for row in rows]
    assert max(values) == 1000
    assert min(values) == pytest.approx(-1, abs=1e-4)
    assert rows[0]["at"] == START
    assert rows[-1]["at"] == START + timedelta(seconds=3599.9)
    assert [row["at"] for row in rows] == sorted(row["at"] for row in rows)


def test_online_percentage_counts_from_birth_to_death(database: str) -> None:
    statement = "SELECT historian.online_percentage('plant', 'line-1', %s, %s) AS percent"
    (row,) = query(database, statement, START, END)
    assert row["percent"] == pytest.approx(75.0)
    (row,) = query(
        database, statement, START + timedelta(minutes=15), START + timedelta(minutes=30)
    )
    assert row["percent"] == pytest.approx(0.0)


def test_plan_of_one_day_reads_one_day_by_index(database: str) -> None:
    rows = query(
        database,
        "EXPLAIN SELECT value FROM historian.samples WHERE device = 'filler' AND metric = 'level'"
        " AND time >= '2026-11-01 06:00Z' AND time < '2026-11-01 07:00Z'",
    )
    plan = "\n".join(row["QUERY PLAN"] for row in rows)
    assert "Seq Scan on sample" not in plan
    assert "20261031" not in plan
    # One index of one day, or that day in the columnstore, where a policy has moved it meanwhile.
    read = ("metric_id_time_idx", "sample_by_metric", "(ColumnarScan)")
    assert sum(map(plan.count, read)) == 1


def test_trend_is_the_same_from_samples_and_from_rollups(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO historian.metric (group_name, edge, device, name, datatype)"
            " VALUES ('plant', 'line-1', 'filler', 'trend', 'Double')"
        )
        connection.execute(
            "INSERT INTO historian.sample (time, metric_id, value)"
            " SELECT %s + n * interval '10 s', historian.metric_of('filler', 'trend'), n %% 17"
            " FROM generate_series(0, 6 * 360 - 1) AS n",
            (START,),
        )
    end = START + timedelta(hours=6)
    columns = ("bucket", "min", "max", "count")
    before = ask(database, "trend", "trend", START, end, 12)
    assert len(before) == 12
    assert [row["count"] for row in before] == [180] * 12
    query(
        database,
        "SELECT historian.refresh_rollup(interval '15 minutes',"
        " ARRAY[historian.metric_of('filler', 'trend')], ARRAY[%s], ARRAY[%s])",
        START,
        START + timedelta(hours=5),
    )
    after = ask(database, "trend", "trend", START, end, 12)
    assert [[row[name] for name in columns] for row in after] == [
        [row[name] for name in columns] for row in before
    ]
    assert [row["avg"] for row in after] == pytest.approx([row["avg"] for row in before])
