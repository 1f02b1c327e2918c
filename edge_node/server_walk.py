"""Which broker next, and after how long: the policy of a node with one or several of them.

Pure; the link that connects asks it. With one broker a node that waits for its primary host stays
connected and silent. With several it walks on (specification 5.13).
"""

from typing import Final

from edge_node.backoff import Backoff

FIRST_DELAY_S: Final = 1.0
LONGEST_DELAY_S: Final = 30.0
STEADY_S: Final = 10.0
"""A connection that lasted this long was a success: the next delay is short again."""

_HOP_S: Final = 0.1
_FIRST_LOOK_S: Final = 1.0
_LATER_LOOK_S: Final = 2.0


class ServerWalk:
    """Walks a list of brokers, round and round.

    Args:
        count: how many there are.
        backoff: delays between rounds that fail.

    Attributes:
        current: index of the broker to use.
    """

    def __init__(self, count: int, backoff: Backoff | None = None) -> None:
        self.current = 0
        self._count = count
        self._backoff = backoff or Backoff(FIRST_DELAY_S, LONGEST_DELAY_S)
        self._failures = 0
        self._silent = 0

    def lost(self, lasted_s: float) -> float:
        """Move on after a connection that ended by itself or never came.

        Args:
            lasted_s: how long it stood.

        Returns:
            Seconds to wait.
        """
        if lasted_s >= STEADY_S:
            self._backoff.reset()
            self._failures = 0
        self._failures += 1
        self._step()
        if self._failures % self._count:
            return _HOP_S
        return self._backoff.next_delay_s()

    def born(self) -> None:
        """Note that the primary host, where there is one, was found."""
        self._silent = 0

    def left(self) -> float:
        """Move on after a session that was ended, by the host's absence or its command.

        Returns:
            Seconds to wait.
        """
        self._failures = 0
        self._step()
        return _HOP_S

    def look_s(self) -> float | None:
        """Return how long to look for the host on a broker, ``None`` for as long as it takes."""
        if self._count == 1:
            return None
        return _FIRST_LOOK_S if self._silent < self._count else _LATER_LOOK_S

    def host_absent(self) -> bool:
        """Note that a broker's STATE says that the host is not there.

        Returns:
            Whether to walk on at once. When it is nowhere, each broker is watched for a while, so
            that a host that comes back is seen soon and brokers are not stormed meanwhile.
        """
        return self._count > 1 and self._silent < self._count

    def passed_on(self) -> float:
        """Move on from a broker without the host.

        Returns:
            Seconds to wait.
        """
        self._silent += 1
        return self.left()

    def _step(self) -> None:
        self.current = (self.current + 1) % self._count
