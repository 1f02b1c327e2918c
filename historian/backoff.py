"""How long to wait before the next attempt: doubling, bounded, with jitter. Pure but for chance."""

import random
from typing import Final

_FIRST_S: Final = 0.1
_LONGEST_S: Final = 15.0


class Backoff:
    """Pauses between attempts at one thing."""

    def __init__(self, *, first_s: float = _FIRST_S, longest_s: float = _LONGEST_S) -> None:
        self._first_s = first_s
        self._longest_s = longest_s
        self.failures = 0

    def fail(self) -> float:
        """Count a failure.

        Returns:
            Seconds to wait: between half and the whole of the doubled pause, so that many clients
            do not come back at the same moment.
        """
        pause_s = min(self._first_s * 2.0 ** min(self.failures, 20), self._longest_s)
        self.failures += 1
        return pause_s * random.uniform(0.5, 1.0)  # noqa: S311  # jitter is no secret

    def succeed(self) -> bool:
        """Start over.

        Returns:
            Whether there had been failures.
        """
        had_failed = self.failures > 0
        self.failures = 0
        return had_failed
