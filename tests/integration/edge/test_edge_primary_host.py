"""An edge node that waits for its primary host, on one broker and on several."""

import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.integration.edge.bench import (
    Listener,
    Plc,
    check_transcript,
    node_document,
    press,
    running,
    wait_until,
)
from tests.integration.edge.edge_broker import Broker, Gate

pytestmark = [pytest.mark.trio, pytest.mark.parametrize("protocol", ["3.1.1", "5"])]

STATE = "spBv1.0/STATE/scada"
HOST: dict[str, Any] = {"primary_host": "scada"}


def tell(listener: Listener, online: bool, timestamp: int) -> None:
    payload = b'{"online": %s, "timestamp": %d}' % (str(online).lower().encode(), timestamp)
    listener.watcher.publish(STATE, payload, retain=True)


@pytest.mark.rule("edge-6")
@pytest.mark.tck(
    "message-flow-edge-node-birth-publish-phid-wait",
    "message-flow-edge-node-birth-publish-phid-wait-id",
    "message-flow-edge-node-birth-publish-phid-wait-online",
    "operational-behavior-edge-node-birth-sequence-wait",
)
async def test_births_wait_for_the_host_that_is_configured(
    edge_broker: Broker, heard: Listener, plc: Plc, tmp_path: Path, protocol: str
) -> None:
    document = node_document(
        edge_broker, tmp_path, press(plc), sparkplug=HOST, mqtt={"protocol": protocol}
    )
    heard.watcher.publish("spBv1.0/STATE/other", b'{"online": true, "timestamp": 9}')
    async with running(document):
        await heard.wait_json("uns/acme/press/count")
        tell(heard, False, 1000)
        heard.watcher.publish("spBv1.0/STATE/scada2", b'{"online": true, "timestamp": 9}')
        heard.watcher.publish(STATE, b"not json")
        plc.unit.registers[1] = 8
        await heard.wait_json("uns/acme/press/count", lambda d: d["value"] == 8)
        assert heard.said == []
        tell(heard, True, 1000)
        await heard.wait("NBIRTH", timeout_s=3)
        await heard.wait("DBIRTH", timeout_s=3)


@pytest.mark.rule("edge-7")
@pytest.mark.tck(
    "message-flow-edge-node-birth-publish-phid-wait-timestamp",
    "operational-behavior-edge-node-termination-host-offline-timestamp",
)
async def test_a_state_that_is_older_than_the_last_is_not_believed(
    edge_broker: Broker, heard: Listener, plc: Plc, tmp_path: Path
) -> None:
    tell(heard, True, 1000)
    async with running(node_document(edge_broker, tmp_path, press(plc), sparkplug=HOST)):
        await heard.wait("DBIRTH")
        tell(heard, False, 999)
        plc.unit.registers[1] = 8
        await heard.wait_value("press", "count", 8)
        tell(heard, False, 2000)
        await heard.wait("NDEATH", timeout_s=3)
        tell(heard, True, 1500)
        plc.unit.registers[1] = 9
        await heard.wait_json("uns/acme/press/count", lambda d: d["value"] == 9)
        assert str(heard.said[-1].kind) == "NDEATH"
        tell(heard, True, 2000)
        await heard.wait("NBIRTH", 2, timeout_s=3)


@pytest.mark.rule("edge-3", "edge-8")
@pytest.mark.tck(
    "message-flow-edge-node-birth-publish-phid-offline",
    "operational-behavior-edge-node-termination-host-offline",
)
async def test_without_its_host_a_node_on_one_broker_dies_and_stays_silent(
    edge_broker: Broker, heard: Listener, plc: Plc, tmp_path: Path, protocol: str
) -> None:
    document = node_document(
        edge_broker, tmp_path, press(plc), sparkplug=HOST, mqtt={"protocol": protocol}
    )
    tell(heard, True, 1000)
    async with running(document) as node:
        await heard.wait("DBIRTH")
        told = time.time()
        tell(heard, False, 1000)
        ndeath = await heard.wait("NDEATH", timeout_s=3)
        assert (ndeath.payload.timestamp_ms or 0) >= int(told * 1000)
        await wait_until(lambda: node.status().counters.reconnects == 1, 3)
        count = len(heard.said)
        plc.unit.registers[1] = 9
        await heard.wait_json("uns/acme/press/count", lambda d: d["value"] == 9)
        await heard.wait_json("$nexus/status/plant/line-1")
        assert len(heard.said) == count
        tell(heard, True, 2000)
        again = await heard.wait("NBIRTH", 2, timeout_s=3)
        assert again.metric("bdSeq").value == 1
        assert (await heard.wait("DBIRTH", 2)).values()["count"] == 9


async def test_a_node_that_never_was_born_leaves_without_a_death(
    edge_broker: Broker, heard: Listener, plc: Plc, tmp_path: Path
) -> None:
    for protocol in ("3.1.1", "5"):
        document = node_document(
            edge_broker, tmp_path, press(plc), sparkplug=HOST, mqtt={"protocol": protocol}
        )
        async with running(document):
            await heard.wait_json("uns/acme/press/_status", lambda d: d["online"])
        await heard.wait_json("uns/acme/press/_status", lambda d: not d["online"])
    heard.watcher.publish("spBv1.0/plant/NCMD/line-1", b"", qos=1)
    assert heard.said == []


