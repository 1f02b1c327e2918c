"""Samples ⇄ CSV, streamed: what one historian exports, another imports, as often as one likes.

The file has names instead of ids, and another beside it tells what the metrics are, so that they
stand on their own. What is there already (same metric, time and value) is not stored again.
"""

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Final

import psycopg
from psycopg import sql

from historian import descriptions
from historian.errors import BatchRejected, StorageUnavailable
from historian.selection import Selection, fill
from historian.statements import KEEP_FROM_AGGREGATES, STORE_MISSING

COLUMNS: Final = (
    "time",
    "group_name",
    "edge",
    "device",
    "metric",
    "datatype",
    "value",
    "text",
    "json",
    "bytes",
    "quality",
    "sent",
    "historical",
)
_BLOCK: Final = 1 << 20
_CHOSEN: Final = """
    FROM historian.sample AS s JOIN historian.metric AS m USING (metric_id)
    WHERE concat_ws('/', m.group_name, m.edge, m.device, m.name) LIKE {pattern}
        AND s.time >= {low} AND s.time < {high}
"""
_STAGE: Final = (
    "CREATE TEMP TABLE incoming (time timestamptz NOT NULL, group_name text NOT NULL,"
    " edge text NOT NULL, device text, metric text NOT NULL, datatype text NOT NULL,"
    " value float8, text text, json jsonb, bytes bytea, quality smallint NOT NULL,"
    " sent timestamptz, historical boolean NOT NULL) ON COMMIT DROP"
)
_ARRIVE: Final = """
    CREATE TEMP TABLE arriving ON COMMIT DROP AS
    SELECT i.time, m.metric_id, i.quality, i.historical, i.value, i.text, i.json, i.bytes,
        CASE WHEN apart.ms = trunc(apart.ms) THEN nullif(apart.ms, 0)::bigint END AS delay,
        CASE WHEN apart.ms <> trunc(apart.ms) THEN i.sent END AS sent
    FROM incoming AS i
    CROSS JOIN LATERAL (SELECT extract(epoch FROM i.sent - i.time) * 1000 AS ms) AS apart
    JOIN historian.metric AS m
        ON m.group_name = i.group_name AND m.edge = i.edge
        AND m.device IS NOT DISTINCT FROM i.device AND m.name = i.metric AND m.datatype = i.datatype
"""
_DAYS: Final = """
    SELECT historian.ensure_day(day)
    FROM (SELECT DISTINCT (time AT TIME ZONE 'UTC')::date AS day FROM arriving) AS days
"""


def count_samples(url: str, selection: Selection) -> int:
    """How many samples an export would have.

    Raises:
        StorageUnavailable: the database does not answer.
    """
    with connect(url) as connection:
        row = connection.execute(fill(f"SELECT count(*) {_CHOSEN}", selection)).fetchone()
        return int(row[0]) if row is not None else 0


def export_csv(url: str, selection: Selection, file: Path, progress: Callable[[int], None]) -> None:
    """Write samples as CSV with a header line, and what their metrics are into the file beside.

    Args:
        url: of the database.
        selection: which samples.
        file: where the samples go.
        progress: called with the number of lines of each piece.

    Raises:
        StorageUnavailable: the database does not answer.
    """
    statement = f"COPY ({select_samples()}) TO STDOUT WITH (FORMAT csv, HEADER)"
    with connect(url) as connection, connection.cursor() as cursor, file.open("wb") as output:
        connection.execute("SET timezone = 'UTC'")
        if (beside := descriptions.find_file(file)) is not None:
            with beside.open("wb") as metrics:
                descriptions.export_csv(connection, selection, metrics)
        with cursor.copy(fill(statement, selection)) as copy:
            for piece in copy:
                output.write(piece)
                progress(bytes(piece).count(b"\n"))


def import_csv(url: str, file: Path, progress: Callable[[int], None]) -> tuple[int, int]:
    """Store samples of an export, all or none, and what the file beside tells of their metrics.

    Args:
        url: of the database.
        file: the CSV.
        progress: called with the number of bytes of each piece.

    Returns:
        How many samples the file had, and how many of them were new.

    Raises:
        BatchRejected: the file is not such an export.
        StorageUnavailable: the database does not answer.
    """
    beside = descriptions.find_file(file)
    with ExitStack() as stack:
        source = stack.enter_context(file.open("rb"))
        metrics = None
        if beside is not None and beside.exists():
            metrics = stack.enter_context(beside.open("rb"))
        head = source.readline().decode(errors="replace").strip()
        if head != ",".join(COLUMNS):
            raise BatchRejected(f"import: the first line is {head[:80]!r}, expected an export's")

        def feed(copy: psycopg.Copy) -> None:
            while block := source.read(_BLOCK):
                copy.write(block)
                progress(len(block))

        statement = "COPY incoming ({columns}) FROM STDIN WITH (FORMAT csv)"
        return store_rows(url, statement, feed, metrics)


def store_rows(
    url: str,
    statement: str,
    feed: Callable[[psycopg.Copy], None],
    metrics: IO[bytes] | str | None = None,
) -> tuple[int, int]:
    """Store what ``feed`` copies and is not there yet, all or none.

    Args:
        url: of the database.
        statement: a COPY into the table ``incoming``, with ``{columns}``.
        feed: writes the rows, with the columns of :data:`COLUMNS`.
        metrics: what the metrics are, as :mod:`historian.descriptions` writes it.

    Returns:
        How many rows came, and how many of them were new.

    Raises:
        BatchRejected: a row is none of an export.
        StorageUnavailable: the database does not answer.
    """
    columns = sql.SQL(", ").join(map(sql.Identifier, COLUMNS))
    try:
        with connect(url) as connection, connection.cursor() as cursor:
            cursor.execute(_STAGE)
            with cursor.copy(sql.SQL(statement).format(columns=columns)) as copy:
                feed(copy)
            descriptions.stage(cursor, metrics)
            descriptions.describe(cursor)
            cursor.execute(_ARRIVE)
            found = cursor.rowcount
            cursor.execute("ANALYZE arriving")
            cursor.execute(_DAYS)
            cursor.execute(KEEP_FROM_AGGREGATES)
            new = cursor.execute(STORE_MISSING.encode()).fetchone()
            return found, 0 if new is None else int(new[0])
    except (psycopg.DataError, psycopg.IntegrityError) as error:
        raise BatchRejected(f"import: {str(error).strip()}") from error


def select_samples(*, json_as: str = "s.json") -> str:
    """The query of an export, to be filled with a selection; its columns are :data:`COLUMNS`."""
    return f"""
        SELECT s.time, m.group_name, m.edge, m.device, m.name AS metric, m.datatype,
            s.value, s.text, {json_as} AS json, s.bytes, s.quality,
            coalesce(s.time + s.delay * interval '1 millisecond', s.sent) AS sent, s.historical
        {_CHOSEN}
        ORDER BY s.metric_id, s.time
    """


def connect(url: str) -> psycopg.Connection:
    """Connect for a transfer.

    Raises:
        StorageUnavailable: the database does not answer.
    """
    try:
        return psycopg.connect(url, connect_timeout=10)
    except psycopg.OperationalError as error:
        raise StorageUnavailable(f"database: {str(error).strip()}") from error
