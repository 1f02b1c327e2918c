"""What hosts may ask of a node beyond rebirth, what a node tells of itself, limits and settings."""

from collections.abc import Callable
from pathlib import Path

import pytest
import trio
from structlog.testing import capture_logs

from proto import sparkplug_b_pb2
from proto.sparkplug.datatypes import DataType
from proto.sparkplug.metrics import Metric
from tests.integration.edge.bench import Listener, Plc, node_document, press, running, wait_until
from tests.integration.edge.edge_broker import Broker

pytestmark = [pytest.mark.trio, pytest.mark.parametrize("protocol", ["3.1.1", "5"])]


@pytest.mark.rule("edge-9")
async def test_a_device_is_born_again_on_command_with_its_death_between(
    edge_broker: Broker, heard: Listener, plc: Plc, nursery: trio.Nursery, tmp_path: Path
) -> None:
    neighbour = Plc()
    await neighbour.start(nursery)
    document = node_document(
        edge_broker, tmp_path, press(plc), press(neighbour, "other", uns_path="o")
    )
    async with running(document):
        await heard.wait("DBIRTH", 2)
        command = Metric("Device Control/Rebirth", DataType.BOOLEAN, True)
        heard.command("DCMD", [command], "press")
        again = await heard.wait("DBIRTH", 2, device="press")
        kinds = [str(said.kind) for said in heard.said]
        of_press = [str(said.kind) for said in heard.said if said.topic.device == "press"]
        assert of_press[-2:] == ["DDEATH", "DBIRTH"]
        assert again.metric("Device Control/Rebirth").value is False
        heard.command("DCMD", [Metric(command.name, DataType.BOOLEAN, False)], "press")
        plc.unit.registers[1] = 77
        await heard.wait_value("press", "count", 77)
        assert kinds.count("NBIRTH") == 1


async def test_a_node_tells_of_itself(
    edge_broker: Broker, heard: Listener, plc: Plc, tmp_path: Path
) -> None:
    async with running(node_document(edge_broker, tmp_path, press(plc))):
        nbirth = await heard.wait("NBIRTH")
        aliases = {m.alias: m.name for m in nbirth.payload.metrics}
        assert nbirth.metric("Node Info/Version").value == "0.1.0"
        assert nbirth.metric("Node Info/Devices").value == 1
        assert {
            "Node Info/Uptime",
            "Node Info/Devices Up",
            "Node Info/Unsent Points",
            "Node Info/Buffered Bytes",
        } <= set(aliases.values())
        ndata = await heard.wait("NDATA")
        told = {aliases[metric.alias]: metric.value for metric in ndata.payload.metrics}
        await heard.wait("NDATA", 2)
        assert told["Node Info/Devices Up"] == 1
        heard.command("NCMD", [Metric("Node Info/Uptime", DataType.INT64, 1)])
        heard.rebirth()
        await heard.wait("NBIRTH", 2)


async def test_control_that_is_not_offered_is_rejected(
    edge_broker: Broker, heard: Listener, plc: Plc, tmp_path: Path
) -> None:
    async with running(node_document(edge_broker, tmp_path, press(plc))) as node:
        nbirth = await heard.wait("NBIRTH")
        names = {metric.name for metric in nbirth.payload.metrics}
        assert not names & {"Node Control/Reboot", "Node Control/Next Server"}
        heard.control("Node Control/Reboot")
        heard.control("Node Control/Next Server")
        await wait_until(lambda: node.status().counters.commands_rejected == 2)
        assert len([said for said in heard.said if said.kind == "NBIRTH"]) == 1


async def test_a_birth_that_is_too_large_is_told_and_not_sent(
    edge_broker: Broker, heard: Listener, plc: Plc, tmp_path: Path
) -> None:
    tags = [
        {"name": f"tag-{n}", "address": f"holding:{n}", "datatype": "int16"} for n in range(100)
    ]
    document = node_document(
        edge_broker,
        tmp_path,
        press(plc),
        press(plc, "large", tags=tags, uns_path="l"),
        sparkplug={"max_payload_bytes": 2000},
    )
    with capture_logs() as logs:
        async with running(document) as node:
            await heard.wait("DBIRTH", device="press")
            await wait_until(lambda: node.status().devices["large"].state == "online")
            plc.unit.registers[1] = 8
            await heard.wait_value("press", "count", 8)
            heard.rebirth()
            await heard.wait("DBIRTH", 2, device="press")
            await wait_until(lambda: node.status().counters.points_unsent > 0)
    (told,) = [entry for entry in logs if entry["event"] == "birth_too_large"]
    assert told["device"] == "large"
    assert told["found_bytes"] > told["expected_bytes"] == 2000
    assert not [said for said in heard.said if said.topic.device == "large"]


async def test_the_limit_that_a_broker_tells_counts_too(
    make_edge_broker: Callable[..., Broker],
    listen: Callable[[Broker], Listener],
    plc: Plc,
    tmp_path: Path,
) -> None:
    tags = [
        {"name": f"tag-{n}", "address": f"holding:{n}", "datatype": "int16"} for n in range(100)
    ]
    broker = make_edge_broker(settings="max_packet_size 3000")
    heard = listen(broker)
    document = node_document(
        broker,
        tmp_path,
        press(plc),
        press(plc, "large", tags=tags, uns_path="l"),
        mqtt={"protocol": "5"},
        uns={"enabled": False},
    )
    with capture_logs() as logs:
        async with running(document) as node:
            await heard.wait("DBIRTH", device="press")
            await wait_until(lambda: node.status().devices["large"].state == "online")
            assert node.status().counters.reconnects == 0
    (told,) = [entry for entry in logs if entry["event"] == "birth_too_large"]
    assert told["expected_bytes"] == 3000


@pytest.mark.parametrize("compression", ["deflate", "gzip"])
async def test_births_and_data_can_be_compressed_and_deaths_are_not(
    edge_broker: Broker, heard: Listener, plc: Plc, tmp_path: Path, compression: str
) -> None:
    document = node_document(
        edge_broker, tmp_path, press(plc), sparkplug={"compression": compression}
    )
    async with running(document):
        assert (await heard.wait("DBIRTH")).values()["count"] == 7
        plc.unit.registers[1] = 8
        await heard.wait_value("press", "count", 8)
    await heard.wait("NDEATH")
    for said in heard.said:
        compressed = b"SPBV1.0_COMPRESSED" in said.seen.payload
        assert compressed == (not str(said.kind).endswith("DEATH"))


@pytest.mark.rule("edge-13")
@pytest.mark.parametrize("field", ["long_value", "int_value"])
async def test_uint32_travels_in_the_field_that_is_configured(
    edge_broker: Broker, heard: Listener, plc: Plc, tmp_path: Path, field: str
) -> None:
    tags = [{"name": "total", "address": "holding:10", "datatype": "uint32"}]
    document = node_document(
        edge_broker,
        tmp_path,
        press(plc, tags=tags),
        sparkplug={"uint32_as_long": field == "long_value"},
    )
    async with running(document):
        birth = await heard.wait("DBIRTH")
        plc.unit.registers[10:12] = [0xFFFF, 0xFFFE]
        data = await heard.wait_value("press", "total", 0xFFFF_FFFE)
        for said in (birth, data):
            fields: list[str] = wire_fields(said.seen.payload, 0)
            assert field in fields


def wire_fields(payload: bytes, index: int) -> list[str]:
    """The names of the fields that one metric has on the wire."""
    message = sparkplug_b_pb2.Payload.FromString(payload)
    return [descriptor.name for descriptor, _ in message.metrics[index].ListFields()]
