"""sparkplug-tck's active harness grades our edge node and our host.

Every statement that it grades must pass, but for those that it grades against the text: they are
named here, and docs/adr/0005-where-sparkplug-tck-errs.md shows why.
"""

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal

import pytest

from proto.sparkplug.codec import Metric, Payload
from proto.sparkplug.datatypes import DataType
from proto.sparkplug.metrics import BD_SEQ, REBIRTH
from proto.sparkplug.topics import MessageType, NodeId
from tests.interop.observer import Observer
from tests.interop.roles import EdgeNode, Host, Plant
from tests.interop.tck import Grade, Harness

DEVICES = {"Filler", "Capper", "Labeller"}
NODE = NodeId("interop", "tck")

# Statement: what the harness does. The text is quoted in the decision record.
ERRS_ON_EDGE = {
    "payloads-alias-birth-requirement": "wants an alias on Node Control/Rebirth",
    "payloads-dbirth-seq-inc": "does not count data when a device is born later",
}
ERRS_ON_RESTART = {
    "payloads-alias-birth-requirement": "wants an alias on Node Control/Rebirth",
    "topics-nbirth-bdseq-matching": "compares every NBIRTH with the last CONNECT of the recording",
}


_REORDERING = ("param", "start", "rebirth", "success")


@pytest.fixture
def plant(tmp_path: Path) -> Iterator[Plant]:
    with Plant(tmp_path) as plant:
        yield plant


def _edge(
    plant: Plant, harness: Harness, folder: Path, protocol: Literal["3.1.1", "5"]
) -> EdgeNode:
    url = f"mqtt://127.0.0.1:{harness.port}"
    configuration = plant.configuration(NODE.edge, url, folder)
    mqtt = configuration.mqtt.model_copy(update={"protocol": protocol})
    node = configuration.node.model_copy(update={"status_interval_s": 2.0})
    return EdgeNode(folder, configuration.model_copy(update={"mqtt": mqtt, "node": node}))


def _wait_births(observer: Observer) -> None:
    observer.wait(MessageType.NBIRTH, NODE)
    missing = set(DEVICES)
    while missing:
        topic, _ = observer.wait_where(
            f"DBIRTH of {missing}",
            lambda topic, _: topic.message_type is MessageType.DBIRTH and topic.node == NODE,
        )
        assert topic.device is not None
        missing.discard(topic.device)


def _failures(grades: Mapping[str, list[Grade]]) -> dict[str, list[Grade]]:
    failed = {id_: [g for g in found if g.status == "fail"] for id_, found in grades.items()}
    return {id_: found for id_, found in failed.items() if found}


def _passed(grades: Mapping[str, list[Grade]]) -> set[str]:
    return {id_ for id_, found in grades.items() if any(g.status == "pass" for g in found)}


@pytest.mark.parametrize("protocol", ["3.1.1", "5"])
def test_an_edge_node_session_is_graded_without_a_fault(
    tck_program: Path, plant: Plant, tmp_path: Path, protocol: Literal["3.1.1", "5"]
) -> None:
    with (
        Harness(tck_program, "edge-node", tmp_path / "tck.log") as harness,
        Observer(harness.port) as observer,
        _edge(plant, harness, tmp_path, protocol) as edge,
    ):
        _wait_births(observer)
        observer.wait(MessageType.DDATA, NODE, "Filler")
        observer.command(NODE, "Filler", "Setpoints/Bowl Level", DataType.FLOAT, 61.5)
        observer.wait(MessageType.DDATA, NODE, "Filler")
        plant.stop()
        for _ in DEVICES:
            observer.wait_where("DDEATH", lambda t, _: t.message_type is MessageType.DDEATH)
        # The harness takes what was under way when it sent the command for data after it. Now there
        # is nothing under way: no device, and the node has just told its own values.
        observer.wait(MessageType.NDATA, NODE)
        observer.ask_rebirth(NODE)
        observer.wait(MessageType.NBIRTH, NODE)
        plant.start()
        for _ in DEVICES:
            observer.wait_where("DBIRTH", lambda t, _: t.message_type is MessageType.DBIRTH)
        edge.stop()
        observer.wait(MessageType.NDEATH, NODE)
        grades = harness.grade()

    failures = _failures(grades)
    assert failures.keys() <= ERRS_ON_EDGE.keys(), failures
    assert len(_passed(grades)) >= 113
    version = "311" if protocol == "3.1.1" else "50"
    assert f"principles-persistence-clean-session-{version}" in _passed(grades)
    assert f"payloads-ndeath-will-message-publisher-disconnect-mqtt{version}" in _passed(grades)


