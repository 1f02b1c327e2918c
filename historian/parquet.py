"""Samples ⇄ Parquet, batch by batch: the same rows as the CSV, typed. Needs pyarrow, an extra.

What the metrics are (unit, description, limits) is JSON in the schema, under ``nexus.metrics``.
"""

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
from psycopg.rows import tuple_row

from historian.descriptions import export_json
from historian.errors import BatchRejected
from historian.selection import Selection, fill
from historian.transfer import COLUMNS, connect, select_samples, store_rows

METRICS_KEY: Final = b"nexus.metrics"
_BATCH_ROWS: Final = 5_000
_GROUP_ROWS: Final = 100_000
_NAMES: Final = pa.dictionary(pa.int32(), pa.string())
_TIME: Final = pa.timestamp("us", tz="UTC")
SCHEMA: Final = pa.schema(
    [
        pa.field("time", _TIME, nullable=False),
        pa.field("group_name", _NAMES, nullable=False),
        pa.field("edge", _NAMES, nullable=False),
        pa.field("device", _NAMES),
        pa.field("metric", _NAMES, nullable=False),
        pa.field("datatype", _NAMES, nullable=False),
        pa.field("value", pa.float64()),
        pa.field("text", pa.string()),
        pa.field("json", pa.string()),
        pa.field("bytes", pa.binary()),
        pa.field("quality", pa.int16(), nullable=False),
        pa.field("sent", _TIME),
        pa.field("historical", pa.bool_(), nullable=False),
    ]
)


def export_parquet(
    url: str, selection: Selection, file: Path, progress: Callable[[int], None]
) -> None:
    """Write samples as Parquet, with the columns of :data:`SCHEMA`.

    Args:
        url: of the database.
        selection: which samples.
        file: where they go.
        progress: called with the number of rows of each batch.

    Raises:
        StorageUnavailable: the database does not answer.
    """
    with ExitStack() as stack:
        connection = stack.enter_context(connect(url))
        connection.execute("SET timezone = 'UTC'")
        schema = SCHEMA.with_metadata({METRICS_KEY: export_json(connection, selection)})
        writer = stack.enter_context(pq.ParquetWriter(file, schema, compression="zstd"))
        # A cursor of the server: rows come as they are asked for.
        with connection.cursor("export", row_factory=tuple_row) as cursor:
            cursor.execute(fill(select_samples(json_as="s.json::text"), selection))
            waiting: list[pa.RecordBatch] = []
            while rows := cursor.fetchmany(_BATCH_ROWS):
                columns = [
                    pa.array(column, field.type)
                    for column, field in zip(zip(*rows, strict=True), SCHEMA, strict=True)
                ]
                waiting.append(pa.record_batch(columns, schema=SCHEMA))
                if len(waiting) * _BATCH_ROWS >= _GROUP_ROWS:
                    _write_group(writer, waiting)
                progress(len(rows))
            _write_group(writer, waiting)


def import_parquet(url: str, file: Path, progress: Callable[[int], None]) -> tuple[int, int]:
    """Store samples of an export, all or none.

    Args:
        url: of the database.
        file: the Parquet.
        progress: called with the number of rows of each batch.

    Returns:
        How many samples the file had, and how many of them were new.

    Raises:
        BatchRejected: the file is not such an export.
        StorageUnavailable: the database does not answer.
    """
    try:
        source = pq.ParquetFile(file)
    except pa.ArrowInvalid as error:
        raise BatchRejected(f"import: {file} is no Parquet file: {error}") from error
    with source:
        if source.schema_arrow.names != list(COLUMNS):
            found = ", ".join(source.schema_arrow.names)[:80]
            raise BatchRejected(f"import: the columns are {found}, expected an export's")

        told = source.schema_arrow.metadata or {}
        metrics = told.get(METRICS_KEY)

        def feed(copy: psycopg.Copy) -> None:
            for batch in source.iter_batches(batch_size=_BATCH_ROWS):
                for row in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                    copy.write_row(row)
                progress(batch.num_rows)

        statement = "COPY incoming ({columns}) FROM STDIN"
        return store_rows(
            url, statement, feed, None if metrics is None else metrics.decode(errors="replace")
        )


def count_rows(file: Path) -> int:
    """How many samples a file has, by its footer; 0 for what is no Parquet file."""
    try:
        return int(pq.read_metadata(file).num_rows)
    except pa.ArrowInvalid:
        return 0


def _write_group(writer: pq.ParquetWriter, waiting: list[pa.RecordBatch]) -> None:
    if waiting:
        writer.write_table(pa.Table.from_batches(waiting, SCHEMA))
        waiting.clear()
