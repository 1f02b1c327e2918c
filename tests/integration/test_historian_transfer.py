"""Export and import: every value comes back exactly, through CSV and Parquet, in bounded memory."""

import json
import os
import sys
import tracemalloc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from historian import descriptions
from historian.__main__ import historian
from historian.exact import to_columns
from historian.plain import HEADER, TRAILER
from historian.rows import FULL_COLUMNS, pack_full
from historian.schema.migrate import migrate, normalize_url
from proto.sparkplug.datatypes import DataType
from proto.sparkplug.metrics import DataSet, Value
from tests.integration.historian_rig import query

AT_MS = 1_793_512_800_123  # 2026-11-01
VALUES: dict[str, list[Value]] = {
    "Int8": [-128, 127],
    "UInt32": [0, 2**32 - 1],
    "Int64": [-(2**63), -(2**53) - 1, 2**53],
    "UInt64": [2**64 - 1],
    "Float": [1.5, -0.0],
    "Double": [0.1, 5e-324, 1.797e308, float("nan"), float("inf"), float("-inf"), None],
    "Boolean": [True, False, None],
    "String": ["", 'a,"b"\n\r\t\\N', "\\N", "NULL", "ж\u2028", "a\x00b", None],
    "DateTime": [AT_MS],
    "Bytes": [b"", b"\x00\xff\\", None],
    "DataSet": [DataSet(("a",), (DataType.DOUBLE,), ((float("nan"),), (0.1,)))],
    "Int32Array": [[1, -2], []],
}
ALL = (
    "SELECT m.group_name, m.edge, m.device, m.name, m.datatype, s.time, s.value::text AS value,"
    " s.text, s.json::text AS json, s.bytes, s.quality, s.delay, s.sent, s.historical"
    " FROM historian.sample AS s JOIN historian.metric AS m USING (metric_id)"
    " ORDER BY 1, 2, 3, 4, 5, 6"
)


