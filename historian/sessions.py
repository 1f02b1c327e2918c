"""What is known of one edge node on this connection: its births, its order, what waits. Pure."""

from collections import deque
from dataclasses import dataclass

from historian.inbox import Message
from historian.tables import Table
from proto.sparkplug.topics import Topic


@dataclass(frozen=True, slots=True)
class Held:
    """A message that waits."""

    topic: Topic
    message: Message
    since_ms: int


class Session:
    """One edge node, from its birth to its death or to the end of our connection.

    Attributes:
        born: whether its NBIRTH was seen and nothing after it was missed.
        bd_seq: of that NBIRTH.
        next_seq: sequence number of the message to come.
        tables: what the births announced; the key ``None`` is the node itself.
        reordered: by sequence number, what came before its turn.
        gap_since_ms: since when a message is missing.
        waiting: what waits for a birth, oldest first.
        checks_seq: whether the node's sequence numbers are believed.
        gaps: how many gaps came one after another.
        in_order: messages in sequence since the birth, or since one that was not.
        seen_ms: when its last message arrived.
    """

    __slots__ = (
        "ask_pause_ms",
        "bd_seq",
        "born",
        "checks_seq",
        "gap_since_ms",
        "gaps",
        "in_order",
        "next_ask_ms",
        "next_seq",
        "reordered",
        "seen_ms",
        "tables",
        "waiting",
    )

    def __init__(self, ask_pause_ms: int, *, checks_seq: bool = True) -> None:
        self.born = False
        self.bd_seq: int | None = None
        self.next_seq = 0
        self.tables: dict[str | None, Table] = {}
        self.reordered: dict[int, Held] = {}
        self.gap_since_ms: int | None = None
        self.waiting: deque[Held] = deque()
        self.checks_seq = checks_seq
        self.gaps = 0
        self.in_order = 0
        self.seen_ms = 0
        self.next_ask_ms = 0
        self.ask_pause_ms = ask_pause_ms

    def begin(self, bd_seq: int | None, seq: int, table: Table) -> None:
        """An NBIRTH: everything that was known of devices is over."""
        self.born = True
        self.bd_seq = bd_seq
        self.next_seq = (seq + 1) & 0xFF
        self.in_order = 0
        self.tables = {None: table}

    def find_gap(self) -> tuple[int | None, int]:
        """The next sequence number that came after those that are missing, and how many are.

        A whole round of 256 more may be missing: numbers do not tell.
        """
        found = min(self.reordered, key=self._count_to, default=None)
        return found, 0 if found is None else self._count_to(found)

    def _count_to(self, seq: int) -> int:
        return (seq - self.next_seq) & 0xFF

    def follow(self, seq: int) -> None:
        """Take a sequence number that is not checked."""
        self.in_order = self.in_order + 1 if seq == self.next_seq else 0
        self.next_seq = (seq + 1) & 0xFF

    def end(self) -> list[Held]:
        """An NDEATH, or the end of our connection.

        Returns:
            What waited, and cannot be attributed any more.
        """
        self.collect_reordered()
        lost = list(self.waiting)
        self.waiting.clear()
        self.born = False
        self.bd_seq = None
        self.tables = {}
        return lost

    def collect_reordered(self) -> None:
        """Let what came before its turn wait for a birth instead."""
        self.waiting.extend(self.reordered.values())
        self.reordered.clear()
        self.gap_since_ms = None

    def take_waiting(self, device: str | None) -> list[Held]:
        """Remove and return what waits for the birth of the node (``None``) or of a device."""
        mine = [held for held in self.waiting if held.topic.device == device]
        if mine:
            self.waiting = deque(held for held in self.waiting if held.topic.device != device)
        return mine

    def resume_asking(self, pause_ms: int) -> None:
        """A birth came, or everything begins anew: the next request need not wait longer."""
        self.ask_pause_ms = pause_ms
