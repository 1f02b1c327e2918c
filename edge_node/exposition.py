"""An edge node's numbers in Prometheus' text format 0.0.4, piece by piece.

Pure text: who asks and how it travels is the probes' business. prometheus-client takes half a
second for 500 devices in one go, during which nothing would be polled; here a piece is a few
hundred lines, so that polls go on in between. Tests read the result with its parser.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields
from itertools import accumulate
from typing import Final

from edge_node.counters import Counters
from edge_node.device_state import DeviceState
from edge_node.histogram import BOUNDS_S, Histogram

_DEVICES_AT_ONCE: Final = 50
_BREAKER_STATES: Final = ("closed", "half-open", "open")
_BUCKETS: Final = (*map(str, BOUNDS_S), "+Inf")

_Samples = Callable[[str, str, DeviceState], Iterator[str]]
"""Family name, device label, state → lines."""


def _value(read: Callable[[DeviceState], float]) -> _Samples:
    def samples(name: str, device: str, state: DeviceState) -> Iterator[str]:
        yield f"{name}{{{device}}} {read(state)}\n"

    return samples


def _errors(name: str, device: str, state: DeviceState) -> Iterator[str]:
    for kind, count in state.traffic.errors.items():
        yield f'{name}{{{device},kind="{kind}"}} {count}\n'


def _breaker(name: str, device: str, state: DeviceState) -> Iterator[str]:
    for each in _BREAKER_STATES:
        yield f'{name}{{{device},state="{each}"}} {int(state.breaker == each)}\n'


def _histogram(read: Callable[[DeviceState], Histogram]) -> _Samples:
    def samples(name: str, device: str, state: DeviceState) -> Iterator[str]:
        histogram = read(state)
        counts = list(accumulate(histogram.buckets))
        for bound, count in zip(_BUCKETS, counts, strict=True):
            yield f'{name}_bucket{{{device},le="{bound}"}} {count}\n'
        yield f"{name}_sum{{{device}}} {histogram.sum_s}\n"
        yield f"{name}_count{{{device}}} {counts[-1]}\n"

    return samples


_DEVICE: Final[Sequence[tuple[str, str, str, _Samples]]] = (
    ("up", "gauge", "1 while the device is online.", _value(lambda s: int(s.state == "online"))),
    ("breaker", "gauge", "1 for the state that its circuit breaker is in.", _breaker),
    (
        "polls_total",
        "counter",
        "Polls, the first of each connection included.",
        _value(lambda s: s.polls),
    ),
    (
        "skipped_polls_total",
        "counter",
        "Beats left out because the device was busy.",
        _value(lambda s: s.skipped_polls),
    ),
    (
        "requests_total",
        "counter",
        "Requests sent, repetitions included.",
        _value(lambda s: s.traffic.requests),
    ),
    (
        "sent_bytes_total",
        "counter",
        "Bytes sent, as the protocol frames them.",
        _value(lambda s: s.traffic.bytes_sent),
    ),
    (
        "received_bytes_total",
        "counter",
        "Bytes received, likewise.",
        _value(lambda s: s.traffic.bytes_received),
    ),
    ("errors_total", "counter", "What went wrong, by kind.", _errors),
    (
        "reconnects_total",
        "counter",
        "Attempts to connect after the first.",
        _value(lambda s: s.reconnects),
    ),
    ("writes_total", "counter", "Values written.", _value(lambda s: s.writes)),
    ("changes_total", "counter", "Values that subscriptions brought.", _value(lambda s: s.changes)),
    (
        "dropped_samples_total",
        "counter",
        "Of those, what was lost on the way.",
        _value(lambda s: s.dropped_samples),
    ),
    (
        "bad_tags",
        "gauge",
        "Tags without a value in the last poll.",
        _value(lambda s: sum(s.bad.values())),
    ),
    (
        "quarantined_tags",
        "gauge",
        "Tags that the device refused, asked for rarely.",
        _value(lambda s: s.traffic.quarantined),
    ),
    (
        "request_duration_seconds",
        "histogram",
        "From a request to its answer.",
        _histogram(lambda s: s.traffic.latency),
    ),
    (
        "poll_lateness_seconds",
        "histogram",
        "How late polls began.",
        _histogram(lambda s: s.lateness),
    ),
)


def format_devices(states: Mapping[str, DeviceState]) -> Iterator[str]:
    """Yield what there is to tell of each device, family after family, in pieces."""
    labelled = [(f'device="{_escape(name)}"', state) for name, state in states.items()]
    for suffix, kind, text, samples in _DEVICE:
        name = f"nexus_edge_device_{suffix}"
        yield f"# HELP {name} {text}\n# TYPE {name} {kind}\n"
        for first in range(0, len(labelled), _DEVICES_AT_ONCE):
            yield "".join(
                line
                for device, state in labelled[first : first + _DEVICES_AT_ONCE]
                for line in samples(name, device, state)
            )


def format_node(counters: Counters, *, connected: bool, queued_bytes: int) -> str:
    """Return what there is to tell of the node itself."""
    lines = [
        "# HELP nexus_edge_connected 1 while a broker is connected.\n",
        f"# TYPE nexus_edge_connected gauge\nnexus_edge_connected {int(connected)}\n",
        "# HELP nexus_edge_queued_bytes Bytes that wait for the broker to read them.\n",
        f"# TYPE nexus_edge_queued_bytes gauge\nnexus_edge_queued_bytes {queued_bytes}\n",
    ]
    for field in fields(counters):
        value = getattr(counters, field.name)
        if isinstance(value, int):
            name = f"nexus_edge_{field.name}_total"
            words = field.name.replace("_", " ").capitalize()
            lines.append(f"# HELP {name} {words}.\n# TYPE {name} counter\n{name} {value}\n")
    return "".join(lines)


def _escape(label: str) -> str:
    return label.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
