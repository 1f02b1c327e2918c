"""Payloads whose births are known → rows. Pure, and the historian's hot path.

Plain values of many payloads are packed together, by columns. What is not plain (text, other
qualities, nulls, times that are not newer, metrics by name) is read from protobuf's objects, one by
one, and with care.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

import numpy as np

from historian.exact import to_columns
from historian.plain import POSTGRES_EPOCH_MS, PlainRows, order_by_metric
from historian.rows import Rows, pack_full
from historian.tables import RANGE, Table
from historian.wire import BOOLEAN, INTEGER, OTHER, Bools, Doubles, Fields, Longs, read_fields
from proto import sparkplug_b_pb2 as pb
from proto.sparkplug.codec import Envelope, metric_value, parse
from proto.sparkplug.errors import PayloadError
from proto.sparkplug.metrics import QUALITY_GOOD, QUALITY_PROPERTY, is_control

_DAY_MS: Final = 86_400_000
_SKEW_MS: Final = 60_000
"""A clock may be so much ahead before its times are said to be from the future."""
_TIME_BITS: Final = 44
"""Times up to here are packed by columns: until the year 2527."""


class UnknownMetric(Exception):
    """A payload of the live path has a metric that no birth told of; nothing of it was packed."""


class Live(NamedTuple):
    """A DATA payload of a session whose births are known."""

    table: Table
    head: Envelope
    data: bytes
    received_ms: int


@dataclass(slots=True)
class _Values:
    """All metrics of some payloads; one element a metric in every array.

    Attributes:
        payload: which of the payloads it stands in.
        slot: in the payload's table; 0 where it is not known.
        metric_id: row in the database.
        latest_ms: of the table.
        time_ms: of the metric, or else of its payload.
        sent_ms: of the payload.
        value: the number.
        plain: whether all of this is right.
    """

    payload: Longs
    slot: Longs
    metric_id: "np.ndarray[tuple[int, ...], np.dtype[np.int32]]"
    latest_ms: Longs
    time_ms: Longs
    sent_ms: Longs
    value: Doubles
    plain: Bools


class Packer:
    """Packs payloads into the rows that are open at the time.

    Args:
        oldest_ms: points before this are refused; never before 2000.
        ahead_ms: points further in the future are refused.
    """

    def __init__(self, *, oldest_ms: int, ahead_ms: int) -> None:
        self._oldest_ms = max(oldest_ms, POSTGRES_EPOCH_MS)
        self._ahead_ms = ahead_ms

    def pack_live(
        self, rows: Rows, payloads: Sequence[Live]
    ) -> dict[int, UnknownMetric | PayloadError]:
        """Pack data of sessions whose births are known.

        Returns:
            By their places, the payloads of which nothing was packed: for an alias or name that is
            not in the births, or because the bytes are no payload.
        """
        metrics = [metric for live in payloads for metric in live.head.metrics]
        if not metrics:
            return {}
        counts = [len(live.head.metrics) for live in payloads]
        values = self._read(payloads, counts, read_fields(metrics))
        order = self._find_newer(values)
        faults: dict[int, UnknownMetric | PayloadError] = {}
        careful: list[tuple[Live, pb.Payload, list[tuple[int, int]]]] = []
        starts = np.cumsum([0, *counts])
        for number in np.unique(values.payload[~values.plain]).tolist():
            live, start, end = payloads[number], starts[number], starts[number + 1]
            places = np.flatnonzero(~values.plain[start:end]).tolist()
            try:
                payload = parse(live.data)
                found = [(place, _find(live.table, payload.metrics[place])) for place in places]
            except (UnknownMetric, PayloadError) as error:
                faults[number] = error
                values.plain[start:end] = False
            else:
                careful.append((live, payload, found))
        self._add(rows, values, order)
        self._note_latest(payloads, starts, values)
        for live, payload, found in careful:
            for place, slot in found:
                if slot:
                    metric = payload.metrics[place]
                    self._pack_careful(
                        rows, live.table, slot, metric, payload, received_ms=live.received_ms
                    )
        return faults

    def pack_known(self, rows: Rows, table: Table, payload: pb.Payload, received_ms: int) -> None:
        """Pack a birth, or data that waited for it: all of it may be stored already.

        What even the birth does not tell of is refused.
        """
        for metric in payload.metrics:
            try:
                slot = _find(table, metric)
            except UnknownMetric as error:
                rows.refused += 1
                rows.fault = str(error)
                continue
            if slot:
                self._pack_careful(
                    rows, table, slot, metric, payload, received_ms=received_ms, staged=True
                )

    # By columns.

    def _read(self, payloads: Sequence[Live], counts: Sequence[int], fields: Fields) -> _Values:
        total = len(fields.form)
        slot = np.zeros(total, np.int64)
        metric_id = np.zeros(total, np.int32)
        kind = np.zeros(total, np.uint8)
        latest_ms = np.zeros(total, np.int64)
        for table, start, end in _group(payloads, counts):
            mine = table.find_slots(fields.alias[start:end])
            slot[start:end] = mine
            metric_id[start:end] = table.metric_id[mine]
            kind[start:end] = table.kind[mine]
            latest_ms[start:end] = table.latest_ms[mine]
        sent_ms = np.repeat([self._read_sent(live) for live in payloads], counts)
        newest_ms = np.repeat([live.received_ms + self._ahead_ms for live in payloads], counts)
        time_ms = np.where(fields.time_ms == 0, sent_ms, fields.time_ms)
        plain = (fields.form == RANGE.form[kind]) & (fields.form != OTHER)
        plain &= (time_ms >= self._oldest_ms) & (time_ms <= newest_ms)
        plain &= time_ms < 2**_TIME_BITS
        whole, fits = _read_signed(fields.whole, kind)
        integer = (fields.form == INTEGER) | (fields.form == BOOLEAN)
        plain &= fits | ~integer
        return _Values(
            payload=np.repeat(np.arange(len(payloads)), counts),
            slot=slot,
            metric_id=metric_id,
            latest_ms=latest_ms,
            time_ms=time_ms,
            sent_ms=sent_ms,
            value=np.where(integer, whole, fields.real),
            plain=plain,
        )

    def _find_newer(self, values: _Values) -> Longs:
        """Leave as plain what is newer than all before of its metric.

        Returns:
            The places of what is plain now or was before, by metric and time.
        """
        places = np.flatnonzero(values.plain)
        order = places[order_by_metric(values.metric_id[places])]
        metric_id, time_ms = values.metric_id[order], values.time_ms[order]
        same = metric_id[1:] == metric_id[:-1]
        known_ms = values.latest_ms[order]
        known_ms[1:][same] = np.maximum(known_ms[1:], time_ms[:-1])[same]
        newer = time_ms > known_ms
        if not newer.all():
            # Somewhere time stands or goes back: the newest of all before counts.
            rank = np.cumsum(np.concatenate(([0], ~same)))
            newest = np.maximum.accumulate(rank << _TIME_BITS | np.maximum(time_ms, known_ms))
            before_ms = newest[:-1] & (2**_TIME_BITS - 1)
            known_ms[1:][same] = np.maximum(known_ms[1:], before_ms)[same]
            values.plain[order[time_ms <= known_ms]] = False
        return order

    def _add(self, rows: Rows, values: _Values, order: Longs) -> None:
        if not values.plain.all():
            order = order[values.plain[order]]
        if not len(order):
            return
        time_ms = values.time_ms[order]
        oldest_ms, newest_ms = int(time_ms.min()), int(time_ms.max())
        days = (
            {newest_ms // _DAY_MS}
            if oldest_ms // _DAY_MS == newest_ms // _DAY_MS
            else np.unique(time_ms // _DAY_MS).tolist()
        )
        rows.days.update(days)
        rows.newest_ms = max(rows.newest_ms, newest_ms)
        rows.add_plain(
            PlainRows(values.metric_id[order], time_ms, values.value[order], values.sent_ms[order])
        )

    def _note_latest(self, payloads: Sequence[Live], starts: Longs, values: _Values) -> None:
        counts = np.diff(starts).tolist()
        for table, start, end in _group(payloads, counts):
            chosen = values.plain[start:end]
            # Of several in one slot the last is the newest, and the last is what stays.
            table.latest_ms[values.slot[start:end][chosen]] = values.time_ms[start:end][chosen]

    # One by one.

    def _pack_careful(
        self,
        rows: Rows,
        table: Table,
        slot: int,
        metric: pb.Payload.Metric,
        payload: pb.Payload,
        *,
        received_ms: int,
        staged: bool = False,
    ) -> None:
        if metric.is_transient:
            rows.transient += 1
            return
        sent_ms = self._check_sent(payload.timestamp, received_ms)
        time_ms = metric.timestamp or sent_ms
        if not self._oldest_ms <= time_ms <= received_ms + self._ahead_ms:
            rows.refused += 1
            rows.fault = (
                f"time is {format_ms(time_ms)}, expected one from {format_ms(self._oldest_ms)}"
                f" to {format_ms(received_ms + self._ahead_ms)}"
            )
            return
        try:
            columns = to_columns(metric_value(metric, table.datatype(slot)))
        except PayloadError as error:
            rows.refused += 1
            rows.fault = str(error)
            return
        metric_id = int(table.metric_id[slot])
        row = pack_full(
            metric_id,
            time_ms,
            sent_ms,
            quality=_read_quality(metric),
            historical=metric.is_historical,
            columns=columns,
        )
        latest_ms = int(table.latest_ms[slot])
        newer = time_ms > latest_ms and not metric.is_historical
        if newer:
            table.latest_ms[slot] = time_ms
        # What came from the future is no reason to hide the present.
        hidden = latest_ms > received_ms + _SKEW_MS and not metric.is_historical
        if time_ms >= latest_ms or hidden:
            rows.latest[metric_id] = row
        rows.add_full(metric_id, time_ms, row, staged=staged or not newer)

    def _read_sent(self, live: Live) -> int:
        return self._check_sent(live.head.timestamp, live.received_ms)

    def _check_sent(self, sent_ms: int, received_ms: int) -> int:
        if self._oldest_ms <= sent_ms <= received_ms + self._ahead_ms:
            return sent_ms
        return received_ms


def _group(payloads: Sequence[Live], counts: Sequence[int]) -> list[tuple[Table, int, int]]:
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


def _find(table: Table, metric: pb.Payload.Metric) -> int:
    """The slot of a metric; 0 for control metrics.

    Raises:
        UnknownMetric: no birth told of it.
    """
    slot: int | None = None
    if metric.HasField("alias"):
        slot = table.by_alias.get(metric.alias)
    if slot is None and metric.name:
        if is_control(metric.name):
            return 0
        slot = table.by_name.get(metric.name)
    if slot is None:
        raise UnknownMetric(f"metric {metric.name or metric.alias!r} is in no birth")
    return slot


def _read_quality(metric: pb.Payload.Metric) -> int:
    if not metric.HasField("properties"):
        return QUALITY_GOOD
    properties = metric.properties
    for key, value in zip(properties.keys, properties.values, strict=False):
        if key == QUALITY_PROPERTY:
            code = value.int_value or value.long_value
            return code if 0 <= code <= 32_767 else 0
    return QUALITY_GOOD


def format_ms(time_ms: int) -> str:
    """Milliseconds since the epoch as ISO 8601; the number itself where no calendar has it."""
    try:
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=time_ms)
    except OverflowError:
        return f"{time_ms} ms"
    return moment.isoformat(timespec="milliseconds")
