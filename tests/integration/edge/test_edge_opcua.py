"""An OPC UA server on a real socket, published by an edge node to a real broker."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import trio
from asyncua import ua
from asyncua.common.callback import CallbackType

from proto.sparkplug.datatypes import DataType
from proto.sparkplug.metrics import DataSet, Metric, Template
from tests.integration.edge.bench import Listener, node_document, running, wait_until
from tests.integration.edge.edge_broker import Broker
from tests.integration.opcua_recipes import CALLS, recipes
from tests.integration.opcua_rig import URI, OpcUaServer, add_variable, plain_nodes

pytestmark = pytest.mark.trio

COMMANDS = "$nexus/cmd/plant/line-1"


async def press_nodes(server: Any, index: int) -> None:
    await plain_nodes(server, index)
    await add_variable(server, index, "curve", [1.0, 2.0], ua.VariantType.Double)


@pytest.fixture
def server() -> Iterator[OpcUaServer]:
    one = OpcUaServer(press_nodes).start()
    yield one
    one.stop()


def press_device(url: str) -> dict[str, Any]:
    def node(name: str) -> str:
        return f"nsu={URI};s={name}"

    return {
        "name": "press",
        "driver": "opcua",
        "connection": {"url": url, "timeout_s": 2.0, "watchdog_s": 1.0},
        "poll_groups": [
            {"name": "told", "interval_s": 0.1},
            {"name": "asked", "interval_s": 0.1, "mode": "poll"},
        ],
        "tags": [
            {"name": "temp", "address": node("temp"), "datatype": "double", "writable": True},
            {"name": "hot", "address": node("temp"), "datatype": "double", "scale": 0.1},
            {"name": "count", "address": node("count"), "datatype": "int32"},
            {"name": "curve", "address": node("curve"), "datatype": "double", "array": True},
            {"name": "nowhere", "address": node("nowhere"), "datatype": "int16"},
            {
                "name": "name",
                "address": node("name"),
                "datatype": "string",
                "poll_group": "asked",
                "writable": True,
            },
        ],
    }


async def test_a_server_is_born_told_written_lost_and_found(
    edge_broker: Broker, heard: Listener, server: OpcUaServer, tmp_path: Path
) -> None:
    async with running(node_document(edge_broker, tmp_path, press_device(server.url))):
        birth = await heard.wait("DBIRTH")
        assert birth.metric("temp").datatype is DataType.DOUBLE
        assert birth.metric("temp").value == 20.5
        assert birth.metric("hot").value == pytest.approx(2.05)
        assert birth.metric("count").value == 7
        assert birth.metric("curve").datatype is DataType.DOUBLE_ARRAY
        assert birth.metric("curve").value == [1.0, 2.0]
        assert birth.metric("name").value == "press"
        assert birth.metric("nowhere").value is None

        when = datetime(2026, 11, 26, 10, 0, tzinfo=UTC)
        told = ua.DataValue(ua.Variant(8, ua.VariantType.Int32), SourceTimestamp=when)
        await trio.to_thread.run_sync(server.write_data, "count", told)
        said = await heard.wait_value("press", "count", 8)
        times = [metric.timestamp_ms for metric in said.payload.metrics if metric.value == 8]
        assert times == [int(when.timestamp() * 1000)]
        await trio.to_thread.run_sync(server.write, "name", "mill")
        await heard.wait_value("press", "name", "mill")

        heard.command(
            "DCMD",
            [Metric("temp", DataType.DOUBLE, 33.0), Metric("name", DataType.STRING, "saw")],
            "press",
        )
        await heard.wait_value("press", "temp", 33.0)
        await heard.wait_value("press", "name", "saw")
        assert await trio.to_thread.run_sync(server.read, "temp") == 33.0

        await trio.to_thread.run_sync(server.add, "nowhere", 5, ua.VariantType.Int16)
        await heard.wait_value("press", "nowhere", 5)

        await trio.to_thread.run_sync(server.stop)
        await heard.wait("DDEATH")
        await trio.to_thread.run_sync(server.start)
        again = await heard.wait("DBIRTH", 2)
        assert again.metric("temp").value == 20.5


@pytest.fixture
def machine() -> Iterator[OpcUaServer]:
    one = OpcUaServer(recipes).start()
    yield one
    one.stop()


def machine_device(url: str) -> dict[str, Any]:
    def node(name: str) -> str:
        return f"nsu={URI};s={name}"

    return {
        "name": "machine",
        "driver": "opcua",
        "connection": {"url": url, "timeout_s": 5.0},
        "poll_groups": [{"name": "default", "interval_s": 0.1}],
        "tags": [
            {
                "name": "point",
                "address": node("point"),
                "datatype": "structure",
                "publish_as": "template",
                "structure": "Point",
                "fields": [
                    {"name": "x", "datatype": "double"},
                    {"name": "y", "datatype": "int16"},
                ],
            },
            {"name": "move", "address": node("move"), "datatype": "structure"},
            {
                "name": "load",
                "address": node("machine"),
                "method": node("load"),
                "datatype": "structure",
                "fields": [
                    {"name": "recipe", "datatype": "string"},
                    {"name": "count", "datatype": "int32"},
                ],
                "writable": True,
            },
        ],
    }


async def test_structures_are_born_as_templates_and_tables_and_methods_called_by_command(
    edge_broker: Broker, heard: Listener, machine: OpcUaServer, tmp_path: Path
) -> None:
    CALLS.clear()
    async with running(node_document(edge_broker, tmp_path, machine_device(machine.url))):
        node = await heard.wait("NBIRTH")
        definition = node.metric("Point").value
        assert isinstance(definition, Template)
        assert definition.is_definition
        assert [member.name for member in definition.metrics] == ["x", "y"]
        birth = await heard.wait("DBIRTH")
        point = birth.metric("point").value
        assert isinstance(point, Template)
        assert point.template_ref == "Point"
        assert [member.value for member in point.metrics] == [1.5, 7]
        move = birth.metric("move").value
        assert isinstance(move, DataSet)
        assert move.rows == (("left", 3.5, 9, 1, 1.0, 2.0),)

        types = (DataType.STRING, DataType.INT32)
        recipe = DataSet(("recipe", "count"), types, (("jam", 3),))
        heard.command("DCMD", [Metric("load", DataType.DATASET, recipe)], "machine")
        await wait_until(lambda: CALLS == [("jam", 3)])
        await heard.wait_value("machine", "load", recipe)


async def test_what_is_written_to_a_server_is_read_back_where_that_is_wanted(
    edge_broker: Broker, heard: Listener, server: OpcUaServer, tmp_path: Path
) -> None:
    device = press_device(server.url)
    for tag in device["tags"]:
        if tag.get("writable"):
            tag["read_back"] = True
    async with running(node_document(edge_broker, tmp_path, device)):
        await heard.wait("DBIRTH")
        written = [
            Metric("temp", DataType.DOUBLE, 30.25),  # followed
            Metric("name", DataType.STRING, "stamp"),  # polled
        ]
        heard.command("DCMD", written, "press")
        for metric in written:
            topic = f"{COMMANDS}/press/{metric.name}/result"
            told = await heard.wait_json(topic, lambda d: d["ok"])
            assert (told["outcome"], told["value"]) == ("verified", metric.value)


async def test_the_status_tells_what_kind_of_trouble_a_node_is_in(
    edge_broker: Broker, heard: Listener, server: OpcUaServer, tmp_path: Path
) -> None:
    device = press_device(server.url)
    device["tags"] += [
        {"name": "lost way", "address": "/Objects/2:nothing", "datatype": "int16"},
        {"name": "lost name", "address": "nsu=urn:nowhere;s=x", "datatype": "int16"},
        {"name": "text", "address": f"nsu={URI};s=name", "datatype": "double"},
    ]
    async with running(node_document(edge_broker, tmp_path, device)):
        await heard.wait("DBIRTH")
        broken = ua.DataValue(StatusCode=ua.StatusCode(ua.StatusCodes.BadSensorFailure))
        await trio.to_thread.run_sync(server.write_data, "count", broken)
        status = await heard.wait_json(
            "$nexus/status/plant/line-1",
            lambda d: "count" in d["devices"]["press"]["problem_qualities"],
        )
        assert status["devices"]["press"]["problem_qualities"] == {
            "count": 16,
            "nowhere": 4,
            "lost way": 4,
            "lost name": 4,
            "text": 4,
        }


async def test_structures_and_methods_are_written_as_json_and_told_of(
    edge_broker: Broker, heard: Listener, machine: OpcUaServer, tmp_path: Path
) -> None:
    CALLS.clear()
    device = machine_device(machine.url)
    for tag in device["tags"][:2]:
        tag |= {"writable": True, "read_back": True}
    load = device["tags"][2]
    device["tags"].append(
        {
            **{key: load[key] for key in ("address", "method")},
            "name": "number",
            "method_gives": "number",
            "datatype": "int64",
        }
    )
    document = node_document(edge_broker, tmp_path, device, remote={"commands": True})

    async def write(tag: str, value: Any) -> dict[str, Any]:
        order = json.dumps({"id": f"{tag} {value}", "value": value}).encode()
        heard.watcher.publish(f"{COMMANDS}/machine/{tag}", order)
        topic = f"{COMMANDS}/machine/{tag}/result"
        return await heard.wait_json(topic, lambda d: d["id"] == f"{tag} {value}")

    async with running(document):
        birth = await heard.wait("DBIRTH")
        assert birth.metric("number").value is None
        told = await write("move", {"to": {"y": 12}, "via": [3.5]})
        assert (told["outcome"], told["reason"]) == ("verified", None)
        assert told["value"] == [
            {"name": "left", "to.x": 3.5, "to.y": 12, "colour": 1, "via[0]": 3.5}
        ]
        told = await write("point", {"y": 11})
        assert (told["outcome"], told["value"]) == ("verified", {"x": 1.5, "y": 11})
        told = await write("point", {"y": 40_000})
        assert (told["outcome"], "40000 does not fit Int16" in told["reason"]) == ("refused", True)
        told = await write("move", {"speed": 1})
        assert told["outcome"] == "failed"
        assert "speed fit no field, which are name, to, colour, via" in told["reason"]

        told = await write("load", {"recipe": "jam", "count": 3})
        assert CALLS == [("jam", 3)]
        assert told["returned"] == {"number": 4, "where": [{"x": 0.5, "y": 3}]}
        await heard.wait_value("machine", "number", 4)

        point = Template((Metric("x", DataType.DOUBLE, 8.5),), "Point")
        heard.command("DCMD", [Metric("point", DataType.TEMPLATE, point)], "machine")
        told = await heard.wait_json(f"{COMMANDS}/machine/point/result", lambda d: not d["id"])
        assert (told["outcome"], told["value"]) == ("verified", {"x": 8.5, "y": 11})
        moved = DataSet(("to.x",), (DataType.DOUBLE,), ((9.5,),))
        heard.command("DCMD", [Metric("move", DataType.DATASET, moved)], "machine")
        told = await heard.wait_json(f"{COMMANDS}/machine/move/result", lambda d: not d["id"])
        assert told["outcome"] == "verified"
        assert await trio.to_thread.run_sync(machine.read, "move") is not None
    assert machine.read("move").to.x == 9.5


async def test_a_value_that_does_not_stay_is_told_as_different(
    edge_broker: Broker, heard: Listener, server: OpcUaServer, tmp_path: Path
) -> None:
    """A PLC's program may write its own value over it at once."""
    node = server.server.get_node(server.node_id("temp"))

    async def overwrite(_event: Any, _dispatcher: Any) -> None:
        await server.server.write_attribute_value(node.nodeid, ua.DataValue(9.0))

    server.server.subscribe_server_callback(CallbackType.PostWrite, overwrite)
    device = press_device(server.url)
    device["tags"][0]["read_back"] = True
    async with running(node_document(edge_broker, tmp_path, device)):
        await heard.wait("DBIRTH")
        heard.command("DCMD", [Metric("temp", DataType.DOUBLE, 1.0)], "press")
        told = await heard.wait_json(f"{COMMANDS}/press/temp/result")
        assert (told["outcome"], told["value"]) == ("different", 9.0)


async def test_devices_of_a_server_share_a_session_and_are_lost_and_found_together(
    edge_broker: Broker, heard: Listener, server: OpcUaServer, tmp_path: Path
) -> None:
    devices = [{**press_device(server.url), "name": name} for name in ("press", "mill", "saw")]

    async def born(count: int) -> None:
        for device in devices:
            await heard.wait("DBIRTH", count, device=device["name"])

    async with running(node_document(edge_broker, tmp_path, *devices)):
        await born(1)
        assert len(server.server.bserver.clients) == 1
        await trio.to_thread.run_sync(server.write, "temp", 44.5)
        for device in devices:
            await heard.wait_value(device["name"], "temp", 44.5)
        await trio.to_thread.run_sync(server.restart)
        await born(2)
        assert len(server.server.bserver.clients) == 1
