"""The metric dimension: gives every metric that a birth names its id, and keeps its description."""

import asyncio
from collections.abc import Iterable
from typing import Final

import asyncpg
import structlog

from historian.absences import Sight
from historian.backoff import Backoff
from historian.catalogue import Definition, MetricKey
from historian.database import Connection, explain_errors
from historian.errors import StorageUnavailable
from historian.statements import DESCRIBE_METRICS, LAST_SIGHTS, SUPERSEDE_METRICS
from proto.sparkplug.datatypes import BY_LABEL, LABELS, DataType
from proto.sparkplug.topics import NodeId

_AT_ONCE: Final = 5_000

log = structlog.get_logger(__name__)


class Registry:
    """What this process knows of the metric table.

    Attributes:
        ids: metric → its id; only ever grows.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._known: dict[MetricKey, Definition] = {}
        self._current: dict[tuple[str, str, str | None, str], int] = {}
        self.ids: dict[MetricKey, int] = {}

    def select_new(self, definitions: Iterable[Definition]) -> dict[MetricKey, Definition]:
        """Those that are unknown, or described in another way than last time."""
        return {
            definition.key: definition
            for definition in definitions
            if self._known.get(definition.key) != definition
            or self._current.get(definition.key[:-1]) != definition.key.datatype
        }

    async def describe(self, definitions: dict[MetricKey, Definition]) -> None:
        """Write metrics to the database and learn their ids.

        Raises:
            StorageUnavailable: not now; what was written already is known.
            BatchRejected: the database refuses a description.
        """
        rows = list(definitions.values())
        for start in range(0, len(rows), _AT_ONCE):
            await self._describe(rows[start : start + _AT_ONCE])

    async def read_sights(self) -> list[tuple[NodeId, Sight]]:
        """Which nodes were online when they were last seen; waits until the database tells."""
        backoff = Backoff()
        while True:
            try:
                connection = await self._connection.open()
                with explain_errors("table historian.event"):
                    rows = await connection.fetch(LAST_SIGHTS)
            except StorageUnavailable as error:
                log.debug("sights_wait", reason=str(error))
                self._connection.abandon()
                await asyncio.sleep(backoff.fail())
            else:
                return [
                    (
                        NodeId(row["group_name"], row["edge"]),
                        Sight(row["bd_seq"], int(row["seen"].timestamp() * 1000)),
                    )
                    for row in rows
                ]

    async def _describe(self, definitions: list[Definition]) -> None:
        keys = [definition.key for definition in definitions]
        columns = [
            [key.group for key in keys],
            [key.edge for key in keys],
            [key.device for key in keys],
            [key.name for key in keys],
            [LABELS[DataType(key.datatype)] for key in keys],
            [definition.unit for definition in definitions],
            [definition.low for definition in definitions],
            [definition.high for definition in definitions],
            [definition.description for definition in definitions],
            [definition.writable for definition in definitions],
            [definition.uns_path for definition in definitions],
            [definition.properties for definition in definitions],
        ]
        connection = await self._connection.open()
        with explain_errors("table historian.metric"):
            async with connection.transaction():
                rows = await connection.fetch(DESCRIBE_METRICS, *columns)
                found = {_read_key(row): row["metric_id"] for row in rows}
                # Of one name with several data types, the last described is what it is now.
                current = {key[:-1]: key for key in keys}
                await connection.execute(
                    SUPERSEDE_METRICS, [found[key] for key in current.values()]
                )
        self.ids.update(found)
        self._known.update(zip(keys, definitions, strict=True))
        self._current.update({name: key.datatype for name, key in current.items()})
        log.debug("metrics_described", metrics=len(rows))


def _read_key(row: asyncpg.Record) -> MetricKey:
    return MetricKey(
        row["group_name"],
        row["edge"],
        row["device"],
        row["name"],
        int(BY_LABEL[row["datatype"]]),
    )
