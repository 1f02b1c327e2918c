"""Nodes that are not quite Sparkplug 3.0: followed as well as they allow, named, harming nobody."""

import time
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from deploy.local.broker import MqttBroker
from host_app.service import HostService
from proto.sparkplug.codec import Metric, Payload, compress, encode_payload
from proto.sparkplug.compression import Compression
from proto.sparkplug.datatypes import DataType
from proto.sparkplug.node_view import NodeView
from proto.sparkplug.topics import NodeId
from tests.integration.host_rig import EdgePeer, Listener
from tests.integration.test_host_scope import host, is_born, until

pytestmark = pytest.mark.asyncio

OLD = NodeId("old", "node")


@pytest_asyncio.fixture
async def service(mqtt_broker: MqttBroker) -> AsyncIterator[HostService]:
    """Run a host with one good node, which must not notice anything of the others."""
    async with host([mqtt_broker]) as running:
        good = EdgePeer(mqtt_broker)
        good.birth()
        await until(lambda: is_born(running))
        yield running
        good.data(10, DataType.DOUBLE, 123.0)
        view = running.node(NodeId("plant", "line-1"))
        assert view is not None
        temperature = view.metric("press", "temperature")
        assert temperature is not None
        await until(lambda: temperature.value == 123.0)
        assert view.online
        assert view.diagnostics.violation_count == 0
        assert view.diagnostics.rebirth_requests == 0
        good.close()


@pytest.fixture
def old(mqtt_broker: MqttBroker) -> Iterator[Listener]:
    peer = Listener(mqtt_broker)
    yield peer
    peer.close()


def payload(*metrics: Metric, seq: int | None = None) -> bytes:
    return encode_payload(Payload(time.time_ns() // 1_000_000, seq, metrics))


def double(name: str, value: float) -> Metric:
    return Metric(name, DataType.DOUBLE, value, time.time_ns() // 1_000_000)


def seen(service: HostService) -> NodeView:
    view = service.node(OLD)
    assert view is not None
    return view


async def test_node_without_seq_and_bd_seq_is_followed_and_named(
    service: HostService, old: Listener
) -> None:
    old.publish("spBv1.0/old/NBIRTH/node", payload(double("level", 1.0)))
    old.publish("spBv1.0/old/DBIRTH/node/pump", payload(double("speed", 2.0)))
    old.publish("spBv1.0/old/DDATA/node/pump", payload(double("speed", 3.0)))
    await until(lambda: service.node(OLD) and seen(service).metric("pump", "speed"))
    speed = seen(service).metric("pump", "speed")
    assert speed is not None
    await until(lambda: speed.value == 3.0)
    kinds = set(seen(service).diagnostics.violations)
    assert {"message without seq", "no bdSeq", "birth without Node Control/Rebirth"} <= kinds
    old.publish("spBv1.0/old/NDEATH/node", payload())
    await until(lambda: not seen(service).online)
    assert speed.stale


async def test_compressed_birth_is_read(service: HostService, old: Listener) -> None:
    for number, algorithm in enumerate(Compression):
        birth = payload(
            Metric("bdSeq", DataType.INT64, number, 1), double("level", float(number)), seq=0
        )
        old.publish("spBv1.0/old/NBIRTH/node", compress(birth, algorithm))

        def level(expected: float = float(number)) -> bool:
            view = service.node(OLD)
            metric = None if view is None else view.metric(None, "level")
            return metric is not None and metric.value == expected

        await until(level)


async def test_huge_birth_is_taken_and_measured(service: HostService, old: Listener) -> None:
    birth = payload(
        Metric("bdSeq", DataType.INT64, 0, 1),
        *(double(f"Section {n // 100}/Value {n}", n) for n in range(50_000)),
        seq=0,
    )
    old.publish("spBv1.0/old/NBIRTH/node", birth, 1)
    await until(lambda: service.node(OLD) and len(seen(service).metrics) == 50_001)
    traffic = service.traffic(OLD)
    assert traffic is not None
    assert traffic.largest_bytes == len(birth) > 1_000_000


async def test_text_state_of_sparkplug_2_is_nothing_to_the_host(
    service: HostService, old: Listener
) -> None:
    for topic in ("STATE/nexus", "STATE/other", "spBv1.0/STATE/other"):
        for text in (b"ONLINE", b"OFFLINE", b"\xff\xfe", b""):
            old.publish(topic, text, 1, retain=True)
    old.publish("spBv1.0/old/NBIRTH/node", payload(double("level", 1.0), seq=0))
    await until(lambda: service.node(OLD) and seen(service).online)
    assert [str(view.node) for view in service.nodes()] == ["plant/line-1", "old/node"]


async def test_invalid_text_in_a_payload_is_a_violation_of_that_node_alone(
    service: HostService, old: Listener
) -> None:
    good = payload(double("level", 1.0), seq=0)
    old.publish("spBv1.0/old/NBIRTH/node", good)
    old.publish("spBv1.0/old/NBIRTH/node", good.replace(b"level", b"l\xffvel"))
    old.publish("spBv1.0/old/NDATA/node", b"\x12\xff\xff\xff\xff\x0f")
    old.publish("spBv1.0/old/NDATA/node", b"", 1)
    await until(
        lambda: (
            service.node(OLD) and seen(service).diagnostics.violations["payload cannot be decoded"]
        )
    )
    assert seen(service).diagnostics.last_violation
