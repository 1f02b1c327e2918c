"""Says what goes wrong often enough to be noticed and seldom enough to be read."""

from typing import Final

import structlog

_PAUSE_MS: Final = 10_000

log = structlog.get_logger(__name__)


class Complaints:
    """One warning an event and pause, with how many were left out; the rest goes to debug."""

    def __init__(self, *, pause_ms: int = _PAUSE_MS) -> None:
        self._pause_ms = pause_ms
        self._next_ms: dict[str, int] = {}
        self._left_out: dict[str, int] = {}

    def tell(self, event: str, now_ms: int, **fields: object) -> None:
        """Warn, unless the same event was warned of a moment ago."""
        if now_ms < self._next_ms.get(event, 0):
            self._left_out[event] = self._left_out.get(event, 0) + 1
            log.debug(event, **fields)
            return
        self._next_ms[event] = now_ms + self._pause_ms
        log.warning(event, repeats=self._left_out.pop(event, 0), **fields)
