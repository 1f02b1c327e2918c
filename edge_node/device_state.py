"""What a device's supervisor counts, and how it reads in the status document."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from edge_node.breaker import BreakerState
from edge_node.drivers.base import QUALITY_BAD, Reason
from edge_node.drivers.traffic import Traffic
from edge_node.histogram import Histogram
from proto.control.status import DeviceStatus

DeviceStateName = Literal["connecting", "online", "offline", "disabled"]


@dataclass(slots=True)
class DeviceState:
    """One device since the process started.

    Attributes:
        since_ms: when ``state`` was entered.
        breaker: whether it is asked at all.
        failures: attempts that failed since the last that worked.
        retry_at_ms: when the next attempt is due, while the breaker is open.
        traffic: what its driver counts.
        lateness: how late its polls began.
        bad: poll group → how many of its tags had no value in the last poll.
        problems: poll group → the first of those tags and why.
    """

    state: DeviceStateName
    since_ms: int
    reason: str | None = None
    polls: int = 0
    skipped_polls: int = 0
    reconnects: int = 0
    writes: int = 0
    changes: int = 0
    dropped_samples: int = 0
    breaker: BreakerState = "half-open"
    failures: int = 0
    retry_at_ms: int | None = None
    traffic: Traffic = field(default_factory=Traffic)
    lateness: Histogram = field(default_factory=Histogram)
    bad: dict[str, int] = field(default_factory=dict)
    problems: dict[str, Mapping[str, str]] = field(default_factory=dict)

    def restart(self, now_ms: int, reason: str, traffic: Traffic) -> None:
        """Begin anew with another driver, whose traffic is given; what was counted counts on."""
        self.enter("connecting", now_ms, reason)
        self.breaker, self.failures, self.retry_at_ms = "half-open", 0, None
        traffic.count_on(self.traffic)
        self.traffic = traffic
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
        traffic = self.traffic
        problems = {tag: why for group in self.problems.values() for tag, why in group.items()}
        return DeviceStatus(
            state=self.state,
            reason=self.reason,
            since_ms=self.since_ms,
            breaker=None if self.state == "disabled" else self.breaker,
            failures=self.failures,
            retry_at_ms=self.retry_at_ms,
            polls=self.polls,
            skipped_polls=self.skipped_polls,
            lateness_p99_ms=_milliseconds(self.lateness.quantile_s(0.99)),
            lateness_max_ms=_milliseconds(self.lateness.maximum_s),
            requests=traffic.requests,
            bytes_sent=traffic.bytes_sent,
            bytes_received=traffic.bytes_received,
            latency_p50_ms=_milliseconds(traffic.latency.quantile_s(0.5)),
            latency_p99_ms=_milliseconds(traffic.latency.quantile_s(0.99)),
            latency_max_ms=_milliseconds(traffic.latency.maximum_s),
            errors=traffic.errors.total(),
            errors_by_kind={kind: count for kind, count in traffic.errors.items() if count},
            reconnects=self.reconnects,
            writes=self.writes,
            changes=self.changes,
            dropped_samples=self.dropped_samples,
            bad_tags=sum(self.bad.values()),
            quarantined_tags=traffic.quarantined,
            problems={tag: str(why) for tag, why in problems.items()},
            problem_qualities={
                tag: int(why.quality) if isinstance(why, Reason) else QUALITY_BAD
                for tag, why in problems.items()
            },
        )


def _milliseconds(seconds: float) -> float:
    return round(seconds * 1000, 1)
