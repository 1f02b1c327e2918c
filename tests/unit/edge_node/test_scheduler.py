from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_node.scheduler import Beats, Lateness, Pace, phase


def test_phase_is_stable_and_differs_between_devices_and_groups() -> None:
    assert phase("press-1", "fast") == phase("press-1", "fast")
    assert len({phase("press-1", "fast"), phase("press-1", "slow"), phase("press-2", "fast")}) == 3


@pytest.mark.complaint("synchronized-polls")
def test_phases_of_many_devices_are_spread_over_the_interval() -> None:
    tenths = [0] * 10
    for number in range(1000):
        tenths[int(phase(f"device-{number}", "default") * 10)] += 1
    assert min(tenths) > 60
    assert max(tenths) < 140


def test_beats_keep_their_phase_and_interval() -> None:
    beats = Beats("press-1", {"fast": Pace(0.5)}, now=100.0)
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
    beats = Beats("d", {"slow": Pace(10.0), "fast": Pace(1.0)}, now=0.0)
    order = []
    for _ in range(11):
        group, due = beats.next()
        assert due is not None
        order.append(group)
        beats.done(group, due)
    assert order.count("slow") == 1


def test_a_slow_poll_skips_beats_and_counts_them() -> None:
    beats = Beats("d", {"g": Pace(1.0)}, now=0.0)
    _, first = beats.next()
    assert first is not None
    assert beats.done("g", first + 3.5) == 3
    assert beats.next()[1] == pytest.approx(first + 4)
    assert beats.skipped == 3


def test_a_hurried_group_is_next_at_once_and_keeps_its_beat() -> None:
    beats = Beats("d", {"a": Pace(1.0), "b": Pace(1.0)}, now=0.0)
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
    beats = Beats("d", {"g": Pace(interval)}, now)
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


def due_of(beats: Beats) -> float:
    _, due = beats.next()
    assert due is not None
    return due


def test_an_adapting_group_leaves_out_twice_as_many_beats_after_each_quiet_poll() -> None:
    beats = Beats("d", {"g": Pace(0.1, 1.0)}, now=0.0)
    dues = []
    for _ in range(7):
        dues.append(due_of(beats))
        beats.done("g", dues[-1], moved=False)
    assert [b - a for a, b in pairwise(dues)] == pytest.approx([0.2, 0.4, 0.8, 1.0, 1.0, 1.0])
    assert beats.skipped == 0
    beats.done("g", due_of(beats), moved=True)
    assert due_of(beats) == pytest.approx(dues[-1] + 1.1)


def test_a_change_off_the_beat_brings_back_the_next_beat_of_the_same_phase() -> None:
    beats = Beats("d", {"g": Pace(1.0, 60.0)}, now=0.0)
    last = 0.0
    for _ in range(8):
        last = due_of(beats)
        beats.done("g", last, moved=False)
    assert due_of(beats) == pytest.approx(last + 60)
    beats.quicken("g", last + 7.25)
    assert due_of(beats) == pytest.approx(last + 8)
    beats.done("g", due_of(beats), moved=True)
    assert due_of(beats) == pytest.approx(last + 9)


def test_quickening_a_group_at_its_fastest_moves_nothing() -> None:
    beats = Beats("d", {"g": Pace(1.0, 60.0)}, now=0.0)
    before = due_of(beats)
    beats.quicken("g", 0.0)
    assert due_of(beats) == before


def test_a_constant_group_polls_every_beat_however_quiet_it_is() -> None:
    beats = Beats("d", {"g": Pace(1.0)}, now=0.0)
    first = due_of(beats)
    beats.done("g", first, moved=False)
    assert due_of(beats) == pytest.approx(first + 1)


@given(
    now=st.floats(0, 1e6),
    interval=st.floats(0.05, 100),
    factor=st.floats(1, 50),
    polls=st.lists(
        st.tuples(st.floats(0, 3), st.booleans(), st.booleans()), min_size=1, max_size=40
    ),
)
def test_an_adapting_group_keeps_its_phase_and_its_bounds(
    now: float, interval: float, factor: float, polls: list[tuple[float, bool, bool]]
) -> None:
    beats = Beats("d", {"g": Pace(interval, interval * factor)}, now)
    first = due_of(beats)
    for busy, moved, hurried in polls:
        due = due_of(beats)
        if hurried:
            beats.quicken("g", due - busy * interval)
            assert due - busy * interval - 1e-6 <= due_of(beats) <= due + 1e-6
            continue
        ended = due + busy * interval
        skipped = beats.done("g", ended, moved=moved)
        rest = due_of(beats) - due
        assert due_of(beats) >= ended - 1e-6
        assert rest <= busy * interval + max(1, factor) * interval * (1 + 1e-6)
        if busy < 1:
            assert skipped == 0
        if moved and busy < 1:
            assert rest == pytest.approx(interval)
        beat = (due_of(beats) - first) / interval
        assert beat == pytest.approx(round(beat), abs=1e-3)


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
