"""What the historian does for the database once in a while: retention."""

import asyncio
from typing import Final

import structlog

from historian.database import Connection, explain_errors
from historian.errors import HistorianError

_EVERY_S: Final = 3_600.0
_FIRST_AFTER_S: Final = 60.0
_ONLY_ONE: Final = "SELECT pg_try_advisory_xact_lock(hashtext('historian.maintenance'))"

log = structlog.get_logger(__name__)


class Maintenance:
    """Applies the retention rules; of several historians, one does it."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def run(self) -> None:
        """Work every hour until cancelled."""
        await asyncio.sleep(_FIRST_AFTER_S)
        while True:
            try:
                await self.apply_retention()
            except HistorianError as error:
                self._connection.abandon()
                log.warning("retention_not_applied", reason=str(error))
            await asyncio.sleep(_EVERY_S)

    async def apply_retention(self) -> None:
        """Remove what the rules say.

        Raises:
            StorageUnavailable: not now.
        """
        session = await self._connection.open()
        with explain_errors("retention"):
            async with session.transaction():
                if not await session.fetchval(_ONLY_ONE):
                    return
                row = await session.fetchrow("SELECT * FROM historian.apply_retention()")
        if row is not None and (row["days_dropped"] or row["samples_deleted"]):
            log.info(
                "retention_applied",
                days_dropped=row["days_dropped"],
                samples_deleted=row["samples_deleted"],
            )
