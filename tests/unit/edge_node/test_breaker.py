from itertools import pairwise

import pytest

from edge_node.backoff import Backoff
from edge_node.breaker import CircuitBreaker


def breaker(first_s: float = 1.0, cap_s: float = 60.0) -> CircuitBreaker:
    return CircuitBreaker(Backoff(first_s, cap_s, uniform=lambda _low, high: high))


def test_a_breaker_begins_with_an_attempt_and_closes_when_it_works() -> None:
    under_test = breaker()
    assert under_test.state == "half-open"
    under_test.close()
    assert (under_test.state, under_test.failures) == ("closed", 0)


def test_an_open_breaker_waits_twice_as_long_after_each_failed_attempt_up_to_the_cap() -> None:
    under_test = breaker()
    now, waits, states = 100.0, [], []
    for _ in range(9):
        retry_at = under_test.open(now)
        states.append(str(under_test.state))
        assert under_test.retry_at == retry_at
        waits.append(retry_at - now)
        now = retry_at
        under_test.attempt()
        states.append(str(under_test.state))
    assert states == ["open", "half-open"] * 9
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert under_test.failures == 9


def test_an_attempt_that_works_forgets_every_failure() -> None:
    under_test = breaker()
    for _ in range(5):
        under_test.open(0.0)
    under_test.attempt()
    under_test.close()
    assert under_test.failures == 0
    assert under_test.open(10.0) == 11.0


def test_it_never_gives_up_and_never_waits_longer_than_the_cap() -> None:
    under_test = CircuitBreaker(Backoff(1.0, 60.0))
    times = [0.0]
    for _ in range(10_000):
        times.append(under_test.open(times[-1]))
    assert max(b - a for a, b in pairwise(times)) <= 60
    assert times[-1] - times[-2] == pytest.approx(45, abs=15)
