"""Modes, filters and several brokers: the service on real brokers, without the web."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Literal

import pytest

from deploy.local.broker import MqttBroker
from host_app.audit import Audit
from host_app.broker_session import BrokerSession
from host_app.commands import Target
from host_app.database import Database
from host_app.errors import CommandRefused
from host_app.mqtt_stream import Endpoint
from host_app.scope import Mode, NodeFilter
from host_app.service import HostService
from proto.sparkplug.datatypes import DataType
from proto.sparkplug.host_events import TrackerOptions
from proto.sparkplug.topics import NodeId
from tests.integration.host_rig import EdgePeer, Listener

pytestmark = pytest.mark.asyncio

LINE_1 = NodeId("plant", "line-1")


@contextlib.asynccontextmanager
async def host(
    brokers: Sequence[MqttBroker],
    mode: Mode = Mode.PRIMARY,
    node_filter: NodeFilter | None = None,
    protocol: Literal["3.1.1", "5"] = "3.1.1",
) -> AsyncIterator[HostService]:
    sessions = [
        BrokerSession(
            Endpoint(b.host, b.port, f"host-{mode}", protocol=protocol, keep_alive_s=5),
            "nexus",
            TrackerOptions(),
            mode=mode,
            node_filter=node_filter,
        )
        for b in brokers
    ]
    service = HostService("nexus", sessions, Audit(Database(None)))
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(service.run(stop))
        try:
            await until(lambda: service.online)
            yield service
        finally:
            stop.set()
            await running


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(15):
        while not condition():  # noqa: ASYNC110  # many conditions, no event for them all
            await asyncio.sleep(0.02)


def is_born(service: HostService, node: NodeId = LINE_1) -> bool:
    view = service.node(node)
    return view is not None and any(d.online for d in view.devices.values())


async def test_passive_host_follows_and_publishes_nothing(mqtt_broker: MqttBroker) -> None:
    watcher = Listener(mqtt_broker, "#")
    async with host([mqtt_broker], Mode.PASSIVE) as service:
        edge = EdgePeer(mqtt_broker)
        edge.data(1, DataType.UINT32, 5, None)
        edge.birth()
        await until(lambda: is_born(service))
        with pytest.raises(CommandRefused, match="this host is passive"):
            service.write(Target(LINE_1, "press", "setpoint"), 1.0, actor="ada", remote=None)
        with pytest.raises(CommandRefused, match="this host is passive"):
            service.rebirth(LINE_1, actor="ada", remote=None)
        edge.close()
        await until(lambda: (view := service.node(LINE_1)) and not view.online)
    topics = {m.topic.split("/")[2] for m in list(watcher.messages.queue)}
    assert topics == {"NDATA", "NBIRTH", "DBIRTH", "NDEATH"}
    watcher.close()


async def test_active_host_asks_for_births_and_tells_no_state(mqtt_broker: MqttBroker) -> None:
    watcher = Listener(mqtt_broker, "spBv1.0/STATE/#")
    async with host([mqtt_broker], Mode.ACTIVE) as service:
        edge = EdgePeer(mqtt_broker)
        edge.data(1, DataType.UINT32, 5, None)
        _, command = await asyncio.to_thread(edge.command)
        assert command.metrics[0].name == "Node Control/Rebirth"
        edge.birth()
        await until(lambda: is_born(service))
        service.write(Target(LINE_1, "press", "setpoint"), 1.0, actor="ada", remote=None)
        message, _ = await asyncio.to_thread(edge.command)
        assert message.topic == edge.topic("DCMD", "press")
        edge.close()
    assert watcher.messages.empty()
    watcher.close()


async def test_filtered_nodes_are_none_of_the_hosts_business(mqtt_broker: MqttBroker) -> None:
    async with host([mqtt_broker], Mode.PRIMARY, NodeFilter(["plant"], ["*/line-?"])) as service:
        for group, name in (("plant", "line-22"), ("office", "line-1"), ("plant", "line-1")):
            edge = EdgePeer(mqtt_broker, group, name)
            edge.birth()
            edge.listener.close()
        await until(lambda: is_born(service))
        assert [str(view.node) for view in service.nodes()] == ["plant/line-1"]


async def test_nodes_of_several_brokers_make_one_picture_and_one_loss_touches_no_other(
    start_mqtt_broker: Callable[[], MqttBroker],
) -> None:
    brokers = [start_mqtt_broker(), start_mqtt_broker()]
    async with host(brokers) as service:
        edges = [EdgePeer(b, edge=f"line-{n}") for n, b in enumerate(brokers, 1)]
        for edge in edges:
            edge.birth()
        line_2 = NodeId("plant", "line-2")
        await until(lambda: is_born(service) and is_born(service, line_2))
        service.write(Target(line_2, "press", "setpoint"), 2.0, actor="ada", remote=None)
        message, _ = await asyncio.to_thread(edges[1].command)
        assert message.topic == edges[1].topic("DCMD", "press")
        assert edges[0].listener.messages.empty()
        edges[1].listener.close()
        brokers[1].stop()
        await until(lambda: not service.online)
        view_1, view_2 = service.node(LINE_1), service.node(line_2)
        assert view_1 is not None
        assert view_2 is not None
        assert (view_1.online, view_2.online) == (True, False)
        assert all(metric.stale for _, metric in view_2.all_metrics())
        moved = EdgePeer(brokers[0], edge="line-2")
        moved.birth()
        await until(lambda: is_born(service, line_2))
        assert len(list(service.nodes())) == 2
        for edge in (edges[0], moved):
            edge.close()
    for broker in brokers:
        broker.stop()


async def test_historical_data_never_moves_the_live_value_backwards(
    mqtt_broker: MqttBroker,
) -> None:
    async with host([mqtt_broker]) as service:
        edge = EdgePeer(mqtt_broker)
        edge.birth()
        await until(lambda: is_born(service))
        edge.data(10, DataType.DOUBLE, 50.0)
        edge.historical(10, DataType.DOUBLE, 1.0, age_ms=60_000)
        edge.data(12, DataType.UINT64, 7)
        view = service.node(LINE_1)
        assert view is not None
        total = view.metric("press", "total")
        assert total is not None
        await until(lambda: total.value == 7)
        temperature = view.metric("press", "temperature")
        assert temperature is not None
        assert temperature.value == 50.0
        assert view.diagnostics.historical == 1
        edge.close()
