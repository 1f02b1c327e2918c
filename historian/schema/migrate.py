"""Brings the schema to this version: numbered SQL files, applied in order by yoyo.

Runs once at the start, on psycopg and in a thread of its own. One historian at a time; whoever
comes second finds the work done.
"""

from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlencode

import psycopg
import yoyo
from psycopg.conninfo import conninfo_to_dict

from historian.errors import ConfigError, SchemaMismatch, StorageUnavailable
from historian.schema.access import Access, ensure_role, grant, list_grants
from historian.schema.server import OLDEST_POSTGRES, DatabaseServer

_MIGRATIONS: Final = Path(__file__).parent
_LOCK: Final = 0x4E58_4849_5354  # "NXHIST"
_CONNECT_TIMEOUT_S: Final = 10


def normalize_url(url: str) -> str:
    """The same database as a ``postgresql://`` address, from any form that libpq takes.

    Raises:
        ConfigError: not an address of a PostgreSQL database.
    """
    try:
        given = {key: str(value) for key, value in conninfo_to_dict(url).items() if value}
    except psycopg.ProgrammingError as error:
        raise ConfigError(
            f"NEXUS_DATABASE_URL: {str(error).strip()}, expected postgresql://user@host/database"
        ) from error
    user, password = given.pop("user", ""), given.pop("password", "")
    account = quote(user, safe="") + (f":{quote(password, safe='')}" if password else "")
    database = quote(given.pop("dbname", ""), safe="")
    host, port = given.pop("host", ""), given.pop("port", "")
    if host.startswith("/") or "," in host or ":" in host or not host:
        given |= {name: value for name, value in (("host", host), ("port", port)) if value}
        place = ""
    else:
        place = f"{host}:{port}" if port else host
    query = f"?{urlencode(given)}" if given else ""
    return f"postgresql://{account}{'@' if account else ''}{place}/{database}{query}"


def migrate(url: str) -> DatabaseServer:
    """Create or upgrade the schema.

    Args:
        url: as :func:`normalize_url` gives it.

    Raises:
        StorageUnavailable: the server does not answer or does not let us in now.
        SchemaMismatch: the schema is newer than this version, or the server is too old.
    """
    try:
        with psycopg.connect(
            url, autocommit=True, connect_timeout=_CONNECT_TIMEOUT_S, application_name="historian"
        ) as connection:
            connection.execute("SELECT pg_advisory_lock(%s)", [_LOCK])
            has_timescale = _check_server(connection)
            if missing := _find_missing(connection):
                _upgrade(connection, url, missing)
            return _describe(connection, has_timescale)
    except psycopg.OperationalError as error:
        raise StorageUnavailable(f"database: {str(error).strip()}") from error
    except psycopg.Error as error:
        raise SchemaMismatch(f"schema historian: {str(error).strip()}") from error


def give_access(url: str, role: str, access: Access) -> bool:
    """Give a role what a historian or a reader needs; make the role where there is none.

    Args:
        url: of the owner, as :func:`normalize_url` gives it.
        role: its name; accounts that are its members get the same.
        access: which.

    Returns:
        Whether the role was made.

    Raises:
        StorageUnavailable: the server does not answer or does not let us in now.
        SchemaMismatch: this account may not give it, or there is no schema.
    """
    try:
        with psycopg.connect(
            url, autocommit=True, connect_timeout=_CONNECT_TIMEOUT_S, application_name="historian"
        ) as connection:
            is_new = ensure_role(connection, role)
            grant(connection, role, access)
            return is_new
    except psycopg.OperationalError as error:
        raise StorageUnavailable(f"database: {str(error).strip()}") from error
    except psycopg.Error as error:
        raise SchemaMismatch(
            f"role {role}: {str(error).strip()}, expected the owner of the schema, with CREATEROLE"
            " where the role is not there yet"
        ) from error


def _check_server(connection: psycopg.Connection) -> bool:
    """Whether samples are a hypertable here.

    Raises:
        SchemaMismatch: the server is too old.
    """
    if connection.info.server_version < OLDEST_POSTGRES:
        version = _format_version(connection.info.server_version)
        raise SchemaMismatch(f"database: PostgreSQL {version}, expected 14 or newer")
    return _has_timescale(connection)


