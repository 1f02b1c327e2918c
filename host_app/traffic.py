"""What a host measures of each edge node's messages: how many, how big, how late.

The payload's timestamp is read from its first bytes, where every encoder puts it, so that measuring
costs no second decoding. Knows no clock; time is an argument.
"""

from collections import deque
from dataclasses import dataclass
from typing import Final, Literal

from proto.sparkplug.node_view import NodeView

JOURNAL_LENGTH: Final = 50
_TIMESTAMP_TAG: Final = 0x08  # field 1, varint
_MAX_VARINT: Final = 10

JournalKind = Literal["born", "died", "rebirth_requested", "violation"]


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """Something that happened to a node."""

    at_ms: int
    kind: JournalKind
    text: str


@dataclass(frozen=True, slots=True)
class Latency:
    """How long messages took from the node's clock to the host's, in milliseconds.

    Negative where the node's clock is ahead.
    """

    least_ms: int
    mean_ms: float
    most_ms: int


@dataclass(frozen=True, slots=True)
class Rates:
    """What arrived in a second, on average over one sampling interval.

    Attributes:
        latency: of payloads.
        metric_latency_ms: the longest time from a value's acquisition to its arrival.
    """

    messages_per_s: float = 0.0
    metrics_per_s: float = 0.0
    latency: Latency | None = None
    metric_latency_ms: int | None = None

    @property
    def clock_skew_ms(self) -> int | None:
        """How far the node's clock is ahead, as the quickest message shows; behind is negative."""
        return None if self.latency is None else -self.latency.least_ms


class NodeTraffic:
    """One node's messages.

    Args:
        now_ms: when the first sampling interval begins.

    Attributes:
        messages: how many came.
        bytes: their payloads together.
        largest_bytes: the biggest payload.
        last_ms: when the last one came, the host's time; 0 before the first.
        rates: of the last sampling interval.
        journal: the latest births, deaths, requests and violations, oldest first.
    """

    __slots__ = (
        "_least_ms",
        "_metric_ms",
        "_metrics_before",
        "_most_ms",
        "_sampled_messages",
        "_sampled_ms",
        "_sum_ms",
        "_timed",
        "bytes",
        "journal",
        "largest_bytes",
        "last_ms",
        "messages",
        "rates",
    )

    def __init__(self, now_ms: int) -> None:
        self.messages = 0
        self.bytes = 0
        self.largest_bytes = 0
        self.last_ms = 0
        self.rates = Rates()
        self.journal: deque[JournalEntry] = deque(maxlen=JOURNAL_LENGTH)
        self._sampled_ms = now_ms
        self._sampled_messages = 0
        self._metrics_before = 0
        self._metric_ms: int | None = None
        self._timed = self._sum_ms = self._least_ms = self._most_ms = 0

    @property
    def mean_bytes(self) -> int | None:
        """How big a payload is on average; None before the first."""
        return round(self.bytes / self.messages) if self.messages else None

    def observe(self, payload: bytes, now_ms: int) -> None:
        """Take note of a message."""
        size = len(payload)
        self.messages += 1
        self.bytes += size
        self.largest_bytes = max(self.largest_bytes, size)
        self.last_ms = now_ms
        if (sent_ms := peek_timestamp(payload)) is None:
            return
        late_ms = now_ms - sent_ms
        if self._timed == 0:
            self._least_ms = self._most_ms = late_ms
        elif late_ms < self._least_ms:
            self._least_ms = late_ms
        elif late_ms > self._most_ms:
            self._most_ms = late_ms
        self._timed += 1
        self._sum_ms += late_ms

    def observe_metric(self, acquired_ms: int, now_ms: int) -> None:
        """Take note of when the first metric of a DATA message was acquired."""
        late_ms = now_ms - acquired_ms
        if self._metric_ms is None or late_ms > self._metric_ms:
            self._metric_ms = late_ms

    def sample(self, view: NodeView | None, now_ms: int) -> None:
        """End a sampling interval; to be called every few seconds."""
        metrics = 0 if view is None else view.diagnostics.metrics
        elapsed_ms = now_ms - self._sampled_ms
        if elapsed_ms > 0:
            latency = None
            if self._timed:
                mean_ms = self._sum_ms / self._timed
                latency = Latency(self._least_ms, mean_ms, self._most_ms)
            self.rates = Rates(
                (self.messages - self._sampled_messages) * 1000 / elapsed_ms,
                (metrics - self._metrics_before) * 1000 / elapsed_ms,
                latency or self.rates.latency,
                self.rates.metric_latency_ms if self._metric_ms is None else self._metric_ms,
            )
        self._sampled_ms = now_ms
        self._sampled_messages = self.messages
        self._metrics_before = metrics
        self._timed = self._sum_ms = 0
        self._metric_ms = None

    def note(self, kind: JournalKind, text: str, now_ms: int) -> None:
        """Write into the journal."""
        self.journal.append(JournalEntry(now_ms, kind, text[:500]))


def peek_timestamp(payload: bytes) -> int | None:
    """Return a payload's timestamp when it stands at its beginning, without decoding the rest."""
    if not payload or payload[0] != _TIMESTAMP_TAG:
        return None
    value = shift = 0
    for byte in payload[1 : 1 + _MAX_VARINT]:
        value |= (byte & 127) << shift
        if byte < 128:
            return value
        shift += 7
    return None
