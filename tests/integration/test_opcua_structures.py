"""Structures become tables or template instances; methods are called by writing."""

from collections.abc import Iterator
from typing import Any

import pytest
import trio

from edge_node.drivers.base import PollResult, RequestRejected
from edge_node.drivers.opcua.driver import OpcUaDriver
from proto.control.table import read_table
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


@pytest.fixture
def plant() -> Iterator[OpcUaServer]:
    """A server whose values a test may change."""
    one = OpcUaServer(recipes).start()
    yield one
    one.stop()


def table(**columns: Any) -> DataSet:
    """Return a table as a script would send it: as wide as JSON is."""
    return read_table({name.replace("__", "."): value for name, value in columns.items()})


async def write(server: OpcUaServer, tag: dict[str, Any], *values: Any) -> PollResult:
    """Write values one after the other; return what the tag is then."""
    driver = make_driver(server.url, {"writable": True, **tag}, poll_groups=POLL)
    try:
        await driver.open()
        for value in values:
            await driver.write(tag["name"], value)
        return await driver.read("default")
    finally:
        await driver.aclose()


async def test_a_structure_is_written_and_keeps_what_was_not_given(plant: OpcUaServer) -> None:
    tag = {"name": "move", "datatype": "structure", "read_back": True}
    result = await write(plant, tag, table(to__y=12), table(name="right", via=[3.0]))
    assert result.values[0].columns == ("name", "to.x", "to.y", "colour", "via[0]")  # type: ignore[union-attr]
    assert result.values[0].rows == (("right", 3.5, 12, 1, 3.0),)  # type: ignore[union-attr]
    held = plant.read("move")
    assert (held.name, held.to.y, held.via) == ("right", 12, [3.0])


TWO: dict[str, Any] = {"x": 4.5, "y": 40}


async def test_an_array_of_structures_has_the_rows_that_were_written(plant: OpcUaServer) -> None:
    tag = {"name": "points", "datatype": "structure", "array": True}
    result = await write(plant, tag, read_table([{"x": 1.0}]))
    assert result.values[0].rows == ((1.0, 7),)  # type: ignore[union-attr]
    result = await write(plant, tag, read_table([]), read_table([{"x": 3, "y": 30}, TWO]))
    assert result.values[0].rows == ((3.0, 30), (4.5, 40))  # type: ignore[union-attr]
    with pytest.raises(RequestRejected, match="row 3: field 'y' is missing"):
        await write(plant, tag, read_table([{"x": 1}, {"x": 2}, {"x": 3}]))


async def test_an_optional_field_is_written_and_left_out(plant: OpcUaServer) -> None:
    tag = {"name": "note", "datatype": "structure"}
    result = await write(plant, tag, table(level=3))
    assert result.values[0].rows == (("hot", 3),)  # type: ignore[union-attr]
    result = await write(plant, tag, table(text="cold", level=None))
    assert result.values[0].rows == (("cold", None),)  # type: ignore[union-attr]


async def test_a_union_has_the_one_field_that_was_written(plant: OpcUaServer) -> None:
    tag = {"name": "amount", "datatype": "structure"}
    values, bad = await read(plant, tag)
    assert bad == {}
    assert (values[0].columns, values[0].rows) == (("number", "share"), ((5, None),))
    result = await write(plant, tag, table(share=0.5))
    assert result.values[0].rows == ((None, 0.5),)  # type: ignore[union-attr]
    with pytest.raises(RequestRejected, match="found number, share, expected one of them"):
        await write(plant, tag, table(share=0.5, number=1))


async def test_a_template_instance_is_written_member_by_member(plant: OpcUaServer) -> None:
    instance = Template((Metric("y", DataType.INT16, 30),), "Point")
    result = await write(plant, POINT, instance)
    (value,) = result.values
    assert isinstance(value, Template)
    assert [member.value for member in value.metrics] == [1.5, 30]


async def test_an_array_of_several_dimensions_is_written_row_after_row(plant: OpcUaServer) -> None:
    tag = {"name": "grid", "datatype": "int32", "array": True}
    result = await write(plant, tag, [6, 5, 4, 3, 2, 1])
    assert result.values == [[6, 5, 4, 3, 2, 1]]
    assert plant.read("grid") == [[6, 5, 4], [3, 2, 1]]
    with pytest.raises(RequestRejected, match=r"found 2 values, expected 6, 2 x 3"):
        await write(plant, tag, [1, 2])


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("point", table(y=40_000), "field 'y': found 40000, expected int16, -32768 to 32767"),
        ("point", table(z=1), "z fit no field, which are x, y"),
        ("point", read_table([{"x": 1}, {"x": 2}]), "found 2 rows, expected one"),
        ("fixed", table(x=1.0), "cannot be written|may not do that"),
        ("temp", table(x=1.0), "no structure that the server describes"),
    ],
)
async def test_a_structure_that_does_not_fit_says_why(
    server: OpcUaServer, name: str, value: DataSet, message: str
) -> None:
    with pytest.raises(RequestRejected, match=message):
        await write(server, {"name": name, "datatype": "structure"}, value)


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
        assert await machine.write("start", True) == {"output 1": 1}
        assert await machine.write("speed", 2.5) == {"output 1": True}
        types = (DataType.STRING, DataType.INT32)
        recipe = DataSet(("recipe", "count"), types, (("jam", 3),))
        where = DataSet(("x", "y"), (DataType.DOUBLE, DataType.INT16), ((0.5, 3),))
        assert await machine.write("load", recipe) == {"number": 4, "where": where}
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


async def test_what_a_method_gave_back_is_the_value_of_tags(server: OpcUaServer) -> None:
    def gives(name: str, output: str, datatype: str) -> dict[str, Any]:
        return {
            "name": name,
            "address": f"nsu={URI};s=machine",
            "method": f"nsu={URI};s=load",
            "method_gives": output,
            "datatype": datatype,
        }

    tags = [
        method("load", datatype="structure", fields=LOAD_FIELDS),
        gives("number", "number", "int32"),
        gives("second", "2", "structure"),
        gives("third", "3", "int32"),
        gives("text", "number", "string"),
    ]
    for mode in ("subscribe", "poll"):
        groups = [{"name": "default", "mode": mode, "interval_s": 0.1}]
        driver = make_driver(server.url, *tags, poll_groups=groups)
        try:
            await driver.open()
            first = await driver.read("default")
            assert (first.values, first.bad) == ([None] * 5, {})
            await driver.write("load", table(recipe="jam", count=3))
            if mode == "poll":
                result = await driver.read("default")
                values, bad = result.values, dict(result.bad)
            else:
                (changes,) = await driver.wait_changes()
                values, bad = list(changes.values), dict(changes.bad)
                assert list(changes.indices) == [0, 1, 2, 3, 4]
            where = DataSet(("x", "y"), (DataType.DOUBLE, DataType.INT16), ((0.5, 3),))
            assert values[1:] == [4, where, None, None]
            assert bad == {
                3: "the method gives number, where, expected 3",
                4: "output 'number': found int64, expected string",
            }
            with pytest.raises(RequestRejected, match="calls none"):
                await driver.write("number", 5)
        finally:
            await driver.aclose()
