"""Values → the bytes of PostgreSQL's binary COPY. Pure, and the historian's hot path.

Two shapes of rows. A *plain* row is a number of good quality: metric, time, value, sent. A *full*
row has every column. Rows begin with metric and time in big-endian order, so that sorting the bytes
sorts by metric and time. The format is that of PostgreSQL's documentation of COPY, "Binary Format".
"""

import struct
from typing import Final

from historian.acknowledge import Receipt
from historian.exact import EXACT_DOUBLE, Columns, to_columns
from historian.tables import Entry, Kind, Table
from proto import sparkplug_b_pb2 as pb
from proto.sparkplug.codec import metric_value
from proto.sparkplug.errors import PayloadError
from proto.sparkplug.metrics import QUALITY_GOOD, QUALITY_PROPERTY, is_control

PLAIN_COLUMNS: Final = ("metric_id", "time", "value", "sent")
FULL_COLUMNS: Final = (
    *PLAIN_COLUMNS,
    "quality",
    "historical",
    "text",
    "json",
    "bytes",
)
HEADER: Final = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
TRAILER: Final = b"\xff\xff"

POSTGRES_EPOCH_MS: Final = 946_684_800_000
"""2000-01-01, from which PostgreSQL counts microseconds; nothing older is stored."""

_PLAIN: Final = struct.Struct(">hiiiqidi").pack
_PLAIN_SENT: Final = struct.Struct(">hiiiqidiq").pack
_FULL_HEAD: Final = struct.Struct(">hiiiq").pack
_DOUBLE: Final = struct.Struct(">id").pack
_TIME: Final = struct.Struct(">iq").pack
_QUALITY: Final = struct.Struct(">ihi?").pack
_LENGTH: Final = struct.Struct(">i").pack
_NULL: Final = b"\xff\xff\xff\xff"
_JSONB_VERSION: Final = b"\x01"

_INT16_SIGN: Final = 2**15
_INT32_SIGN: Final = 2**31
_INT32_WRAP: Final = 2**32
_OBJECT_BYTES: Final = 48
_PLAIN_BYTES: Final = 90
"""What rows take in memory as Python objects, beside or with their bytes."""

_RARE: Final = (b"\x28\x01", b"\x30\x01", b"\x38\x01", QUALITY_PROPERTY.encode())
"""is_historical, is_transient and is_null as they lie on the wire, and the quality property. Where
none of them occurs in a payload's bytes, none of its metrics can have them."""


class Rows:
    """Packed rows that go to the database together.

    Attributes:
        plain: rows of good numbers, newer than all before of their metric.
        full: the same for everything else.
        staged: full rows that may be there already.
        latest: per metric the newest row, in either shape.
        oldest: per metric the time of its oldest row, milliseconds.
        newest_ms: time of the newest row of all.
        days: UTC days since the epoch that the rows fall on.
        refused: points that cannot be stored: no such time, no such value, no such metric.
        fault: why the latest of them was refused.
        transient: points that their node declares to be none of a historian's business.
        receipts: payloads whose rows these are.
    """

    __slots__ = (
        "days",
        "fault",
        "full",
        "full_bytes",
        "latest",
        "newest_ms",
        "oldest",
        "plain",
        "receipts",
        "refused",
        "staged",
        "transient",
    )

    def __init__(self) -> None:
        self.plain: list[bytes] = []
        self.full: list[bytes] = []
        self.staged: list[bytes] = []
        self.latest: dict[int, bytes] = {}
        self.oldest: dict[int, int] = {}
        self.newest_ms = 0
        self.days: set[int] = set()
        self.refused = 0
        self.fault = ""
        self.transient = 0
        self.receipts: list[Receipt] = []
        self.full_bytes = 0

    @property
    def points(self) -> int:
        """How many rows there are."""
        return len(self.plain) + len(self.full) + len(self.staged)

    @property
    def size(self) -> int:
        """Bytes of memory that the rows take, roughly."""
        return _PLAIN_BYTES * len(self.plain) + self.full_bytes


class UnknownMetric(Exception):
    """A payload of the live path has a metric that no birth told of; nothing of it was packed."""


class _NotPlain(KeyError):
    """Something in the payload needs the careful way."""


