from math import inf, nan
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_node.pipeline.report import Report, Reporter, ReportRule

PLAIN = ReportRule()


def reporter(*rules: ReportRule) -> Reporter:
    """A reporter whose tags were all reported as 0 at time 0."""
    made = Reporter(rules)
    made.report(0, [0] * len(rules), {})
    return made


def told(report: Report | None) -> list[tuple[int, Any]]:
    return [] if report is None else list(zip(report.indices, report.values, strict=True))


def test_the_first_poll_reports_everything_with_its_quality() -> None:
    report = Reporter([PLAIN, PLAIN]).report(5, [1.0, 2.0], {1: "illegal address"})
    assert report == Report(5, [0, 1], [1.0, None], {0: 192, 1: 0})


@pytest.mark.tck("principles-rbe-recommended", "operational-behavior-data-publish-dbirth-change")
def test_only_changes_are_reported() -> None:
    under_test = reporter(PLAIN, PLAIN, PLAIN)
    assert told(under_test.report(1, [0, 7, 0], {})) == [(1, 7)]
    assert under_test.report(2, [0, 7, 0], {}) is None
    assert told(under_test.report(3, [1, 7, 2], {})) == [(0, 1), (2, 2)]


def test_changes_within_the_deadband_add_up_until_they_are_worth_reporting() -> None:
    under_test = reporter(ReportRule(deadband=1.0), PLAIN)
    assert under_test.report(1, [0.4, 0], {}) is None
    assert under_test.report(2, [0.8, 0], {}) is None
    assert told(under_test.report(3, [1.0, 0], {})) == [(0, 1.0)]
    assert told(under_test.report(4, [0.9, 0.1], {})) == [(1, 0.1)]


def test_leaving_and_reaching_nan_is_a_change_and_staying_nan_is_none() -> None:
    for rule in (PLAIN, ReportRule(deadband=0.5)):
        under_test = reporter(rule)
        report = under_test.report(1, [nan], {})
        assert report is not None
        assert report.values[0] != report.values[0]
        assert under_test.report(2, [float("nan")], {}) is None
        assert told(under_test.report(3, [1.0], {})) == [(0, 1.0)]


def test_infinity_passes_a_deadband_once() -> None:
    under_test = reporter(ReportRule(deadband=0.5))
    assert told(under_test.report(1, [inf], {})) == [(0, inf)]
    assert under_test.report(2, [inf], {}) is None


def test_a_tag_that_goes_bad_keeps_its_value_and_tells_its_quality_once() -> None:
    under_test = reporter(PLAIN, PLAIN)
    assert under_test.report(1, [0, None], {1: "timeout"}) == Report(1, [1], [0], {1: 0})
    assert under_test.report(2, [0, None], {1: "timeout"}) is None
    assert under_test.report(3, [5, None], {1: "timeout"}) == Report(3, [0], [5], {})
    assert under_test.report(4, [5, 0], {}) == Report(4, [1], [0], {1: 192})
    assert under_test.report(5, [5, 0], {}) is None


def test_quality_and_value_of_one_tag_change_together() -> None:
    under_test = reporter(ReportRule(deadband=10))
    under_test.report(1, [None], {0: "timeout"})
    assert under_test.report(2, [1], {}) == Report(2, [0], [1], {0: 192})
    assert under_test.qualities == [192]


def test_an_unchanged_value_is_reported_again_after_max_silence() -> None:
    under_test = reporter(ReportRule(max_silence_ms=1000), PLAIN)
    assert under_test.report(999, [0, 0], {}) is None
    assert told(under_test.report(1000, [0, 0], {})) == [(0, 0)]
    assert under_test.report(1500, [0, 0], {}) is None
    assert told(under_test.report(1600, [1, 0], {})) == [(0, 1)]
    assert under_test.report(2599, [1, 0], {}) is None
    assert told(under_test.report(2600, [1, 0], {})) == [(0, 1)]


def test_max_silence_tells_a_bad_tag_again_too() -> None:
    under_test = reporter(ReportRule(max_silence_ms=1000))
    under_test.report(500, [None], {0: "timeout"})
    assert under_test.report(1499, [None], {0: "timeout"}) is None
    assert told(under_test.report(1500, [None], {0: "timeout"})) == [(0, 0)]


def test_a_forced_tag_is_reported_once_though_nothing_changed() -> None:
    under_test = reporter(PLAIN, ReportRule(deadband=100))
    under_test.force(1)
    assert told(under_test.report(1, [0, 3], {})) == [(1, 3)]
    assert under_test.report(2, [0, 3], {}) is None


def test_what_is_remembered_is_what_was_reported() -> None:
    under_test = reporter(ReportRule(deadband=1.0), PLAIN)
    under_test.report(7, [0.5, 4], {})
    assert under_test.values == [0, 4]
    assert under_test.timestamps_ms == [0, 7]


VALUES = st.one_of(st.integers(-3, 3), st.booleans(), st.sampled_from(["a", "b"]), st.just(nan))


