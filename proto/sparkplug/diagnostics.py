"""What a host counts of one edge node. Numbers only grow; rates are the reader's business."""

from collections import Counter
from dataclasses import dataclass, field

from proto.sparkplug.rebirth import RebirthCause


@dataclass(slots=True)
class NodeDiagnostics:
    """Counters since the node was first seen.

    Attributes:
        messages: all that were taken in, of every type.
        metrics: values in DATA that were taken over.
        historical: values in DATA that told of the past.
        births: NBIRTHs.
        device_births: DBIRTHs.
        deaths: NDEATHs that counted, and losses of the host's own connection.
        device_deaths: DDEATHs.
        held: messages that came before their turn.
        gaps: times a missing message stayed away.
        duplicates: messages that had been there already.
        late: messages from before the birth in force.
        rebirths: by cause, how often births were asked for.
        last_rebirth: why the last time, in words.
        last_rebirth_ms: when that was, the host's time; 0 before the first.
        violations: by kind, how often.
        last_violation: the latest, in words.
    """

    messages: int = 0
    metrics: int = 0
    historical: int = 0
    births: int = 0
    device_births: int = 0
    deaths: int = 0
    device_deaths: int = 0
    held: int = 0
    gaps: int = 0
    duplicates: int = 0
    late: int = 0
    rebirths: Counter[RebirthCause] = field(default_factory=Counter)
    last_rebirth: str | None = None
    last_rebirth_ms: int = 0
    violations: Counter[str] = field(default_factory=Counter)
    last_violation: str | None = None
    _told_ms: dict[str, int] = field(default_factory=dict)

    @property
    def violation_count(self) -> int:
        """Violations of all kinds."""
        return self.violations.total()

    @property
    def rebirth_requests(self) -> int:
        """How often births were asked for, whatever the cause."""
        return self.rebirths.total()

    def request_rebirth(self, cause: RebirthCause, reason: str, now_ms: int) -> None:
        """Count a request for births."""
        self.rebirths[cause] += 1
        self.last_rebirth, self.last_rebirth_ms = reason, now_ms

    def violate(self, kind: str, reason: str, now_ms: int, interval_ms: int) -> bool:
        """Count a violation; whether it is to be told, once an interval for each kind."""
        self.violations[kind] += 1
        self.last_violation = reason
        told_ms = self._told_ms.get(kind)
        if told_ms is not None and now_ms - told_ms < interval_ms:
            return False
        self._told_ms[kind] = now_ms
        return True
