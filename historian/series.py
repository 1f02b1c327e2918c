"""The numbers of one metric, out of the database as columns.

For those who compute: a day of samples by the second is 86,400 rows, which cost a Python client
five times as much as objects than as columns of bytes that the server puts together, and that
become arrays at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import asyncpg
import numpy as np
import numpy.typing as npt

from historian.plain import POSTGRES_EPOCH_MS

_QUERY: Final = """
    SELECT string_agg(timestamptz_send(s.time), ''::bytea),
        string_agg(float8send(s.value), ''::bytea),
        string_agg(int2send(s.quality), ''::bytea)
    FROM (
        SELECT s.time, s.value, s.quality FROM historian.sample AS s
        WHERE s.metric_id = $1 AND s.time >= $2 AND s.time < $3 AND s.value IS NOT NULL
        ORDER BY s.time
    ) AS s
"""
"""One row: times as microseconds since 2000, values and qualities, each big-endian."""
_EPOCH: Final = np.datetime64(POSTGRES_EPOCH_MS, "ms").astype("datetime64[us]")


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
    if len(parts) == 1:
        return parts[0]
    time = np.concatenate([part.time for part in parts])
    order = np.argsort(time, kind="stable")
    return Series(
        time[order],
        np.concatenate([part.value for part in parts])[order],
        np.concatenate([part.quality for part in parts])[order],
    )


async def _read(
    connection: "asyncpg.Connection[asyncpg.Record] | asyncpg.pool.PoolConnectionProxy[Any]",
    metric_id: int,
    start: datetime,
    end: datetime,
) -> Series:
    (row,) = await connection.fetch(_QUERY, metric_id, start, end)
    # Of no samples there are no bytes.
    time, value, quality = (column or b"" for column in row)
    return Series(
        _EPOCH + np.frombuffer(time, ">i8").astype("timedelta64[us]"),
        np.frombuffer(value, ">f8").astype(np.float64),
        np.frombuffer(quality, ">i2").astype(np.int16),
    )
