"""The ceiling above the historian: ready-made bytes into the same kind of table, and nothing else.

Rows like those that are published, in the order of their arrival; no broker, no decoding.
"""

import asyncio
import time
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import asyncpg
import numpy as np

from bench.ingest_publisher import TYPES, make_value
from historian.database import Connection
from historian.plain import PLAIN_COLUMNS, POSTGRES_EPOCH_MS, PlainRows

TABLE = "historian.bench_raw"
BATCH = 50_000
_STEP_US = 2**24
"""Batches are so far apart: the high five bytes of all times of a batch are the same."""


@dataclass(frozen=True, slots=True)
class Ceiling:
    """Rows a second of raw COPY."""

    one_connection: float
    two_connections: float

    def mean(self, other: "Ceiling") -> "Ceiling":
        """The mean of two measurements."""
        return Ceiling(
            (self.one_connection + other.one_connection) / 2,
            (self.two_connections + other.two_connections) / 2,
        )


async def measure(
    url: str, metrics: int, seconds: float, *, direct_compress: bool = False
) -> Ceiling:
    """Copy for ``seconds`` on one connection and for as long on two."""
    await _make_table(url, direct_compress=direct_compress)
    try:
        one = await _measure(url, metrics, seconds, 1, direct_compress=direct_compress)
        await _empty_table(url)
        two = await _measure(url, metrics, seconds, 2, direct_compress=direct_compress)
    finally:
        await _drop_table(url)
    return Ceiling(one, two)


async def _measure(
    url: str, metrics: int, seconds: float, connections: int, *, direct_compress: bool
) -> float:
    batch = _make_batch(metrics)
    setup = ("SET timescaledb.enable_direct_compress_copy = on",) if direct_compress else ()
    lanes = [Connection(url, f"bench-raw-{number}", setup) for number in range(connections)]
    started = time.perf_counter()
    rows = await asyncio.gather(
        *(
            _copy(lane, batch, number, connections, started + seconds)
            for number, lane in enumerate(lanes)
        )
    )
    elapsed = time.perf_counter() - started
    for lane in lanes:
        await lane.close()
    return sum(rows) / elapsed


async def _copy(lane: Connection, batch: bytes, first: int, step: int, end: float) -> int:
    rows, number = 0, first
    while time.perf_counter() < end:
        # Exchanging the high bytes of all times at once costs next to nothing beside the COPY.
        fresh = batch.replace(_high_bytes(0), _high_bytes(number))
        await lane.copy(TABLE, PLAIN_COLUMNS, [fresh])
        rows += BATCH
        number += step
    return rows


def _start_ms() -> int:
    """Today at noon or before, where the low 24 bits of the microseconds are nearly zero."""
    today = datetime.combine(datetime.now(UTC).date(), datetime.min.time(), UTC)
    since_us = int(today.timestamp() * 1000 - POSTGRES_EPOCH_MS) * 1000
    aligned_us = (since_us // _STEP_US + 1) * _STEP_US
    return aligned_us // 1000 + 1 + POSTGRES_EPOCH_MS


def _high_bytes(number: int) -> bytes:
    """Length of the time column and the five high bytes of the times of a batch."""
    high = ((_start_ms() - POSTGRES_EPOCH_MS) * 1000 // _STEP_US + number).to_bytes(5, "big")
    return b"\x00\x00\x00\x08" + high


def _make_batch(metrics: int) -> bytes:
    index = np.arange(BATCH)
    values = [
        float(
            make_value(TYPES[number % metrics % len(TYPES)], number % metrics + number // metrics)
        )
        for number in range(BATCH)
    ]
    time_ms = _start_ms() + index // metrics
    metric_id = (index % metrics + 1).astype(np.int32)
    return b"".join(PlainRows(metric_id, time_ms, np.array(values), time_ms).encode())


async def _make_table(url: str, *, direct_compress: bool) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(f"DROP TABLE IF EXISTS {TABLE}")
        hypertable = await connection.fetchval(
            "SELECT relkind = 'r' FROM pg_class WHERE oid = 'historian.sample'::regclass"
        )
        shape = f"CREATE TABLE {TABLE} (LIKE historian.sample INCLUDING DEFAULTS)"
        if hypertable:
            await connection.execute(shape)
            await connection.execute(
                f"SELECT create_hypertable('{TABLE}', 'time',"
                " chunk_time_interval => INTERVAL '1 day', create_default_indexes => false)"
            )
        else:
            await connection.execute(f"{shape} PARTITION BY RANGE (time)")
            today = datetime.now(UTC).date()
            for ahead in range(-1, 3):
                await _make_part(connection, today + timedelta(days=ahead), ahead + 1)
        await connection.execute(f"CREATE INDEX ON {TABLE} (metric_id, time DESC)")
        if direct_compress:
            await connection.execute(
                f"ALTER TABLE {TABLE} SET (timescaledb.compress,"
                " timescaledb.compress_segmentby = 'metric_id',"
                " timescaledb.compress_orderby = 'time')"
            )
    finally:
        await connection.close()


async def _make_part(
    connection: "asyncpg.Connection[asyncpg.Record]", day: date, number: int
) -> None:
    await connection.execute(
        f"CREATE TABLE {TABLE}_{number} PARTITION OF {TABLE}"
        f" FOR VALUES FROM ('{day} 00:00Z') TO ('{day + timedelta(days=1)} 00:00Z')"
    )


async def _empty_table(url: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute(f"TRUNCATE {TABLE}")
    await connection.close()


async def _drop_table(url: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute(f"DROP TABLE IF EXISTS {TABLE}")
    await connection.close()
