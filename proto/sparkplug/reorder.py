"""Messages in the order of their seq: hold what came too early, until the gap closes or time is up.

seq counts 0 to 255 and starts over (4.3), so of two numbers the one less than half a round ahead
is the later one; what lies behind has been there already.
"""

from enum import Enum
from typing import Final, Generic, TypeVar

_ROUND: Final = 256
_HALF: Final = 128

T = TypeVar("T")


class Turn(Enum):
    """Whose turn a message is."""

    NOW = "now"
    EARLY = "early"
    PAST = "past"


class ReorderBuffer(Generic[T]):
    """The messages of one edge node between two births.

    Attributes:
        expected: the seq whose turn it is; ``None`` before the first birth.
        deadline_ms: when the missing message is given up; ``None`` while nothing is missing.
    """

    __slots__ = ("_held", "_timeout_ms", "deadline_ms", "expected")

    def __init__(self, timeout_ms: int) -> None:
        self._timeout_ms = timeout_ms
        self._held: dict[int, tuple[int, T]] = {}
        self.expected: int | None = None
        self.deadline_ms: int | None = None

    def __len__(self) -> int:
        return len(self._held)

    def offer(self, seq: int, message: T, now_ms: int, *, newer: bool) -> Turn:
        """Take a message: ``NOW`` it is the caller's to apply, ``EARLY`` it is held here.

        Args:
            seq: its number, 0 to 255.
            message: itself.
            now_ms: when it arrived.
            newer: it was sent after the last one applied. Then it cannot have been there already,
                however far behind its number lies: a birth that started seq over is missing.
        """
        if seq == self.expected:
            self.expected = (seq + 1) % _ROUND
            return Turn.NOW
        if seq in self._held:
            return Turn.PAST
        behind = self.expected is not None and (seq - self.expected) % _ROUND >= _HALF
        if behind and not newer:
            return Turn.PAST
        self._held[seq] = now_ms, message
        if self.deadline_ms is None:
            self.deadline_ms = now_ms + self._timeout_ms
        return Turn.EARLY

    def ready(self, now_ms: int) -> T | None:
        """The held message whose turn has come, if any; to be called until there is none."""
        if self.expected is None:
            return None
        held = self._held.pop(self.expected, None)
        if held is None:
            # what is still missing now is another message: it has its own time (5.11)
            self.deadline_ms = self._oldest_deadline(now_ms) if self._held else None
            return None
        self.expected = (self.expected + 1) % _ROUND
        return held[1]

    def begin(self, seq: int) -> None:
        """A birth of this seq: count on from it. What is held stays; see ``keep``."""
        self.expected = (seq + 1) % _ROUND

    def held(self) -> dict[int, T]:
        """What is held, by seq."""
        return {seq: message for seq, (_, message) in self._held.items()}

    def drop(self, seq: int) -> None:
        """Forget a held message."""
        del self._held[seq]
        if not self._held:
            self.deadline_ms = None

    def give_up(self) -> list[T]:
        """All that is held, in order; the count goes on after the last."""
        start = 0 if self.expected is None else self.expected
        order = sorted(self._held, key=lambda seq: (seq - start) % _ROUND)
        messages = [self._held[seq][1] for seq in order]
        if order and self.expected is not None:
            self.expected = (order[-1] + 1) % _ROUND
        self._held.clear()
        self.deadline_ms = None
        return messages

    def clear(self) -> None:
        """Forget what is held and what is expected."""
        self._held.clear()
        self.expected = None
        self.deadline_ms = None

    def _oldest_deadline(self, now_ms: int) -> int:
        arrived = min(arrived_ms for arrived_ms, _ in self._held.values())
        return max(now_ms, arrived + self._timeout_ms)