@given(st.data())
def test_a_follower_of_the_reports_always_has_the_current_picture(data: st.DataObject) -> None:
    width = data.draw(st.integers(1, 5))
    under_test = Reporter([PLAIN] * width)
    values: list[Any] = [None] * width
    qualities = [-1] * width
    for now in range(data.draw(st.integers(1, 10))):
        polled = data.draw(st.lists(VALUES, min_size=width, max_size=width))
        bad = data.draw(st.sets(st.integers(0, width - 1)))
        raw: list[Any] = [None if i in bad else value for i, value in enumerate(polled)]
        report = under_test.report(now, raw, dict.fromkeys(bad, "why"))
        if report is not None:
            assert list(report.indices) == sorted(set(report.indices))
            for i, value in zip(report.indices, report.values, strict=True):
                values[i] = value
            for i, quality in report.qualities.items():
                qualities[i] = quality
                assert i in report.indices
        for i in range(width):
            assert qualities[i] == (0 if i in bad else 192)
            if i not in bad:
                assert values[i] == polled[i] or (values[i] != values[i] and polled[i] != polled[i])


@pytest.mark.parametrize("silence", [None, 1000])
def test_a_poll_without_news_says_nothing(silence: int | None) -> None:
    rules = [ReportRule(max_silence_ms=silence)] * 3
    under_test = reporter(*rules)
    assert under_test.report(1, [0, 0, 0], {}) is None


def test_a_tag_that_never_had_a_value_is_told_once_and_not_as_null_again() -> None:
    under_test = Reporter([ReportRule(max_silence_ms=10)])
    assert under_test.report(0, [None], {0: "illegal address"}) == Report(0, [0], [None], {0: 0})
    under_test.force(0)
    assert under_test.report(50, [None], {0: "illegal address"}) is None
    assert under_test.report(60, [3], {}) == Report(60, [0], [3], {0: 192})


def test_a_restart_reports_everything_anew() -> None:
    under_test = reporter(PLAIN, PLAIN)
    under_test.restart()
    assert under_test.report(9, [0, 0], {}) == Report(9, [0, 1], [0, 0], {0: 192, 1: 192})
    assert under_test.timestamps_ms == [9, 9]


def moved(report: Report | None) -> bool:
    assert report is not None
    return report.moved


def test_a_report_says_whether_something_moved_or_a_silence_ended() -> None:
    under_test = reporter(ReportRule(max_silence_ms=1000))
    assert not moved(under_test.report(1000, [0], {}))
    assert moved(under_test.report(1001, [1], {}))
    under_test.force(0)
    assert not moved(under_test.report(1002, [1], {}))
    assert moved(under_test.report(1003, [1], {0: "timeout"}))
    assert not moved(under_test.report(2003, [1], {0: "timeout"}))
    assert moved(under_test.report(2004, [1], {}))


def test_a_doubtful_value_is_told_as_stale_and_good_again_when_it_is() -> None:
    under_test = reporter(PLAIN, PLAIN)
    report = under_test.report(1, [7, 0], {}, {0: "UncertainSensorNotAccurate"})
    assert report == Report(1, [0], [7], {0: 500})
    assert under_test.report(2, [7, 0], {}, {0: "UncertainSensorNotAccurate"}) is None
    assert under_test.report(3, [7, 0], {}) == Report(3, [0], [7], {0: 192})


def test_values_keep_the_times_that_the_device_gave_them() -> None:
    under_test = reporter(PLAIN, PLAIN)
    report = under_test.report(9, [1, 2], {}, timestamps_ms=[3, 4])
    assert report is not None
    assert report.stamps == [(3, 192), (4, 192)]
    assert under_test.timestamps_ms == [3, 4]


def test_every_change_of_a_subscription_is_told_with_its_own_time_and_quality() -> None:
    under_test = reporter(PLAIN, PLAIN)
    report = under_test.report_changes(
        9, [(1, 5, (1, 192)), (0, 1, (2, 500)), (1, 6, (3, 192)), (1, None, (4, 0))]
    )
    stamps = [(1, 192), (2, 500), (3, 192), (4, 0)]
    assert report == Report(9, [1, 0, 1, 1], [5, 1, 6, 6], {}, stamps=stamps)
    assert under_test.report(10, [1, 6], {}) == Report(10, [0, 1], [1, 6], {0: 192, 1: 192})


def test_changes_of_a_subscription_within_the_deadband_and_repetitions_are_not_told() -> None:
    under_test = reporter(ReportRule(deadband=1.0), PLAIN)
    changes: list[tuple[int, Any, tuple[int, int]]] = [
        (0, 0.5, (1, 192)),
        (1, 0, (1, 192)),
        (0, 1.5, (2, 192)),
        (1, nan, (3, 192)),
        (1, float("nan"), (4, 192)),
    ]
    report = under_test.report_changes(9, changes)
    assert report is not None
    assert report.indices == [0, 1]
    assert report.stamps == [(2, 192), (3, 192)]
    under_test.force(0)
    assert told(under_test.report_changes(10, [(0, 1.5, (5, 192))])) == [(0, 1.5)]


def test_a_subscription_that_is_silent_for_too_long_is_told_again() -> None:
    under_test = reporter(ReportRule(max_silence_ms=100), PLAIN)
    assert under_test.report_changes(99, ()) is None
    assert under_test.report_changes(100, ()) == Report(100, [0], [0], {}, stamps=[(100, 192)])
    assert under_test.report_changes(101, ()) is None
