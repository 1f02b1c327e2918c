"""The writer's bounds: what waits for the database is bounded in bytes, and looked up together."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from historian.acknowledge import Receipt
from historian.counters import Counters
from historian.database import Connection
from historian.rows import Rows
from historian.statements import BEGIN_LIVE
from historian.writer import Writer, WriterOptions
from proto.sparkplug.topics import NodeId

pytestmark = pytest.mark.asyncio

AT = 1_790_000_000_000


class Database:
    """Counts what is copied and looked up; stands still while it is told to."""

    def __init__(self) -> None:
        self.answers = asyncio.Event()
        self.copied: list[str] = []
        self.looked_up = 0

    def connect(self, name: str, setup: Sequence[str]) -> Connection:
        del name, setup
        return cast("Connection", self)

    async def open(self) -> Any:
        return self

    async def copy(self, table: str, columns: Sequence[str], rows: Iterable[bytes]) -> None:
        del columns
        await self.answers.wait()
        self.copied.append(table)
        self.size = len(b"".join(rows))

    async def execute(self, statement: str, *arguments: object) -> None:
        del statement, arguments

    async def fetchval(self, statement: str, *arguments: object) -> int | datetime:
        del arguments
        if statement == BEGIN_LIVE:
            return datetime.fromtimestamp(0, UTC)
        await self.answers.wait()
        self.looked_up += 1
        return 0

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        yield


@contextlib.asynccontextmanager
async def writing(database: Database, options: WriterOptions) -> AsyncIterator[Writer]:
    receipts: list[Receipt] = []
    writer = Writer(
        connect=database.connect,
        counters=Counters(),
        on_commit=lambda _rows: None,
        on_receipts=receipts.extend,
        options=options,
    )
    task = asyncio.create_task(writer.run())
    yield writer
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


def add(rows: Rows, number: int, *, staged: bool, size: int = 1_000) -> None:
    rows.add_full(number, AT + number, bytes(size), staged=staged)
    rows.receipts.append(Receipt(NodeId("plant", "line"), AT, number % 256))


async def taken(writer: Writer) -> None:
    while writer.open.points:  # noqa: ASYNC110  # nothing tells, and nothing else runs
        await asyncio.sleep(0)


async def has_room(writer: Writer) -> bool:
    for _ in range(20):
        await asyncio.sleep(0)
    return writer._room.is_set()


async def test_open_rows_are_bounded_in_bytes() -> None:
    database = Database()
    async with writing(
        database, WriterOptions(lanes=1, linger_s=0, max_open_bytes=5_000)
    ) as writer:
        add(writer.open, 1, staged=False)
        writer.offer()
        await taken(writer)  # by the lane, which stands still
        for number in range(2, 8):
            assert await has_room(writer) == (number < 7)
            add(writer.open, number, staged=False)
            writer.offer()
        assert writer.size > 5_000
        database.answers.set()
        await writer.wait_room()
        await writer.drain()
        assert writer.size == 0


async def test_what_waits_to_be_looked_up_is_bounded_and_looked_up_together() -> None:
    database = Database()
    options = WriterOptions(lanes=1, linger_s=0, max_check_bytes=5_000)
    async with writing(database, options) as writer:
        for number in range(6):
            add(writer.open, number, staged=True)
            writer.offer()
            await taken(writer)
        assert not await has_room(writer)
        assert 5_000 < writer.size < 7_000
        database.answers.set()
        await writer.wait_room()
        await writer.drain()
        # The first was on its way when the others came.
        assert database.looked_up == 2
        assert writer.size == 0
