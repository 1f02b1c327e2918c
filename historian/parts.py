"""The days that samples are kept in, as tables of the server: rows, and batches of the columnstore.

Only the storage report needs them: everybody else reads historian.sample. The catalogue is
TimescaleDB's own, which tells nowhere else where a day's batches are.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

import psycopg
from psycopg import sql

from historian.errors import SchemaMismatch

_PARTS: Final = """
    SELECT i.inhrelid::bigint, NULL::bigint, pg_relation_size(i.inhrelid)
    FROM pg_inherits AS i WHERE i.inhparent = 'historian.sample'::regclass
"""
_MOVED_PARTS: Final = """
    SELECT i.inhrelid::bigint, s.compress_relid::oid::bigint, pg_relation_size(i.inhrelid)
    FROM pg_inherits AS i
    LEFT JOIN _timescaledb_catalog.compression_settings AS s ON s.relid = i.inhrelid
    WHERE i.inhparent = 'historian.sample'::regclass
"""
_HAS_MOVED: Final = """
    SELECT coalesce(current_setting('timescaledb.license', true), '') = 'timescale'
        AND to_regclass('_timescaledb_catalog.compression_settings') IS NOT NULL
"""
_NAME: Final = """
    SELECT n.nspname, c.relname, pg_total_relation_size(c.oid)
    FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE c.oid = %s
"""
_COLUMNS: Final = """
    SELECT attname FROM pg_attribute WHERE attrelid = %s AND attnum > 0 AND NOT attisdropped
"""


class Part(NamedTuple):
    """A day.

    Attributes:
        rows: table of the rows that are not in the columnstore.
        batches: table of the columnstore, where there is one.
        size: bytes of the rows, without indexes.
    """

    rows: int
    batches: int | None
    size: int


def find_parts(connection: psycopg.Connection) -> Iterator[Part]:
    """The days that there are, in no order.

    Raises:
        SchemaMismatch: this TimescaleDB does not tell.
    """
    row = connection.execute(_HAS_MOVED).fetchone()
    statement = _MOVED_PARTS if row is not None and row[0] else _PARTS
    try:
        found = connection.execute(statement).fetchall()
    except psycopg.errors.UndefinedColumn as error:
        raise SchemaMismatch(
            "database: this TimescaleDB does not tell where its columnstore is, expected 2.20 or"
            " newer"
        ) from error
    for rows, batches, size in found:
        yield Part(rows, batches, size)


def find_table(connection: psycopg.Connection, oid: int) -> tuple[sql.Identifier, int]:
    """Name and size of a table.

    Raises:
        UndefinedTable: it is not there any more.
    """
    row = connection.execute(_NAME, [oid]).fetchone()
    if row is None:
        raise psycopg.errors.UndefinedTable(f"table {oid}")
    schema, name, size = row
    return sql.Identifier(schema, name), size


def list_columns(connection: psycopg.Connection, oid: int) -> list[str]:
    """The names of a table's columns."""
    return [name for (name,) in connection.execute(_COLUMNS, [oid]).fetchall()]
