"""How many metrics a second the Sparkplug layer makes, reads and follows, on one core.

The baseline is plain protobuf in the same run: the same payload of 500 doubles built and
serialized through its objects, and parsed with three fields of each metric read. With ``--peers``
pysparkplug and mqtt-spb-wrapper do the same in environments of their own.
"""

import json
import os
import platform
import time
from collections.abc import Callable
from itertools import cycle
from typing import Final

import click
import google.protobuf
from google.protobuf.internal import api_implementation

from bench.codec_peers import measure_peers
from proto import sparkplug_b_pb2
from proto.sparkplug.codec import Metric, decode_payload, encode_samples, metric_value, parse
from proto.sparkplug.datatypes import DataType
from proto.sparkplug.edge_events import Reading
from proto.sparkplug.edge_session import EdgeSession
from proto.sparkplug.host_tracker import HostTracker
from proto.sparkplug.topics import NodeId

METRICS: Final = 500
NOW_MS: Final = 1_700_000_000_000
DEVICE: Final = "press"


def measure(work: Callable[[], object], metrics: int, seconds: float) -> float:
    """Metrics a second: the best of five rounds, so that a neighbour's burst does not count."""
    best = 0.0
    for _ in range(5):
        done, start = 0, time.perf_counter()
        while (elapsed := time.perf_counter() - start) < seconds / 5:
            work()
            done += metrics
        best = max(best, done / elapsed)
    return best


def build_with_protobuf() -> bytes:
    """The payload as protobuf's objects make it."""
    payload = sparkplug_b_pb2.Payload(timestamp=NOW_MS, seq=7)
    add = payload.metrics.add
    for i in range(METRICS):
        add(alias=i + 1, timestamp=NOW_MS, double_value=i * 0.5)
    return payload.SerializeToString()


def read_with_protobuf(data: bytes) -> None:
    """The payload read through protobuf's objects, without a thought about types and nulls."""
    for metric in sparkplug_b_pb2.Payload.FromString(data).metrics:
        metric.alias, metric.timestamp, metric.double_value  # noqa: B018  # reading is the work


def read_values(data: bytes) -> list[object]:
    """The payload read as the historian reads it: alias, time, checked value."""
    double = int(DataType.DOUBLE)
    return [(m.alias, m.timestamp, metric_value(m, double)) for m in parse(data).metrics]


def make_session() -> tuple[EdgeSession, list[Reading]]:
    """A born edge session and one round of readings of its device."""
    session = EdgeSession(NodeId("bench", "edge"))
    metrics = [Metric(f"tag {i}", DataType.DOUBLE, 0.0, NOW_MS) for i in range(METRICS)]
    session.set_device(DEVICE, metrics)
    session.device_online(DEVICE, NOW_MS)
    session.connect(NOW_MS)
    readings: list[Reading] = [
        (session.alias(DEVICE, f"tag {i}"), i * 0.5, NOW_MS, 192) for i in range(METRICS)
    ]
    return session, readings


def follow_round(session: EdgeSession, readings: list[Reading]) -> Callable[[], object]:
    """What hands a tracker one message after the other, a whole round of seq over and over."""
    tracker = HostTracker(host_id="bench")
    for birth in session.rebirth(NOW_MS):
        tracker.receive(birth.topic, birth.payload, NOW_MS)
    made = (session.data(DEVICE, readings, NOW_MS) for _ in range(256))
    messages = cycle([(message.topic, message.payload) for message in made if message is not None])

    def work() -> None:
        topic, payload = next(messages)
        if not tracker.receive(topic, payload, NOW_MS):
            raise AssertionError("the tracker took no notice of a message")

    return work


def run(seconds: float, peers: bool) -> dict[str, object]:
    """Every figure and its baseline."""
    session, readings = make_session()
    session.connected(NOW_MS)
    samples = [(alias, int(DataType.DOUBLE), value, at) for alias, value, at, _ in readings]
    data = build_with_protobuf()

    def rate(work: Callable[[], object]) -> float:
        return measure(work, METRICS, seconds)

    edge = rate(lambda: encode_samples(samples, 7, NOW_MS))
    session_rate = rate(lambda: session.data(DEVICE, readings, NOW_MS))
    figures = {
        "encode_metrics_per_s": edge,
        "session_data_metrics_per_s": session_rate,
        "parse_metrics_per_s": rate(lambda: parse(data)),
        "read_metrics_per_s": rate(lambda: read_values(data)),
        "decode_objects_metrics_per_s": rate(lambda: decode_payload(data)),
        "tracker_metrics_per_s": rate(follow_round(session, readings)),
    }
    baseline = {
        "protobuf_build_metrics_per_s": rate(build_with_protobuf),
        "protobuf_read_metrics_per_s": rate(lambda: read_with_protobuf(data)),
    }
    others = measure_peers(METRICS, seconds) if peers else {}
    for peer, rates in others.items():
        baseline |= {f"{peer}_{work}_metrics_per_s": rate for work, rate in rates.items()}
    ours = {"encode": edge, "read": figures["read_metrics_per_s"]}
    return {
        "bench": "codec",
        "figures": {name: round(value) for name, value in figures.items()},
        "baseline": {name: round(value) for name, value in baseline.items()},
        "ratio": {
            "encode": round(edge / baseline["protobuf_build_metrics_per_s"], 2),
            "read": round(ours["read"] / baseline["protobuf_read_metrics_per_s"], 2),
            **{
                f"{work}_to_{peer}": round(ours[work] / rates[work], 2)
                for peer, rates in others.items()
                for work in ours
            },
        },
        "machine": {
            "python": platform.python_version(),
            "protobuf": f"{google.protobuf.__version__} {api_implementation.Type()}",
            "cpus": os.cpu_count(),
            "system": platform.platform(),
        },
    }


@click.command()
@click.option(
    "--seconds",
    type=click.FloatRange(min=0.05),
    default=1.0,
    show_default=True,
    help="How long each figure is measured.",
)
@click.option(
    "--peers",
    is_flag=True,
    help="Measure pysparkplug and mqtt-spb-wrapper too; they are installed the first time.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON line alone on stdout.")
def main(seconds: float, peers: bool, as_json: bool) -> None:
    """Metrics a second through codec, edge session and host tracker, on one core."""
    result = run(seconds, peers)
    if not as_json:
        for part in ("figures", "baseline", "ratio"):
            for name, value in dict(result[part]).items():  # type: ignore[call-overload]  # a dict
                click.echo(f"{part:9} {name:32} {value:>12,}")
    click.echo(json.dumps(result))


if __name__ == "__main__":
    main()
