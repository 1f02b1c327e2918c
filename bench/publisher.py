"""``nexus bench publisher``: what a value costs between the driver and the socket, on one core.

Polls of 500 tags go through scaling and report by exception, the publisher, the session and its
encoder, with the mirror and without; nothing is read and nothing sent. The baseline builds and
serializes the same messages through protobuf's objects and knows nothing of what was there before.
"""

import json
import time
from collections.abc import Callable
from itertools import cycle
from typing import Any, Final

import click

from bench.machine import describe_machine
from edge_node.counters import Counters
from edge_node.drivers.base import PollResult, RawValue, TagInfo
from edge_node.metrics import define_metrics
from edge_node.pipeline.tags import DeviceTags
from edge_node.publisher import Publisher, PublisherOptions
from edge_node.uns import UnsMirror
from proto import sparkplug_b_pb2
from proto.control.node import NodeDocument
from proto.sparkplug.datatypes import DataType
from proto.sparkplug.edge_session import EdgeSession
from proto.sparkplug.topics import NodeId

TAGS: Final = 500
NOW_MS: Final = 1_700_000_000_000
ROUNDS: Final = 5


class Node:
    """One device of a node, polled by hand.

    Attributes:
        bytes_made: how many bytes of messages came out.
    """

    def __init__(self, *, scaled: bool, mirrored: bool) -> None:
        tag: dict[str, Any] = {"datatype": "int16"} | ({"scale": 0.1} if scaled else {})
        tags = [{**tag, "name": f"t{n}", "address": f"holding:{n}"} for n in range(TAGS)]
        device = {"name": "d", "driver": "modbus", "connection": {"host": "h"}, "tags": tags}
        document = NodeDocument.model_validate(
            {
                "node": {"group": "bench", "edge": "publisher"},
                "uns": {"enabled": mirrored},
                "devices": [device],
            }
        )
        infos = [TagInfo(f"t{n}", DataType.INT16) for n in range(TAGS)]
        columns = DeviceTags(document.devices[0].tags, {"default": infos})
        self._pipeline = columns.groups["default"]
        self._publisher = Publisher(
            EdgeSession(NodeId("bench", "publisher")),
            UnsMirror(document, {"d": columns}, started_ms=0, clock=time.monotonic),
            Counters(),
            options=PublisherOptions(window_s=0),
            now_ms=lambda: NOW_MS,
        )
        self._publisher.define_device("d", columns, define_metrics(columns, None))
        self.bytes_made = 0
        self._publisher.prepare()
        self._publisher.attach(self._take)
        self._pipeline.process(PollResult(NOW_MS, [0] * TAGS))
        self._publisher.device_online("d")

    def _take(self, message: Any) -> bool:
        self.bytes_made += len(message.payload)
        return True

    def poll(self, values: list[RawValue]) -> None:
        """Take one poll of the whole device."""
        report = self._pipeline.process(PollResult(NOW_MS, values))
        if report is not None:
            self._publisher.device_report("d", 0, report)


def columns_of(changed: int) -> list[list[RawValue]]:
    """Return two polls that differ in the first ``changed`` tags."""
    return [[12_000 + n + (step if n < changed else 0) for n in range(TAGS)] for step in (0, 9)]


def poll_with(node: Node, changed: int) -> Callable[[], object]:
    """Return what polls a node once, some tags changing each time."""
    polls = cycle(columns_of(changed))
    return lambda: node.poll(list(next(polls)))


def build_with_protobuf() -> bytes:
    """Return the same data as protobuf's objects make it."""
    payload = sparkplug_b_pb2.Payload(timestamp=NOW_MS, seq=7)
    add = payload.metrics.add
    for alias in range(TAGS):
        add(alias=alias + 1, timestamp=NOW_MS, int_value=alias)
    return payload.SerializeToString()


def rate(work: Callable[[], object], seconds: float) -> float:
    """Return tags a second: the best round, so that a neighbour's burst does not count."""
    best = 0.0
    for _ in range(ROUNDS):
        done, start = 0, time.perf_counter()
        while (took := time.perf_counter() - start) < seconds / ROUNDS:
            work()
            done += TAGS
        best = max(best, done / took)
    return round(best)


@click.command()
@click.option("--seconds", type=click.FloatRange(0.1), default=2.0, help="For each figure.")
@click.option("--json", "as_json", is_flag=True, help="End with one JSON line.")
def main(seconds: float, as_json: bool) -> None:
    """Measure the edge node's path from a poll to a message, without wire and disk."""
    figures = {
        "tags_per_s": rate(poll_with(Node(scaled=False, mirrored=False), TAGS), seconds),
        "scaled_tags_per_s": rate(poll_with(Node(scaled=True, mirrored=False), TAGS), seconds),
        "mirrored_tags_per_s": rate(poll_with(Node(scaled=False, mirrored=True), TAGS), seconds),
        "one_in_ten_changes_tags_per_s": rate(
            poll_with(Node(scaled=False, mirrored=False), TAGS // 10), seconds
        ),
        "nothing_changes_tags_per_s": rate(
            poll_with(Node(scaled=False, mirrored=False), 0), seconds
        ),
    }
    baseline = {"protobuf_tags_per_s": rate(build_with_protobuf, seconds)}
    result = {
        "bench": "publisher",
        "figures": figures,
        "baseline": baseline,
        "ratio": {
            name.removesuffix("_per_s"): round(value / baseline["protobuf_tags_per_s"], 2)
            for name, value in figures.items()
        },
        "machine": describe_machine(),
    }
    if not as_json:
        for name, value in (figures | baseline).items():
            click.echo(f"{name:32} {value:12,.0f}")
    else:
        click.echo(json.dumps(result))


if __name__ == "__main__":
    main()
