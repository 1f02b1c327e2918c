"""How fast a host follows a birth storm, in how much memory, and how many values a second after it.

1,000 edge nodes with 10 devices of 100 tags each are born at once, as after a power failure. Only
the tracker is measured: what makes the births runs in the same process, off the clock. The
baseline is protobuf parsing the same births.
"""

import json
import os
import platform
import time
from collections.abc import Iterator
from typing import Final

import click
import psutil

from proto.sparkplug.codec import Metric, parse
from proto.sparkplug.datatypes import DataType
from proto.sparkplug.edge_session import EdgeSession
from proto.sparkplug.host_tracker import HostTracker
from proto.sparkplug.messages import Publish
from proto.sparkplug.metrics import Property
from proto.sparkplug.topics import NodeId

NOW_MS: Final = 1_700_000_000_000
MIB: Final = 2**20
ROUNDS: Final = 10


def tag(device: int, number: int) -> Metric:
    """A tag with the properties real ones have, which differ from device to device."""
    return Metric(
        f"Section {number // 10}/Value {number}",
        DataType.DOUBLE,
        number * 0.5,
        NOW_MS,
        properties={
            "engUnit": Property(DataType.STRING, ("bar", "degC", "1/min")[number % 3]),
            "engLow": Property(DataType.DOUBLE, 0.0),
            "engHigh": Property(DataType.DOUBLE, 100.0 + device),
            "readOnly": Property(DataType.BOOLEAN, number % 4 > 0),
        },
    )


def make_session(devices: int, tags: int) -> EdgeSession:
    """A born session; all nodes look alike but for their name, which stands in the topic only."""
    session = EdgeSession(NodeId("bench", "node"))
    for device in range(devices):
        session.set_device(f"device {device}", [tag(device, number) for number in range(tags)])
        session.device_online(f"device {device}", NOW_MS)
    session.connect(NOW_MS)
    return session


def named(message: Publish, number: int) -> str:
    """The topic of the same message from another node."""
    return message.topic.replace("/node", f"/node {number}", 1)


def changes(session: EdgeSession, devices: int, tags: int) -> Iterator[Publish]:
    """One DDATA of every device: all its tags change."""
    for device in range(devices):
        name = f"device {device}"
        slots = [session.alias(name, f"Section {n // 10}/Value {n}") for n in range(tags)]
        message = session.data(name, [(slot, 1.25, NOW_MS, 192) for slot in slots], NOW_MS)
        if message is not None:
            yield message


def run(nodes: int, devices: int, tags: int) -> dict[str, object]:
    """Births of all nodes, then changes of all tags of some of them."""
    session = make_session(devices, tags)
    births = session.connected(NOW_MS)
    process = psutil.Process()
    before = process.memory_info().rss

    start = time.perf_counter()
    for _ in range(nodes):
        for birth in births:
            parse(birth.payload)
    parsed_s = time.perf_counter() - start

    tracker = HostTracker(host_id="bench")
    start = time.perf_counter()
    for number in range(nodes):
        for birth in births:
            tracker.receive(named(birth, number), birth.payload, NOW_MS)
    tracked_s = time.perf_counter() - start
    rss = process.memory_info().rss

    values, spent_s = 0, 0.0
    for _ in range(ROUNDS):
        for message in changes(session, devices, tags):
            topics = [named(message, number) for number in range(min(nodes, 100))]
            start = time.perf_counter()
            for topic in topics:
                tracker.receive(topic, message.payload, NOW_MS)
            spent_s += time.perf_counter() - start
            values += len(topics) * tags
    taken = sum(view.diagnostics.metrics for view in tracker.nodes.values())
    if taken != values:
        raise click.ClickException(f"the tracker took {taken} values, expected {values}")
    return {
        "bench": "host",
        "figures": {
            "births_tracked_s": round(tracked_s, 2),
            "metrics_tracked": sum(1 for v in tracker.nodes.values() for _ in v.all_metrics()),
            "rss_mib": round(rss / MIB),
            "metrics_per_s": round(values / spent_s),
        },
        "baseline": {"births_parsed_s": round(parsed_s, 2), "rss_before_mib": round(before / MIB)},
        "ratio": {"births_to_parse": round(tracked_s / parsed_s, 2)},
        "machine": {
            "cpus": os.cpu_count(),
            "python": platform.python_version(),
            "system": f"{platform.system()} {platform.release()}",
            "load_average": os.getloadavg()[0],
        },
    }


@click.command()
@click.option("--nodes", type=click.IntRange(1), default=1_000, show_default=True)
@click.option("--devices", type=click.IntRange(1), default=10, show_default=True)
@click.option("--tags", type=click.IntRange(1), default=100, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON line alone on stdout.")
def main(*, nodes: int, devices: int, tags: int, as_json: bool) -> None:
    """Follow a birth storm of many edge nodes, then changes of their values."""
    result = run(nodes, devices, tags)
    if not as_json:
        for part in ("figures", "baseline", "ratio"):
            for name, value in dict(result[part]).items():  # type: ignore[call-overload]  # a dict
                click.echo(f"{part:9} {name:20} {value:>12,}")
    click.echo(json.dumps(result))


if __name__ == "__main__":
    main()
