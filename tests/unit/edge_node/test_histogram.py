import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_node.histogram import BOUNDS_S, Histogram


def test_an_empty_histogram_tells_zero() -> None:
    histogram = Histogram()
    assert (histogram.count, histogram.quantile_s(0.99), histogram.maximum_s) == (0, 0.0, 0.0)


def test_a_duration_on_a_bound_belongs_to_the_bucket_below() -> None:
    histogram = Histogram()
    histogram.add(0.001)
    histogram.add(0.0011)
    assert histogram.buckets[:3] == [1, 1, 0]


def test_quantiles_are_bounds_and_the_last_is_the_longest_itself() -> None:
    histogram = Histogram()
    for duration_s in (0.0004,) * 98 + (0.03, 12.0):
        histogram.add(duration_s)
    assert histogram.quantile_s(0.5) == 0.001
    assert histogram.quantile_s(0.99) == 0.05
    assert histogram.quantile_s(1.0) == 12.0
    assert histogram.sum_s == pytest.approx(98 * 0.0004 + 12.03)


@given(st.lists(st.floats(0, 100), min_size=1, max_size=50), st.floats(0.01, 1))
def test_a_quantile_is_never_below_the_true_one_nor_a_bucket_above(
    durations: list[float], part: float
) -> None:
    histogram = Histogram()
    for duration_s in durations:
        histogram.add(duration_s)
    assert histogram.count == len(durations)
    rank = next(r for r in range(1, len(durations) + 1) if r >= part * len(durations))
    true = sorted(durations)[rank - 1]
    told = histogram.quantile_s(part)
    assert true <= told <= max(durations)
    assert told <= next((b for b in BOUNDS_S if b >= true), max(durations))