def test_an_edge_node_that_restarts_goes_on_with_the_next_bd_seq(
    tck_program: Path, plant: Plant, tmp_path: Path
) -> None:
    with (
        Harness(tck_program, "edge-node", tmp_path / "tck.log") as harness,
        Observer(harness.port) as observer,
        _edge(plant, harness, tmp_path, "3.1.1") as edge,
    ):
        _wait_births(observer)
        edge.stop()
        edge.start()
        _wait_births(observer)
        edge.stop()
        observer.wait(MessageType.NDEATH, NODE)
        grades = harness.grade()

    failures = _failures(grades)
    assert failures.keys() <= ERRS_ON_RESTART.keys(), failures
    assert "topics-nbirth-bdseq-increment" in _passed(grades)


class _BareNode:
    """An edge node of a few messages, each with the sequence number that the test wants."""

    def __init__(self, observer: Observer, edge: str) -> None:
        self.id = NodeId("interop", edge)
        self._observer = observer

    def birth(self) -> None:
        now_ms = _now_ms()
        number = Metric(BD_SEQ, DataType.INT64, 0, now_ms)
        rebirth = Metric(REBIRTH, DataType.BOOLEAN, value=False, timestamp_ms=now_ms)
        self._send(MessageType.NBIRTH, None, Payload(now_ms, 0, (number, rebirth)))
        speed = Metric("speed", DataType.DOUBLE, 1.0, now_ms)
        self._send(MessageType.DBIRTH, "d", Payload(now_ms, 1, (speed,)))

    def data(self, *numbers: int) -> None:
        for seq in numbers:
            now_ms = _now_ms()
            speed = Metric("speed", value=float(seq), datatype=DataType.DOUBLE, timestamp_ms=now_ms)
            self._send(MessageType.DDATA, "d", Payload(now_ms, seq, (speed,)))

    def device_death(self, seq: int) -> None:
        self._send(MessageType.DDEATH, "d", Payload(_now_ms(), seq))

    def death(self) -> None:
        number = Metric(BD_SEQ, DataType.INT64, 0, _now_ms())
        self._send(MessageType.NDEATH, None, Payload(_now_ms(), None, (number,)))

    def _send(self, message_type: MessageType, device: str | None, payload: Payload) -> None:
        self._observer.publish(message_type, self.id, device, payload)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


@pytest.mark.parametrize("protocol", ["3.1.1", "5"])
def test_a_host_is_graded_without_a_fault(
    tck_program: Path, postgres_url: str, tmp_path: Path, protocol: Literal["3.1.1", "5"]
) -> None:
    with (
        Harness(tck_program, "host-application", tmp_path / "tck.log") as harness,
        Observer(harness.port) as observer,
        Host(
            tmp_path,
            f"mqtt://127.0.0.1:{harness.port}",
            postgres_url,
            NEXUS_MQTT_PROTOCOL=protocol,
        ) as host,
    ):
        late = _BareNode(observer, "late")
        late.birth()
        late.data(2, 4, 3, 5)
        late.birth()
        late.data(2, 3, 4, 5)

        gap = _BareNode(observer, "gap")
        gap.birth()
        gap.data(3)
        observer.wait(MessageType.NCMD, gap.id)
        gap.birth()
        host.wait_node(str(gap.id), "online", lambda node: node["online"])
        host.rebirth(str(gap.id))
        observer.wait(MessageType.NCMD, gap.id)
        gap.birth()
        host.write(str(gap.id), "d", "speed", 2.5)
        observer.wait(MessageType.DCMD, gap.id, "d")
        gap.device_death(2)
        gap.death()
        host.wait_node(str(gap.id), "offline", lambda node: not node["online"])
        host.stop()
        grades = harness.grade()

    failures = _failures(grades)
    assert failures == {}
    assert len(_passed(grades)) >= 82
    version = "311" if protocol == "3.1.1" else "50"
    assert f"message-flow-phid-sparkplug-clean-session-{version}" in _passed(grades)
    assert {f"operational-behavior-host-reordering-{n}" for n in _REORDERING} <= _passed(grades)
