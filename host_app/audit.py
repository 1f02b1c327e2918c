"""Who did what: kept in PostgreSQL, and in memory while that is away.

Each entry is logged too, so that it exists even where the database never comes back.
"""

import asyncio
import json
import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

import structlog

from host_app.database import Database
from host_app.errors import StorageUnavailable

log = structlog.get_logger(__name__)

MAX_WAITING: Final = 10_000
"""Entries kept while the database is away; beyond it the oldest are dropped and counted."""

_BATCH = 500
_RETRY_S = 1.0


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that somebody did.

    Attributes:
        actor: the user, or ``-`` for nobody known.
        action: ``sign_in``, ``sign_in_failed``, ``sign_out``, ``write``, ``write_result``,
            ``rebirth``.
        target: what it was done to.
        remote: address of the browser.
        detail: what else there is to know; JSON.
    """

    at_ms: int
    actor: str
    action: str
    target: str
    remote: str | None = None
    detail: Mapping[str, object] = field(default_factory=dict)


class Audit:
    """The audit log.

    Attributes:
        dropped: entries that never reached the database.
    """

    def __init__(self, database: Database) -> None:
        self.dropped = 0
        self._database = database
        self._waiting: deque[Entry] = deque()
        self._wake = asyncio.Event()

    def record(self, entry: Entry) -> None:
        """Take an entry; never waits."""
        log.info(
            "audit",
            actor=entry.actor,
            action=entry.action,
            target=entry.target,
            remote=entry.remote,
            **{f"detail_{key}": value for key, value in entry.detail.items()},
        )
        if len(self._waiting) == MAX_WAITING:
            self._waiting.popleft()
            self.dropped += 1
            log.warning("audit_entry_dropped", dropped=self.dropped)
        self._waiting.append(entry)
        self._wake.set()

    async def run(self) -> None:
        """Store what was recorded, for ever."""
        while True:
            await self._wake.wait()
            await self._database.wait_ready()
            try:
                await self.flush()
            except StorageUnavailable as exc:
                log.debug("audit_waits_for_the_database", reason=str(exc))
                await asyncio.sleep(_RETRY_S)

    async def flush(self) -> None:
        """Store what waits.

        Raises:
            StorageUnavailable: the database does not answer; nothing is forgotten.
        """
        self._wake.clear()
        while self._waiting:
            batch = [self._waiting[i] for i in range(min(_BATCH, len(self._waiting)))]
            try:
                async with self._database.connection() as connection:
                    await connection.executemany(
                        "INSERT INTO host.audit (at, actor, remote, action, target, detail)"
                        " VALUES ($1, $2, $3, $4, $5, $6)",
                        [_row(entry) for entry in batch],
                    )
            except StorageUnavailable:
                self._wake.set()
                raise
            for entry in batch:
                if self._waiting and self._waiting[0] is entry:
                    self._waiting.popleft()

    async def latest(self, limit: int) -> list[Entry]:
        """Return the newest entries first.

        Raises:
            StorageUnavailable: the database does not answer.
        """
        async with self._database.connection() as connection:
            rows = await connection.fetch(
                "SELECT at, actor, remote, action, target, detail FROM host.audit"
                " ORDER BY at DESC, id DESC LIMIT $1",
                limit,
            )
        return [
            Entry(
                int(row["at"].timestamp() * 1000),
                row["actor"],
                row["action"],
                row["target"],
                row["remote"],
                json.loads(row["detail"]),
            )
            for row in rows
        ]


def _row(entry: Entry) -> tuple[object, ...]:
    at = datetime.fromtimestamp(entry.at_ms / 1000, UTC)
    plain = {key: _plain(value) for key, value in entry.detail.items()}
    detail = json.dumps(plain, ensure_ascii=False, allow_nan=False)
    return at, _clean(entry.actor), entry.remote, entry.action, _clean(entry.target), detail


def _plain(value: object) -> object:
    """Return what JSON and PostgreSQL's jsonb can hold of a value."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return _clean(str(value))


def _clean(text: str) -> str:
    # PostgreSQL's text holds neither NUL nor lone surrogates.
    return text.replace("\x00", "").encode(errors="replace").decode()
