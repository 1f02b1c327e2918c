import pytest
from hypothesis import given
from hypothesis import strategies as st

from host_app.traffic import JOURNAL_LENGTH, Latency, NodeTraffic, peek_timestamp
from proto.sparkplug.codec import Payload, encode_payload
from proto.sparkplug.node_view import NodeView
from proto.sparkplug.topics import NodeId


def sent(at_ms: int) -> bytes:
    return encode_payload(Payload(at_ms, 1))


@given(st.integers(0, 2**64 - 1))
def test_timestamp_is_read_from_the_first_bytes(at_ms: int) -> None:
    assert peek_timestamp(sent(at_ms)) == at_ms


@given(st.binary(max_size=30))
def test_foreign_bytes_have_a_timestamp_or_none(payload: bytes) -> None:
    found = peek_timestamp(payload)
    assert found is None or found >= 0


def test_rates_and_latency_are_those_of_the_last_interval() -> None:
    traffic, view = NodeTraffic(1_000), NodeView(NodeId("g", "e"))
    for late_ms in (10, 30, 20):
        traffic.observe(sent(5_000 - late_ms), 5_000)
    view.diagnostics.metrics += 500
    for acquired_ms in (4_900, 4_500, 4_990):
        traffic.observe_metric(acquired_ms, 5_000)
    traffic.sample(view, 6_000)
    assert traffic.rates.messages_per_s == pytest.approx(0.6)
    assert traffic.rates.metrics_per_s == pytest.approx(100)
    assert traffic.rates.latency == Latency(10, 20.0, 30)
    assert traffic.rates.clock_skew_ms == -10
    assert traffic.rates.metric_latency_ms == 500
    traffic.sample(view, 11_000)
    assert traffic.rates.messages_per_s == 0
    assert traffic.rates.latency == Latency(10, 20.0, 30), "what is known was forgotten"


def test_clock_that_is_ahead_shows_as_positive_skew() -> None:
    traffic = NodeTraffic(1)
    traffic.observe(sent(2_500), 2_000)
    traffic.observe(b"\xff", 2_000)
    traffic.sample(None, 5_001)
    assert traffic.rates.clock_skew_ms == 500


def test_sizes_are_summed_and_the_largest_kept() -> None:
    traffic = NodeTraffic(0)
    assert traffic.mean_bytes is None
    for size in (5, 50, 10):
        traffic.observe(bytes(size), 7)
    assert (traffic.messages, traffic.bytes, traffic.largest_bytes, traffic.last_ms) == (
        3,
        65,
        50,
        7,
    )
    assert traffic.mean_bytes == 22


def test_journal_keeps_the_latest() -> None:
    traffic = NodeTraffic(0)
    for number in range(JOURNAL_LENGTH + 3):
        traffic.note("violation", "x" * 600 if number == 3 else str(number), number)
    assert len(traffic.journal) == JOURNAL_LENGTH
    assert traffic.journal[0].at_ms == 3
    assert len(traffic.journal[0].text) == 500
