"""When a host asks an edge node for births: at once, then more rarely while it does not help."""

from enum import StrEnum
from typing import Final

_CALM: Final = 2
"""After this many intervals without a request the next one is the first again."""


class RebirthCause(StrEnum):
    """Why births were asked for (5.4, 5.11)."""

    GAP = "messages are missing"
    UNKNOWN_NODE = "message of a node that is not born"
    UNKNOWN_DEVICE = "message of a device that is not born"
    UNKNOWN_METRIC = "data of a metric no birth told of"
    HOST_AWAY = "the host was away"
    PERSON = "somebody asked for it"


class RebirthPacing:
    """Rebirth requests to one node.

    A request that is not answered by NBIRTH is repeated after the interval, which doubles with
    every request and falls back once the node has behaved. A death ends the asking.

    Attributes:
        due_ms: when the next request goes out; ``None`` while births are not wanted.
        cause: why they are wanted.
        reason: the same in words, with what was found.
    """

    __slots__ = ("_base_ms", "_interval_ms", "_last_ms", "_max_ms", "cause", "due_ms", "reason")

    def __init__(self, base_ms: int, max_ms: int) -> None:
        self._base_ms = self._interval_ms = base_ms
        self._max_ms = max_ms
        self._last_ms: int | None = None
        self.due_ms: int | None = None
        self.cause = RebirthCause.GAP
        self.reason = ""

    def want(self, cause: RebirthCause, reason: str, now_ms: int) -> None:
        """Births are needed; wanting them twice is wanting them once."""
        if self.due_ms is not None:
            return
        self.cause, self.reason = cause, reason
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
