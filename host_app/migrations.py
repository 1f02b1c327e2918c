"""Brings the schema ``host`` up to date with yoyo, one process at a time.

Synchronous, for a worker thread: yoyo and psycopg block.
"""

import os
import socket
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, cast
from uuid import uuid4

import psycopg
from yoyo.backends.core.postgresql import PostgresqlPsycopgBackend
from yoyo.migrations import Migration, MigrationList, default_migration_table, read_migrations

from host_app.errors import StorageUnavailable

SCHEMA: Final = "host"
FOLDER: Final = Path(__file__).parent / "schema"
_LOCK: Final = 0x6E65_7875_7301
"""Key of the advisory lock. yoyo's own lock is a row that a killed process would leave behind."""

_CONNECT_TIMEOUT_S: Final = 5
_LOCK_TIMEOUT_S: Final = 5


class _Backend(PostgresqlPsycopgBackend):  # type: ignore[misc]  # yoyo is untyped
    """yoyo on a connection that takes any libpq address and works in the schema alone."""

    def connect(self, dburi: str) -> psycopg.Connection:
        connection = _connect(dburi)
        connection.execute(f"SET search_path TO {SCHEMA}")
        return connection

    def list_tables(self, **_: object) -> list[str]:
        rows = self.connection.execute(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = %s", [SCHEMA]
        )
        return [name for (name,) in rows]

    def get_log_data(
        self, migration: Migration | None = None, operation: str = "apply"
    ) -> dict[str, object]:
        # yoyo asks getpass, which fails where the user id has no name (containers), and DNS.
        return {
            "id": str(uuid4()),
            "migration_id": migration.id if migration else None,
            "migration_hash": migration.hash if migration else None,
            "username": str(os.getuid()),
            "hostname": socket.gethostname(),
            "created_at_utc": datetime.now(UTC).replace(tzinfo=None),
            "operation": operation,
        }


def migrate(database_url: str) -> list[str]:
    """Apply what is missing.

    Returns:
        The names of the migrations that were applied.

    Raises:
        StorageUnavailable: the database does not answer or refuses.
    """
    try:
        # yoyo opens connections of its own, so the lock sits on one beside them.
        with _connect(database_url) as guard:
            # Not for ever: a thread that waits would keep the process from ending.
            guard.execute(f"SET lock_timeout = '{_LOCK_TIMEOUT_S}s'")
            guard.execute("SELECT pg_advisory_lock(%s)", [_LOCK])
            guard.execute(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")
            with _Backend(database_url, default_migration_table) as backend:
                backend.init_database()
                missing = cast("MigrationList", backend.to_apply(_read_files()))
                backend.apply_migrations(missing)
                return [migration.id for migration in missing]
    except psycopg.Error as exc:
        raise StorageUnavailable(f"database: {_first_line(exc)}") from exc


def _read_files() -> MigrationList:
    # yoyo would take the package's __init__.py for a migration.
    return MigrationList([m for m in read_migrations(str(FOLDER)) if m.path.endswith(".sql")])


def _connect(url: str) -> psycopg.Connection:
    return psycopg.connect(url, autocommit=True, connect_timeout=_CONNECT_TIMEOUT_S)


def _first_line(exc: Exception) -> str:
    return (str(exc).strip() or type(exc).__name__).splitlines()[0]
