"""The numbers of one metric, out of the database as columns.

For those who compute: a day of samples by the second is 86,400 rows, which cost a Python client
five times as much as objects than as the bytes of a binary COPY that become arrays at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import asyncpg
import numpy as np
import numpy.typing as npt

from historian.plain import HEADER, POSTGRES_EPOCH_MS, TRAILER

_QUERY: Final = """
    SELECT s.time, s.value, s.quality FROM historian.sample AS s
    WHERE s.metric_id = $1 AND s.time >= $2 AND s.time < $3 AND s.value IS NOT NULL
    ORDER BY s.time
"""
_ROW: Final = np.dtype(
    [
        ("fields", ">i2"),
        ("time_size", ">i4"),
        ("time", ">i8"),
        ("value_size", ">i4"),
        ("value", ">f8"),
        ("quality_size", ">i4"),
        ("quality", ">i2"),
    ]
)


@dataclass(frozen=True, slots=True)
class Series:
    """Numbers in order of time; one element a sample in every array.

    Attributes:
        time: UTC.
        value: as in ``historian.sample``.
        quality: OPC quality, 192 is good.
    """

    time: "npt.NDArray[np.datetime64]"
    value: npt.NDArray[np.float64]
    quality: npt.NDArray[np.int16]

    def __len__(self) -> int:
        return len(self.time)


async def read_series(
    connection: "asyncpg.Connection[asyncpg.Record] | asyncpg.pool.PoolConnectionProxy[Any]",
    metric_ids: Sequence[int],
    start: datetime,
    end: datetime,
) -> Series:
    """Read the samples of a metric that have a number.

    Args:
        connection: to a historian's database.
        metric_ids: its rows in ``historian.metric``.
        start: first moment.
        end: first moment left out.
    """
    parts = [await _read(connection, metric_id, start, end) for metric_id in metric_ids]
    rows = parts[0] if len(parts) == 1 else np.concatenate(parts)
    if len(parts) > 1:
        rows = rows[np.argsort(rows["time"], kind="stable")]
    epoch = np.datetime64(POSTGRES_EPOCH_MS, "ms").astype("datetime64[us]")
    return Series(
        epoch + rows["time"].astype("timedelta64[us]"),
        rows["value"].astype(np.float64),
        rows["quality"].astype(np.int16),
    )


async def _read(
    connection: "asyncpg.Connection[asyncpg.Record] | asyncpg.pool.PoolConnectionProxy[Any]",
    metric_id: int,
    start: datetime,
    end: datetime,
) -> npt.NDArray[np.void]:
    received = bytearray()

    async def take(piece: bytes) -> None:
        received.extend(piece)

    await connection.copy_from_query(_QUERY, metric_id, start, end, output=take, format="binary")
    body = memoryview(received)[len(HEADER) : -len(TRAILER)]
    return np.frombuffer(body, _ROW)