class Pair:
    """Two brokers behind gates, each with a listener."""

    def __init__(self, gates: list[Gate], listeners: list[Listener]) -> None:
        self.gates = gates
        self.first, self.second = listeners

    def check_one_at_a_time(self) -> None:
        stays = sorted(stay for gate in self.gates for stay in gate.stays)
        for (_, left), (came, _) in pairwise(stays):
            assert left <= came, "connected to two brokers at once"
        for listener in (self.first, self.second):
            check_transcript(listener.said)

    def document(self, state: Path, *devices: dict[str, Any], **more: Any) -> Any:
        mqtt = {"servers": [self.gates[1].url]}
        return node_document(self.gates[0], state, *devices, mqtt=mqtt, **more)


@pytest.fixture
async def pair(
    make_edge_broker: Callable[..., Broker],
    listen: Callable[[Broker], Listener],
    nursery: trio.Nursery,
) -> Pair:
    brokers = [make_edge_broker(), make_edge_broker()]
    gates = [Gate(broker) for broker in brokers]
    for gate in gates:
        await gate.open(nursery)
    return Pair(gates, [listen(broker) for broker in brokers])


@pytest.mark.rule("edge-8")
@pytest.mark.tck(
    "operational-behavior-primary-application-state-with-multiple-servers-walk",
    "operational-behavior-primary-application-state-with-multiple-servers-single-server",
    "operational-behavior-primary-application-state-with-multiple-servers-state-subs",
    "operational-behavior-edge-node-termination-host-offline-reconnect",
)
async def test_a_node_walks_to_the_broker_that_its_host_is_on(
    pair: Pair, plc: Plc, tmp_path: Path
) -> None:
    tell(pair.first, False, 1000)
    tell(pair.second, True, 1000)
    async with running(pair.document(tmp_path, press(plc), sparkplug=HOST)):
        await pair.second.wait("DBIRTH", timeout_s=5)
        assert pair.first.said == []
        # The host is back on the first broker: no reason to leave the one in use.
        tell(pair.first, True, 2000)
        plc.unit.registers[1] = 8
        await pair.second.wait_value("press", "count", 8)
        assert pair.first.said == []
        # The host lost the second broker; its connection to the first is the older one.
        tell(pair.second, False, 3000)
        await pair.second.wait("NDEATH", timeout_s=3)
        await pair.first.wait("DBIRTH", timeout_s=5)
    await pair.first.wait("NDEATH")
    pair.check_one_at_a_time()


async def test_a_host_that_is_nowhere_is_looked_for_on_both_without_a_storm(
    pair: Pair, plc: Plc, tmp_path: Path
) -> None:
    tell(pair.first, False, 1000)
    async with running(pair.document(tmp_path, press(plc), sparkplug=HOST)):
        await wait_until(lambda: min(len(gate.stays) for gate in pair.gates) >= 2, 15)
        tell(pair.second, True, 2000)
        await pair.second.wait("DBIRTH", timeout_s=6)
        assert sum(len(gate.stays) for gate in pair.gates) < 8
    assert pair.first.said == []
    pair.check_one_at_a_time()


async def test_a_node_goes_on_with_the_next_broker_when_one_is_gone(
    make_edge_broker: Callable[..., Broker],
    listen: Callable[[Broker], Listener],
    plc: Plc,
    tmp_path: Path,
) -> None:
    first, second = make_edge_broker(), make_edge_broker()
    heard = listen(second)
    document = node_document(first, tmp_path, press(plc), mqtt={"servers": [second.url]})
    async with running(document) as node:
        await wait_until(lambda: node.status().counters.births == 2)
        await trio.to_thread.run_sync(first.stop)
        nbirth = await heard.wait("NBIRTH", timeout_s=5)
        assert nbirth.metric("bdSeq").value == 1
        await heard.wait("DBIRTH")


async def test_a_host_may_send_the_node_to_its_next_broker(
    pair: Pair, plc: Plc, tmp_path: Path
) -> None:
    offered = {"allow_next_server": True}
    async with running(pair.document(tmp_path, press(plc), sparkplug=offered)):
        nbirth = await pair.first.wait("NBIRTH")
        await pair.first.wait("DBIRTH")
        assert nbirth.metric("Node Control/Next Server").value is False
        pair.first.control("Node Control/Next Server")
        await pair.first.wait("NDEATH", timeout_s=3)
        kinds = [str(said.kind) for said in pair.first.said]
        assert kinds[kinds.index("NDEATH") - 1] == "DDEATH"
        nbirth = await pair.second.wait("NBIRTH", timeout_s=5)
        assert nbirth.metric("Node Control/Next Server").value is False
        assert nbirth.metric("bdSeq").value == 1
    pair.check_one_at_a_time()
