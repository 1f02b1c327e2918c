"""Devices that come, go and change under a virtual clock."""

from itertools import pairwise

import pytest
import trio
from trio.testing import MockClock

from edge_node.configuration import Configuration
from edge_node.counters import Counters
from edge_node.drivers.base import Driver
from edge_node.fleet import Fleet
from edge_node.pipeline.tags import DeviceTags
from edge_node.publisher import Publisher, PublisherOptions
from edge_node.uns import UnsMirror
from edge_node.writes import WriteEnd, WriteOrder
from proto.control.modbus import ModbusDevice
from proto.control.node import NodeDocument
from proto.sparkplug.codec import decode_payload
from proto.sparkplug.edge_session import EdgeSession
from proto.sparkplug.messages import Publish
from proto.sparkplug.topics import NodeId
from tests.unit.edge_node.fakes import FakeDriver, device_document, wall_ms

pytestmark = pytest.mark.trio


class Bench:
    """A fleet of fake devices, and what it said."""

    def __init__(self, *devices: ModbusDevice) -> None:
        self.drivers: dict[str, FakeDriver] = {}
        self.tags: dict[Driver, DeviceTags] = {}
        configuration = self.configure(*devices)
        self.mirror = UnsMirror(configuration.document, {}, started_ms=0)
        self.publisher = Publisher(
            EdgeSession(NodeId("g", "e")),
            self.mirror,
            Counters(),
            options=PublisherOptions(),
            now_ms=wall_ms,
        )
        self.fleet = Fleet(
            configuration,
            self.publisher,
            self.mirror,
            node_metrics=lambda _: [],
            lateness=Counters().lateness,
            now_ms=wall_ms,
        )
        self.said: list[Publish] = []
        self.mirrored: list[tuple[str, bytes]] = []
        self.publisher.prepare()
        self.publisher.attach(self.take)
        self.mirror.attach(lambda topic, payload, *_: self.mirrored.append((topic, payload)))

    def configure(self, *devices: ModbusDevice) -> Configuration:
        """A configuration that keeps the drivers of devices that are the same."""
        for device in devices:
            known = self.drivers.get(device.name)
            if known is None or known.document != device:
                self.drivers[device.name] = FakeDriver(device)
        document = NodeDocument.model_validate(
            {"node": {"group": "g", "edge": "e"}, "devices": [d.model_dump() for d in devices]}
        )
        drivers: dict[str, Driver] = {d.name: self.drivers[d.name] for d in devices}
        for name, driver in drivers.items():
            tags = next(device.tags for device in devices if device.name == name)
            if driver not in self.tags:
                self.tags[driver] = DeviceTags(tags, driver.groups)
        return Configuration(document, drivers, {n: self.tags[d] for n, d in drivers.items()})

    def take(self, message: Publish) -> bool:
        self.said.append(message)
        return True

    def kinds(self, device: str) -> list[str]:
        return [m.topic.split("/")[2] for m in self.said if m.topic.split("/")[4:] == [device]]

    async def run(self) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.fleet.run)
            nursery.start_soon(self.publisher.run)
            nursery.start_soon(self.mirror.run, lambda: False)


ONE_TAG = [{"name": "temp", "address": "holding:0", "datatype": "int16"}]


async def test_a_change_leaves_the_neighbours_phase_counters_and_connection_alone(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    a, b = device_document("a"), device_document("b")
    bench = Bench(a, b)
    nursery.start_soon(bench.run)
    await trio.sleep(10)
    for _ in range(5):
        for other in (device_document("b", tags=ONE_TAG), b):
            await bench.fleet.apply(bench.configure(a, other))
            await trio.sleep(3.3)
    driver = bench.drivers["a"]
    assert len(driver.opened_at) == 1
    times = [at for at, _ in driver.polled_at[1:]]
    assert [y - x for x, y in pairwise(times)] == pytest.approx([1.0] * (len(times) - 1))
    assert bench.fleet.states["a"].polls == len(driver.polled_at)
    assert bench.fleet.states["a"].skipped_polls == 0
    assert bench.kinds("a") == ["DBIRTH"]
    assert bench.kinds("b") == ["DBIRTH", *["DDEATH", "DBIRTH"] * 10]
    sequence = [decode_payload(message.payload).seq for message in bench.said]
    assert sequence == list(range(len(sequence)))
    nursery.cancel_scope.cancel()


async def test_what_was_counted_of_a_device_outlives_its_configuration(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    bench = Bench(device_document("a"))
    nursery.start_soon(bench.run)
    await trio.sleep(10)
    polls = bench.fleet.states["a"].polls
    await bench.fleet.apply(bench.configure(device_document("a", tags=ONE_TAG)))
    assert bench.fleet.states["a"].polls == polls
    await trio.sleep(5)
    assert bench.fleet.states["a"].polls > polls
    nursery.cancel_scope.cancel()


async def test_a_device_that_is_gone_is_closed_and_cleared_before_apply_returns(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    a, b = device_document("a"), device_document("b")
    bench = Bench(a, b)
    nursery.start_soon(bench.run)
    await trio.sleep(5)
    driver = bench.drivers["b"]
    await bench.fleet.apply(bench.configure(a))
    assert not driver.is_open
    assert bench.kinds("b") == ["DBIRTH", "DDEATH"]
    assert set(bench.fleet.states) == {"a"}
    assert bench.fleet.find("b") is None
    await trio.sleep(1)
    cleared = {topic for topic, payload in bench.mirrored if not payload}
    assert cleared == {f"uns/b/{level}" for level in ("_meta", "_status", "temp", "speed")}
    nursery.cancel_scope.cancel()


async def test_an_alias_never_comes_to_mean_another_metric(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    bench = Bench(device_document("a"))
    nursery.start_soon(bench.run)
    names: dict[int | None, str | None] = {}
    for name in ("x", "temp", "y", "temp"):
        tags = [{"name": name, "address": "holding:0", "datatype": "int16"}]
        await bench.fleet.apply(bench.configure(device_document("a", tags=tags)))
        await trio.sleep(3)
    births = [decode_payload(m.payload) for m in bench.said if "/DBIRTH/" in m.topic]
    assert len(births) == 4
    for birth in births:
        for metric in birth.metrics:
            assert names.setdefault(metric.alias, metric.name) == metric.name
    nursery.cancel_scope.cancel()


async def test_writes_that_wait_for_a_device_that_is_replaced_are_refused(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    bench = Bench(device_document("a"))
    bench.drivers["a"].poll_s = 100.0
    nursery.start_soon(bench.run)
    await trio.sleep(105)
    supervisor = bench.fleet.find("a")
    assert supervisor is not None
    old = bench.drivers["a"]
    ends: list[WriteEnd] = []
    supervisor.write(WriteOrder("temp", 1, trio.current_time() + 1000, ends.append))
    await bench.fleet.apply(bench.configure(device_document("a", tags=ONE_TAG)))
    await trio.sleep(300)
    assert old.written == []
    assert bench.drivers["a"].written == []
    assert ends == [WriteEnd("refused", "the device was stopped")]
    nursery.cancel_scope.cancel()
