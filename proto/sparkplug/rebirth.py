"""When a host asks an edge node for births: at once, then more rarely while it does not help."""

from typing import Final

_CALM: Final = 2
"""After this many intervals without a request the next one is the first again."""


class RebirthPacing:
    """Rebirth requests to one node.

    A request that is not answered by NBIRTH is repeated after the interval, which doubles with
    every request and falls back once the node has behaved. A death ends the asking.

    Attributes:
        due_ms: when the next request goes out; ``None`` while births are not wanted.
        reason: why they are wanted.
    """

    __slots__ = ("_base_ms", "_interval_ms", "_last_ms", "_max_ms", "due_ms", "reason")

    def __init__(self, base_ms: int, max_ms: int) -> None:
        self._base_ms = self._interval_ms = base_ms
        self._max_ms = max_ms
        self._last_ms: int | None = None
        self.due_ms: int | None = None
        self.reason = ""

    def want(self, reason: str, now_ms: int) -> None:
        """Births are needed; wanting them twice is wanting them once."""
        if self.due_ms is not None:
            return
        self.reason = reason
        if self._last_ms is None or now_ms - self._last_ms > _CALM * self._interval_ms:
            self._interval_ms = self._base_ms
        self.due_ms = now_ms if self._last_ms is None else self._last_ms + self._interval_ms
        self.due_ms = max(self.due_ms, now_ms)

    def sent(self, now_ms: int) -> None:
        """A request went out; the next one follows when no birth does."""
        if self._last_ms is not None:
            self._interval_ms = min(self._interval_ms * 2, self._max_ms)
        self._last_ms = now_ms
        if self.due_ms is not None:
            self.due_ms = now_ms + self._interval_ms

    def answered(self) -> None:
        """A birth came, or births are no longer to be had."""
        self.due_ms = None
