"""What a device's supervisor counts, and how it reads in the status document."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from proto.control.status import DeviceStatus

DeviceStateName = Literal["connecting", "online", "offline", "disabled"]


@dataclass(slots=True)
class DeviceState:
    """One device since the process started.

    Attributes:
        since_ms: when ``state`` was entered.
        bad: poll group → how many of its tags had no value in the last poll.
        problems: poll group → the first of those tags and why.
    """

    state: DeviceStateName
    since_ms: int
    reason: str | None = None
    polls: int = 0
    skipped_polls: int = 0
    requests: int = 0
    errors: int = 0
    reconnects: int = 0
    writes: int = 0
    changes: int = 0
    dropped_samples: int = 0
    bad: dict[str, int] = field(default_factory=dict)
    problems: dict[str, Mapping[str, str]] = field(default_factory=dict)

    def restart(self, now_ms: int, reason: str) -> None:
        """Begin anew, as with another configuration; what was counted counts on."""
        self.enter("connecting", now_ms, reason)
        self.bad.clear()
        self.problems.clear()

    def enter(self, state: DeviceStateName, now_ms: int, reason: str | None = None) -> bool:
        """Change the state; entering the same state again only changes the reason.

        Returns:
            Whether the state is another one now.
        """
        entered = state != self.state
        if entered:
            self.state = state
            self.since_ms = now_ms
        self.reason = reason
        return entered

    def document(self) -> DeviceStatus:
        """Return the device's part of the node's status document."""
        return DeviceStatus(
            state=self.state,
            reason=self.reason,
            since_ms=self.since_ms,
            polls=self.polls,
            skipped_polls=self.skipped_polls,
            requests=self.requests,
            errors=self.errors,
            reconnects=self.reconnects,
            writes=self.writes,
            changes=self.changes,
            dropped_samples=self.dropped_samples,
            bad_tags=sum(self.bad.values()),
            problems={tag: why for group in self.problems.values() for tag, why in group.items()},
        )
