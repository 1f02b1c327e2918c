"""The official compatibility kit grades our edge node: every test of its edge profile.

What it grades against the text is named here; docs/reference/sparkplug-kit.md shows why.
"""

import itertools
import json
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

import paho.mqtt.client as paho
import pytest
from paho.mqtt import subscribe

from deploy.local.broker import MqttBroker
from proto.sparkplug.topics import MessageType, NodeId
from tests.interop.observer import Observer
from tests.interop.official_kit import PORT, Kit, Verdicts
from tests.interop.roles import EdgeNode, Plant, Recipes

GROUP = "interop"
DEVICES = ("Filler", "Capper", "Labeller", "Drives")
Protocol = Literal["3.1.1", "5"]
both_versions = pytest.mark.parametrize("protocol", ["3.1.1", "5"])

# The text puts a UInt32 into int_value, the kit wants it in long_value.
UINT32 = {"topics-dbirth-metrics", "operational-behavior-data-publish-dbirth-values"}
MOTOR = {
    "name": "Motor",
    "version": "1.0",
    "parameters": [
        {"name": "base", "datatype": "integer", "default": 9},
        {"name": "maker", "datatype": "string", "default": "unknown"},
    ],
    "members": [
        {"name": "Current", "address": "input:{base}", "datatype": "uint16"},
        {"name": "Temperature", "address": "input:{base+1}", "datatype": "int16"},
    ],
}

# Statements about data sets.
DATASETS = 8

WAVE = {
    "name": "Wave",
    "version": "1.0",
    "parameters": MOTOR["parameters"],
    "members": [
        {
            "name": "Height",
            "address": "nsu=urn:nexus:simulator:plant;s=Device1.Tag{base}",
            "datatype": "double",
        }
    ],
}

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plant]:
    with Plant(tmp_path_factory.mktemp("plant")) as plant:
        yield plant


@pytest.fixture
def recipes(tmp_path: Path) -> Iterator[Recipes]:
    with Recipes(tmp_path) as recipes:
        yield recipes


@pytest.fixture
def observer(kit: Kit) -> Iterator[Observer]:
    del kit  # its broker must be there
    with Observer(PORT) as observer:
        yield observer


class Subject:
    """An edge node of the test's own, and the host that it waits for, on the simulated plant."""

    def __init__(self, plant: Plant, folder: Path, protocol: Protocol) -> None:
        number = next(_numbers)
        self.host = f"scada-{number}"
        self.node = NodeId(GROUP, f"line-{number}")
        self._folder = folder
        fields = plant.configuration(self.node.edge, f"mqtt://127.0.0.1:{PORT}", folder).model_dump(
            mode="json", exclude_none=True
        )
        fields["mqtt"]["protocol"] = protocol
        # HiveMQ ends the connection of whoever publishes below "$".
        fields["node"] |= {"status_interval_s": 1.0, "topic_prefix": "nexus"}
        fields["sparkplug"] |= {"primary_host": self.host, "templates": "instances"}
        fields["templates"] = [MOTOR]
        fields["devices"].append(_drives(plant.port))
        self.fields: dict[str, Any] = fields

    @property
    def ids(self) -> tuple[str, str, str]:
        """What most tests of the kit want to know first."""
        return self.host, self.node.group, self.node.edge

    def keep(self, device: str) -> None:
        """Leave the other devices out: the kit takes their messages for the named one's."""
        self.fields["devices"] = [d for d in self.fields["devices"] if d["name"] == device]

    def edge(self) -> EdgeNode:
        """Return the node, to be started."""
        return EdgeNode(self._folder / "edge", self.fields)


def _drives(port: int) -> dict[str, Any]:
    """A device of template instances, with the motors of the line."""
    return {
        "name": "Drives",
        "driver": "modbus",
        "connection": {"host": "127.0.0.1", "port": port},
        "instances": [
            {"template": "Motor", "name": "Filler", "parameters": {"base": 9}},
            {"template": "Motor", "name": "Spare", "parameters": {"base": 9, "maker": "ACME"}},
        ],
    }


@pytest.fixture
def subject(plant: Plant, tmp_path: Path, protocol: Protocol) -> Subject:
    return Subject(plant, tmp_path, protocol)


def _other_version(protocol: Protocol, *statements: str) -> set[str]:
    """The statements about the MQTT version that the node does not speak."""
    other = {"3.1.1": "5", "5": "3"}[protocol]
    return {each for each in statements if each.rpartition("-")[2].removeprefix("mqtt")[0] == other}


def _check(
    verdicts: Verdicts, at_least: int, *, errs: Iterable[str] = (), missing: set[str]
) -> None:
    assert verdicts.failed.keys() == set(errs), verdicts.failed
    assert verdicts.maybe == {}
    assert verdicts.not_executed == missing
    assert len(verdicts.passed) >= at_least


