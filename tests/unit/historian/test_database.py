"""What the database's errors mean for whoever has a batch in hand."""

import asyncpg
import pytest

from historian.database import explain_errors
from historian.errors import BatchRejected, HistorianError, SchemaMismatch, StorageUnavailable


@pytest.mark.parametrize(
    ("raised", "becomes"),
    [
        (asyncpg.DiskFullError("no space left"), StorageUnavailable),
        (asyncpg.LockNotAvailableError("lock timeout"), StorageUnavailable),
        (asyncpg.DeadlockDetectedError("deadlock"), StorageUnavailable),
        (asyncpg.AdminShutdownError("shutting down"), StorageUnavailable),
        (asyncpg.CannotConnectNowError("starting up"), StorageUnavailable),
        (asyncpg.TooManyConnectionsError("too many"), StorageUnavailable),
        (asyncpg.ReadOnlySQLTransactionError("standby"), StorageUnavailable),
        (asyncpg.QueryCanceledError("timeout"), StorageUnavailable),
        (asyncpg.ConnectionDoesNotExistError("gone"), StorageUnavailable),
        (asyncpg.InterfaceError("connection is closed"), StorageUnavailable),
        (ConnectionRefusedError(111, "refused"), StorageUnavailable),
        (TimeoutError(), StorageUnavailable),
        (asyncpg.DatetimeFieldOverflowError("out of range"), BatchRejected),
        (asyncpg.CheckViolationError("no partition"), BatchRejected),
        (asyncpg.UndefinedTableError("no table"), SchemaMismatch),
        (asyncpg.InsufficientPrivilegeError("permission denied"), SchemaMismatch),
    ],
)
def test_error_tells_whether_to_wait_to_look_or_to_complain(
    raised: Exception, becomes: type[HistorianError]
) -> None:
    with pytest.raises(becomes, match=r"^database: "), explain_errors("database"):
        raise raised


def test_what_is_not_the_databases_fault_passes() -> None:
    with pytest.raises(KeyError), explain_errors("database"):
        raise KeyError("bug")
