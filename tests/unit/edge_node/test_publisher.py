from typing import Any

import pytest
import trio
from structlog.testing import capture_logs
from trio.testing import MockClock

from edge_node.counters import Counters
from edge_node.metrics import define_metrics
from edge_node.pipeline.tags import DeviceTags
from edge_node.publisher import Publisher, PublisherOptions
from edge_node.uns import UnsMirror
from proto.control.node import NodeDocument
from proto.sparkplug.codec import Payload, decode_payload, encode_payload
from proto.sparkplug.datatypes import DataType
from proto.sparkplug.edge_session import EdgeSession
from proto.sparkplug.messages import Publish
from proto.sparkplug.metrics import Metric, is_control
from proto.sparkplug.topics import NodeId
from tests.unit.edge_node.fakes import FakeDriver, device_document, wall_ms

pytestmark = pytest.mark.trio


class Bench:
    """A publisher of one device with two tags, and what it said with the virtual time."""

    def __init__(self, window_s: float = 0.1, **changes: Any) -> None:
        device = device_document("press", **changes)
        document = NodeDocument.model_validate(
            {"node": {"group": "g", "edge": "e"}, "uns": {"enabled": False}}
        )
        self.tags = DeviceTags(device.tags, FakeDriver(device).groups)
        self.counters = Counters()
        self.publisher = Publisher(
            EdgeSession(NodeId("g", "e")),
            UnsMirror(document, {}, started_ms=0),
            self.counters,
            options=PublisherOptions(window_s),
            now_ms=wall_ms,
        )
        self.publisher.define_device("press", self.tags, define_metrics(self.tags, None))
        self.sent: list[tuple[float, Publish]] = []

    def connect(self) -> None:
        self.publisher.prepare()
        self.publisher.attach(self.take)

    def take(self, message: Publish) -> bool:
        if self.is_cut:
            return False
        self.sent.append((trio.current_time(), message))
        return True

    def poll(self, *values: Any) -> None:
        """Report what a poll read; not yet online, it only fills the birth."""
        reporter = self.tags.groups["default"].reporter
        report = reporter.report(wall_ms(), list(values), {})
        if report is not None and "press" in self.online:
            self.publisher.device_report("press", 0, report)

    online: tuple[str, ...] = ()
    is_cut = False

    def bring_online(self, *values: Any) -> None:
        self.poll(*values)
        self.publisher.device_online("press")
        self.online = ("press",)

    def kinds(self) -> list[str]:
        return [message.topic.split("/")[2] for _, message in self.sent]

    def payloads(self, kind: str) -> list[Payload]:
        return [
            decode_payload(message.payload)
            for _, message in self.sent
            if message.topic.split("/")[2] == kind
        ]


def plant_values(birth: Payload) -> dict[str | None, Any]:
    return {m.name: m.value for m in birth.metrics if not is_control(m.name or "")}


