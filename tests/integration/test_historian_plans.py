"""What a question costs depends on the time it asks about: on many days, which of them are opened.

A backend holds a lock on every day that a plan of the transaction names, read or not.
"""

from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from historian.schema.migrate import migrate, normalize_url

FIRST_DAY = datetime(2026, 9, 1, tzinfo=UTC)
DAYS = 60
ASKED = "'2026-10-10 06:00Z', '2026-10-10 07:00Z'"
THIS_DAY = "2026-10-10"
NEIGHBOURS = {"2026-10-09", THIS_DAY, "2026-10-11"}
METRICS, EACH = 40, 48


@pytest.fixture(params=["module_postgres_url", "module_timescale_url"], scope="module")
def database(request: pytest.FixtureRequest) -> str:
    """Give sixty days of a sample every half hour of each metric; where there is one, older days
    are in the columnstore. Metric 40 is silent after the first day, 41 always."""
    url: str = normalize_url(request.getfixturevalue(request.param))
    server = migrate(url)
    with psycopg.connect(url, autocommit=True) as connection:
        for number in range(DAYS):
            connection.execute(
                "SELECT historian.ensure_day(%s)", ((FIRST_DAY + timedelta(days=number)).date(),)
            )
        connection.execute(
            "INSERT INTO historian.metric (group_name, edge, device, name, datatype)"
            " SELECT 'plant', 'line', 'filler', 'tag-' || n, 'Double'"
            " FROM generate_series(1, 41) AS n"
        )
        connection.execute(
            "INSERT INTO historian.sample (time, metric_id, value)"
            " SELECT %s::timestamptz + d * interval '1 day' + s * interval '30 min', m, s"
            " FROM generate_series(0, %s) AS d, generate_series(1, %s) AS m,"
            " generate_series(0, %s) AS s WHERE m < 40 OR d = 0",
            (FIRST_DAY, DAYS - 1, METRICS, EACH - 1),
        )
        if server.edition == "timescaledb":
            connection.execute(
                "SELECT compress_chunk(c) FROM show_chunks('historian.sample',"
                " older_than => '2026-10-20'::timestamptz) AS c"
            )
        connection.execute("ANALYZE historian.sample")
    return url


def find_days(connection: psycopg.Connection) -> set[str]:
    """The days that the plans of this transaction named."""
    rows = connection.execute(
        """
        SELECT coalesce(
            to_date(substring(c.relname FROM '^sample_(\\d{8})$'), 'YYYYMMDD'),
            (substring(pg_get_constraintdef(k.oid) FROM '''([^'']+)''')::timestamptz
                AT TIME ZONE 'UTC')::date
        )::text
        FROM pg_locks AS l JOIN pg_class AS c ON c.oid = l.relation
        LEFT JOIN pg_constraint AS k ON k.conrelid = c.oid AND k.contype = 'c'
            AND c.relname ~ '^_hyper_\\d+_\\d+_chunk$'
        WHERE l.pid = pg_backend_pid() AND l.locktype = 'relation'
            AND (c.relname ~ '^sample_\\d{8}$' OR k.oid IS NOT NULL)
        """
    ).fetchall()
    return {row[0] for row in rows}


@pytest.mark.parametrize(
    "call",
    [
        f"aggregates(1, {ASKED}, '10 min')",
        f"buckets(1, {ASKED}, '10 min')",
        "buckets_of('{1,2}', '{2026-10-10,2026-10-10 06:00}', '{2026-10-11,2026-10-11}', '1h')",
        f"filled(1, {ASKED}, '10 min', 'time_weighted_avg', 'linear')",
        f"counter_increase(1, {ASKED}, '10 min')",
        f"cyclic(1, {ASKED}, '10 min')",
        f"interpolated(1, {ASKED}, '10 min')",
        f"changes(1, {ASKED})",
        f"slopes(1, {ASKED})",
        f"spells(1, {ASKED})",
        f"value_state(1, {ASKED})",
        "round_trip(1, '2026-10-10 06:00Z', '2026-10-10 07:00Z')",
        f"best_fit(1, {ASKED})",
        f"envelope(1, {ASKED})",
        f"trend(1, {ASKED}, 100)",
        "last_known(1, '2026-10-10 06:00Z')",
        "last_sample(1, '2026-10-10 06:00Z')",
        "last_good(1, '2026-10-10 06:00Z')",
        "next_good(1, '2026-10-10 06:00Z')",
    ],
)
def test_question_about_an_hour_opens_its_day_and_those_beside_it(database: str, call: str) -> None:
    with psycopg.connect(database) as connection:
        rows = []
        # More often than a plan is made anew by itself.
        for _ in range(7):
            rows = connection.execute(
                f"SELECT * FROM historian.{call}".encode()  # noqa: S608  # calls of ours
            ).fetchall()
        assert rows or call.startswith("round_trip")
        assert {THIS_DAY} <= find_days(connection) <= NEIGHBOURS


def test_times_that_are_worked_out_exclude_days_as_well(database: str) -> None:
    with psycopg.connect(database) as connection:
        connection.execute(
            "SELECT * FROM historian.aggregates(historian.metric_of('filler', 'tag-1'),"
            " now() - interval '1 hour', now(), '10 min')"
        )
        # Nothing is that new: what held before is looked for backwards, by steps.
        assert len(find_days(connection)) <= 32


def test_picture_of_many_metrics_opens_no_day_before_them(database: str) -> None:
    with psycopg.connect(database) as connection:
        rows = connection.execute(
            b"SELECT m.name, b.at, b.value"
            b" FROM historian.metrics_like('plant/line/filler/tag-1%') AS m"
            b" CROSS JOIN LATERAL historian.best_fit("
            b"m.metric_id, '2026-10-10 06:00Z', '2026-10-10 07:00Z') AS b"
        ).fetchall()
        assert len(rows) == 11 * 2
        assert find_days(connection) == {THIS_DAY}


def test_value_is_found_however_long_it_holds_already(database: str) -> None:
    with psycopg.connect(database) as connection:
        found = connection.execute(
            "SELECT since, value FROM historian.last_known(40, '2026-10-29 12:00Z')"
        ).fetchone()
        assert found == (FIRST_DAY + timedelta(hours=23, minutes=30), 47)
        found = connection.execute(
            "SELECT since, value FROM historian.last_good(40, 'infinity')"
        ).fetchone()
        assert found == (FIRST_DAY + timedelta(hours=23, minutes=30), 47)
        rows = connection.execute("SELECT * FROM historian.last_known(41, now())").fetchall()
        assert rows == []
        rows = connection.execute("SELECT * FROM historian.next_good(40, now())").fetchall()
        assert rows == []


@pytest.mark.parametrize(
    "figures", ["bucket_figures(1, {0}, '10 min', {0})", "pixel_columns(1, {0}, '10 min')"]
)
def test_plan_of_an_hour_walks_an_index(database: str, figures: str) -> None:
    hour = "'2026-10-25 06:00Z', '2026-10-25 07:00Z'"
    asked = f"EXPLAIN SELECT * FROM historian.{figures.format(hour)}"  # noqa: S608  # ours
    with psycopg.connect(database) as connection:
        plan = "\n".join(row[0] for row in connection.execute(asked.encode()).fetchall())
    assert "Seq Scan" not in plan, plan
    assert "Index" in plan
