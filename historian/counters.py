"""What the historian counts from its start.

At any time every point received is stored, duplicate, dropped, or still on its way.
"""

from dataclasses import dataclass


@dataclass(slots=True)
class Counters:
    """Cumulative since the process started."""

    messages_received: int = 0
    points_received: int = 0
    points_stored: int = 0
    points_duplicate: int = 0
    """There already, with the same metric, time and value: not stored again."""
    points_dropped: int = 0
    """Lost to a bound, or impossible to store."""
    messages_missed: int = 0
    """Lost on the way here, as gaps in the sequence numbers of their nodes tell; at least."""
    payloads_rejected: int = 0
    """Bytes that are no Sparkplug payload."""
    batches: int = 0
    events: int = 0

    @property
    def points_pending(self) -> int:
        """Points decoded and not yet in the database."""
        return (
            self.points_received - self.points_stored - self.points_duplicate - self.points_dropped
        )
