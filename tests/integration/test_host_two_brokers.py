"""The eight rules of a host application on two real brokers at once, in both versions of MQTT."""

import asyncio
import contextlib
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import pytest

from deploy.local.broker import MqttBroker
from host_app.commands import Target
from host_app.service import HostService
from proto.sparkplug.datatypes import DataType
from proto.sparkplug.metrics import REBIRTH
from proto.sparkplug.node_view import DeviceView, NodeView
from proto.sparkplug.topics import NodeId
from tests.integration.host_rig import EdgePeer, Listener, running_host
from tests.integration.test_host_scope import host, is_born, until

STATE = "spBv1.0/STATE/nexus"
LINES = (NodeId("plant", "line-1"), NodeId("plant", "line-2"))


@pytest.fixture
def brokers(start_mqtt_broker: Callable[[], MqttBroker]) -> Iterator[list[MqttBroker]]:
    both = [start_mqtt_broker(), start_mqtt_broker()]
    yield both
    for broker in both:
        broker.stop()


def told(watcher: Listener) -> tuple[bool, int]:
    state = json.loads(watcher.next().payload)
    return state["online"], state["timestamp"]


def view_of(service: HostService, node: NodeId) -> tuple[NodeView, DeviceView]:
    view = service.node(node)
    assert view is not None
    return view, view.devices["press"]


@pytest.mark.rule("host-1", "host-2", "host-3", "host-4")
@pytest.mark.parametrize("protocol", ["3.1.1", "5"])
def test_each_of_two_brokers_has_the_whole_life_of_a_state(
    brokers: list[MqttBroker], tmp_path: Path, protocol: str
) -> None:
    watchers = [Listener(broker, STATE) for broker in brokers]
    urls = ("--mqtt-url", brokers[0].url, "--mqtt-url", brokers[1].url)
    more = (*urls, "--mqtt-protocol", protocol)
    with running_host(tmp_path, brokers[0], None, *more) as first:
        born = [told(watcher) for watcher in watchers]
        assert [online for online, _ in born] == [True, True]
        lie = b'{"online":false,"timestamp":1}'
        watchers[1].publish(STATE, lie, 1, retain=True)
        assert watchers[1].next().payload == lie
        assert told(watchers[1]) == born[1]
        assert watchers[0].messages.empty(), "the other broker was told again"
        first.process.kill()
        for watcher, (_, born_ms) in zip(watchers, born, strict=True):
            while (state := told(watcher))[0]:
                pass  # with MQTT 5 mosquitto handed the lie out twice: answered twice
            assert state == (False, born_ms), "the will has the time of its connection"
    with running_host(tmp_path, brokers[0], None, *more) as second:
        again = [told(watcher) for watcher in watchers]
        assert all(
            online and now_ms > before_ms
            for (online, now_ms), (_, before_ms) in zip(again, born, strict=True)
        )
        before_ms = time.time_ns() // 1_000_000
        assert second.terminate() == 0
    for watcher in watchers:
        while (state := told(watcher))[0]:
            pass  # a host may say more than once that it is there
        _, end_ms = state
        assert end_ms >= before_ms
        assert watcher.messages.empty(), "a will followed a clean end"
        watcher.close()


@pytest.mark.rule("host-5", "host-6", "host-7", "host-8")
@pytest.mark.parametrize("protocol", ["3.1.1", "5"])
@pytest.mark.asyncio
async def test_nodes_on_two_brokers_are_followed_asked_and_commanded_each_on_its_own(
    brokers: list[MqttBroker], protocol: Literal["3.1.1", "5"]
) -> None:
    async with host(brokers, protocol=protocol) as service, contextlib.AsyncExitStack() as stack:
        one, two = (EdgePeer(broker, edge=f"line-{n}") for n, broker in enumerate(brokers, 1))
        for edge in (one, two):
            stack.callback(edge.listener.close)
            edge.birth()
        await until(lambda: all(is_born(service, node) for node in LINES))
        (line_1, press_1), (line_2, press_2) = (view_of(service, node) for node in LINES)

        # 7: a command goes where its node is, as it was born there
        for edge, node in zip((one, two), LINES, strict=True):
            service.write(Target(node, "press", "setpoint"), 3.0, actor="ada", remote=None)
            message, command = await asyncio.to_thread(edge.command)
            assert (message.topic, message.qos, message.retain) == (
                edge.topic("DCMD", "press"),
                0,
                False,
            )
            assert command.seq is None
            assert [(m.alias, m.datatype, m.value) for m in command.metrics] == [
                (11, DataType.FLOAT, 3.0)
            ]

        # 6: what comes too early waits; what stays away leads to one request, on its own broker
        two.seq += 1
        two.data(10, DataType.DOUBLE, 2.0)
        two.seq -= 2
        two.data(10, DataType.DOUBLE, 1.0)
        await until(lambda: press_2.metrics["temperature"].value == 2.0)
        assert line_2.diagnostics.rebirth_requests == 0
        two.seq += 5
        two.data(10, DataType.DOUBLE, 9.0)
        _, command = await asyncio.to_thread(two.command)
        assert [metric.name for metric in command.metrics] == [REBIRTH]
        two.birth()
        await until(lambda: line_2.diagnostics.births == 2)

        # 8: nonsense on one broker, of others and in the node's own name, harms nobody on either
        for topic in ("spBv1.0/plant/NBIRTH/vandal", "spBv1.0/x", two.topic("NDATA")):
            two.listener.publish(topic, b"\xff\xfe")
        two.data(11, DataType.FLOAT, 8.0)
        await until(lambda: press_2.metrics["setpoint"].value == 8.0)
        assert line_2.diagnostics.violation_count > 0
        assert line_1.diagnostics.violation_count == 0

        # 5: a device's death is its own; a node's counts with its bdSeq and where the node is
        one.send("DDEATH", (), "press")
        await until(lambda: not press_1.online)
        assert (line_1.online, press_2.online) == (True, True)
        one.listener.publish(two.topic("NDEATH"), two.death(), 1)
        two.listener.publish(two.topic("NDEATH"), two.death(bd_seq=7), 1)
        two.data(10, DataType.DOUBLE, 5.0)
        await until(lambda: press_2.metrics["temperature"].value == 5.0)
        assert (line_2.online, line_2.diagnostics.deaths) == (True, 0)
        two.listener.publish(two.topic("NDEATH"), two.death(), 1)
        await until(lambda: not line_2.online)
        assert (press_2.online, line_1.online) == (False, True)
        assert all(metric.stale for _, metric in line_2.all_metrics())
        assert not any(metric.stale for metric in line_1.metrics.values())
        assert one.listener.messages.empty(), "the other broker's trouble was answered here"
