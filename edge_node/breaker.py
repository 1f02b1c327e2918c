"""Whether a device is asked at all: the circuit breaker of its connection.

``closed``: it is asked as configured. ``open``: it is left alone until the next attempt is due.
``half-open``: one attempt is under way, which closes or opens it. It never gives up. Knows neither
the device nor any clock: times are seconds of any clock that only moves forward.
"""

from typing import Literal

from edge_node.backoff import Backoff

BreakerState = Literal["closed", "open", "half-open"]


class CircuitBreaker:
    """The breaker of one device.

    Args:
        backoff: how long to leave it alone, growing with each attempt that fails.

    Attributes:
        state: begins ``half-open``: nothing is known before the first attempt.
        failures: attempts that failed since the last one that worked.
        retry_at: when the next attempt is due, while ``open``.
    """

    __slots__ = ("_backoff", "failures", "retry_at", "state")

    def __init__(self, backoff: Backoff) -> None:
        self._backoff = backoff
        self.state: BreakerState = "half-open"
        self.failures = 0
        self.retry_at = 0.0

    def open(self, now: float) -> float:
        """Leave the device alone after a loss or a failed attempt; return until when."""
        self.state = "open"
        self.failures += 1
        self.retry_at = now + self._backoff.next_delay_s()
        return self.retry_at

    def attempt(self) -> None:
        """Begin the attempt that was due."""
        self.state = "half-open"

    def close(self) -> None:
        """Note that the device answers."""
        self.state = "closed"
        self.failures = 0
        self._backoff.reset()
