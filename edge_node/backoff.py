"""How long to wait before the next attempt: growing, capped, and never the same for two nodes.

It knows neither what is attempted nor any clock.
"""

import random
from collections.abc import Callable


class Backoff:
    """Delays that double up to a cap, each shortened by a random part.

    Without the random part everything that lost the same broker or the same switch would come back
    in step.

    Args:
        first_s: upper bound of the first delay.
        cap_s: upper bound of every delay.
        uniform: gives a number in [low, high).
    """

    __slots__ = ("_cap_s", "_first_s", "_next_s", "_uniform")

    def __init__(
        self,
        first_s: float,
        cap_s: float,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._first_s = first_s
        self._cap_s = cap_s
        self._next_s = first_s
        self._uniform = uniform

    def next_delay_s(self) -> float:
        """Return the delay before the next attempt: between half of the bound and the bound."""
        bound = self._next_s
        self._next_s = min(bound * 2, self._cap_s)
        return self._uniform(bound / 2, bound)

    def reset(self) -> None:
        """Start over after an attempt that worked."""
        self._next_s = self._first_s
