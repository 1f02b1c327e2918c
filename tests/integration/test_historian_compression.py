"""When days are moved into the columnstore: by rules, day by day, and on Community alone."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from historian.report import read_report
from historian.schema.migrate import migrate, normalize_url
from tests.integration.historian_rig import query
from tests.integration.test_historian_upgrade import apply_until

TODAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
DAYS = 8
ALL = "SELECT time, metric_id, value, text FROM historian.sample ORDER BY 1, 2"
ROWS = "SELECT s::text FROM historian.sample AS s ORDER BY time, metric_id"


@pytest.fixture
def database(historian_databases: str) -> str:
    """Give eight days of two metrics of two tenants, which are Sparkplug groups."""
    url = normalize_url(historian_databases)
    migrate(url)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO historian.metric (group_name, edge, device, name, datatype)"
            " VALUES ('north', 'line', 'filler', 'level', 'Double'),"
            " ('south', 'line', 'filler', 'level', 'Double')"
        )
        for day in range(DAYS):
            at = TODAY - timedelta(days=day)
            connection.execute("SELECT historian.ensure_day(%s)", (at.date(),))
            connection.execute(
                "INSERT INTO historian.sample (time, metric_id, value)"
                " SELECT %s + n * interval '1 min', m, n + 0.1"
                " FROM generate_series(1, 2) AS m, generate_series(1, 20) AS n",
                (at,),
            )
    return url


def has_columnstore(url: str) -> bool:
    (row,) = query(url, "SELECT current_setting('timescaledb.license', true) AS license")
    return bool(row["license"] == "timescale")


def move(url: str, setup: str = "") -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(setup.encode())
        connection.execute("CALL historian.move_days()")


def rule(url: str, pattern: str, wait: str, priority: int = 0) -> None:
    query(
        url,
        "INSERT INTO historian.compression VALUES (%s, %s, %s) RETURNING 1",
        pattern,
        wait,
        priority,
    )


def moved(url: str) -> list[int]:
    """Which days are in the columnstore, whole and in order, as how many days ago they began."""
    if not has_columnstore(url):
        return []
    rows = query(
        url,
        "SELECT range_start::date AS day FROM timescaledb_information.chunks"
        " WHERE hypertable_name = 'sample' AND _timescaledb_functions.chunk_status("
        " format('%%I.%%I', chunk_schema, chunk_name)::regclass) = 1",
    )
    return sorted((TODAY.date() - row["day"]).days for row in rows)


def expect(url: str, *days: int) -> None:
    assert moved(url) == (list(days) if has_columnstore(url) else [])


def test_days_are_moved_a_day_after_they_are_over(database: str) -> None:
    before = query(database, ALL)
    move(database)
    expect(database, 2, 3, 4, 5, 6, 7)
    assert query(database, ALL) == before
    report = read_report(database, 0)
    assert report.moved_points == (6 * 40 if has_columnstore(database) else 0)


def test_tenant_that_waits_longer_holds_the_days_that_have_samples_of_it(database: str) -> None:
    rule(database, "south/%", "4 days")
    query(
        database,
        "DELETE FROM historian.sample WHERE metric_id = 2 AND time >= %s AND time < %s RETURNING 1",
        TODAY - timedelta(days=3),
        TODAY - timedelta(days=2),
    )
    before = query(database, ALL)
    move(database)
    expect(database, 3, 5, 6, 7)
    assert query(database, ALL) == before


def test_most_particular_rule_counts_and_one_for_all_is_the_default(database: str) -> None:
    rule(database, "%", "0")
    rule(database, "south/%", "6 days")
    rule(database, "%/level", "3 days", priority=1)
    assert query(database, "SELECT * FROM historian.metric_compression ORDER BY metric_id") == [
        {"metric_id": metric, "pattern": "%/level", "move_after": timedelta(days=3)}
        for metric in (1, 2)
    ]
    move(database)
    expect(database, 4, 5, 6, 7)
    query(database, "DELETE FROM historian.compression WHERE priority = 1 RETURNING 1")
    move(database)
    expect(database, 4, 5, 6, 7)
    query(database, "DELETE FROM historian.compression WHERE pattern <> '%%' RETURNING 1")
    move(database)
    expect(database, 1, 2, 3, 4, 5, 6, 7)  # today is not over


def test_day_that_gets_late_samples_is_moved_again(database: str) -> None:
    move(database)
    query(
        database,
        "INSERT INTO historian.sample (time, metric_id, value, delay)"
        " VALUES (%s, 2, 'NaN', 5) RETURNING 1",
        TODAY - timedelta(days=4, minutes=-3),
    )
    before = query(database, ROWS)
    expect(database, 2, 3, 5, 6, 7)
    move(database)
    expect(database, 2, 3, 4, 5, 6, 7)
    assert query(database, ROWS) == before


def test_day_that_cannot_be_moved_now_does_not_hold_up_the_others(database: str) -> None:
    if not has_columnstore(database):
        move(database)
        return
    with psycopg.connect(database) as blocker:
        blocker.execute(
            "DELETE FROM historian.sample WHERE time < %s", (TODAY - timedelta(days=DAYS - 2),)
        )
        move(database, "SET lock_timeout = '300ms'")
        expect(database, 2, 3, 4, 5, 6)
        blocker.rollback()
    move(database)
    expect(database, 2, 3, 4, 5, 6, 7)


def test_job_moves_days(database: str) -> None:
    if not has_columnstore(database):
        return
    (job,) = query(
        database,
        "SELECT job_id, scheduled, schedule_interval FROM timescaledb_information.jobs"
        " WHERE proc_name = 'move_days'",
    )
    assert job["scheduled"]
    assert job["schedule_interval"] == timedelta(hours=1)
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(f"CALL run_job({job['job_id']})".encode())
    expect(database, 2, 3, 4, 5, 6, 7)


@pytest.mark.parametrize("wait", ["7 days", None])
def test_wait_that_was_set_before_there_were_rules_goes_on(
    historian_databases: str, wait: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = normalize_url(historian_databases)
    apply_until(url, "0013.delay", tmp_path / "earlier", monkeypatch)
    if has_columnstore(url):
        query(url, "SELECT remove_compression_policy('historian.sample')")
        if wait is not None:
            query(url, "SELECT add_compression_policy('historian.sample', %s::interval)", wait)
    migrate(url)
    rules = query(url, "SELECT pattern, move_after FROM historian.compression")
    if not has_columnstore(url):
        assert rules == []
        return
    expected = [] if wait is None else [{"pattern": "%", "move_after": timedelta(days=7)}]
    assert rules == expected
    jobs = query(
        url,
        "SELECT proc_name, scheduled FROM timescaledb_information.jobs"
        " WHERE proc_name IN ('move_days', 'policy_compression')",
    )
    assert jobs == [{"proc_name": "move_days", "scheduled": wait is not None}]