async def test_changes_within_the_window_travel_in_one_message(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    bench = Bench(window_s=0.5)
    nursery.start_soon(bench.publisher.run)
    bench.connect()
    bench.bring_online(1, 2)
    await trio.sleep(1)
    bench.poll(10, 2)
    await trio.sleep(0.2)
    bench.poll(11, 20)
    assert bench.kinds() == ["NBIRTH", "DBIRTH"]
    await trio.sleep(0.4)
    (data,) = bench.payloads("DDATA")
    assert [(metric.value, metric.timestamp_ms) for metric in data.metrics] == [
        (10, 1000),
        (11, 1200),
        (20, 1200),
    ]
    assert bench.sent[-1][0] == pytest.approx(1.5)
    nursery.cancel_scope.cancel()


async def test_without_a_window_every_poll_is_a_message_at_once(
    autojump_clock: MockClock,
) -> None:
    bench = Bench(window_s=0)
    bench.connect()
    bench.bring_online(1, 2)
    bench.poll(2, 2)
    bench.poll(3, 2)
    assert bench.kinds() == ["NBIRTH", "DBIRTH", "DDATA", "DDATA"]


async def test_last_changes_go_out_before_a_death(
    autojump_clock: MockClock,
) -> None:
    bench = Bench()
    bench.connect()
    bench.bring_online(1, 2)
    bench.poll(5, 2)
    bench.publisher.device_offline("press", "no answer")
    bench.publisher.device_offline("press", "still no answer")
    assert bench.kinds() == ["NBIRTH", "DBIRTH", "DDATA", "DDEATH"]
    bench.publisher.farewell()
    assert bench.kinds()[-1] == "NDEATH"


async def test_points_are_counted_exactly_and_control_metrics_are_not(
    autojump_clock: MockClock,
) -> None:
    bench = Bench()
    control = Metric("Node Control/Reboot", DataType.BOOLEAN, False)
    info = Metric("Node Info/Version", DataType.STRING, "1")
    bench.publisher.define_node([control, info])
    bench.connect()
    assert bench.counters.points_published == 1
    bench.bring_online(1, 2)
    assert bench.counters.points_published == 1 + 2
    bench.poll(5, 6)
    bench.publisher.flush()
    assert bench.counters.points_published == 1 + 2 + 2
    rebirth = Metric("Node Control/Rebirth", DataType.BOOLEAN, True)
    bench.publisher.receive("spBv1.0/g/NCMD/e", encode_payload(Payload(1, None, (rebirth,))))
    assert bench.counters.points_published == 1 + 2 + 2 + 3
    assert bench.counters.births == 4
    assert bench.counters.messages_published == len(bench.sent) == 5


async def test_what_happens_without_a_connection_is_counted_and_its_latest_is_in_the_birth(
    autojump_clock: MockClock,
) -> None:
    bench = Bench()
    bench.connect()
    bench.bring_online(1, 2)
    bench.publisher.detach()
    for value in (3, 4, 5):
        bench.poll(value, 2)
        bench.publisher.flush()
    assert bench.counters.points_unsent == 3
    bench.sent.clear()
    bench.connect()
    assert bench.kinds() == ["NBIRTH", "DBIRTH"]
    (birth,) = bench.payloads("DBIRTH")
    assert plant_values(birth) == {"temp": 5, "speed": 2}


@pytest.mark.parametrize("connected", [True, False])
async def test_a_value_that_does_not_fit_its_tag_is_told_once_and_harms_nothing_else(
    autojump_clock: MockClock, connected: bool
) -> None:
    bench = Bench()
    if connected:
        bench.connect()
    bench.bring_online(1, 2)
    with capture_logs() as logs:
        for value in (70_000, 70_001, 70_002):
            bench.poll(value, value - 69_000)
            bench.publisher.flush()
    assert [entry["event"] for entry in logs] == ["value_refused"]
    assert "70000 does not fit Int16" in logs[0]["reason"]
    assert bench.counters.values_refused == 3
    if connected:
        data = bench.payloads("DDATA")
        assert [[m.value for m in payload.metrics] for payload in data] == [
            [None, 1000],
            [None, 1001],
            [None, 1002],
        ]
    else:
        bench.connect()
        assert plant_values(bench.payloads("DBIRTH")[0]) == {"temp": None, "speed": 1002}
    bench.poll(5, 6)
    bench.publisher.flush()
    assert [metric.value for metric in bench.payloads("DDATA")[-1].metrics] == [5, 6]


async def test_a_device_can_be_online_with_a_value_that_does_not_fit(
    autojump_clock: MockClock,
) -> None:
    bench = Bench()
    bench.connect()
    bench.bring_online(70_000, 2)
    (birth,) = bench.payloads("DBIRTH")
    assert plant_values(birth) == {"temp": None, "speed": 2}


async def test_what_a_lost_connection_did_not_take_does_not_count(
    autojump_clock: MockClock,
) -> None:
    bench = Bench(window_s=0)
    bench.connect()
    bench.bring_online(1, 2)
    before = bench.counters.points_published
    bench.is_cut = True
    bench.poll(3, 4)
    bench.publisher.device_offline("press", "no answer")
    assert bench.counters.points_published == before
    assert bench.counters.points_unsent == 2
    assert bench.counters.messages_published == len(bench.sent)
