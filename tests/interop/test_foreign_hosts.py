"""Hosts built by others, over our edge node on the simulated plant.

Births, data, commands, rebirths, deaths. What each of these hosts misses is told in
docs/reference/interop.md.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local.broker import MqttBroker
from deploy.local.plant_document import read_example
from proto.control.node import NodeDocument
from tests.interop import catalog
from tests.interop.peer import Event, Peer
from tests.interop.roles import EdgeNode, Plant

SOUND_HOSTS = ("tahu-host", "sparkplug-payload", "pysparkplug")
# A device's birth has its tags and "Device Control/Rebirth".
DEVICES = {device.name: len(device.tags) + 1 for device in read_example().devices}

sound = pytest.mark.parametrize("peer_host", SOUND_HOSTS, indirect=True)
everyone = pytest.mark.parametrize("peer_host", catalog.HOSTS, indirect=True)
broken = pytest.mark.parametrize("peer_host", ["mqtt-spb-wrapper"], indirect=True)


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plant]:
    with Plant(tmp_path_factory.mktemp("plant")) as plant:
        yield plant


@pytest.fixture
def edge(
    plant: Plant,
    peer_host: Peer,
    module_mqtt_broker: MqttBroker,
    edge_name: str,
    tmp_path: Path,
) -> Iterator[EdgeNode]:
    configuration = plant.configuration(edge_name, module_mqtt_broker.url, tmp_path)
    with EdgeNode(tmp_path, _readable(configuration, peer_host)) as edge:
        yield edge


def _readable(configuration: NodeDocument, host: Peer) -> NodeDocument:
    """Leave out what ends the host: pysparkplug takes a negative Int16 in its low bits only."""
    if host.name != "pysparkplug":
        return configuration
    devices = tuple(
        device.model_copy(update={"tags": tuple(t for t in device.tags if t.name != "Vacuum")})
        for device in configuration.devices
    )
    return configuration.model_copy(update={"devices": devices})


@pytest.fixture
def node(edge_name: str) -> str:
    return f"interop/{edge_name}"


def _wait_session(host: Peer, node: str) -> list[Event]:
    """Return all messages of a session up to the birth of the last device.

    A device is born when it first answers, so data of others may come in between.
    """
    messages = [host.wait("birth", node=node, device=None)]
    missing = set(DEVICES)
    while missing:
        messages.append(host.wait("birth", "data", node=node))
        if messages[-1]["event"] == "birth":
            missing.remove(messages[-1]["device"])
    return messages


def _wait_births(host: Peer, node: str) -> dict[str | None, Event]:
    """Return the births of the node and all its devices."""
    return {m["device"]: m for m in _wait_session(host, node) if m["event"] == "birth"}


@sound
@pytest.mark.usefixtures("edge")
def test_births_are_whole_and_nothing_is_missing_between(peer_host: Peer, node: str) -> None:
    session = _wait_session(peer_host, node)

    assert [message["seq"] for message in session] == list(range(len(session)))
    births = {m["device"]: m["metrics"] for m in session if m["event"] == "birth"}
    assert births[None]["Node Control/Rebirth"] is False
    assert births[None]["bdSeq"] == 0
    vacuum = peer_host.name == "pysparkplug"
    for device, tags in DEVICES.items():
        assert len(births[device]) == tags - (vacuum and device == "Capper")


@sound
@pytest.mark.usefixtures("edge")
def test_data_carries_what_changes(peer_host: Peer, node: str) -> None:
    births = _wait_births(peer_host, node)

    data = peer_host.wait("data", node=node, device="Filler")

    assert data["metrics"].keys() <= births["Filler"]["metrics"].keys()
    for name, value in data["metrics"].items():
        # sparkplug-payload looks for a UInt32 where the text does not put it
        unread = peer_host.name == "sparkplug-payload" and data["types"][name] == "UInt32"
        assert (value is None) == unread


@sound
@pytest.mark.usefixtures("edge")
def test_a_write_reaches_the_plant_and_comes_back(peer_host: Peer, node: str) -> None:
    types = _wait_births(peer_host, node)["Filler"]["types"]
    metric = "Setpoints/Bowl Level"

    peer_host.order(
        "write", node=node, device="Filler", metric=metric, type=types[metric], value=61.5
    )

    peer_host.wait_value("Filler", metric, 61.5)


@sound
@pytest.mark.usefixtures("edge")
def test_a_rebirth_gives_the_same_bd_seq_and_seq_0(peer_host: Peer, node: str) -> None:
    first = _wait_births(peer_host, node)

    peer_host.order("rebirth", node=node)

    second = _wait_births(peer_host, node)
    assert second[None]["metrics"]["bdSeq"] == first[None]["metrics"]["bdSeq"]
    assert second[None]["seq"] == 0
    assert {d: b["metrics"].keys() for d, b in second.items()} == {
        d: b["metrics"].keys() for d, b in first.items()
    }


@everyone
def test_devices_that_fall_silent_die_and_are_born_again(
    peer_host: Peer, module_mqtt_broker: MqttBroker, edge_name: str, node: str, tmp_path: Path
) -> None:
    with Plant(tmp_path) as plant:
        configuration = plant.configuration(edge_name, module_mqtt_broker.url, tmp_path)
        with EdgeNode(tmp_path, _readable(configuration, peer_host)):
            _wait_births(peer_host, node)

            plant.stop()

            died = {peer_host.wait("death", node=node)["device"] for _ in DEVICES}
            assert died == set(DEVICES)

            plant.start()

            # tahu-host keeps the aliases of a device that died, refuses them in its next birth and
            # asks for a rebirth; so the node's own birth may come in between
            born: set[str | None] = set()
            while not born >= set(DEVICES):
                born.add(peer_host.wait("birth", node=node)["device"])


@everyone
def test_an_edge_node_that_is_stopped_says_goodbye(
    peer_host: Peer, edge: EdgeNode, node: str
) -> None:
    _wait_births(peer_host, node)

    edge.stop()

    peer_host.wait("death", node=node, device=None)


@everyone
def test_an_edge_node_that_is_killed_is_declared_dead(
    peer_host: Peer, edge: EdgeNode, node: str
) -> None:
    _wait_births(peer_host, node)

    edge.kill()

    peer_host.wait("death", node=node, device=None)


@broken
@pytest.mark.usefixtures("edge")
def test_mqtt_spb_wrapper_commands_although_it_cannot_read_data(peer_host: Peer, node: str) -> None:
    births = _wait_births(peer_host, node)
    assert {device: len(births[device]["metrics"]) for device in DEVICES} == DEVICES
    # it looks no alias up, and reads no value without a datatype beside it
    data = peer_host.wait("data", node=node, device="Filler")
    assert set(data["metrics"].values()) == {None}

    metric = "Setpoints/Bowl Level"
    peer_host.order("write", node=node, device="Filler", metric=metric, value=62.5)
    peer_host.wait("data", node=node, device="Filler")
    peer_host.order("rebirth", node=node)

    peer_host.wait_value("Filler", metric, 62.5)