@pytest.fixture
def database(historian_databases: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Give every kind of value, of a device and of the node itself, some historical and bad."""
    url = historian_databases
    migrate(normalize_url(url))
    monkeypatch.setenv("NEXUS_DATABASE_URL", url)
    query(url, "SELECT historian.ensure_day('2026-11-01')")
    with psycopg.connect(url, autocommit=True) as connection, connection.cursor() as cursor:
        rows = []
        for number, (datatype, values) in enumerate(VALUES.items(), 1):
            device = "filler" if number % 2 else None
            cursor.execute(
                "INSERT INTO historian.metric (group_name, edge, device, name, datatype)"
                " VALUES ('plant', 'line', %s, 'm ' || %s, %s)",
                (device, datatype, datatype),
            )
            rows += [
                pack_full(
                    number,
                    AT_MS + offset,
                    AT_MS + offset + 7 * (offset % 2),
                    quality=192 if offset % 3 else 500,
                    historical=offset % 2 == 1,
                    columns=to_columns(value),
                )
                for offset, value in enumerate(values)
            ]
        statement = f"COPY historian.sample ({', '.join(FULL_COLUMNS)}) FROM STDIN (FORMAT binary)"
        with cursor.copy(statement.encode()) as copy:
            copy.write(b"".join([HEADER, *rows, TRAILER]))
    return url


def run(*arguments: str) -> str:
    done = CliRunner().invoke(historian, arguments)
    assert done.exit_code == 0, done.output
    return done.stderr


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_every_value_comes_back_exactly(database: str, kind: str, tmp_path: Path) -> None:
    before = query(database, ALL)
    total = sum(map(len, VALUES.values()))
    assert len(before) == total
    file = tmp_path / f"samples.{kind}"
    assert f"{total} samples in" in run("export", str(file))
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("DELETE FROM historian.sample")
        connection.execute("DELETE FROM historian.metric")
    assert f"{total} samples read, {total} of them new" in run("import", str(file))
    assert query(database, ALL) == before
    assert f"{total} samples read, 0 of them new" in run("import", str(file))


DESCRIBED = (
    "SELECT name, datatype, device, unit, low::text AS low, high::text AS high, description,"
    " writable, uns_path, properties::text AS properties, superseded FROM historian.metric"
    " ORDER BY 1, 2"
)


@pytest.fixture
def described(database: str) -> str:
    """Give metrics of which everything, something and nothing is known."""
    query(
        database,
        "UPDATE historian.metric SET unit = 'm³/h, \"dry\"', low = 0.1, high = 'Infinity',"
        " description = E'two\nlines, Ж', writable = false, uns_path = 'acme/line/flow',"
        ' properties = \'{"a": [1, null, "x"], "b": {"c": 1e-7}}\', superseded = true'
        " WHERE name = 'm Double' RETURNING 1",
    )
    query(
        database,
        "UPDATE historian.metric SET unit = 'bar', description = '' WHERE name = 'm Float'"
        " RETURNING 1",
    )
    return database


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_what_the_metrics_are_comes_back(described: str, kind: str, tmp_path: Path) -> None:
    before = query(described, DESCRIBED)
    file = tmp_path / f"samples.{kind}"
    run("export", str(file))
    assert (tmp_path / "samples.metrics.csv").exists() == (kind == "csv")
    with psycopg.connect(described, autocommit=True) as connection:
        connection.execute("DELETE FROM historian.sample")
        connection.execute("DELETE FROM historian.metric")
    run("import", str(file))
    assert query(described, DESCRIBED) == before


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_import_fills_in_what_is_not_known_and_changes_nothing_else(
    described: str, kind: str, tmp_path: Path
) -> None:
    before = {row["name"]: row for row in query(described, DESCRIBED)}
    file = tmp_path / f"samples.{kind}"
    run("export", str(file), "--like", "%/m Double")
    query(
        described,
        "UPDATE historian.metric SET unit = 'l/h', description = NULL, low = NULL,"
        " superseded = false, last_described = '2026-01-01' RETURNING 1",
    )
    run("import", str(file))
    after = {row["name"]: row for row in query(described, DESCRIBED)}
    # A birth has said the unit and that it is the newest: a file does not know better.
    assert after["m Double"] == before["m Double"] | {"unit": "l/h", "superseded": False}
    assert after["m Float"]["description"] is None


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("a,b\n1,2\n", "the first line of the metrics is 'a,b'"),
        (
            f"{','.join(descriptions.COLUMNS)}\nplant,line,,m Double,Double,,high,,,,,,\n",
            'invalid input syntax for type double precision: "high"',
        ),
    ],
)
def test_metrics_that_are_none_of_an_export_are_refused_with_everything(
    described: str, tmp_path: Path, content: str, said: str
) -> None:
    file = tmp_path / "samples.csv"
    run("export", str(file))
    (tmp_path / "samples.metrics.csv").write_text(content)
    query(described, "DELETE FROM historian.sample RETURNING 1")
    done = CliRunner().invoke(historian, ["import", str(file)])
    assert done.exit_code == 1
    assert said in done.stderr
    assert query(described, "SELECT 1 FROM historian.sample") == []


def test_export_into_a_pipe_writes_nothing_beside_it(described: str, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with ThreadPoolExecutor(1) as other:
        content = other.submit(pipe.read_bytes)
        run("export", str(pipe))
        assert content.result(30).startswith(b"time,group_name,")
    assert [entry.name for entry in tmp_path.iterdir()] == ["pipe"]


def test_file_without_its_metrics_is_imported_as_it_is(described: str, tmp_path: Path) -> None:
    file = tmp_path / "samples.csv"
    run("export", str(file))
    (tmp_path / "samples.metrics.csv").unlink()
    with psycopg.connect(described, autocommit=True) as connection:
        connection.execute("DELETE FROM historian.sample")
        connection.execute("DELETE FROM historian.metric")
    run("import", str(file))
    assert query(described, "SELECT 1 FROM historian.metric WHERE unit IS NOT NULL") == []


def test_parquet_tells_other_readers_what_the_metrics_are(described: str, tmp_path: Path) -> None:
    file = tmp_path / "samples.parquet"
    run("export", str(file), "--like", "%/m Double")
    (metric,) = json.loads(pq.read_schema(file).metadata[b"nexus.metrics"])
    assert (metric["metric"], metric["unit"], metric["low"]) == ("m Double", 'm³/h, "dry"', 0.1)


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_moment_of_publishing_comes_back_even_with_fractions_of_milliseconds(
    database: str, kind: str, tmp_path: Path
) -> None:
    query(
        database,
        "UPDATE historian.sample SET sent = time + interval '1.5 ms', delay = NULL"
        " WHERE metric_id = 1 RETURNING 1",
    )
    query(
        database,
        "UPDATE historian.sample SET sent = time - interval '40 days', delay = NULL"
        " WHERE metric_id = 2 RETURNING 1",
    )
    moments = "SELECT metric, time, sent FROM historian.samples ORDER BY 1, 2"
    before = query(database, moments)
    file = tmp_path / f"samples.{kind}"
    run("export", str(file))
    query(database, "DELETE FROM historian.sample RETURNING 1")
    run("import", str(file))
    assert query(database, moments) == before
    assert query(database, "SELECT DISTINCT delay FROM historian.sample WHERE metric_id = 2") == [
        {"delay": -40 * 86_400_000}
    ]


def test_parquet_is_typed_for_those_who_read_it_elsewhere(database: str, tmp_path: Path) -> None:
    file = tmp_path / "samples.parquet"
    run("export", str(file), "--like", "plant/line/filler/%")
    table = pq.read_table(file)
    assert str(table.schema.field("time").type) == "timestamp[us, tz=UTC]"
    assert str(table.schema.field("value").type) == "double"
    assert set(table.column("device").to_pylist()) == {"filler"}


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("other.parquet", b"PAR2", "is no Parquet file"),
        ("other.csv", b"a,b\n1,2\n", "expected an export's"),
    ],
)
def test_other_files_are_refused(
    database: str, tmp_path: Path, name: str, content: bytes, said: str
) -> None:
    file = tmp_path / name
    file.write_bytes(content)
    done = CliRunner().invoke(historian, ["import", str(file)])
    assert done.exit_code == 1
    assert said in done.stderr


def test_parquet_of_something_else_is_refused(database: str, tmp_path: Path) -> None:
    file = tmp_path / "else.parquet"
    pq.write_table(pa.table({"a": [1]}), file)
    done = CliRunner().invoke(historian, ["import", str(file)])
    assert done.exit_code == 1
    assert "import: the columns are a, expected an export's" in done.stderr


def test_missing_pyarrow_is_told_with_its_remedy(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "historian.parquet", raising=False)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    done = CliRunner().invoke(historian, ["export", str(tmp_path / "a.parquet")])
    assert done.exit_code == 2
    assert "pip install 'nexus-edge[parquet]'" in done.stderr


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_memory_does_not_grow_with_the_export(
    postgres_url: str, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    migrate(normalize_url(postgres_url))
    monkeypatch.setenv("NEXUS_DATABASE_URL", postgres_url)
    query(postgres_url, "SELECT historian.ensure_day('2026-11-01')")
    query(
        postgres_url,
        "INSERT INTO historian.metric (group_name, edge, name, datatype)"
        " VALUES ('plant', 'line', 'm', 'String') RETURNING 1",
    )
    rows = 20_000
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO historian.sample (time, metric_id, text)"
            " SELECT '2026-11-01'::timestamptz + n * interval '1 ms', 1, repeat(n::text, 20)"
            " FROM generate_series(1, %s::integer) AS n",
            (rows,),
        )
    file = tmp_path / f"many.{kind}"
    for command in (("export", str(file)), ("import", str(file))):
        assert measure(lambda command=command: run(*command)) < 8 * 2**20  # type: ignore[misc]


def measure(work: Callable[[], Any]) -> int:
    """Give how many bytes more Python held at most."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
