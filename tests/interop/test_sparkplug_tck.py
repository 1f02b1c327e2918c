"""sparkplug-tck's active harness grades our edge node and our host.

Every statement that it grades must pass. Where it grades against the text, the failure is expected
here, and docs/adr/0005-where-sparkplug-tck-errs.md shows why; a corrected harness is noticed.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal

import pytest

from proto.sparkplug.datatypes import DataType
from proto.sparkplug.topics import MessageType, NodeId
from tests.interop.observer import Observer
from tests.interop.roles import EdgeNode, Plant
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
    return EdgeNode(folder, configuration.model_copy(update={"mqtt": mqtt}))


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
        observer.ask_rebirth(NODE)
        _wait_births(observer)
        observer.command(NODE, "Filler", "Setpoints/Bowl Level", DataType.FLOAT, 61.5)
        observer.wait(MessageType.DDATA, NODE, "Filler")
        plant.stop()
        for _ in DEVICES:
            observer.wait_where("DDEATH", lambda t, _: t.message_type is MessageType.DDEATH)
        plant.start()
        for _ in DEVICES:
            observer.wait_where("DBIRTH", lambda t, _: t.message_type is MessageType.DBIRTH)
        edge.stop()
        observer.wait(MessageType.NDEATH, NODE)
        grades = harness.grade()

    failures = _failures(grades)
    assert failures.keys() == ERRS_ON_EDGE.keys(), failures
    assert len(_passed(grades)) >= 100
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
    assert failures.keys() == ERRS_ON_RESTART.keys(), failures
    assert "topics-nbirth-bdseq-increment" in _passed(grades)
