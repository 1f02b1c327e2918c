"""Rows on their way to the database, and the bytes of those that have every column. Pure.

Two shapes of rows. A *plain* row is a number of good quality: metric, time, value, delay. A *full*
row has every column. The format is that of PostgreSQL's documentation of COPY, "Binary Format".
"""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from historian.acknowledge import Receipt
from historian.exact import Columns
from historian.plain import NO_ROWS, PLAIN_COLUMNS, POSTGRES_EPOCH_MS, PlainRows, join_rows

FULL_COLUMNS: Final = (
    *PLAIN_COLUMNS,
    "quality",
    "historical",
    "text",
    "json",
    "bytes",
)
_FULL_HEAD: Final = struct.Struct(">hiiiq").pack
_DOUBLE: Final = struct.Struct(">id").pack
_DELAY: Final = struct.Struct(">iq").pack
_QUALITY: Final = struct.Struct(">ihi?").pack
_LENGTH: Final = struct.Struct(">i").pack
_NULL: Final = b"\xff\xff\xff\xff"
_JSONB_VERSION: Final = b"\x01"

_OBJECT_BYTES: Final = 48
"""What a full row takes in memory as a Python object, beside its bytes."""
_PIECE_ROWS: Final = 2_000


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows that are stored where they are missing.

    Attributes:
        plain: numbers of good quality.
        historical: the same, sent afterwards.
        full: rows with every column.
    """

    plain: PlainRows = NO_ROWS
    historical: PlainRows = NO_ROWS
    full: Sequence[bytes] = ()

    def __len__(self) -> int:
        return len(self.plain) + len(self.historical) + len(self.full)

    def split(self) -> tuple["Batch", "Batch"]:
        """Two parts, none of them empty where there are two rows at least."""
        if len(self.plain) and len(self) > len(self.plain):
            return Batch(plain=self.plain), Batch(historical=self.historical, full=self.full)
        if len(self.historical) and self.full:
            return Batch(historical=self.historical), Batch(full=self.full)
        half = len(self) // 2
        return (
            Batch(self.plain[:half], self.historical[:half], self.full[:half]),
            Batch(self.plain[half:], self.historical[half:], self.full[half:]),
        )


def join_batches(batches: Sequence[Batch]) -> Batch:
    """All rows of several batches."""
    return Batch(
        join_rows([batch.plain for batch in batches]),
        join_rows([batch.historical for batch in batches]),
        [row for batch in batches for row in batch.full],
    )


class Rows:
    """Rows that go to the database together.

    Attributes:
        full: rows that are newer than all before of their metric, and not plain.
        staged: full rows that may be there already.
        late: plain rows that may be there already, each lot with whether it was sent afterwards.
        latest: per metric the newest of the full and staged rows.
        oldest: per metric the time of the oldest of the full rows, milliseconds.
        newest_ms: time of the newest row of all.
        days: UTC days since the epoch that the rows fall on.
        refused: points that cannot be stored: no such time, no such value, no such metric.
        fault: why the latest of them was refused.
        transient: points that their node declares to be none of a historian's business.
        receipts: payloads whose rows these are.
    """

    __slots__ = (
        "_pieces",
        "_plain_points",
        "_plain_size",
        "days",
        "fault",
        "full",
        "full_bytes",
        "late",
        "latest",
        "newest_ms",
        "oldest",
        "receipts",
        "refused",
        "staged",
        "staged_bytes",
        "transient",
    )

    def __init__(self) -> None:
        self._pieces: list[PlainRows] = []
        self._plain_points = 0
        self._plain_size = 0
        self.full: list[bytes] = []
        self.staged: list[bytes] = []
        self.late: list[tuple[PlainRows, bool]] = []
        self.latest: dict[int, bytes] = {}
        self.oldest: dict[int, int] = {}
        self.newest_ms = 0
        self.days: set[int] = set()
        self.refused = 0
        self.fault = ""
        self.transient = 0
        self.receipts: list[Receipt] = []
        self.full_bytes = 0
        self.staged_bytes = 0

    def add_plain(self, rows: PlainRows) -> None:
        """Add rows of good numbers, newer than all before of their metric."""
        self._pieces.append(rows)
        self._plain_points += len(rows)
        self._plain_size += rows.size

    def add_full(self, metric_id: int, time_ms: int, row: bytes, *, staged: bool) -> None:
        """Add a row with every column."""
        (self.staged if staged else self.full).append(row)
        size = len(row) + _OBJECT_BYTES
        if staged:
            self.staged_bytes += size
        else:
            self.full_bytes += size
        self.days.add(time_ms // 86_400_000)
        self.newest_ms = max(self.newest_ms, time_ms)
        known_ms = self.oldest.get(metric_id)
        if not staged and (known_ms is None or time_ms < known_ms):
            self.oldest[metric_id] = time_ms

    def add_late(self, rows: PlainRows, *, historical: bool) -> None:
        """Add rows of good numbers, older than the newest of their metric."""
        self.late.append((rows, historical))
        self.staged_bytes += rows.size

    def batch_staged(self) -> Batch:
        """Everything that may be there already."""
        return Batch(
            join_rows([rows for rows, historical in self.late if not historical]),
            join_rows([rows for rows, historical in self.late if historical]),
            [*self.staged],
        )

    @property
    def plain(self) -> PlainRows:
        """The plain rows by metric and time."""
        if len(self._pieces) != 1:
            self._pieces = [join_rows(self._pieces).sort()] if self._pieces else [NO_ROWS]
        return self._pieces[0]

    @property
    def points(self) -> int:
        """How many rows there are."""
        late = sum(len(rows) for rows, _ in self.late)
        return self._plain_points + len(self.full) + len(self.staged) + late

    @property
    def live_points(self) -> int:
        """How many of them need no looking up."""
        return self._plain_points + len(self.full)

    @property
    def size(self) -> int:
        """Bytes of memory that the rows take, roughly."""
        return self._plain_size + self.full_bytes + self.staged_bytes


def join_full(rows: Sequence[bytes]) -> Iterator[bytes]:
    """Full rows in pieces of some size, so that no second copy of the whole is made."""
    for start in range(0, len(rows), _PIECE_ROWS):
        yield b"".join(rows[start : start + _PIECE_ROWS])


def pack_full(
    metric_id: int,
    time_ms: int,
    sent_ms: int,
    *,
    quality: int,
    historical: bool,
    columns: Columns,
) -> bytes:
    """One row with every column. It keeps how long after ``time_ms`` it was sent, null for 0."""
    number, text, json, raw = columns
    parts = [
        _FULL_HEAD(len(FULL_COLUMNS), 4, metric_id, 8, (time_ms - POSTGRES_EPOCH_MS) * 1000),
        _NULL if number is None else _DOUBLE(8, number),
        _NULL if sent_ms == time_ms else _DELAY(8, sent_ms - time_ms),
        _QUALITY(2, quality, 1, historical),
        _NULL if text is None else _pack_bytes(text.encode()),
        _NULL if json is None else _pack_bytes(_JSONB_VERSION + json.encode()),
        _NULL if raw is None else _pack_bytes(raw),
    ]
    return b"".join(parts)


def read_time(row: bytes) -> int:
    """Of a row with every column, its time in microseconds from 2000 on; negative before."""
    return int.from_bytes(row[14:22], "big", signed=True)


def _pack_bytes(data: bytes) -> bytes:
    return _LENGTH(len(data)) + data
