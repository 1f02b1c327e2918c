"""What a server told and nobody has taken yet: a bounded batch for each group.

Between the asyncio side, which adds, and the trio side, which waits; both run in one thread.
"""

from collections.abc import Iterable

import trio

from edge_node.drivers.base import Changes, DeviceUnreachable, RawValue

MOST_WAITING = 100_000
"""Samples of one group; several seconds of a large server. The oldest go when more come."""


class _Waiting:
    __slots__ = ("bad", "dropped", "indices", "news", "stamps", "values")

    def __init__(self) -> None:
        self.indices: list[int] = []
        self.values: list[RawValue] = []
        self.stamps: list[tuple[int, int]] = []
        self.bad: dict[int, str] = {}
        self.dropped = 0
        self.news = False


class Inbox:
    """Changes that wait, by group."""

    def __init__(self, groups: Iterable[str], limit: int = MOST_WAITING) -> None:
        self._waiting = {group: _Waiting() for group in groups}
        self._limit = limit
        self._failure: DeviceUnreachable | None = None
        self._event = trio.Event()

    def add(self, group: str, index: int, value: RawValue, stamp: tuple[int, int]) -> None:
        """Add a change; :meth:`tell` lets it be taken."""
        waiting = self._waiting[group]
        waiting.indices.append(index)
        waiting.values.append(value)
        waiting.stamps.append(stamp)
        waiting.news = True

    def bad(self, group: str) -> dict[int, str]:
        """Return the group's tags without a value and why; the caller keeps it up to date."""
        return self._waiting[group].bad

    def drop(self, group: str, samples: int = 1) -> None:
        """Note that samples were lost before they came here."""
        self._waiting[group].dropped += samples
        self._waiting[group].news = True

    def tell(self) -> None:
        """Have what was added be taken, within the bound."""
        for waiting in self._waiting.values():
            if (surplus := len(waiting.indices) - self._limit) > 0:
                del waiting.indices[:surplus], waiting.values[:surplus], waiting.stamps[:surplus]
                waiting.dropped += surplus
        self._event.set()

    def fail(self, failure: DeviceUnreachable) -> None:
        """Have the next :meth:`wait` raise; the first failure counts."""
        if self._failure is None:
            self._failure = failure
        self._event.set()

    @property
    def failure(self) -> DeviceUnreachable | None:
        """Why there will be no more."""
        return self._failure

    async def wait(self) -> list[Changes]:
        """Wait for changes and take them all.

        Raises:
            DeviceUnreachable: there will be no more.
        """
        while True:
            await self._event.wait()
            if self._failure is not None:
                raise self._failure
            self._event = trio.Event()
            if changes := self._take():
                return changes

    def _take(self) -> list[Changes]:
        changes: list[Changes] = []
        for group, waiting in self._waiting.items():
            if not waiting.news:
                continue
            changes.append(
                Changes(
                    group,
                    waiting.indices,
                    waiting.values,
                    waiting.stamps,
                    dict(waiting.bad),
                    waiting.dropped,
                )
            )
            waiting.indices, waiting.values, waiting.stamps = [], [], []
            waiting.dropped = 0
            waiting.news = False
        return changes
