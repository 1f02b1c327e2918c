"""A batch whose commit nobody heard of: tried again, it stores what is missing, and soon."""

import asyncio
import time
from typing import Any

import numpy as np
import psycopg
import pytest

from historian.database import Connection
from historian.errors import StorageUnavailable
from historian.plain import PLAIN_COLUMNS, PlainRows
from historian.rows import Batch, Rows
from historian.schema.migrate import migrate, normalize_url
from historian.statements import CHECK_SETUP
from historian.store import SampleStore
from tests.integration.historian_rig import query, until

pytestmark = pytest.mark.asyncio

DAY_MS = 86_400_000


async def test_large_batch_that_is_tried_again_stores_what_is_missing(
    historian_databases: str,
) -> None:
    url = normalize_url(historian_databases)
    store = SampleStore()
    store.direct_compress = migrate(url).direct_compress
    connection = Connection(url, "test-retry", CHECK_SETUP)
    start_ms = (time.time_ns() // 1_000_000 // DAY_MS) * DAY_MS
    count = 40_000
    index = np.arange(count)
    time_ms = start_ms + index % 400
    values = np.where(index % 7 == 0, np.nan, index / 3)
    rows = Rows()
    rows.add_plain(PlainRows((1 + index // 400).astype(np.int32), time_ms, values, time_ms))
    rows.days.add(start_ms // DAY_MS)
    await store.ensure_days(connection, rows.days)
    await store.copy_new(connection, rows)
    half = rows.plain[: count // 2]
    assert await store.insert_missing(connection, Batch(half)) == 0
    later = PlainRows(half.metric_id, half.time_ms + 200, half.value, half.sent_ms + 200)
    assert await store.insert_missing(connection, Batch(later)) == count // 2
    await connection.close()
    (found,) = query(historian_databases, "SELECT count(*) AS n FROM historian.sample")
    assert found["n"] == count + count // 2


async def test_copy_whose_connection_is_killed_while_the_server_reads_nothing_ends(
    historian_databases: str,
) -> None:
    url = normalize_url(historian_databases)
    migrate(url)
    connection = Connection(url, "test-killed-copy")
    session: Any = await connection.open()
    start_ms = (time.time_ns() // 1_000_000 // DAY_MS) * DAY_MS
    count = 2_000_000  # more than the sockets of both sides hold
    time_ms = start_ms + np.arange(count)
    rows = PlainRows(np.ones(count, np.int32), time_ms, np.zeros(count), time_ms)
    with psycopg.connect(url) as locker:
        locker.execute("LOCK TABLE historian.sample IN ACCESS EXCLUSIVE MODE")
        copying = asyncio.create_task(
            connection.copy("historian.sample", PLAIN_COLUMNS, rows.encode())
        )
        waits = "SELECT pid FROM pg_locks WHERE NOT granted AND relation = %s::regclass"
        await until(lambda: bool(locker.execute(waits, ["historian.sample"]).fetchall()))
        transport = session._transport
        await until(lambda: transport.get_write_buffer_size() > 0, "a full socket")
        (kill,) = locker.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'test-killed-copy' AND datname = current_database()"
        ).fetchall()
        assert kill == (True,)
        async with asyncio.timeout(30):
            with pytest.raises(StorageUnavailable, match="connection was lost"):
                await copying
    connection.abandon()
    assert query(url, "SELECT FROM historian.sample") == []
