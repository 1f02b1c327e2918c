"""The time that goes into messages."""

import time


def now_ms() -> int:
    """Milliseconds since the epoch, UTC, rounded down: a millisecond ahead would be the future."""
    return time.time_ns() // 1_000_000
