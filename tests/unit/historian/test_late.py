"""Which live rows are late."""

import numpy as np

from historian.exact import Columns
from historian.late import find_spans, split_late
from historian.plain import PlainRows
from historian.rows import Rows, pack_full

NOW = 1_790_000_100_000


def make_rows(plain: list[tuple[int, int]], full: list[tuple[int, int]]) -> Rows:
    rows = Rows()
    metrics = np.array([metric_id for metric_id, _ in plain], np.int32)
    times = np.array([at for _, at in plain], np.int64)
    rows.add_plain(PlainRows(metrics, times, times.astype(np.float64), times))
    for metric_id, at in full:
        columns = Columns(None, "text", None, None)
        row = pack_full(metric_id, at, at + 1, quality=192, historical=False, columns=columns)
        rows.add_full(metric_id, at, row, staged=False)
    return rows


def test_rows_in_time_stay_as_they_are() -> None:
    rows = make_rows([(1, NOW), (2, NOW + 1)], [(3, NOW)])
    in_time, late = split_late(rows, NOW)
    assert in_time.plain is rows.plain
    assert in_time.full is rows.full
    assert not late


def test_late_rows_of_both_shapes_are_told_apart() -> None:
    rows = make_rows(
        [(1, NOW - 2), (1, NOW - 1), (1, NOW), (2, NOW - 5)],
        [(3, NOW), (3, NOW - 7), (1, NOW - 9), (1, NOW - 1)],
    )
    in_time, late = split_late(rows, NOW)
    assert in_time.plain.time_ms.tolist() == [NOW]
    assert len(in_time.full) == 1
    assert find_spans(in_time) == {1: (NOW, NOW), 3: (NOW, NOW)}
    assert find_spans(late) == {1: (NOW - 9, NOW - 1), 2: (NOW - 5, NOW - 5), 3: (NOW - 7,) * 2}


def test_nothing_is_late_of_nothing() -> None:
    in_time, late = split_late(Rows(), NOW)
    assert not in_time
    assert not late
    assert find_spans(late) == {}
