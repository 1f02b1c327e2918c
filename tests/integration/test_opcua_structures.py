"""Structures become tables or template instances; methods are called by writing."""

from collections.abc import Iterator
from typing import Any

import pytest
import trio

from edge_node.drivers.base import RequestRejected
from edge_node.drivers.opcua.driver import OpcUaDriver
from proto.sparkplug.datatypes import DataType
from proto.sparkplug.metrics import DataSet, Metric, Template
from tests.integration.opcua_recipes import CALLS, recipes
from tests.integration.opcua_rig import PATIENCE_S, URI, OpcUaServer, make_driver

pytestmark = pytest.mark.trio

POLL = [{"name": "default", "mode": "poll"}]


@pytest.fixture(scope="module")
def server() -> Iterator[OpcUaServer]:
    one = OpcUaServer(recipes).start()
    yield one
    one.stop()


async def read(server: OpcUaServer, *tags: dict[str, Any]) -> tuple[list[Any], dict[int, str]]:
    driver = make_driver(server.url, *tags, poll_groups=POLL)
    try:
        await driver.open()
        result = await driver.read("default")
        return result.values, dict(result.bad)
    finally:
        await driver.aclose()


async def test_a_structure_is_a_row_of_a_table(server: OpcUaServer) -> None:
    values, bad = await read(server, {"name": "point", "datatype": "structure"})
    assert bad == {}
    assert values == [DataSet(("x", "y"), (DataType.DOUBLE, DataType.INT16), ((1.5, 7),))]


async def test_an_array_of_structures_is_a_table(server: OpcUaServer) -> None:
    values, _ = await read(server, {"name": "points", "datatype": "structure", "array": True})
    assert values[0].rows == ((1.5, 7), (2.5, 8))


async def test_structures_within_structures_and_arrays_become_columns(server: OpcUaServer) -> None:
    values, bad = await read(server, {"name": "move", "datatype": "structure"})
    assert bad == {}
    assert values[0].columns == ("name", "to.x", "to.y", "colour", "via[0]", "via[1]")
    assert values[0].rows == (("left", 3.5, 9, 1, 1.0, 2.0),)


async def test_a_field_that_is_left_out_is_null(server: OpcUaServer) -> None:
    values, _ = await read(server, {"name": "note", "datatype": "structure"})
    assert values[0].rows == (("hot", None),)


POINT = {
    "name": "point",
    "datatype": "structure",
    "publish_as": "template",
    "structure": "Point",
    "fields": [{"name": "x", "datatype": "double"}, {"name": "y", "datatype": "int16"}],
}


async def test_a_structure_is_a_template_instance_where_configured(server: OpcUaServer) -> None:
    driver = make_driver(server.url, POINT, poll_groups=POLL)
    (info,) = driver.groups["default"]
    members = (Metric("x", DataType.DOUBLE), Metric("y", DataType.INT16))
    assert info.datatype is DataType.TEMPLATE
    assert info.definition == Metric(
        "Point", DataType.TEMPLATE, Template(members, is_definition=True)
    )
    values, _ = await read(server, POINT)
    members = (Metric("x", DataType.DOUBLE, 1.5), Metric("y", DataType.INT16, 7))
    assert values == [Template(members, "Point")]


async def test_a_template_of_other_fields_says_which_there_are(server: OpcUaServer) -> None:
    tag = {**POINT, "fields": [{"name": "z", "datatype": "double"}]}
    _, bad = await read(server, tag)
    assert "fields are x, y, expected z" in bad[0]


async def test_what_is_no_structure_says_so(server: OpcUaServer) -> None:
    _, bad = await read(server, {"name": "temp", "datatype": "structure"})
    assert "found no structure, expected one" in bad[0]


async def test_a_structure_changes_by_subscription(server: OpcUaServer) -> None:
    driver = make_driver(server.url, {"name": "point", "datatype": "structure"})
    try:
        await driver.open()
        first = await driver.read("default")
        with trio.fail_after(PATIENCE_S):
            (changes,) = await driver.wait_changes()
        assert changes.values == first.values
    finally:
        await driver.aclose()


def method(name: str, **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "address": f"nsu={URI};s=machine",
        "method": f"nsu={URI};s={name}",
        "writable": True,
        **more,
    }


LOAD_FIELDS = [{"name": "recipe", "datatype": "string"}, {"name": "count", "datatype": "int32"}]


@pytest.fixture
def machine(server: OpcUaServer) -> OpcUaDriver:
    CALLS.clear()
    return make_driver(
        server.url,
        method("start", datatype="bool", method_takes="nothing"),
        method("speed", datatype="double"),
        method("load", datatype="structure", fields=LOAD_FIELDS),
        {"name": "temp", "datatype": "double"},
    )


async def test_methods_are_called_by_writing_their_tags(machine: OpcUaDriver) -> None:
    try:
        await machine.open()
        first = await machine.read("default")
        assert (first.values, first.bad) == ([None, None, None, 1.0], {})
        await machine.write("start", True)
        await machine.write("speed", 2.5)
        types = (DataType.STRING, DataType.INT32)
        recipe = DataSet(("recipe", "count"), types, (("jam", 3),))
        await machine.write("load", recipe)
        assert CALLS == [(), (2.5,), ("jam", 3)]
        told: dict[int, Any] = {}
        with trio.fail_after(PATIENCE_S):
            while 2 not in told:
                for changes in await machine.wait_changes():
                    told |= dict(zip(changes.indices, changes.values, strict=True))
        assert (told[0], told[1], told[2]) == (True, 2.5, recipe)
    finally:
        await machine.aclose()


async def test_a_method_that_cannot_be_called_says_why(
    machine: OpcUaDriver, server: OpcUaServer
) -> None:
    try:
        await machine.open()
        with pytest.raises(RequestRejected, match="found 'fast', expected double"):
            await machine.write("speed", "fast")
        with pytest.raises(RequestRejected, match="arguments are a, expected recipe, count"):
            await machine.write("load", DataSet(("a",), (DataType.INT32,), ((1,),)))
    finally:
        await machine.aclose()
    other = make_driver(server.url, method("stop", datatype="bool", method_takes="nothing"))
    try:
        await other.open()
        with pytest.raises(RequestRejected, match=r"press tag 'stop': .*(Bad\w+)"):
            await other.write("stop", True)
    finally:
        await other.aclose()
    assert CALLS == []
