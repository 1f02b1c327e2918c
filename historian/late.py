"""Which live rows of a batch come late, so that their rollups may have been made already. Pure."""

import struct
from typing import Final

from historian.plain import NO_ROWS, POSTGRES_EPOCH_MS
from historian.rows import Batch, Rows

_FULL_PLACE: Final = struct.Struct(">6xi4xq").unpack_from
"""Metric and time of a full row, microseconds since 2000."""


def split_late(rows: Rows, made_ms: int) -> tuple[Batch, Batch]:
    """The live rows that are in time, and those older than ``made_ms``.

    Live rows are seldom so late; where none is, this costs one look at the times.
    """
    plain, late_plain = rows.plain, NO_ROWS
    if len(plain) and plain.time_ms.min() < made_ms:
        is_late = plain.time_ms < made_ms
        plain, late_plain = plain[~is_late], plain[is_late]
    full: list[bytes] = rows.full
    late_full: list[bytes] = []
    if any(time_ms < made_ms for time_ms in rows.oldest.values()):
        full = [row for row in rows.full if _place(row)[1] >= made_ms]
        late_full = [row for row in rows.full if _place(row)[1] < made_ms]
    return Batch(plain, full=full), Batch(late_plain, full=late_full)


def find_spans(rows: Batch) -> dict[int, tuple[int, int]]:
    """Per metric the times of its oldest and its newest live row, milliseconds."""
    oldest, newest = rows.plain.oldest(), rows.plain.newest()
    found = dict(
        zip(
            oldest.metric_id.tolist(),
            zip(oldest.time_ms.tolist(), newest.time_ms.tolist(), strict=True),
            strict=True,
        )
    )
    for row in rows.full:
        metric_id, time_ms = _place(row)
        low_ms, high_ms = found.get(metric_id, (time_ms, time_ms))
        found[metric_id] = min(low_ms, time_ms), max(high_ms, time_ms)
    return found


def _place(row: bytes) -> tuple[int, int]:
    metric_id, time_us = _FULL_PLACE(row)
    return metric_id, time_us // 1000 + POSTGRES_EPOCH_MS
