"""When each poll group of a device is due: a stable phase, and beats that are skipped, not queued.

Pure: time goes in as seconds of any clock that only moves forward. Who polls, and how, is the
supervisor's business.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from zlib import crc32

_PHASES: Final = 2**32


def phase(device: str, group: str) -> float:
    """Return where in its interval a poll group's beat lies, from 0 to below 1.

    The same for ever, whatever other devices there are, and spread evenly: a thousand devices that
    are polled each second are not polled at once.
    """
    return crc32(f"{device}\0{group}".encode()) / _PHASES


class Lateness:
    """How late polls began, as a histogram: exact to 0.1 ms up to 100 ms, to 1 ms up to 1 s.

    Attributes:
        count: polls since the start.
        maximum_s: the latest since the start.
    """

    __slots__ = ("_coarse", "_fine", "_from", "count", "maximum_s")

    def __init__(self) -> None:
        self.count = 0
        self.maximum_s = 0.0
        self.begin_window()

    def begin_window(self) -> None:
        """Have quantiles tell of the polls from now on."""
        self._from = self.count
        self._fine = [0] * 1000
        self._coarse = [0] * 1000

    def add(self, late_s: float) -> None:
        """Count one poll that began ``late_s`` after its beat."""
        self.count += 1
        if late_s < 0.1:
            self._fine[max(0, int(late_s * 10_000))] += 1
        elif late_s < 1.0:
            self._coarse[int(late_s * 1000)] += 1
        self.maximum_s = max(self.maximum_s, late_s)

    def quantile_s(self, part: float) -> float:
        """Return the lateness that ``part`` of the window's polls stayed within, 0 without any."""
        wanted = part * (self.count - self._from)
        seen = 0
        for width, column in ((0.0001, self._fine), (0.001, self._coarse)):
            for index, count in enumerate(column):
                seen += count
                if count and seen >= wanted:
                    return min((index + 1) * width, self.maximum_s)
        return self.maximum_s if wanted else 0.0


@dataclass(frozen=True, slots=True)
class Pace:
    """How often a group is polled.

    Attributes:
        interval_s: from one beat to the next.
        longest_s: while nothing changes, beats are left out until polls are this far apart; no
            more than ``interval_s`` where the pace is constant.
    """

    interval_s: float
    longest_s: float = 0.0

    @property
    def most_beats(self) -> int:
        """The longest way from one poll to the next, in beats."""
        # the nudge keeps 0.3 / 0.1, which is 2.9999999999999996, at three beats
        return max(1, int(self.longest_s / self.interval_s + 1e-6))


class Beats:
    """The poll groups of one device, one after the other.

    A group's beats lie at one phase for ever. One that adapts leaves beats out while nothing
    changes, twice as many after each quiet poll; the first change brings every beat back.

    Attributes:
        skipped: beats that passed while the device was still busy with earlier ones.
    """

    __slots__ = ("_due", "_paces", "_steps", "_urgent", "skipped")

    def __init__(self, device: str, paces: Mapping[str, Pace], now: float) -> None:
        """Begin now: every group is due at its next phase.

        Args:
            device: for the phase.
            paces: by poll group.
            now: current time, in seconds.
        """
        self._paces = dict(paces)
        self._steps = dict.fromkeys(paces, 1)
        self._due = {
            group: _next_beat(now, pace.interval_s, phase(device, group) * pace.interval_s)
            for group, pace in paces.items()
        }
        self._urgent: dict[str, None] = {}
        self.skipped = 0

    def next(self) -> tuple[str, float | None]:
        """Return the group to poll next and when its beat is, ``None`` for at once.

        Without any group: one without a name, never.
        """
        if self._urgent:
            return next(iter(self._urgent)), None
        group = min(self._due, key=self._due.__getitem__, default="")
        return group, self._due.get(group, math.inf)

    def hurry(self, group: str) -> None:
        """Have a group polled at once, besides its beats."""
        self._urgent[group] = None

    def hurried(self, group: str) -> None:
        """Note that a hurried group is being polled."""
        self._urgent.pop(group, None)

    def done(self, group: str, now: float, *, moved: bool = True) -> int:
        """Move a group to its next beat after a poll, leaving out the beats that have passed.

        Args:
            group: the group that was polled on its beat.
            now: when the poll ended.
            moved: whether the poll found something new.

        Returns:
            How many polls were skipped.
        """
        pace = self._paces[group]
        beats = self._steps[group] = 1 if moved else min(2 * self._steps[group], pace.most_beats)
        step = beats * pace.interval_s
        due = self._due[group] + step
        skipped = 0
        if due < now:
            skipped = int((now - due) / step) + 1
            due += skipped * step
        self._due[group] = due
        self.skipped += skipped
        return skipped

    def quicken(self, group: str, now: float) -> None:
        """Bring every beat of a group back, after news that came off its beats."""
        self._steps[group] = 1
        interval = self._paces[group].interval_s
        early = int((self._due[group] - now) / interval)
        self._due[group] -= max(0, early) * interval


def _next_beat(now: float, interval: float, offset: float) -> float:
    """Return the first ``offset + n * interval`` that is not before ``now``."""
    beats = -((offset - now) // interval)
    due = offset + beats * interval
    return due if due >= now else due + interval
