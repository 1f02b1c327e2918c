"""Which buckets are due."""

from historian.due import MOST_BUCKETS, STEPS_MS, DueBuckets, Span, split_spans

MINUTE, QUARTER = STEPS_MS[0], STEPS_MS[1]
NOW = 1_790_000_100_000 - 1_790_000_100_000 % STEPS_MS[3]


def test_bucket_is_due_when_it_has_ended_and_once() -> None:
    due = DueBuckets()
    due.touch({1: NOW + 5_000}, NOW + 5_000)
    assert due.take(MINUTE, NOW + 59_999, 10) == []
    assert due.take(MINUTE, NOW + 60_000, 10) == [Span(1, NOW, NOW + 60_000)]
    assert due.take(MINUTE, NOW + 60_000, 10) == []
    assert due.take(QUARTER, NOW + 60_000, 10) == []
    assert due.take(QUARTER, NOW + QUARTER, 10) == [Span(1, NOW, NOW + QUARTER)]


def test_bucket_that_has_begun_stays_due() -> None:
    due = DueBuckets()
    due.touch({1: NOW + 5_000}, NOW + 65_000)
    assert due.take(MINUTE, NOW + 70_000, 10) == [Span(1, NOW, NOW + 60_000)]
    assert due.take(MINUTE, NOW + 130_000, 10) == [Span(1, NOW + 60_000, NOW + 120_000)]


def test_late_sample_makes_its_bucket_due_again() -> None:
    due = DueBuckets()
    due.touch({1: NOW}, NOW)
    due.take(MINUTE, NOW + MINUTE, 10)
    due.touch({1: NOW - 5 * MINUTE + 7}, NOW - 5 * MINUTE + 7)
    (span,) = due.take(MINUTE, NOW + MINUTE, 10)
    assert span.low_ms == NOW - 5 * MINUTE


def test_what_could_not_be_made_is_due_again() -> None:
    due = DueBuckets()
    due.touch({1: NOW}, NOW)
    spans = due.take(MINUTE, NOW + MINUTE, 10)
    due.give_back(MINUTE, spans)
    assert due.take(MINUTE, NOW + MINUTE, 10) == spans


def test_long_past_is_made_up_piece_by_piece() -> None:
    due = DueBuckets()
    past = NOW - 2 * MOST_BUCKETS * MINUTE
    due.touch({1: past}, NOW)
    first = due.take(MINUTE, NOW, 10)
    second = due.take(MINUTE, NOW, 10)
    assert first == [Span(1, past, past + MOST_BUCKETS * MINUTE)]
    assert second == [Span(1, past + MOST_BUCKETS * MINUTE, NOW)]


def test_work_is_taken_in_portions() -> None:
    due = DueBuckets()
    due.touch(dict.fromkeys(range(25), NOW), NOW)
    sizes = [len(due.take(MINUTE, NOW + MINUTE, 10)) for _ in range(4)]
    assert sizes == [10, 10, 5, 0]


def test_times_become_whole_buckets_that_have_ended() -> None:
    spans = [Span(1, NOW + 5_000, NOW + 65_000), Span(2, NOW + 5_000, NOW + QUARTER)]
    assert list(split_spans(spans, MINUTE, NOW + 150_000)) == [
        Span(1, NOW, NOW + 120_000),
        Span(2, NOW, NOW + 120_000),
    ]
    assert list(split_spans(spans, QUARTER, NOW + 150_000)) == []


def test_bucket_that_two_notes_tell_of_is_made_once() -> None:
    spans = [Span(1, NOW + 1, NOW + 2), Span(1, NOW, NOW), Span(1, NOW + MINUTE, NOW + MINUTE)]
    assert list(split_spans(spans, MINUTE, NOW + QUARTER)) == [Span(1, NOW, NOW + 2 * MINUTE)]
    apart = [Span(1, NOW + 3 * MINUTE, NOW + 3 * MINUTE), Span(1, NOW, NOW)]
    assert list(split_spans(apart, MINUTE, NOW + QUARTER)) == [
        Span(1, NOW, NOW + MINUTE),
        Span(1, NOW + 3 * MINUTE, NOW + 4 * MINUTE),
    ]


def test_long_time_is_made_again_piece_by_piece() -> None:
    past = NOW - 2 * MOST_BUCKETS * MINUTE
    assert [
        (low - past, high - past) for _, low, high in split_spans([Span(1, past, NOW)], MINUTE, NOW)
    ] == [
        (0, MOST_BUCKETS * MINUTE),
        (MOST_BUCKETS * MINUTE, 2 * MOST_BUCKETS * MINUTE),
    ]
