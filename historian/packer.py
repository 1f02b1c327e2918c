"""Payloads whose births are known → rows. Pure, and the historian's hot path.

Plain values of many payloads are packed together, by columns; those that are older than the newest
of their metric are kept apart, because they may be stored already. What is not plain (text, other
qualities, nulls, metrics by name, a time that was there before) is read from protobuf's objects,
one by one, and with care.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

import numpy as np

from historian.exact import to_columns
from historian.rows import Rows, pack_full
from historian.tables import Table
from historian.values import SKEW_MS, Bounds, Live, read_values
from proto import sparkplug_b_pb2 as pb
from proto.sparkplug.codec import metric_value, parse
from proto.sparkplug.errors import PayloadError
from proto.sparkplug.metrics import QUALITY_GOOD, QUALITY_PROPERTY, is_control


class UnknownMetric(Exception):
    """A payload of the live path has a metric that no birth told of; nothing of it was packed."""


class Packer:
    """Packs payloads into the rows that are open at the time.

    Args:
        bounds: of time; points beyond are refused.
    """

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds

    def pack_live(
        self, rows: Rows, payloads: Sequence[Live]
    ) -> dict[int, UnknownMetric | PayloadError]:
        """Pack data of sessions whose births are known.

        Returns:
            By their places, the payloads of which nothing was packed: for an alias or name that is
            not in the births, or because the bytes are no payload.
        """
        if not any(live.head.metrics for live in payloads):
            return {}
        values = read_values(payloads, self._bounds)
        order = values.find_newer()
        faults: dict[int, UnknownMetric | PayloadError] = {}
        careful: list[tuple[Live, pb.Payload, list[tuple[int, int]]]] = []
        odd = values.odd
        for number in np.unique(values.payload[odd]).tolist():
            live, start, end = payloads[number], values.starts[number], values.starts[number + 1]
            places = np.flatnonzero(odd[start:end]).tolist()
            try:
                payload = parse(live.data)
                found = [(place, _find(live.table, payload.metrics[place])) for place in places]
            except (UnknownMetric, PayloadError) as error:
                faults[number] = error
                values.leave_out(number)
            else:
                careful.append((live, payload, found))
        values.add_plain(rows, order)
        values.add_late(rows)
        for live, payload, found in careful:
            for place, slot in found:
                if slot:
                    metric = payload.metrics[place]
                    self._pack_careful(
                        rows, live.table, slot, metric, payload, received_ms=live.received_ms
                    )
        return faults

    def pack_waited(self, rows: Rows, live: Live) -> None:
        """Pack data that waited for its birth: all of it may be stored already.

        What even the birth does not tell of is refused.

        Raises:
            PayloadError: the bytes are no payload.
        """
        if not live.head.metrics:
            return
        values = read_values([live], self._bounds)
        values.find_late()
        odd = np.flatnonzero(values.odd).tolist()
        payload = parse(live.data) if odd else None
        values.add_late(rows)
        if payload is not None:
            metrics = [payload.metrics[place] for place in odd]
            self._pack_staged(rows, live.table, metrics, payload, live.received_ms)

    def pack_birth(self, rows: Rows, table: Table, payload: pb.Payload, received_ms: int) -> None:
        """Pack a birth: all of it may be stored already."""
        self._pack_staged(rows, table, payload.metrics, payload, received_ms)

    # One by one.

    def _pack_staged(
        self,
        rows: Rows,
        table: Table,
        metrics: Iterable[pb.Payload.Metric],
        payload: pb.Payload,
        received_ms: int,
    ) -> None:
        for metric in metrics:
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
        oldest_ms, newest_ms = self._bounds.oldest_ms, received_ms + self._bounds.ahead_ms
        sent_ms = self._bounds.check_sent(payload.timestamp, received_ms)
        time_ms = metric.timestamp or sent_ms
        if not oldest_ms <= time_ms <= newest_ms:
            rows.refused += 1
            rows.fault = (
                f"time is {format_ms(time_ms)}, expected one from {format_ms(oldest_ms)}"
                f" to {format_ms(newest_ms)}"
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
        hidden = latest_ms > received_ms + SKEW_MS and not metric.is_historical
        if time_ms >= latest_ms or hidden:
            rows.latest[metric_id] = row
        rows.add_full(metric_id, time_ms, row, staged=staged or not newer)


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
