"""Which payloads are committed, gathered per node until somebody sends it on. Pure."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Final, NamedTuple

from proto.control.acknowledgement import Acknowledgement
from proto.sparkplug.topics import NodeId

MOST_AT_ONCE: Final = 2_000
"""Payloads named in one message."""


class Receipt(NamedTuple):
    """A payload, as its node knows it."""

    node: NodeId
    timestamp_ms: int
    seq: int


class Acknowledgements:
    """What is committed and not told yet."""

    def __init__(self, historian_id: str) -> None:
        self._historian_id = historian_id
        self._waiting: dict[NodeId, list[tuple[int, int]]] = defaultdict(list)

    def add(self, receipts: Iterable[Receipt]) -> None:
        """Take payloads that are committed."""
        waiting = self._waiting
        for node, timestamp_ms, seq in receipts:
            waiting[node].append((timestamp_ms, seq))

    def take(self, now_ms: int) -> list[tuple[NodeId, Acknowledgement]]:
        """Remove and return everything as messages to be sent."""
        messages = [
            (
                node,
                Acknowledgement(
                    timestamp_ms=now_ms,
                    historian=self._historian_id,
                    payloads=tuple(payloads[start : start + MOST_AT_ONCE]),
                ),
            )
            for node, payloads in self._waiting.items()
            for start in range(0, len(payloads), MOST_AT_ONCE)
        ]
        self._waiting.clear()
        return messages
