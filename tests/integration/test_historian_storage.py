"""What is done with stored samples: retention, report, export, import."""

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from click.testing import CliRunner

from historian.__main__ import historian
from historian.report import read_report
from historian.schema.migrate import migrate, normalize_url
from historian.statements import CHECK_SETUP, INSERT_MISSING
from tests.integration.historian_rig import query

TODAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
KEPT_DAYS = 20


@pytest.fixture
def database(historian_databases: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Give twenty days of two metrics, ten samples a day each."""
    url = historian_databases
    migrate(normalize_url(url))
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO historian.metric (group_name, edge, device, name, datatype)"
            " VALUES ('plant', 'line', 'filler', 'level', 'Double'),"
            " ('plant', 'line', 'filler', 'debug/trace', 'String')"
        )
        for day in range(KEPT_DAYS):
            at = TODAY - timedelta(days=day)
            connection.execute("SELECT historian.ensure_day(%s)", (at.date(),))
            connection.execute(
                "INSERT INTO historian.sample (time, metric_id, value, text)"
                " SELECT %s + n * interval '1 min', m.metric_id,"
                " CASE m.datatype WHEN 'Double' THEN n + 0.1 END,"
                " CASE m.datatype WHEN 'String' THEN 'a, \"b\"' || n END"
                " FROM historian.metric AS m, generate_series(1, 10) AS n",
                (at,),
            )
    monkeypatch.setenv("NEXUS_DATABASE_URL", url)
    return url


def counts(url: str) -> dict[str, int]:
    rows = query(url, "SELECT metric, count(*) AS n FROM historian.samples GROUP BY metric")
    return {row["metric"]: row["n"] for row in rows}


def test_without_rules_everything_is_kept(database: str) -> None:
    (row,) = query(database, "SELECT * FROM historian.apply_retention()")
    assert row == {"days_dropped": 0, "samples_deleted": 0}
    assert counts(database) == {"level": 200, "debug/trace": 200}


def test_most_particular_rule_counts_and_old_days_go_at_once(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO historian.retention (pattern, keep)"
            " VALUES ('plant/%', interval '10 days'), ('%/debug/%', interval '2 days')"
        )
        connection.execute(
            "UPDATE historian.retention SET priority = 1 WHERE pattern LIKE '%debug%'"
        )
    (row,) = query(database, "SELECT * FROM historian.apply_retention()")
    assert row["days_dropped"] >= 9
    left = counts(database)
    assert 100 <= left["level"] <= 110
    assert 20 <= left["debug/trace"] <= 30
    (again,) = query(database, "SELECT * FROM historian.apply_retention()")
    assert again["days_dropped"] == 0


def test_metric_without_rule_keeps_its_days(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO historian.retention (pattern, keep) VALUES ('%/debug/%', '2 days')"
        )
    (row,) = query(database, "SELECT * FROM historian.apply_retention()")
    assert row["days_dropped"] == 0
    assert counts(database)["level"] == 200
    assert counts(database)["debug/trace"] <= 30


def test_report_counts_samples_and_bytes(database: str) -> None:
    run = CliRunner().invoke(historian, ["report", "--json", "--limit", "1"])
    assert run.exit_code == 0, run.output
    report = json.loads(run.stdout.splitlines()[-1])
    assert report["points"] == 400
    assert report["bytes"] > 8192
    assert report["bytes_per_point"] == pytest.approx(report["bytes"] / 400)
    assert [metric["points"] for metric in report["metrics"]] == [200]
    spoken = CliRunner().invoke(historian, ["report"])
    assert "plant/line/filler/level" in spoken.stdout


def compress(url: str) -> int:
    """Move every day into the columnstore, where the server has one.

    Returns:
        How many samples are there.
    """
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute("SELECT current_setting('timescaledb.license', true)").fetchone()
        if row != ("timescale",):
            return 0
        connection.execute("SELECT compress_chunk(c) FROM show_chunks('historian.sample') AS c")
        (count,) = connection.execute("SELECT count(*) FROM historian.sample").fetchone() or (0,)
        return int(count)


def test_report_shares_all_bytes_out_among_the_metrics(database: str) -> None:
    moved = compress(database)
    with psycopg.connect(database, autocommit=True) as connection:
        # Rows beside the batches of the same day, and one metric that takes more than the other.
        connection.execute(
            "INSERT INTO historian.sample (time, metric_id, text)"
            " SELECT %s + n * interval '1 second', 2, (SELECT string_agg(md5((n * m)::text), '')"
            " FROM generate_series(1, 20) AS m) FROM generate_series(1, 300) AS n",
            (TODAY,),
        )
    report = read_report(normalize_url(database), 10, most_bytes=None)
    assert (report.points, report.moved_points, report.estimated) == (700, moved, False)
    trace, level = report.metrics
    assert (trace.metric, trace.points) == ("plant/line/filler/debug/trace", 500)
    assert (level.metric, level.points) == ("plant/line/filler/level", 200)
    assert trace.bytes > 300 * 600
    assert trace.bytes > level.bytes
    with psycopg.connect(database) as connection:
        (empty,) = connection.execute(
            "SELECT coalesce(sum(pg_total_relation_size(inhrelid)), 0)"
            " + pg_total_relation_size('historian.sample') FROM pg_inherits"
            " WHERE inhparent = 'historian.sample'::regclass AND pg_relation_size(inhrelid) = 0"
        ).fetchone() or (0,)
    assert report.bytes == pytest.approx(trace.bytes + level.bytes + int(empty), abs=4)
    assert report.oldest is not None
    assert datetime.fromisoformat(report.oldest) == TODAY - timedelta(
        days=KEPT_DAYS - 1, minutes=-1
    )


def test_report_of_much_that_is_in_no_columnstore_reads_a_part_and_says_so(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO historian.sample (time, metric_id, value)"
            " SELECT %s + n * interval '100 ms', 1, n FROM generate_series(1, 200000) AS n",
            (TODAY,),
        )
    report = read_report(normalize_url(database), 10, most_bytes=2**21)
    assert report.estimated
    assert 100_000 < report.points < 400_000
    assert report.metrics[0].metric == "plant/line/filler/level"
    exact = CliRunner().invoke(historian, ["report", "--json", "--exact"])
    told = json.loads(exact.stdout.splitlines()[-1])
    assert (told["points"], told["estimated"]) == (200_400, False)
    assert told["metrics"][0]["points"] == 200_200


def test_what_is_exported_can_be_imported_elsewhere_and_again(
    database: str, postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "samples.csv"
    low = (TODAY - timedelta(days=4)).date().isoformat()
    run = CliRunner().invoke(
        historian, ["export", str(file), "--like", "plant/line/filler/%", "--from", low]
    )
    assert run.exit_code == 0, run.output
    lines = file.read_text().splitlines()
    assert lines[0].startswith("time,group_name,edge,device,metric,datatype,value")
    assert len(lines) == 101
    other = postgres_url
    if other == database:
        with psycopg.connect(database, autocommit=True) as connection:
            connection.execute("DELETE FROM historian.sample")
    else:
        migrate(normalize_url(other))
    monkeypatch.setenv("NEXUS_DATABASE_URL", other)
    for expected in ("100 samples read, 100 of them new", "100 samples read, 0 of them new"):
        run = CliRunner().invoke(historian, ["import", str(file)])
        assert run.exit_code == 0, run.output
        assert expected in run.stderr
    assert counts(other) == {"level": 50, "debug/trace": 50}
    texts = query(other, "SELECT DISTINCT text FROM historian.samples WHERE text LIKE '%%\"b\"1'")
    assert texts == [{"text": 'a, "b"1'}]


def test_file_that_is_no_export_is_refused(database: str, tmp_path: Path) -> None:
    file = tmp_path / "other.csv"
    file.write_text("a,b\n1,2\n")
    run = CliRunner().invoke(historian, ["import", str(file)])
    assert run.exit_code == 1
    assert "historian: import: " in run.stderr
    assert counts(database)["level"] == 200


def test_database_without_history_is_told(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEXUS_DATABASE_URL", postgres_url)
    run = CliRunner().invoke(historian, ["report"])
    assert run.exit_code == 1
    assert "found no tables of the historian" in run.stderr


def test_what_may_be_there_is_looked_up_by_index_compressed_or_not(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        row = connection.execute("SELECT current_setting('timescaledb.license', true)").fetchone()
        if row == ("timescale",):
            connection.execute("SELECT compress_chunk(c) FROM show_chunks('historian.sample') AS c")
        for statement in CHECK_SETUP:
            connection.execute(statement.encode())
        with connection.transaction():
            connection.execute("INSERT INTO arriving SELECT * FROM historian.sample LIMIT 100")
            connection.execute(
                "INSERT INTO arriving (time, metric_id, value)"
                " SELECT time, metric_id, -1 FROM arriving LIMIT 10"
            )
            plan = connection.execute(f"EXPLAIN {INSERT_MISSING}".encode()).fetchall()
            inserted = connection.execute(INSERT_MISSING.encode()).rowcount
    text = "\n".join(line for (line,) in plan)
    assert set(re.findall(r"Seq Scan on (\w+)", text)) <= {"arriving", "arriving_historical"}
    assert "Index Cond: ((metric_id = span.metric_id) AND (" in text
    assert inserted == 10