def _describe(connection: psycopg.Connection, has_timescale: bool) -> DatabaseServer:
    version = _format_version(connection.info.server_version)
    row = connection.execute(
        "SELECT extversion, current_setting('timescaledb.license', true),"
        " current_setting('timescaledb.enable_direct_compress_copy', true),"
        " to_regclass('historian.rollup_1m_parts') IS NOT NULL"
        " FROM pg_extension WHERE extname = 'timescaledb'"
    ).fetchone()
    if not has_timescale or row is None:
        return DatabaseServer("postgresql", version)
    if row[1] != "timescale":
        return DatabaseServer("timescaledb-apache", version, row[0])
    return DatabaseServer(
        "timescaledb",
        version,
        row[0],
        direct_compress=row[2] is not None,
        continuous_aggregates=row[3],
    )


def _format_version(number: int) -> str:
    return f"{number // 10_000}.{number % 10_000}"


def _has_timescale(connection: psycopg.Connection) -> bool:
    """Whether TimescaleDB works in this database; created where the server has it loaded."""
    laid_out = connection.execute(
        "SELECT relkind FROM pg_class WHERE oid = to_regclass('historian.sample')"
    ).fetchone()
    if laid_out is not None and laid_out[0] == "p":
        # Partitions stay partitions when the extension comes later.
        return False
    offered = connection.execute(
        "SELECT installed_version FROM pg_available_extensions WHERE name = 'timescaledb'"
    ).fetchone()
    if offered is None or offered[0] is not None:
        return offered is not None
    preloaded = connection.execute("SHOW shared_preload_libraries").fetchone()
    if preloaded is None or "timescaledb" not in preloaded[0]:
        return False
    try:
        connection.execute("CREATE EXTENSION IF NOT EXISTS timescaledb")
    except psycopg.errors.InsufficientPrivilege:
        return False
    return True


def _find_missing(connection: psycopg.Connection) -> list[str]:
    """Migrations that are not applied yet, oldest first.

    Raises:
        SchemaMismatch: the schema is newer than this version.
    """
    ours = {path.stem for path in _MIGRATIONS.glob("*.sql")}
    applied: set[str] = set()
    table = connection.execute("SELECT to_regclass('historian._yoyo_migration')").fetchone()
    if table is not None and table[0] is not None:
        # Early versions applied the Python modules beside the migrations as well: to no effect.
        rows = connection.execute(
            "SELECT migration_id FROM historian._yoyo_migration WHERE migration_id ~ '^[0-9]{4}[.]'"
        ).fetchall()
        applied = {row[0] for row in rows}
    if newer := sorted(applied - ours):
        raise SchemaMismatch(
            f"schema historian: {newer[-1]} is applied, expected nothing newer than"
            f" {max(ours)}; start a historian of that version"
        )
    return sorted(ours - applied)


def _upgrade(connection: psycopg.Connection, url: str, missing: list[str]) -> None:
    try:
        connection.execute("CREATE SCHEMA IF NOT EXISTS historian")
        granted = [] if missing[0].startswith("0001") else list(list_grants(connection))
        _apply(url)
        for role, access in granted:
            grant(connection, role, access)
    except (psycopg.errors.InsufficientPrivilege, yoyo.exceptions.MigrationConflict) as error:
        raise SchemaMismatch(
            f"schema historian: {missing[0]} is not applied and account"
            f" {connection.info.user} may not do it ({str(error).strip()}), expected"
            " ./nexus historian migrate run by the owner of the schema"
        ) from error


def _apply(url: str) -> None:
    separator = "&" if "?" in url else "?"
    # The functions of TimescaleDB are found where extensions are put unless told otherwise.
    path = quote("historian,public")
    uri = url.replace("postgresql://", "postgresql+psycopg://", 1) + f"{separator}schema={path}"
    backend = yoyo.get_backend(uri)
    try:
        found = yoyo.read_migrations(str(_MIGRATIONS)).filter(_is_sql)
        backend.apply_migrations(backend.to_apply(found))
    finally:
        backend.connection.close()


def _is_sql(migration: Any) -> bool:
    return str(migration.path).endswith(".sql")
