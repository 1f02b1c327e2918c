"""Edge nodes built by others, under our host: births, data, commands, rebirths, deaths.

What each of them violates is told in docs/reference/interop.md; here it must not matter.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from deploy.local.broker import MqttBroker
from tests.interop.peer import Peer
from tests.interop.roles import Host

GOOD_PEERS = ("sparkplug-client", "tahu-edge", "pysparkplug")
Node = Mapping[str, Any]

sound = pytest.mark.parametrize("peer_edge", GOOD_PEERS, indirect=True)
compressing = pytest.mark.parametrize(
    "peer_edge",
    ["sparkplug-client with DEFLATE", "sparkplug-client with GZIP"],
    indirect=True,
)
broken = pytest.mark.parametrize("peer_edge", ["mqtt-spb-wrapper"], indirect=True)


@pytest.fixture(scope="module")
def host(
    module_mqtt_broker: MqttBroker,
    module_postgres_url: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Host]:
    folder = tmp_path_factory.mktemp("host")
    with Host(folder, module_mqtt_broker.url, module_postgres_url) as host:
        yield host


@pytest.fixture
def node_id(edge_name: str) -> str:
    return f"interop/{edge_name}"


def _device(node: Node) -> Mapping[str, Any]:
    found: Mapping[str, Any] = next((d for d in node["devices"] if d["name"] == "d"), {})
    return found


def _metric(node: Node, name: str) -> Mapping[str, Any]:
    metrics = _device(node).get("metrics", [])
    found: Mapping[str, Any] = next((m for m in metrics if m["name"] == name), {})
    return found


def _has_value(name: str, value: object) -> Any:
    def is_so(node: Node) -> bool:
        metric = _metric(node, name)
        return bool(metric) and metric["value"] == value and not metric["stale"]

    return is_so


def _wait_born(host: Host, node_id: str) -> Node:
    return host.wait_node(
        node_id,
        "online, with device d at 21.5",
        lambda node: node["online"] and _has_value("temperature", 21.5)(node),
    )


@sound
def test_births_and_data_arrive(host: Host, peer_edge: Peer, node_id: str) -> None:
    node = _wait_born(host, node_id)
    assert _device(node)["online"]
    assert _metric(node, "setpoint")["datatype"] == "Double"

    peer_edge.order("update", metric="temperature", value=22.5)

    host.wait_node(node_id, "temperature 22.5", _has_value("temperature", 22.5))


@compressing
def test_compressed_births_and_data_arrive(host: Host, peer_edge: Peer, node_id: str) -> None:
    _wait_born(host, node_id)

    peer_edge.order("update", metric="temperature", value=22.5)

    host.wait_node(node_id, "temperature 22.5", _has_value("temperature", 22.5))


@sound
def test_a_rebirth_is_requested_and_taken(host: Host, peer_edge: Peer, node_id: str) -> None:
    births = _wait_born(host, node_id)["births"]

    host.rebirth(node_id)

    peer_edge.wait("rebirth")
    host.wait_node(
        node_id, "one more birth", lambda node: node["online"] and node["births"] > births
    )


@sound
def test_a_write_arrives_and_comes_back(host: Host, peer_edge: Peer, node_id: str) -> None:
    _wait_born(host, node_id)

    host.write(node_id, "d", "setpoint", 55.5)

    assert peer_edge.wait("command", metric="setpoint")["value"] == 55.5
    host.wait_node(node_id, "setpoint 55.5", _has_value("setpoint", 55.5))


@sound
def test_a_device_that_leaves_is_offline_and_stale(
    host: Host, peer_edge: Peer, node_id: str
) -> None:
    _wait_born(host, node_id)

    peer_edge.order("device_gone")

    node = host.wait_node(node_id, "device d offline", lambda node: not _device(node)["online"])
    assert node["online"]
    assert _metric(node, "temperature")["stale"]


@pytest.mark.parametrize("peer_edge", ["sparkplug-client", "tahu-edge"], indirect=True)
def test_a_node_that_says_goodbye_is_offline_and_stale(
    host: Host, peer_edge: Peer, node_id: str
) -> None:
    _wait_born(host, node_id)

    peer_edge.stop()

    node = host.wait_node(node_id, "offline", lambda node: not node["online"])
    assert not _device(node)["online"]
    assert _metric(node, "temperature")["stale"]


@pytest.mark.parametrize("peer_edge", ["pysparkplug"], indirect=True)
def test_a_goodbye_with_the_number_of_another_session_is_a_violation(
    host: Host, peer_edge: Peer, node_id: str
) -> None:
    violations = _wait_born(host, node_id)["violations"]

    # pysparkplug counts bdSeq up for its next connection before it says goodbye to this one
    peer_edge.stop()

    node = host.wait_node(node_id, "a violation", lambda node: node["violations"] > violations)
    assert node["online"]


@sound
def test_a_node_that_is_cut_off_is_offline_and_stale(
    host: Host, peer_edge: Peer, node_id: str
) -> None:
    _wait_born(host, node_id)

    peer_edge.kill()

    node = host.wait_node(node_id, "offline", lambda node: not node["online"])
    assert not _device(node)["online"]
    assert _metric(node, "temperature")["stale"]


@broken
def test_a_node_of_mqtt_spb_wrapper_is_tracked_with_its_violations(
    host: Host, peer_edge: Peer, node_id: str
) -> None:
    node = host.wait_node(
        node_id,
        "online, with the names of its births",
        lambda node: node["online"] and bool(_metric(node, "DATA/temperature")),
    )
    assert _metric(node, "DATA/temperature")["value"] == 21.5

    # its data goes by another name than its birth
    peer_edge.order("update", metric="temperature", value=22.5)

    node = host.wait_node(node_id, "two violations", lambda node: node["violations"] >= 2)
    # a death without a seq, from a connection of the device's own
    peer_edge.order("device_gone")

    node = host.wait_node(node_id, "device d offline", lambda node: not _device(node)["online"])
    assert _metric(node, "DATA/temperature")["stale"]
