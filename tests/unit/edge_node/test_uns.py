import json
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from edge_node.pipeline.tags import DeviceTags
from edge_node.uns import UnsMirror
from proto.control.node import NodeDocument
from tests.unit.edge_node.fakes import FakeDriver, device_document, wall_ms

pytestmark = pytest.mark.trio


class Bench:
    """A mirror of fake devices, and what it published with the virtual time."""

    def __init__(self, tag_count: int = 2, **uns: object) -> None:
        tags = [
            {"name": f"t{n}", "address": f"holding:{n}", "datatype": "int16", "unit": "bar"}
            for n in range(tag_count)
        ]
        device = device_document("press", tags=tags)
        document = NodeDocument.model_validate(
            {
                "node": {"group": "g", "edge": "e"},
                "uns": {"location": ["acme"], **uns},
                "devices": [device.model_dump()],
            }
        )
        self.tags = DeviceTags(device.tags, FakeDriver(device).groups)
        self.group = self.tags.groups["default"]
        self.mirror = UnsMirror(document, {"press": self.tags}, started_ms=5)
        self.sent: list[tuple[float, str, Any, int, bool]] = []
        self.congested = False

    def send(self, topic: str, payload: bytes, qos: int, retain: bool) -> None:
        self.sent.append((trio.current_time(), topic, json.loads(payload), qos, retain))

    def poll(self, values: list[Any], bad: Mapping[int, str] | None = None) -> None:
        report = self.group.reporter.report(wall_ms() or 1, values, bad or {})
        if report is not None:
            self.mirror.report("press", 0, report)

    async def run(self) -> None:
        await self.mirror.run(lambda: self.congested)

    def values(self, topic: str) -> list[Any]:
        return [document["value"] for _, sent, document, _, _ in self.sent if sent == topic]


async def test_a_new_connection_gets_everything_retained(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    bench = Bench()
    nursery.start_soon(bench.run)
    await trio.sleep(1)
    bench.poll([1, 2])
    bench.mirror.online("press", 1000)
    for _ in range(2):
        bench.sent.clear()
        bench.mirror.attach(bench.send)
        await trio.sleep(1)
        assert [(topic, qos, retain) for _, topic, _, qos, retain in bench.sent] == [
            ("uns/acme/press/_meta", 1, True),
            ("uns/acme/press/_status", 1, True),
            ("uns/acme/press/t0", 0, True),
            ("uns/acme/press/t1", 0, True),
        ]
        assert bench.sent[1][2] == {"online": True, "since_ms": 1000, "reason": None}
        assert bench.sent[2][2] == {
            "timestamp_ms": 1000,
            "value": 1,
            "quality": 192,
            "unit": "bar",
        }
        bench.mirror.detach()
    nursery.cancel_scope.cancel()


async def test_before_a_device_was_reached_it_is_offline_and_has_no_values(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    bench = Bench()
    nursery.start_soon(bench.run)
    bench.mirror.attach(bench.send)
    await trio.sleep(1)
    status = {"online": False, "since_ms": 5, "reason": "not connected yet"}
    assert [topic for _, topic, _, _, _ in bench.sent] == [
        "uns/acme/press/_meta",
        "uns/acme/press/_status",
    ]
    assert bench.sent[1][2] == status
    nursery.cancel_scope.cancel()


async def test_a_fast_tag_is_conflated_to_its_latest_value(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    bench = Bench(min_interval_s=1.0)
    nursery.start_soon(bench.run)
    bench.mirror.attach(bench.send)
    for number in range(1000):
        bench.poll([number, 0])
        await trio.sleep(0.01)
    await trio.sleep(2)
    values = bench.values("uns/acme/press/t0")
    assert 10 <= len(values) <= 12
    assert values[-1] == 999
    times = [at for at, topic, _, _, _ in bench.sent if topic == "uns/acme/press/t0"]
    assert min(b - a for a, b in pairwise(times)) >= 1.0
    assert bench.values("uns/acme/press/t1") == [0]
    nursery.cancel_scope.cancel()


async def test_the_rate_is_bounded_whatever_happens_and_the_end_is_right(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    bench = Bench(tag_count=500, max_messages_per_s=100, min_interval_s=0)
    nursery.start_soon(bench.run)
    bench.mirror.attach(bench.send)
    for number in range(50):
        bench.poll([number] * 500)
        await trio.sleep(0.1)
    assert len(bench.sent) <= 5 * 100 + 2
    await trio.sleep(10)
    assert {bench.values(f"uns/acme/press/t{n}")[-1] for n in range(500)} == {49}
    assert bench.mirror.messages == len(bench.sent)
    nursery.cancel_scope.cancel()


async def test_a_congested_connection_is_left_alone(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    bench = Bench()
    nursery.start_soon(bench.run)
    bench.mirror.attach(bench.send)
    bench.congested = True
    bench.poll([1, 2])
    await trio.sleep(5)
    assert bench.sent == []
    bench.congested = False
    await trio.sleep(1)
    assert bench.values("uns/acme/press/t1") == [2]
    nursery.cancel_scope.cancel()


async def test_a_bad_value_is_null_and_a_lost_device_says_so(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    bench = Bench()
    nursery.start_soon(bench.run)
    bench.mirror.attach(bench.send)
    bench.poll([1, 2])
    await trio.sleep(1)
    bench.poll([1, None], {1: "timeout"})
    await trio.sleep(1)
    assert bench.sent[-1][1:3] == (
        "uns/acme/press/t1",
        {"timestamp_ms": 1000, "value": None, "quality": 0, "unit": "bar"},
    )
    bench.mirror.offline("press", 2000, "no answer")
    await trio.sleep(1)
    assert bench.sent[-1][1:] == (
        "uns/acme/press/_status",
        {"online": False, "since_ms": 2000, "reason": "no answer"},
        1,
        True,
    )
    nursery.cancel_scope.cancel()


async def test_the_end_is_published_at_once() -> None:
    bench = Bench()
    bench.mirror.attach(bench.send)
    bench.sent.clear()
    bench.mirror.send_offline(9, "edge node stopped")
    assert bench.sent[-1][2] == {"online": False, "since_ms": 9, "reason": "edge node stopped"}


async def test_a_mirror_that_is_off_says_nothing(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    bench = Bench(enabled=False)
    nursery.start_soon(bench.run)
    bench.mirror.attach(bench.send)
    bench.poll([1, 2])
    bench.mirror.online("press", 1)
    await trio.sleep(1)
    bench.mirror.send_offline(2, "edge node stopped")
    assert bench.sent == []
    nursery.cancel_scope.cancel()