@both_versions
@pytest.mark.parametrize("uint32_as_long", [False, True])
def test_edge_session_establishment(
    kit: Kit, subject: Subject, protocol: Protocol, uint32_as_long: bool
) -> None:
    subject.fields["sparkplug"]["uint32_as_long"] = uint32_as_long
    kit.start("edge", "SessionEstablishmentTest", *subject.ids, *DEVICES)

    with subject.edge():
        verdicts = kit.verdicts()

    missing = _other_version(
        protocol,
        "principles-persistence-clean-session-311",
        "principles-persistence-clean-session-50",
    )
    _check(verdicts, 77, errs=() if uint32_as_long else UINT32, missing=missing)


@both_versions
def test_edge_session_termination(
    kit: Kit, subject: Subject, protocol: Protocol, observer: Observer
) -> None:
    kit.start("edge", "SessionTerminationTest", *subject.ids, "Filler")

    with subject.edge() as edge:
        observer.wait(MessageType.DBIRTH, subject.node, "Filler")
        edge.stop()
        verdicts = kit.verdicts()

    missing = _other_version(
        protocol,
        "payloads-ndeath-will-message-publisher-disconnect-mqtt311",
        "payloads-ndeath-will-message-publisher-disconnect-mqtt50",
    )
    # The kit may see the end of the connection before its DISCONNECT, and looks no further.
    missing |= {id_ for id_ in verdicts.not_executed if "publisher-disconnect-mqtt" in id_}
    _check(verdicts, 23, missing=missing)


@both_versions
def test_edge_send_data(kit: Kit, subject: Subject) -> None:
    subject.keep("Drives")
    kit.start("edge", "SendDataTest", *subject.ids, "Drives")

    with subject.edge():
        verdicts = kit.verdicts()

    _check(verdicts, 40, missing=set())


@both_versions
def test_edge_send_complex_data(kit: Kit, subject: Subject, observer: Observer) -> None:
    """The instances of a template; no device of the line has data sets."""
    kit.start("edge", "SendComplexDataTest", *subject.ids, "Drives")

    with subject.edge():
        for _ in range(5):
            observer.wait(MessageType.DDATA, subject.node, "Drives")
        kit.end()
        verdicts = kit.verdicts()

    datasets = {id_ for id_ in verdicts.not_executed if "dataset" in id_}
    assert len(datasets) == DATASETS
    _check(verdicts, 50, missing=datasets)


@both_versions
def test_edge_send_data_sets(kit: Kit, subject: Subject, recipes: Recipes) -> None:
    """The structures of an OPC UA server; the kit ends when it has seen one, and an instance."""
    instances = [
        {"template": "Wave", "name": "First", "parameters": {"base": 1}},
        {"template": "Wave", "name": "Second", "parameters": {"base": 2, "maker": "ACME"}},
    ]
    subject.fields["templates"] = [WAVE]
    subject.fields["devices"] = [recipes.device("Mixer", instances=instances)]
    kit.start("edge", "SendComplexDataTest", *subject.ids, "Mixer")

    with subject.edge():
        verdicts = kit.verdicts()

    assert len({id_ for id_ in verdicts.passed if "dataset" in id_}) == DATASETS
    _check(verdicts, 48, missing=set())


@both_versions
def test_edge_receive_command(kit: Kit, subject: Subject) -> None:
    # The kit counts data as sent after its rebirth request when it was under way, so the device it
    # asks for is one that seldom has any.
    subject.keep("Drives")
    kit.start("edge", "ReceiveCommandTest", *subject.ids, "Drives")

    with subject.edge():
        verdicts = kit.verdicts()

    _check(verdicts, 14, missing=set())


@both_versions
def test_edge_primary_host(kit: Kit, subject: Subject) -> None:
    with subject.edge():
        kit.start("edge", "PrimaryHostTest", *subject.ids, "Filler")
        verdicts = kit.verdicts()

    _check(verdicts, 35, missing=set())


@both_versions
def test_edge_multiple_brokers(kit: Kit, subject: Subject, mqtt_broker: MqttBroker) -> None:
    subject.fields["mqtt"]["servers"] = [mqtt_broker.url]
    second = f"tcp://127.0.0.1:{mqtt_broker.port}"
    kit.start("edge", "MultipleBrokerTest", *subject.ids, "Filler", second)
    # It wants to see the subscription to STATE after its host went online.
    _wait_online(subject.host)

    with subject.edge():
        verdicts = kit.verdicts()

    _check(verdicts, 29, missing=set())


def _wait_online(host: str) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        state: paho.MQTTMessage = subscribe.simple(  # type: ignore[no-untyped-call]
            f"spBv1.0/STATE/{host}", hostname="127.0.0.1", port=PORT
        )
        if json.loads(state.payload)["online"]:
            return
    raise AssertionError(f"{host} did not go online")
