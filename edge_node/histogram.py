"""Durations in fixed buckets: cheap to count, easy to add up over devices.

Knows neither what is timed nor any clock.
"""

from bisect import bisect_left
from typing import Final

BOUNDS_S: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
"""Upper ends of the buckets, seconds; the last bucket has none."""

_LAST: Final = len(BOUNDS_S)


class Histogram:
    """How long something took, since the start.

    Attributes:
        count: how many durations were counted.
        buckets: how many durations fell into each, one more than there are bounds.
        sum_s: all durations together.
        maximum_s: the longest.
    """

    __slots__ = ("buckets", "count", "maximum_s", "sum_s")

    def __init__(self) -> None:
        self.count = 0
        self.buckets = [0] * (len(BOUNDS_S) + 1)
        self.sum_s = 0.0
        self.maximum_s = 0.0

    def add(self, duration_s: float) -> None:
        """Count one duration."""
        self.count += 1
        self.buckets[bisect_left(BOUNDS_S, duration_s)] += 1
        self.sum_s += duration_s
        self.maximum_s = max(self.maximum_s, duration_s)

    def quantile_s(self, part: float) -> float:
        """Return the bound that ``part`` of the durations stayed within, 0 without any.

        It is as exact as the buckets are fine, and never above the longest.
        """
        wanted = part * self.count
        seen = 0
        for index, count in enumerate(self.buckets):
            seen += count
            if seen >= wanted and count:
                return min(BOUNDS_S[index], self.maximum_s) if index < _LAST else self.maximum_s
        return self.maximum_s
