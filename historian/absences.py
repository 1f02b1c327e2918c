"""Which sessions were last seen alive, and which of them ended while nobody looked. Pure.

While the historian or its connection is down, a node may die and be born again: no NDEATH is seen.
The next NBIRTH tells: within an MQTT session bdSeq stays (Sparkplug 3.0,
6.4.19, NBIRTH and NDEATH), so another bdSeq means another session. When the one before ended nobody
knows; it was last seen when its last message arrived.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from proto.sparkplug.topics import NodeId


@dataclass(frozen=True, slots=True)
class Sight:
    """The last that was seen of a session that had not ended.

    Attributes:
        bd_seq: of its NBIRTH; ``None`` where that had none.
        seen_ms: when, milliseconds.
    """

    bd_seq: int | None
    seen_ms: int


class Absences:
    """The sessions that may have ended unseen."""

    def __init__(self) -> None:
        self._sights: dict[NodeId, Sight] = {}

    def recall(self, sights: Iterable[tuple[NodeId, Sight]]) -> None:
        """Take what the database knows; what was seen on this connection is newer."""
        self._sights = dict(sights) | self._sights

    def lose_sight(self, node: NodeId, sight: Sight) -> None:
        """From now on messages of the node may be missed."""
        self._sights[node] = sight

    def find_again(self, node: NodeId, bd_seq: int | None) -> Sight | None:
        """A birth came.

        Returns:
            The last sight of the session before, when that one has ended unseen.
        """
        sight = self._sights.pop(node, None)
        return None if sight is None or sight.bd_seq == bd_seq else sight

    def forget(self, node: NodeId) -> None:
        """Its death was seen."""
        self._sights.pop(node, None)
