"""Back-off, complaints and JSON: small things with one job each."""

import math

import pytest
import structlog

from historian.backoff import Backoff
from historian.complaints import Complaints
from historian.exact import format_json


def test_pauses_grow_to_a_bound_and_start_over() -> None:
    backoff = Backoff(first_s=0.1, longest_s=2.0)
    pauses = [backoff.fail() for _ in range(50)]
    assert 0.05 <= pauses[0] <= 0.1
    assert all(1.0 <= pause <= 2.0 for pause in pauses[6:])
    assert backoff.succeed()
    assert backoff.fail() <= 0.1


def test_first_success_had_no_failures_before() -> None:
    assert not Backoff().succeed()


def test_complaints_are_seldom_and_count_what_they_left_out() -> None:
    complaints = Complaints(pause_ms=1_000)
    with structlog.testing.capture_logs() as logs:
        for at in (0, 10, 20, 1_500):
            complaints.tell("payload_rejected", at, topic="t")
        complaints.tell("other", 10)
    warned = [entry for entry in logs if entry["log_level"] == "warning"]
    assert [(entry["event"], entry["repeats"]) for entry in warned] == [
        ("payload_rejected", 0),
        ("payload_rejected", 2),
        ("other", 0),
    ]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (math.nan, '"NaN"'),
        (-math.inf, '"-Infinity"'),
        ([math.inf, 1], '["Infinity", 1]'),
        ({"a\x00": "b\x00"}, '{"a\u2400": "b\u2400"}'),
        (2**64 - 1, "18446744073709551615"),
        ("\ud800", '"?"'),
    ],
)
def test_json_is_what_jsonb_accepts(value: object, text: str) -> None:
    assert format_json(value) == text  # type: ignore[arg-type]
