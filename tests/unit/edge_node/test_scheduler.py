from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_node.scheduler import Beats, Lateness, phase


def test_phase_is_stable_and_differs_between_devices_and_groups() -> None:
    assert phase("press-1", "fast") == phase("press-1", "fast")
    assert len({phase("press-1", "fast"), phase("press-1", "slow"), phase("press-2", "fast")}) == 3


def test_phases_of_many_devices_are_spread_over_the_interval() -> None:
    tenths = [0] * 10
    for number in range(1000):
        tenths[int(phase(f"device-{number}", "default") * 10)] += 1
    assert min(tenths) > 60
    assert max(tenths) < 140


def test_beats_keep_their_phase_and_interval() -> None:
    beats = Beats("press-1", {"fast": 0.5}, now=100.0)
    dues = []
    for _ in range(4):
        group, due = beats.next()
        assert due is not None
        dues.append(due)
        beats.done(group, due + 0.01)
    assert [b - a for a, b in pairwise(dues)] == pytest.approx([0.5] * 3)
    assert dues[0] % 0.5 == pytest.approx(phase("press-1", "fast") * 0.5)
    assert beats.skipped == 0


def test_the_group_that_is_due_first_is_next() -> None:
    beats = Beats("d", {"slow": 10.0, "fast": 1.0}, now=0.0)
    order = []
    for _ in range(11):
        group, due = beats.next()
        assert due is not None
        order.append(group)
        beats.done(group, due)
    assert order.count("slow") == 1


def test_a_slow_poll_skips_beats_and_counts_them() -> None:
    beats = Beats("d", {"g": 1.0}, now=0.0)
    _, first = beats.next()
    assert first is not None
    assert beats.done("g", first + 3.5) == 3
    assert beats.next()[1] == pytest.approx(first + 4)
    assert beats.skipped == 3


def test_a_hurried_group_is_next_at_once_and_keeps_its_beat() -> None:
    beats = Beats("d", {"a": 1.0, "b": 1.0}, now=0.0)
    before = beats.next()
    beats.hurry("b")
    assert beats.next() == ("b", None)
    beats.hurried("b")
    assert beats.next() == before


@given(
    now=st.floats(0, 1e6),
    interval=st.floats(0.05, 86_400),
    busy=st.lists(st.floats(0, 5), min_size=1, max_size=30),
)
def test_every_beat_is_either_polled_or_counted_as_skipped(
    now: float, interval: float, busy: list[float]
) -> None:
    beats = Beats("d", {"g": interval}, now)
    _, first = beats.next()
    assert first is not None
    assert now - 1e-6 <= first <= now + interval * (1 + 1e-6)
    for factor in busy:
        _, due = beats.next()
        assert due is not None
        ended = due + factor * interval
        beats.done("g", ended)
        following = beats.next()[1]
        assert following is not None
        assert following >= min(ended, due + interval) - 1e-6
    _, last = beats.next()
    assert last is not None
    assert round((last - first) / interval) == len(busy) + beats.skipped


def test_lateness_tells_quantiles_and_the_maximum() -> None:
    lateness = Lateness()
    assert lateness.quantile_s(0.99) == 0
    for _ in range(98):
        lateness.add(0.00105)
    lateness.add(0.3004)
    lateness.add(7.0)
    assert lateness.quantile_s(0.5) == pytest.approx(0.0011)
    assert lateness.quantile_s(0.99) == pytest.approx(0.301)
    assert lateness.quantile_s(1.0) == 7.0
    assert lateness.maximum_s == 7.0


def test_lateness_windows_begin_anew_and_the_totals_stay() -> None:
    lateness = Lateness()
    lateness.add(0.5)
    lateness.begin_window()
    assert lateness.quantile_s(0.99) == 0
    lateness.add(0.01)
    assert lateness.quantile_s(0.99) == pytest.approx(0.0101)
    assert (lateness.count, lateness.maximum_s) == (2, 0.5)
