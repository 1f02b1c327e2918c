"""What the metrics of an export are, beside their samples: units, limits, descriptions, paths.

Beside a CSV they are a second one; a Parquet file has them as JSON in its schema. An import fills
in what the database does not know; what births have said there stays. Knows no samples.
"""

from pathlib import Path
from typing import IO, Final

import psycopg
from psycopg import sql

from historian.errors import BatchRejected
from historian.selection import Selection, fill

COLUMNS: Final = (
    "group_name",
    "edge",
    "device",
    "metric",
    "datatype",
    "unit",
    "low",
    "high",
    "description",
    "writable",
    "uns_path",
    "properties",
    "superseded",
)
_TYPES: Final = (
    "group_name text, edge text, device text, metric text, datatype text, unit text, low float8,"
    " high float8, description text, writable boolean, uns_path text, properties jsonb,"
    " superseded boolean"
)
_CHOSEN: Final = """
    SELECT m.group_name, m.edge, m.device, m.name AS metric, m.datatype, m.unit, m.low, m.high,
        m.description, m.writable, m.uns_path, m.properties, m.superseded
    FROM historian.metric AS m
    CROSS JOIN LATERAL (
        SELECT FROM historian.sample AS s
        WHERE s.metric_id = m.metric_id AND s.time >= {low} AND s.time < {high}
        LIMIT 1
    ) AS one
    WHERE concat_ws('/', m.group_name, m.edge, m.device, m.name) LIKE {pattern}
    ORDER BY m.group_name, m.edge, m.device NULLS FIRST, m.name, m.datatype
"""
_STAGE: Final = (
    f"CREATE TEMP TABLE described ({_TYPES}) ON COMMIT DROP",
    "CREATE UNIQUE INDEX ON described (group_name, edge, coalesce(device, ''), metric, datatype)",
)
_FROM_JSON: Final = f"INSERT INTO described SELECT * FROM json_to_recordset(%s) AS d ({_TYPES})"  # noqa: S608
_FILLED: Final = ("unit", "low", "high", "description", "writable", "uns_path", "properties")
_DESCRIBE: Final = f"""
    INSERT INTO historian.metric AS m
        (group_name, edge, device, name, datatype, {", ".join(_FILLED)}, superseded)
    SELECT i.*, {", ".join(f"d.{column}" for column in _FILLED)}, coalesce(d.superseded, false)
    FROM (SELECT DISTINCT group_name, edge, device, metric, datatype FROM incoming) AS i
    LEFT JOIN described AS d
        ON d.group_name = i.group_name AND d.edge = i.edge AND d.metric = i.metric
        AND coalesce(d.device, '') = coalesce(i.device, '') AND d.datatype = i.datatype
    ON CONFLICT (group_name, edge, coalesce(device, ''), name, datatype) DO UPDATE SET
        {", ".join(f"{column} = coalesce(m.{column}, excluded.{column})" for column in _FILLED)}
    WHERE {" OR ".join(f"m.{name} IS NULL AND excluded.{name} IS NOT NULL" for name in _FILLED)}
"""  # noqa: S608  # column names of ours


def find_file(samples: Path) -> Path | None:
    """Where the metrics of a CSV of samples are: ``samples.csv`` has ``samples.metrics.csv``.

    There is none beside a pipe or the standard output.
    """
    if samples.exists() and not samples.is_file():
        return None
    return samples.with_suffix(".metrics.csv")


def export_csv(connection: psycopg.Connection, selection: Selection, output: IO[bytes]) -> None:
    """Write what the selected metrics are, those that have samples in it, with a header line."""
    statement = f"COPY ({_CHOSEN}) TO STDOUT WITH (FORMAT csv, HEADER)"
    with connection.cursor() as cursor, cursor.copy(fill(statement, selection)) as copy:
        for piece in copy:
            output.write(piece)


def export_json(connection: psycopg.Connection, selection: Selection) -> str:
    """The same as a JSON array of objects with the names of :data:`COLUMNS`."""
    statement = f"SELECT coalesce(json_agg(d), '[]')::text FROM ({_CHOSEN}) AS d"  # noqa: S608
    (text,) = connection.execute(fill(statement, selection)).fetchone() or ("[]",)
    return str(text)


def stage(cursor: psycopg.Cursor, source: "IO[bytes] | str | None") -> None:
    """Read descriptions into the table ``described``: a CSV, JSON, or none.

    Raises:
        BatchRejected: the CSV is not such a file.
        psycopg.DataError, psycopg.IntegrityError: a row is none of an export.
    """
    for statement in _STAGE:
        cursor.execute(statement)
    if source is None:
        return
    if isinstance(source, str):
        cursor.execute(_FROM_JSON.encode(), [source])
        return
    head = source.readline().decode(errors="replace").strip()
    if head != ",".join(COLUMNS):
        raise BatchRejected(
            f"import: the first line of the metrics is {head[:80]!r}, expected an export's"
        )
    columns = sql.SQL(", ").join(map(sql.Identifier, COLUMNS))
    copied = sql.SQL("COPY described ({}) FROM STDIN WITH (FORMAT csv)").format(columns)
    with cursor.copy(copied) as copy:
        copy.write(source.read())


def describe(cursor: psycopg.Cursor) -> None:
    """Make the metrics of the table ``incoming``, or fill in what is not known of them."""
    cursor.execute(_DESCRIBE.encode())