class Packer:
    """Packs payloads, one after the other, into the rows that are open at the time.

    Args:
        oldest_ms: points before this are refused; never before 2000.
        ahead_ms: points further in the future are refused.
    """

    def __init__(self, *, oldest_ms: int, ahead_ms: int) -> None:
        self._oldest_ms = max(oldest_ms, POSTGRES_EPOCH_MS)
        self._ahead_ms = ahead_ms

    def pack_live(
        self, rows: Rows, table: Table, payload: pb.Payload, data: bytes, received_ms: int
    ) -> None:
        """Pack data of a session whose births are known.

        Raises:
            UnknownMetric: an alias or name that is not in the births.
        """
        plain, full, staged = len(rows.plain), len(rows.full), len(rows.staged)
        try:
            self._pack_numbers(rows, table.by_alias, payload, data, received_ms)
        except KeyError:
            # Not all by alias, or not all plain: once more, with care. What the first attempt has
            # seen counts as seen, which sends it through the check for duplicates and no further.
            del rows.plain[plain:], rows.full[full:], rows.staged[staged:]
            metrics = [(metric, _find(table, metric)) for metric in payload.metrics]
            for metric, entry in metrics:
                if entry is not None:
                    self._pack_careful(rows, entry, metric, payload, received_ms)

    def pack_known(self, rows: Rows, table: Table, payload: pb.Payload, received_ms: int) -> None:
        """Pack a birth, or data that waited for it: all of it may be stored already.

        What even the birth does not tell of is refused.
        """
        for metric in payload.metrics:
            try:
                entry = _find(table, metric)
            except UnknownMetric as error:
                rows.refused += 1
                rows.fault = str(error)
                continue
            if entry is not None:
                self._pack_careful(rows, entry, metric, payload, received_ms, staged=True)

    def _pack_numbers(  # noqa: C901, PLR0912, PLR0915  # one loop, unrolled by hand: it is the hot path
        self,
        rows: Rows,
        by_alias: dict[int, Entry],
        payload: pb.Payload,
        data: bytes,
        received_ms: int,
    ) -> None:
        # Nothing is made per value but its row. A field that is not set reads as zero: zero is
        # believed only when the field is there.
        if any(mark in data for mark in _RARE):
            raise _NotPlain
        plain, latest, oldest = rows.plain, rows.latest, rows.oldest
        oldest_ms, newest_ms = self._oldest_ms, received_ms + self._ahead_ms
        sent_ms = self._read_sent(payload, received_ms)
        sent_us = (sent_ms - POSTGRES_EPOCH_MS) * 1000
        previous_ms = time_us = 0
        for metric in payload.metrics:
            alias = metric.alias
            if not alias and not metric.HasField("alias"):
                raise _NotPlain
            entry = by_alias[alias]
            time_ms = metric.timestamp or sent_ms
            if time_ms != previous_ms:
                if not oldest_ms <= time_ms <= newest_ms:
                    raise _NotPlain
                previous_ms = time_ms
                time_us = (time_ms - POSTGRES_EPOCH_MS) * 1000
                rows.days.add(time_ms // 86_400_000)
                rows.newest_ms = max(rows.newest_ms, time_ms)
            kind = entry.kind
            value: float
            if kind == 1:
                value = metric.double_value
            elif kind == 2:
                value = metric.float_value
            elif kind == 3:
                value = metric.int_value
            elif kind == 4:
                value = metric.int_value
                if value >= _INT32_SIGN:
                    value -= _INT32_WRAP
            elif kind == 5:
                value = metric.int_value
                if value >= _INT16_SIGN:
                    # Sign-extended to 32 bits, or else something for a closer look.
                    value = value - _INT32_WRAP if value >= _INT32_WRAP - _INT16_SIGN else 0
            elif kind == 6:
                value = metric.boolean_value
            elif kind == 7:
                value = metric.long_value
                if value > EXACT_DOUBLE:
                    value = 0
            else:
                value = 0
            if (not value and not _is_zero(metric, kind)) or time_ms <= entry.latest_ms:
                self._pack_careful(rows, entry, metric, payload, received_ms)
                continue
            entry.latest_ms = time_ms
            metric_id = entry.metric_id
            if time_ms == sent_ms:
                row = _PLAIN(4, 4, metric_id, 8, time_us, 8, value, -1)
            else:
                row = _PLAIN_SENT(4, 4, metric_id, 8, time_us, 8, value, 8, sent_us)
            plain.append(row)
            if metric_id not in latest:
                oldest.setdefault(metric_id, time_ms)
            latest[metric_id] = row

    def _pack_careful(
        self,
        rows: Rows,
        entry: Entry,
        metric: pb.Payload.Metric,
        payload: pb.Payload,
        received_ms: int,
        *,
        staged: bool = False,
    ) -> None:
        if metric.is_transient:
            rows.transient += 1
            return
        sent_ms = self._read_sent(payload, received_ms)
        time_ms = metric.timestamp or sent_ms
        if not self._oldest_ms <= time_ms <= received_ms + self._ahead_ms:
            rows.refused += 1
            rows.fault = f"time is {time_ms} ms, expected one between the oldest accepted and now"
            return
        try:
            columns = to_columns(metric_value(metric, entry.datatype))
        except PayloadError as error:
            rows.refused += 1
            rows.fault = str(error)
            return
        historical = metric.is_historical
        quality = _read_quality(metric)
        row = pack_full(
            entry.metric_id,
            time_ms,
            sent_ms,
            quality=quality,
            historical=historical,
            columns=columns,
        )
        rows.days.add(time_ms // 86_400_000)
        rows.newest_ms = max(rows.newest_ms, time_ms)
        known_ms = rows.oldest.get(entry.metric_id)
        if known_ms is None or time_ms < known_ms:
            rows.oldest[entry.metric_id] = time_ms
        rows.full_bytes += len(row) + _OBJECT_BYTES
        newer = time_ms > entry.latest_ms and not historical
        if newer:
            entry.latest_ms = time_ms
        if time_ms >= entry.latest_ms:
            rows.latest[entry.metric_id] = row
        (rows.full if newer and not staged else rows.staged).append(row)

    def _read_sent(self, payload: pb.Payload, received_ms: int) -> int:
        sent_ms = payload.timestamp
        if self._oldest_ms <= sent_ms <= received_ms + self._ahead_ms:
            return sent_ms
        return received_ms


def _is_zero(metric: pb.Payload.Metric, kind: int) -> bool:
    """Whether the field that should hold the value is there, and holds zero."""
    field = _FIELDS[kind]
    return metric.WhichOneof("value") == field and not getattr(metric, field)


_FIELDS: Final[dict[int, str]] = {
    Kind.ODD: "",
    Kind.DOUBLE: "double_value",
    Kind.FLOAT: "float_value",
    Kind.UNSIGNED: "int_value",
    Kind.SIGNED: "int_value",
    Kind.SHORT: "int_value",
    Kind.BOOLEAN: "boolean_value",
    Kind.LONG: "long_value",
}


def pack_plain(metric_id: int, time_ms: int, value: float) -> bytes:
    """One plain row that was sent in the millisecond of its time."""
    return _PLAIN(4, 4, metric_id, 8, (time_ms - POSTGRES_EPOCH_MS) * 1000, 8, value, -1)


def pack_full(
    metric_id: int,
    time_ms: int,
    sent_ms: int,
    *,
    quality: int,
    historical: bool,
    columns: Columns,
) -> bytes:
    """One row with every column. ``sent_ms`` equal to ``time_ms`` is stored as null."""
    number, text, json, raw = columns
    parts = [
        _FULL_HEAD(len(FULL_COLUMNS), 4, metric_id, 8, (time_ms - POSTGRES_EPOCH_MS) * 1000),
        _NULL if number is None else _DOUBLE(8, number),
        _NULL if sent_ms == time_ms else _TIME(8, (sent_ms - POSTGRES_EPOCH_MS) * 1000),
        _QUALITY(2, quality, 1, historical),
        _NULL if text is None else _pack_bytes(text.encode()),
        _NULL if json is None else _pack_bytes(_JSONB_VERSION + json.encode()),
        _NULL if raw is None else _pack_bytes(raw),
    ]
    return b"".join(parts)


def _pack_bytes(data: bytes) -> bytes:
    return _LENGTH(len(data)) + data


def _find(table: Table, metric: pb.Payload.Metric) -> Entry | None:
    """The entry of a metric; ``None`` for control metrics.

    Raises:
        UnknownMetric: no birth told of it.
    """
    entry: Entry | None = None
    if metric.HasField("alias"):
        entry = table.by_alias.get(metric.alias)
    if entry is None and metric.name:
        if is_control(metric.name):
            return None
        entry = table.by_name.get(metric.name)
    if entry is None:
        raise UnknownMetric(f"metric {metric.name or metric.alias!r} is in no birth")
    return entry


def _read_quality(metric: pb.Payload.Metric) -> int:
    if not metric.HasField("properties"):
        return QUALITY_GOOD
    properties = metric.properties
    for key, value in zip(properties.keys, properties.values, strict=False):
        if key == QUALITY_PROPERTY:
            code = value.int_value or value.long_value
            return code if 0 <= code <= 32_767 else 0
    return QUALITY_GOOD
