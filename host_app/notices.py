"""What people should know, without being flooded: one line a subject and interval."""

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Final, Literal

Level = Literal["info", "warning", "error"]

MAX_SUBJECTS: Final = 10_000


@dataclass(frozen=True, slots=True)
class Notice:
    """One line for the console."""

    level: Level
    text: str
    at_ms: int


class RateLimit:
    """Lets one of a subject through in each interval, and counts the rest.

    Args:
        interval_ms: how long a subject stays quiet after it was let through.
    """

    def __init__(self, interval_ms: int) -> None:
        self._interval_ms = interval_ms
        self._subjects: OrderedDict[Hashable, tuple[int, int]] = OrderedDict()

    def admit(self, subject: Hashable, now_ms: int) -> int | None:
        """Ask for a place.

        Returns:
            How many of the subject were held back before this one, None when it is held back too.
        """
        entry = self._subjects.get(subject)
        if entry is not None and now_ms - entry[0] < self._interval_ms:
            self._subjects[subject] = (entry[0], entry[1] + 1)
            return None
        self._subjects[subject] = (now_ms, 0)
        self._subjects.move_to_end(subject)
        if len(self._subjects) > MAX_SUBJECTS:
            self._subjects.popitem(last=False)
        return 0 if entry is None else entry[1]
