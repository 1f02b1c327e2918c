"""All metrics of some DATA payloads as columns: what they mean by their births. Pure, and hot.

What is a plain number, newer than all before of its metric, or older than the newest, is found out
for thousands in one go. What is none of these is the business of :mod:`historian.packer`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from historian.plain import PlainRows, order_by_metric
from historian.rows import Rows
from historian.tables import RANGE, Table
from historian.wire import BOOLEAN, INTEGER, OTHER, Bools, Doubles, Longs, read_fields
from proto.sparkplug.codec import Envelope

SKEW_MS: Final = 60_000
"""A clock may be so much ahead before its times are said to be from the future."""
_DAY_MS: Final = 86_400_000
_TIME_BITS: Final = 44
"""Times up to here are packed by columns: until the year 2527."""

Ints = np.ndarray[tuple[int, ...], np.dtype[np.int32]]


class Live(NamedTuple):
    """A DATA payload of a session whose births are known."""

    table: Table
    head: Envelope
    data: bytes
    received_ms: int


@dataclass(frozen=True, slots=True)
class Bounds:
    """Which times are stored.

    Attributes:
        oldest_ms: nothing before; not before 1970.
        ahead_ms: nothing further in the future, seen from when it was received.
    """

    oldest_ms: int
    ahead_ms: int

    def check_sent(self, sent_ms: int, received_ms: int) -> int:
        """When a payload was published: what it says, or else when it was received."""
        if self.oldest_ms <= sent_ms <= received_ms + self.ahead_ms:
            return sent_ms
        return received_ms


@dataclass(slots=True)
class Values:
    """One element a metric in every array.

    Attributes:
        runs: table by table, where its metrics begin and where they end.
        starts: of each payload, and the end of the last.
        payload: which of the payloads it stands in.
        slot: in the payload's table; 0 where it is not known.
        metric_id: row in the database.
        latest_ms: of the table.
        time_ms: of the metric, or else of its payload.
        sent_ms: of the payload.
        received_ms: of the payload.
        value: the number.
        historical: whether it is sent afterwards.
        plain: whether all of this is right; after :meth:`find_newer` it is newer than all before.
        late: the same, but it is older than the newest of its metric.
    """

    runs: list[tuple[Table, int, int]]
    starts: Longs
    payload: Longs
    slot: Longs
    metric_id: Ints
    latest_ms: Longs
    time_ms: Longs
    sent_ms: Longs
    received_ms: Longs
    value: Doubles
    historical: Bools
    plain: Bools
    late: Bools

    def find_newer(self) -> Longs:
        """Leave as plain what is newer than all before of its metric; what is older is late.

        Returns:
            The places of what is plain now or was before, by metric and time.
        """
        places = np.flatnonzero(self.plain)
        order = places[order_by_metric(self.metric_id[places])]
        metric_id, time_ms = self.metric_id[order], self.time_ms[order]
        same = metric_id[1:] == metric_id[:-1]
        known_ms = self.latest_ms[order]
        known_ms[1:][same] = np.maximum(known_ms[1:], time_ms[:-1])[same]
        newer = time_ms > known_ms
        if not newer.all():
            # Somewhere time stands or goes back: the newest of all before counts.
            rank = np.cumsum(np.concatenate(([0], ~same)))
            newest = np.maximum.accumulate(rank << _TIME_BITS | np.maximum(time_ms, known_ms))
            before_ms = newest[:-1] & (2**_TIME_BITS - 1)
            known_ms[1:][same] = np.maximum(known_ms[1:], before_ms)[same]
            self.plain[order[time_ms <= known_ms]] = False
            self.late[order[_is_older(time_ms, known_ms, self.received_ms[order])]] = True
        return order

    def find_late(self) -> None:
        """Leave nothing as plain; what is older than the newest of its metric is late."""
        self.late |= self.plain & _is_older(self.time_ms, self.latest_ms, self.received_ms)
        self.plain[:] = False

    @property
    def odd(self) -> Bools:
        """What is neither plain nor late."""
        return ~(self.plain | self.late)

    def leave_out(self, payload: int) -> None:
        """Nothing of a payload is plain or late."""
        start, end = self.starts[payload], self.starts[payload + 1]
        self.plain[start:end] = self.late[start:end] = False

    def add_plain(self, rows: Rows, order: Longs) -> None:
        """Add what is plain, in this order, and remember what is the newest now."""
        if not self.plain.all():
            order = order[self.plain[order]]
        if not len(order):
            return
        chosen = self._choose(order)
        rows.days.update(_find_days(chosen.time_ms))
        rows.newest_ms = max(rows.newest_ms, int(chosen.time_ms.max()))
        rows.add_plain(chosen)
        for table, start, end in self.runs:
            mine = self.plain[start:end]
            # Of several in one slot the last is the newest, and the last is what stays.
            table.latest_ms[self.slot[start:end][mine]] = self.time_ms[start:end][mine]

    def add_late(self, rows: Rows) -> None:
        """Add what is late."""
        for historical in (False, True):
            places = np.flatnonzero(self.late & (self.historical == historical))
            if len(places):
                chosen = self._choose(places)
                rows.days.update(_find_days(chosen.time_ms))
                rows.add_late(chosen, historical=historical)

    def _choose(self, places: Longs) -> PlainRows:
        return PlainRows(
            self.metric_id[places], self.time_ms[places], self.value[places], self.sent_ms[places]
        )


def read_values(payloads: Sequence[Live], bounds: Bounds) -> Values:
    """Take payloads apart; what is historical and older than the newest is late already."""
    fields = read_fields([metric for live in payloads for metric in live.head.metrics])
    counts = [len(live.head.metrics) for live in payloads]
    total = len(fields.form)
    slot = np.zeros(total, np.int64)
    metric_id = np.zeros(total, np.int32)
    kind = np.zeros(total, np.uint8)
    latest_ms = np.zeros(total, np.int64)
    runs = _find_runs(payloads, counts)
    for table, start, end in runs:
        mine = table.find_slots(fields.alias[start:end])
        slot[start:end] = mine
        metric_id[start:end] = table.metric_id[mine]
        kind[start:end] = table.kind[mine]
        latest_ms[start:end] = table.latest_ms[mine]
    sent = [bounds.check_sent(live.head.timestamp, live.received_ms) for live in payloads]
    sent_ms = np.repeat(sent, counts)
    received_ms = np.repeat([live.received_ms for live in payloads], counts)
    time_ms = np.where(fields.time_ms == 0, sent_ms, fields.time_ms)
    plain = (fields.form == RANGE.form[kind]) & (fields.form != OTHER)
    plain &= (time_ms >= bounds.oldest_ms) & (time_ms <= received_ms + bounds.ahead_ms)
    plain &= time_ms < 2**_TIME_BITS
    whole, fits = _read_signed(fields.whole, kind)
    integer = (fields.form == INTEGER) | (fields.form == BOOLEAN)
    plain &= fits | ~integer
    historical = fields.historical
    return Values(
        runs=runs,
        starts=np.cumsum([0, *counts]),
        payload=np.repeat(np.arange(len(payloads)), counts),
        slot=slot,
        metric_id=metric_id,
        latest_ms=latest_ms,
        time_ms=time_ms,
        sent_ms=sent_ms,
        received_ms=received_ms,
        value=np.where(integer, whole, fields.real),
        historical=historical,
        plain=plain & ~historical,
        late=plain & historical & _is_older(time_ms, latest_ms, received_ms),
    )


def _is_older(time_ms: Longs, latest_ms: Longs, received_ms: Longs) -> Bools:
    # What came from the future is no reason to hide the present.
    return (time_ms < latest_ms) & (latest_ms <= received_ms + SKEW_MS)


def _find_days(time_ms: Longs) -> list[int]:
    oldest, newest = int(time_ms.min()) // _DAY_MS, int(time_ms.max()) // _DAY_MS
    days: list[int] = [newest] if oldest == newest else np.unique(time_ms // _DAY_MS).tolist()
    return days


def _find_runs(payloads: Sequence[Live], counts: Sequence[int]) -> list[tuple[Table, int, int]]:
    """Runs of payloads of the same table: the table, where its metrics begin and where they end."""
    runs: list[tuple[Table, int, int]] = []
    end = 0
    for live, count in zip(payloads, counts, strict=True):
        start, end = end, end + count
        if runs and runs[-1][0] is live.table:
            runs[-1] = (live.table, runs[-1][1], end)
        else:
            runs.append((live.table, start, end))
    return runs


def _read_signed(
    whole: Longs, kind: "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]"
) -> tuple[Longs, Bools]:
    """Integers as their kind means them, and which of them it can hold.

    Negative ones come in two's complement, in the width of the data type or in 32 bits.
    """
    low, high, span = RANGE.low[kind], RANGE.high[kind], RANGE.span[kind]
    beyond = whole > high
    if not beyond.any():
        return whole, ~beyond
    negative = whole - np.where(whole < span, span, 2**32)
    fits = ~beyond | ((low <= negative) & (negative < 0))
    return np.where(beyond, negative, whole), fits
