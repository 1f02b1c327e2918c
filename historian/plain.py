"""Plain rows: numbers of good quality, as columns and as the bytes of PostgreSQL's COPY. Pure.

A row is a metric, a time, a value and the delay until it was published, where there is one. The
format is that of PostgreSQL's documentation of COPY, "Binary Format".
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from historian.wire import Doubles, Longs

HEADER: Final = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
TRAILER: Final = b"\xff\xff"
"""What stands before and after the rows of a COPY."""
PLAIN_COLUMNS: Final = ("metric_id", "time", "value", "delay")

POSTGRES_EPOCH_MS: Final = 946_684_800_000
"""2000-01-01, from which PostgreSQL counts microseconds, backwards too."""

_PIECE_ROWS: Final = 4_096
_POSITION_BITS: Final = 32
_SHAPE: Final = [
    ("fields", ">i2"),
    ("metric_size", ">i4"),
    ("metric_id", ">i4"),
    ("time_size", ">i4"),
    ("time", ">i8"),
    ("value_size", ">i4"),
    ("value", ">f8"),
    ("delay_size", ">i4"),
]
_ROW: Final = np.dtype(_SHAPE)
_ROW_DELAYED: Final = np.dtype([*_SHAPE, ("delay", ">i8")])


@dataclass(frozen=True)
class PlainRows:
    """Rows as columns.

    Attributes:
        metric_id: row of historian.metric.
        time_ms: when the value was acquired, milliseconds since the epoch.
        value: the number.
        sent_ms: when it was published.
    """

    metric_id: npt.NDArray[np.int32]
    time_ms: Longs
    value: Doubles
    sent_ms: Longs

    def __len__(self) -> int:
        return len(self.metric_id)

    def __getitem__(self, chosen: Any) -> "PlainRows":
        """Some of the rows: a slice, a mask or places."""
        return PlainRows(
            self.metric_id[chosen], self.time_ms[chosen], self.value[chosen], self.sent_ms[chosen]
        )

    @property
    def size(self) -> int:
        """Bytes of memory."""
        return self.metric_id.nbytes + self.time_ms.nbytes + self.value.nbytes + self.sent_ms.nbytes

    def sort(self) -> "PlainRows":
        """The same rows by metric and time."""
        rows = self[order_by_metric(self.metric_id)]
        backwards = (rows.metric_id[1:] == rows.metric_id[:-1]) & (
            rows.time_ms[1:] < rows.time_ms[:-1]
        )
        if not backwards.any():
            return rows
        return self[np.lexsort((self.time_ms, self.metric_id))]

    @cached_property
    def _turns(self) -> npt.NDArray[np.bool_]:
        """Of sorted rows, where the next is of another metric."""
        turns: npt.NDArray[np.bool_] = self.metric_id[1:] != self.metric_id[:-1]
        return turns

    def oldest(self) -> "PlainRows":
        """Of sorted rows, the first of each metric."""
        return self[np.concatenate(([True], self._turns))] if len(self) else self

    def newest(self) -> "PlainRows":
        """Of sorted rows, the last of each metric."""
        return self[np.concatenate((self._turns, [True]))] if len(self) else self

    def encode(self) -> Iterator[bytes]:
        """The rows of a binary COPY of PLAIN_COLUMNS, in pieces."""
        for start in range(0, len(self), _PIECE_ROWS):
            yield _encode(self[start : start + _PIECE_ROWS])


NO_ROWS: Final = PlainRows(
    np.empty(0, np.int32), np.empty(0, np.int64), np.empty(0, np.float64), np.empty(0, np.int64)
)


def _encode(rows: PlainRows) -> bytes:
    delay_ms = rows.sent_ms - rows.time_ms
    late = delay_ms != 0
    packed = np.empty(len(rows), _ROW_DELAYED if late.any() else _ROW)
    packed["fields"] = len(PLAIN_COLUMNS)
    packed["metric_size"] = 4
    packed["metric_id"] = rows.metric_id
    packed["time_size"] = packed["value_size"] = 8
    packed["time"] = (rows.time_ms - POSTGRES_EPOCH_MS) * 1000
    packed["value"] = rows.value
    if packed.dtype == _ROW:
        packed["delay_size"] = -1
        return packed.tobytes()
    packed["delay_size"] = np.where(late, 8, -1)
    packed["delay"] = delay_ms
    if late.all():
        return packed.tobytes()
    # A null has no bytes.
    there = np.ones((len(packed), _ROW_DELAYED.itemsize), np.bool_)
    there[~late, _ROW.itemsize :] = False
    return packed.view(np.uint8).reshape(there.shape)[there].tobytes()


def join_rows(pieces: Sequence[PlainRows]) -> PlainRows:
    """All rows of several pieces, one piece after the other."""
    if not pieces:
        return NO_ROWS
    if len(pieces) == 1:
        return pieces[0]
    return PlainRows(
        np.concatenate([piece.metric_id for piece in pieces]),
        np.concatenate([piece.time_ms for piece in pieces]),
        np.concatenate([piece.value for piece in pieces]),
        np.concatenate([piece.sent_ms for piece in pieces]),
    )


def order_by_metric(metric_id: npt.NDArray[np.int32]) -> Longs:
    """Places in the order of their metrics; those of one metric stay in their order."""
    # Sorting whole numbers is what NumPy does fastest: metric and place go into one.
    keys = metric_id.astype(np.int64) << _POSITION_BITS
    keys |= np.arange(len(keys))
    keys.sort()
    keys &= 2**_POSITION_BITS - 1
    return keys
