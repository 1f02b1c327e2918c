"""JSON commands: which are taken, and what is answered."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from edge_node.commands import Commands
from edge_node.pipeline.tags import DeviceTags
from edge_node.scheduler import Lateness
from edge_node.supervisor import DeviceSupervisor
from proto.control.command import CommandResult
from proto.sparkplug.edge_events import Rejected
from proto.sparkplug.topics import NodeId
from tests.unit.edge_node.fakes import FakeDriver, RecordingSink, device_document, wall_ms

pytestmark = pytest.mark.trio

BASE = "$nexus/cmd/g/e"
TAGS = [
    {"name": "temp", "address": "holding:0", "datatype": "int16", "writable": True},
    {"name": "doors/left", "address": "holding:1", "datatype": "int16", "writable": True},
    {"name": "test/result", "address": "holding:2", "datatype": "int16", "writable": True},
    {"name": "speed", "address": "holding:3", "datatype": "int16"},
]


class Bench:
    """The commands of a node with one device, and what was published."""

    def __init__(self, nursery: trio.Nursery) -> None:
        device = device_document("press", tags=TAGS)
        self.driver = FakeDriver(device)
        supervisor = DeviceSupervisor(
            device,
            self.driver,
            DeviceTags(device.tags, self.driver.groups),
            RecordingSink(),
            lateness=Lateness(),
            now_ms=wall_ms,
        )
        nursery.start_soon(supervisor.run)
        self.told: list[tuple[str, CommandResult]] = []
        self.commands = Commands(
            "$nexus",
            NodeId("g", "e"),
            enabled=True,
            find={"press": supervisor}.get,
            publish=self._publish,
            now_ms=wall_ms,
        )

    def _publish(self, topic: str, payload: bytes, qos: int, retain: bool) -> None:
        assert (qos, retain) == (1, False)
        self.told.append((topic, CommandResult.model_validate_json(payload)))

    async def send(self, tag: str, value: Any, command_id: str = "1", **more: Any) -> None:
        document = {"id": command_id, "value": value, **more}
        self.commands.receive(f"{BASE}/{tag}", json.dumps(document).encode(), retained=False)
        await trio.sleep(2)


@pytest.fixture
async def bench(autojump_clock: MockClock) -> AsyncIterator[Bench]:
    async with trio.open_nursery() as nursery:
        made = Bench(nursery)
        await trio.sleep(5)
        yield made
        nursery.cancel_scope.cancel()


async def test_a_command_is_done_and_answered_on_its_result_topic(
    bench: Bench, autojump_clock: MockClock
) -> None:
    await bench.send("press/doors/left", 7, "a-1")
    assert bench.driver.written == [("doors/left", 7)]
    [(topic, result)] = bench.told
    assert topic == f"{BASE}/press/doors/left/result"
    assert (result.id, result.ok, result.outcome, result.reason) == ("a-1", True, "written", None)


async def test_an_id_is_done_and_answered_once_within_five_minutes(
    bench: Bench, autojump_clock: MockClock
) -> None:
    await bench.send("press/temp", 1, "same")
    await bench.send("press/temp", 2, "same")
    await bench.send("press/doors/left", 3, "same")
    assert bench.driver.written == [("temp", 1), ("doors/left", 3)]
    assert len(bench.told) == 2
    await trio.sleep(300)
    await bench.send("press/temp", 4, "same")
    assert bench.driver.written[-1] == ("temp", 4)


async def test_ids_are_remembered_within_a_bound(
    bench: Bench, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge_node.commands.MAX_REMEMBERED", 3)
    for number in range(5):
        await bench.send("press/temp", number, str(number))
    await bench.send("press/temp", 40, "4")
    await bench.send("press/temp", 10, "1")
    assert [value for _, value in bench.driver.written] == [0, 1, 2, 3, 4, 10]


@pytest.mark.parametrize(
    ("tag", "value", "reason"),
    [
        ("press/temp", 70_000, "value: 70000 does not fit Int16, expected -32768 to 32767"),
        ("press/temp", "hot", "value: found str 'hot', expected an integer for Int16"),
        ("press/temp", True, "value: found bool True, expected an integer for Int16"),
        ("press/temp", None, "found None, expected a Int16"),
        ("press/temp", {"a": 1}, "found an object, expected a Int16"),
        ("press/speed", 1, "the tag is not writable"),
        ("press/none", 1, "device 'press' has no tag 'none'"),
        ("pump/temp", 1, "the node has no device 'pump'"),
    ],
)
async def test_what_cannot_be_written_is_refused_with_the_reason(
    bench: Bench, autojump_clock: MockClock, tag: str, value: Any, reason: str
) -> None:
    await bench.send(tag, value)
    [(topic, result)] = bench.told
    assert topic == f"{BASE}/{tag}/result"
    assert (result.id, result.ok, result.outcome, result.reason) == ("1", False, "refused", reason)
    assert [one.reason for one in bench.commands.refused] == [reason]
    assert bench.driver.written == []


@pytest.mark.parametrize("payload", [b"", b"12", b"{", b'{"id": "1"}', b"\xff" * 70_000])
async def test_what_is_no_command_is_refused_without_an_id(
    bench: Bench, autojump_clock: MockClock, payload: bytes
) -> None:
    bench.commands.receive(f"{BASE}/press/temp", payload, retained=False)
    [(_, result)] = bench.told
    assert (result.id, result.ok) == (None, False)
    assert result.reason
    assert bench.driver.written == []


async def test_a_retained_command_is_never_done(bench: Bench, autojump_clock: MockClock) -> None:
    document = json.dumps({"id": "1", "value": 1}).encode()
    bench.commands.receive(f"{BASE}/press/temp", document, retained=True)
    await trio.sleep(2)
    assert bench.driver.written == []
    assert bench.told[0][1].reason == "retained, expected a plain message"


async def test_results_are_no_commands(bench: Bench, autojump_clock: MockClock) -> None:
    await bench.send("press/temp/result", 1)
    await bench.send("press/test/result", 1)
    assert bench.told == []
    assert bench.driver.written == []


async def test_a_rejected_sparkplug_command_is_told_where_a_topic_can_carry_its_name(
    bench: Bench, autojump_clock: MockClock
) -> None:
    topic = "spBv1.0/g/DCMD/e/press"
    bench.commands.reject(Rejected(topic, "press", "speed", "metric 'speed' is read only"))
    bench.commands.reject(Rejected(topic, "press", "a/#/b", "no birth told of it"))
    bench.commands.reject(Rejected(topic, None, "Node Info/Uptime", "read only"))
    bench.commands.reject(Rejected(topic, "press", None, "no payload"))
    assert [topic for topic, _ in bench.told] == [f"{BASE}/press/speed/result"]
    assert [one.metric for one in bench.commands.refused] == ["speed", "a/#/b", "Node Info/Uptime"]
