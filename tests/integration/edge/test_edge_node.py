"""A whole edge node between real Modbus sockets and a real broker."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio

from proto.sparkplug.datatypes import DataType
from proto.sparkplug.metrics import Metric
from tests.integration.edge.bench import (
    Listener,
    Plc,
    check_transcript,
    node_document,
    press,
    running,
    wait_until,
)
from tests.integration.edge.edge_broker import Broker, Watcher

pytestmark = [pytest.mark.trio, pytest.mark.parametrize("protocol", ["3.1.1", "5"])]

PREFIX = "$nexus/status/plant/line-1"
UNS = "uns/acme/press"


@pytest.mark.rule("edge-4", "edge-10", "edge-11", "edge-14")
@pytest.mark.tck(
    "topics-nbirth-rebirth-metric",
    "topics-dbirth-metrics",
    "topics-ddata-payload",
    "operational-behavior-data-commands-rebirth-name-aliases",
    "principles-rbe-recommended",
)
@pytest.mark.parametrize("aliases", [True, False])
async def test_births_tell_everything_and_data_tells_changes(  # noqa: PLR0917  # fixtures
    edge_broker: Broker, heard: Listener, plc: Plc, tmp_path: Path, protocol: str, aliases: bool
) -> None:
    document = node_document(
        edge_broker,
        tmp_path,
        press(plc),
        mqtt={"protocol": protocol},
        sparkplug={"aliases": aliases},
    )
    async with running(document):
        nbirth = await heard.wait("NBIRTH")
        assert nbirth.metric("bdSeq").datatype is DataType.INT64
        assert nbirth.metric("Node Control/Rebirth").value is False
        assert nbirth.metric("Node Control/Rebirth").alias is None
        dbirth = await heard.wait("DBIRTH")
        assert dbirth.values() == {"setpoint": 23.5, "count": 7, "doors/open": True}
        setpoint = dbirth.metric("setpoint")
        assert setpoint.datatype is DataType.DOUBLE
        assert {name: item.value for name, item in (setpoint.properties or {}).items()} == {
            "readOnly": False,
            "engUnit": "bar",
            "engLow": 0,
            "engHigh": 100,
            "Documentation": "Pressure wanted",
            "unsPath": "uns/acme/press/setpoint",
        }
        plc.unit.registers[1] = 8
        data = await heard.wait_value("press", "count", 8)
        assert len(data.payload.metrics) == 1
        assert (data.payload.metrics[0].name is None) == aliases
        assert data.payload.metrics[0].properties is None
    ndeath = await heard.wait("NDEATH")
    assert ndeath.payload.metrics[0].value == nbirth.metric("bdSeq").value
    assert [message.kind for message in heard.said[-2:]] == ["DDEATH", "NDEATH"] or (
        protocol == "5" and [m.kind for m in heard.said[-3:]] == ["DDEATH", "NDEATH", "NDEATH"]
    )


@pytest.mark.rule("edge-17")
@pytest.mark.tck(
    "operational-behavior-device-ddeath",
    "payloads-dbirth-order",
)
async def test_a_lost_device_dies_and_is_born_again_when_it_is_back(
    edge_broker: Broker, heard: Listener, plc: Plc, nursery: trio.Nursery, tmp_path: Path
) -> None:
    neighbour = Plc()
    await neighbour.start(nursery)
    document = node_document(
        edge_broker, tmp_path, press(plc), press(neighbour, "neighbour", uns_path="cell/n")
    )
    async with running(document):
        await heard.wait("DBIRTH", 2)
        await heard.wait_json(f"{UNS}/_status", lambda d: d["online"])
        plc.cut()
        await heard.wait("DDEATH", device="press")
        lost = await heard.wait_json(f"{UNS}/_status", lambda d: "127.0.0.1" in (d["reason"] or ""))
        assert lost["online"] is False
        plc.unit.registers[1] = 99
        await plc.start(nursery)
        back = await heard.wait("DBIRTH", 2, device="press")
        assert back.values()["count"] == 99
        await heard.wait_json(f"{UNS}/_status", lambda d: d["online"])
        neighbour.unit.registers[1] = 5
        await heard.wait_value("neighbour", "count", 5)
        assert not [m for m in heard.said if m.kind == "DDEATH" and m.topic.device != "press"]


@pytest.mark.rule("edge-2")
@pytest.mark.tck(
    "operational-behavior-data-commands-rebirth-action-1",
    "operational-behavior-data-commands-rebirth-action-2",
    "operational-behavior-data-commands-rebirth-action-3",
    "payloads-nbirth-bdseq-repeat",
)
async def test_a_rebirth_repeats_the_births_with_the_same_bd_seq_and_current_values(
    edge_broker: Broker, heard: Listener, plc: Plc, tmp_path: Path
) -> None:
    async with running(node_document(edge_broker, tmp_path, press(plc))):
        first = await heard.wait("NBIRTH")
        await heard.wait("DBIRTH")
        plc.unit.registers[1] = 42
        await heard.wait_value("press", "count", 42)
        heard.rebirth()
        second = await heard.wait("NBIRTH", 2)
        dbirth = await heard.wait("DBIRTH", 2)
        assert second.metric("bdSeq").value == first.metric("bdSeq").value
        assert dbirth.values()["count"] == 42
        plc.unit.registers[1] = 43
        await heard.wait_value("press", "count", 43)
        assert "NDEATH" not in [str(m.kind) for m in heard.said]
    await heard.wait("NDEATH")


async def test_a_command_is_scaled_written_and_its_value_comes_back(
    edge_broker: Broker, heard: Listener, plc: Plc, tmp_path: Path
) -> None:
    async with running(node_document(edge_broker, tmp_path, press(plc))) as node:
        dbirth = await heard.wait("DBIRTH")
        alias = dbirth.metric("setpoint").alias
        heard.command("DCMD", [Metric("setpoint", DataType.DOUBLE, 47.1)], "press")
        await heard.wait_value("press", "setpoint", 47.1)
        assert plc.unit.registers[0] == 471
        heard.command("DCMD", [Metric(alias=alias, datatype=DataType.DOUBLE, value=50.0)], "press")
        await heard.wait_value("press", "setpoint", 50.0)
        before = len(heard.said)
        heard.command("DCMD", [Metric("setpoint", DataType.DOUBLE, 50.0)], "press")
        await heard.watcher.wait_for(lambda messages: len(messages) > before + 1)
        for refused in (
            Metric("setpoint", DataType.DOUBLE, 100.5),
            Metric("count", DataType.UINT16, 3),
            Metric("nothing", DataType.UINT16, 3),
            Metric("setpoint", DataType.STRING, "much"),
        ):
            heard.command("DCMD", [refused], "press")
        heard.watcher.publish("spBv1.0/plant/DCMD/line-1/press", b"\xff\x00 no protobuf")
        heard.command("DCMD", [Metric("setpoint", DataType.DOUBLE, 12.0)], "press")
        await heard.wait_value("press", "setpoint", 12.0)
        assert plc.unit.registers[:2] == [120, 7]
        assert node.status().counters.commands_rejected == 4
        assert node.status().devices["press"].writes == 4


async def test_the_mirror_is_plain_retained_json(
    edge_broker: Broker,
    heard: Listener,
    plc: Plc,
    tmp_path: Path,
    watch: Callable[..., Watcher],
) -> None:
    async with running(node_document(edge_broker, tmp_path, press(plc))):
        value = await heard.wait_json(f"{UNS}/setpoint")
        assert value == {
            "timestamp_ms": value["timestamp_ms"],
            "value": 23.5,
            "quality": 192,
            "unit": "bar",
        }
        meta = await heard.wait_json(f"{UNS}/_meta")
        assert meta["sparkplug"] == {"group": "plant", "edge": "line-1", "device": "press"}
        assert meta["tags"]["setpoint"]["writable"] is True
        plc.unit.registers[2] = 0
        await heard.wait_json(f"{UNS}/doors/open", lambda d: d["value"] is False)
        plc.unit.missing = {1}
        await heard.wait_json(f"{UNS}/count", lambda d: d["quality"] == 0 and d["value"] is None)
    late = watch(edge_broker, "uns/#")
    retained = await late.wait_payloads(5)
    assert sorted(retained) == [
        f"{UNS}/_meta",
        f"{UNS}/_status",
        f"{UNS}/count",
        f"{UNS}/doors/open",
        f"{UNS}/setpoint",
    ]
    assert b'"online": false' in retained[f"{UNS}/_status"]
    assert b"edge node stopped" in retained[f"{UNS}/_status"]


@pytest.mark.rule("edge-12", "edge-14")
@pytest.mark.tck(
    "payloads-propertyset-quality-value-type",
    "payloads-propertyset-quality-value-value",
)
async def test_a_register_outside_the_map_is_bad_and_its_neighbours_go_on(
    edge_broker: Broker, heard: Listener, plc: Plc, tmp_path: Path
) -> None:
    async with running(node_document(edge_broker, tmp_path, press(plc))) as node:
        await heard.wait("DBIRTH")
        plc.unit.missing = {1}
        bad = await heard.wait("DDATA")
        (metric,) = bad.payload.metrics
        assert metric.value == 7
        assert {n: p.value for n, p in (metric.properties or {}).items()} == {"Quality": 0}
        plc.unit.registers[0] = 240
        await heard.wait_value("press", "setpoint", 24.0)
        heard.rebirth()
        dbirth = await heard.wait("DBIRTH", 2)
        properties = dbirth.metric("count").properties or {}
        assert properties["Quality"].value == 0
        assert node.status().devices["press"].bad_tags == 1
        plc.unit.missing = set()
        good = await heard.wait_value("press", "count", 7, timeout_s=90)
        assert good.payload.metrics[0].properties is not None


async def test_the_status_document_counts_every_point_exactly(
    edge_broker: Broker, heard: Listener, plc: Plc, tmp_path: Path
) -> None:
    async with running(node_document(edge_broker, tmp_path, press(plc))):
        await heard.wait("DBIRTH")
        for number in range(5):
            plc.unit.registers[1] = 100 + number
            await heard.wait_value("press", "count", 100 + number)
        heard.rebirth()
        await heard.wait("DBIRTH", 2)
    await heard.wait_json(PREFIX, lambda d: d["devices"]["press"]["reason"] == "edge node stopped")
    status = await heard.wait_json(PREFIX)
    control = ("bdSeq", "Node Control/", "Device Control/")
    points = sum(
        1
        for said in heard.said
        if said.kind in {"NBIRTH", "DBIRTH", "NDATA", "DDATA"}
        for metric in said.payload.metrics
        if not (metric.name or "").startswith(control)
    )
    assert status["counters"]["points_published"] == points
    # With MQTT 5 the broker publishes the will as well.
    said = sum(message.kind != "NDEATH" for message in heard.said) + 1
    assert status["counters"]["messages_published"] == said
    assert status["counters"]["births"] == 4


@pytest.mark.rule("edge-1")
async def test_a_broker_that_comes_back_gets_births_with_the_next_bd_seq_and_the_mirror(
    make_edge_broker: Callable[..., Broker],
    listen: Callable[[Broker], Listener],
    plc: Plc,
    tmp_path: Path,
) -> None:
    broker = make_edge_broker()
    before = listen(broker)
    async with running(node_document(broker, tmp_path, press(plc))) as node:
        first = await before.wait("NBIRTH")
        await before.wait("DBIRTH")
        check_transcript(before.said)
        await trio.to_thread.run_sync(broker.stop)
        plc.unit.registers[1] = 1234
        await wait_until(lambda: node.status().counters.points_unsent > 0)
        await trio.to_thread.run_sync(broker.start)
        after = listen(broker)
        second = await after.wait("NBIRTH", timeout_s=20)
        dbirth = await after.wait("DBIRTH")
        assert second.metric("bdSeq").value == _next(first.metric("bdSeq").value)
        assert dbirth.values()["count"] == 1234
        await after.wait_json(f"{UNS}/count", lambda d: d["value"] == 1234)
        assert node.status().counters.reconnects == 1
        assert node.status().counters.points_unsent == 1
    check_transcript(after.said)


@pytest.mark.rule("edge-1")
@pytest.mark.tck(
    "topics-nbirth-bdseq-increment",
)
async def test_bd_seq_rises_over_restarts(
    edge_broker: Broker, heard: Listener, plc: Plc, tmp_path: Path
) -> None:
    for _ in range(3):
        births = sum(said.kind == "NBIRTH" for said in heard.said)
        async with running(node_document(edge_broker, tmp_path, press(plc))):
            await heard.wait("NBIRTH", births + 1)
    numbers = [said.metric("bdSeq").value for said in heard.said if said.kind == "NBIRTH"]
    assert numbers == [0, 1, 2]


def _next(number: Any) -> int:
    return (int(number) + 1) % 256
