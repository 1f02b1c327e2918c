"""The official compatibility kit grades our host: every test of its host profile.

Where the kit asks a person what the host shows, the REST API is looked at. What it cannot grade is
named here; docs/reference/sparkplug-kit.md shows why.
"""

import itertools
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import pytest

from deploy.local.broker import MqttBroker
from proto.sparkplug.topics import MessageType, NodeId
from tests.interop.observer import Observer
from tests.interop.official_kit import PORT, Kit, Verdicts
from tests.interop.roles import Host

DEVICE = "Press"
REORDER_TIMEOUT_MS = 2000
Protocol = Literal["3.1.1", "5"]
Shown = Mapping[str, Any]

_numbers = itertools.count(1)


class Subject:
    """A host of the test's own and the edge node that the kit simulates for it."""

    def __init__(self, folder: Path, postgres_url: str, protocol: Protocol) -> None:
        number = next(_numbers)
        self.host_id = f"scada-{number}"
        self.node = NodeId("kit", f"line-{number}")
        self.ids = (self.host_id, self.node.group, self.node.edge, DEVICE)
        self._folder = folder / "host"
        self._postgres_url = postgres_url
        self._protocol = protocol

    @contextmanager
    def host(self, *more_brokers: str) -> Iterator[Host]:
        """Run the host."""
        urls = " ".join((f"mqtt://127.0.0.1:{PORT}", *more_brokers))
        settings = {"NEXUS_HOST_ID": self.host_id, "NEXUS_MQTT_PROTOCOL": self._protocol}
        with Host(self._folder, urls, self._postgres_url, **settings) as host:
            yield host

    def wait(self, host: Host, what: str, is_so: Callable[[Shown], bool]) -> Shown:
        """Wait until the host shows the node like this."""
        return host.wait_node(str(self.node), what, is_so)


@pytest.fixture(params=["3.1.1", "5"])
def protocol(request: pytest.FixtureRequest) -> Protocol:
    chosen: Protocol = request.param
    return chosen


@pytest.fixture
def subject(tmp_path: Path, postgres_url: str, protocol: Protocol) -> Subject:
    return Subject(tmp_path, postgres_url, protocol)


def _check(verdicts: Verdicts, at_least: int, missing: set[str]) -> None:
    assert verdicts.failed == {}
    assert verdicts.maybe == {}
    assert verdicts.not_executed == missing
    assert len(verdicts.passed) >= at_least


def test_host_session_establishment(kit: Kit, subject: Subject, protocol: Protocol) -> None:
    kit.start("host", "SessionEstablishmentTest", subject.host_id)

    with subject.host():
        verdicts = kit.verdicts()

    other = "50" if protocol == "3.1.1" else "311"
    _check(verdicts, 43, {f"message-flow-phid-sparkplug-clean-session-{other}"})


def test_host_session_termination(kit: Kit, subject: Subject) -> None:
    kit.start("host", "SessionTerminationTest", subject.host_id)

    with subject.host() as host:
        host.stop()
        verdicts = kit.verdicts()

    # The other way to end: without a DISCONNECT, which the host never takes by intent.
    other = "host-topic-phid-death-payload-timestamp-disconnect-with-no-disconnect-packet"
    _check(verdicts, 11, {other})


def test_host_send_command(kit: Kit, subject: Subject) -> None:
    name = str(subject.node)
    with subject.host() as host:
        kit.start("host", "SendCommandTest", *subject.ids)
        kit.wait_prompt("edge rebirth")
        subject.wait(host, "a device", lambda node: node["online"] and len(node["devices"]) == 1)
        host.rebirth(name)
        kit.wait_prompt("edge command")
        host.write(name, None, "TCK_metric/Int32", 5)
        kit.wait_prompt("device rebirth")
        host.write(name, DEVICE, "EdgeNode Control/Rebirth", value=True)
        kit.wait_prompt("device command")
        host.write(name, DEVICE, "Outputs/1", 7)
        verdicts = kit.verdicts()

    _check(verdicts, 37, set())


def test_host_edge_session_termination(kit: Kit, subject: Subject) -> None:
    with subject.host() as host, Observer(PORT, "spBv1.0/+/DDEATH/#") as observer:
        kit.start("host", "EdgeSessionTerminationTest", *subject.ids)

        kit.wait_prompt("Sparkplug Device associated with the Edge Node as offline")
        died_ms = observer.wait(MessageType.DDEATH, subject.node, DEVICE).timestamp_ms
        shown = subject.wait(host, "device offline", lambda node: not _device(node)["online"])
        kit.answer(is_so=_device(shown)["since_ms"] == died_ms and shown["online"])
        kit.wait_prompt("STALE using the timestamp in the DDEATH")
        kit.answer(is_so=all(metric["stale"] for metric in _device(shown)["metrics"]))

        kit.wait_prompt("mark the Edge Node as offline")
        shown = subject.wait(host, "node offline", lambda node: not node["online"])
        now_ms = time.time_ns() // 1_000_000
        kit.answer(is_so=0 <= now_ms - shown["since_ms"] < 5_000)
        kit.wait_prompt("included in the previous NBIRTH as STALE")
        kit.answer(is_so=all(metric["stale"] for metric in shown["metrics"]))
        kit.wait_prompt("Sparkplug Devices associated with the Edge Node as offline")
        kit.answer(is_so=not any(device["online"] for device in shown["devices"]))
        # It asks the same question twice, and takes the second answer for the devices' metrics.
        kit.wait_prompt("Sparkplug Devices associated with the Edge Node as offline")
        kit.answer(is_so=all(metric["stale"] for metric in _device(shown)["metrics"]))
        verdicts = kit.verdicts()

    _check(verdicts, 15, set())


def _device(node: Shown) -> Shown:
    (device,) = node["devices"]
    found: Shown = device
    return found


def test_host_message_ordering(kit: Kit, subject: Subject) -> None:
    with subject.host():
        kit.start("host", "MessageOrderingTest", *subject.ids, str(REORDER_TIMEOUT_MS))
        verdicts = kit.verdicts()

    _check(verdicts, 22, set())


def test_host_multiple_brokers(kit: Kit, subject: Subject, mqtt_broker: MqttBroker) -> None:
    second = f"tcp://127.0.0.1:{mqtt_broker.port}"
    kit.start("host", "MultipleBrokerTest", subject.host_id, second)

    with subject.host(mqtt_broker.url):
        verdicts = kit.verdicts()

    _check(verdicts, 8, set())
