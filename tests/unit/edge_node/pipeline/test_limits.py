from math import inf, isnan, nan
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from edge_node.drivers.base import Changes, OpcQuality, PollResult, RawValue, Reason, TagInfo
from edge_node.pipeline.limits import Limits
from edge_node.pipeline.tags import DeviceTags
from proto.control.modbus import ModbusTag
from proto.sparkplug.datatypes import DataType


def tags(out_of_range: Literal["keep", "clamp", "bad"], **more: Any) -> DeviceTags:
    document = ModbusTag.model_validate(
        {
            "name": "level",
            "address": "holding:0",
            "datatype": "int16",
            "scale": 0.1,
            "low": 0,
            "high": 100,
            "out_of_range": out_of_range,
        }
        | more
    )
    return DeviceTags([document], {"g": [TagInfo("level", DataType.INT16)]})


def polled(device: DeviceTags, *raws: int) -> list[tuple[RawValue, int]]:
    """Return value and quality of each poll that has something to tell."""
    told = []
    for at, raw in enumerate(raws):
        report = device.groups["g"].process(PollResult(at, [raw]))
        if report is not None:
            told.append((report.values[0], device.groups["g"].reporter.qualities[0]))
    return told


def test_a_value_beyond_its_range_is_kept_unless_told_otherwise() -> None:
    assert polled(tags("keep"), 500, 1500, -3) == [(50, 192), (150, 192), (-0.3, 192)]


def test_a_clamped_value_stays_at_the_limit_and_is_reported_once() -> None:
    assert polled(tags("clamp"), 500, 1500, 2000, -3) == [(50, 192), (100, 192), (0, 192)]


def test_a_value_that_cannot_be_is_bad_with_its_reason_and_good_again_when_it_is() -> None:
    device = tags("bad")
    assert polled(device, 500, 1500, 1600, 700) == [(50, 192), (50, 0), (70, 192)]
    poll = PollResult(9, [1500])
    device.groups["g"].process(poll)
    (reason,) = poll.bad.values()
    assert isinstance(reason, Reason)
    assert (reason, reason.quality) == (
        "150.0 is above high, 100",
        OpcQuality.SENSOR_FAILURE,
    )


def test_one_limit_is_enough() -> None:
    assert polled(tags("clamp", high=None), 30_000, -5) == [(3000, 192), (0, 192)]


def test_changes_of_a_subscription_are_held_against_their_limits_too() -> None:
    group = tags("bad").groups["g"]
    changes = Changes("g", [0, 0], [500, 1500], [(1, 192), (2, 192)], {})
    report = group.process_changes(changes, 3)
    assert report is not None
    assert (report.values, report.stamps) == ([50, 50], [(1, 192), (2, 0)])
    assert changes.bad == {0: "150.0 is above high, 100"}
    nothing = Changes("g", [], [], [], {})
    group.process_changes(nothing, 4)
    assert nothing.bad == {0: "150.0 is above high, 100"}
    back = Changes("g", [0], [600], [(5, 192)], {})
    group.process_changes(back, 5)
    assert back.bad == {}


def test_what_is_no_number_has_no_range() -> None:
    limits = Limits(0, 1, clamp=True)
    assert limits.apply(True) is True
    assert limits.apply("text") == "text"
    assert limits.apply(None) is None
    kept = limits.apply(nan)
    assert isinstance(kept, float)
    assert isnan(kept)


@given(
    st.one_of(st.integers(-(2**63), 2**63), st.floats(allow_nan=False)),
    st.floats(-1e6, 0),
    st.floats(0.5, 1e6),
)
def test_a_clamped_number_is_within_its_limits_and_of_its_kind(
    value: float, low: float, high: float
) -> None:
    clamped = Limits(low, high, clamp=True).apply(value)
    assert isinstance(clamped, int | float)
    assert low <= clamped <= high
    if low <= value <= high:
        assert clamped is value
    assert Limits(-inf, inf, clamp=False).apply(value) is value


def test_a_rule_without_a_range_is_refused() -> None:
    with pytest.raises(ValidationError, match="out_of_range is 'bad', expected low or high"):
        tags("bad", low=None, high=None)
