"""An address space with structures, and with methods whose calls are kept."""

from typing import Any

from asyncua import ua
from asyncua.common.methods import uamethod
from asyncua.common.structures104 import new_enum, new_struct, new_struct_field

from tests.integration.opcua_rig import add_variable

CALLS: list[tuple[Any, ...]] = []


async def recipes(server: Any, index: int) -> None:
    """A structure in a structure, one with optional fields, an enumeration, and methods."""
    # The library's classes are the process's, by node id: what a test has read from a server of
    # another process would be taken for these. No other server has so many namespaces.
    types = index
    for number in range(4):
        types = await server.register_namespace(f"urn:plant:types:{number}")
    await new_enum(server, types, "Colour", ["Red", "Green"])
    await new_struct(
        server,
        types,
        "Point",
        [new_struct_field("x", ua.VariantType.Double), new_struct_field("y", ua.VariantType.Int16)],
    )
    await new_struct(
        server,
        types,
        "Note",
        [
            new_struct_field("text", ua.VariantType.String),
            new_struct_field("level", ua.VariantType.Int32, optional=True),
        ],
    )
    numbers = [
        new_struct_field("number", ua.VariantType.Int32),
        new_struct_field("share", ua.VariantType.Double),
    ]
    await new_struct(server, types, "Amount", numbers, is_union=True)
    await server.load_data_type_definitions()
    # The classes are the process's; a second server of it makes them again under the same ids.
    point, note = ua.Point, ua.Note
    await new_struct(
        server,
        types,
        "Move",
        [
            new_struct_field("name", ua.VariantType.String),
            new_struct_field("to", point.data_type),
            new_struct_field("colour", ua.Colour.data_type),
            new_struct_field("via", ua.VariantType.Double, array=True),
        ],
    )
    await server.load_data_type_definitions()
    move = ua.Move
    amount = ua.Amount()
    amount.number = 5
    objects = server.nodes.objects
    for name, value in (
        ("point", point(1.5, 7)),
        ("points", [point(1.5, 7), point(2.5, 8)]),
        ("note", note(text="hot")),
        ("move", move("left", point(3.5, 9), ua.Colour.Green, [1.0, 2.0])),
        ("fixed", point(4.5, 1)),
        ("amount", amount),
    ):
        node = await objects.add_variable(
            ua.NodeId(name, index),
            f"{index}:{name}",
            ua.Variant(value, ua.VariantType.ExtensionObject),
            datatype=(value[0] if isinstance(value, list) else value).data_type,
        )
        await node.set_writable(name != "fixed")
    await add_variable(server, index, "temp", 1.0, ua.VariantType.Double)
    grid = ua.Variant([[1, 2, 3], [4, 5, 6]], ua.VariantType.Int32)
    await add_variable(server, index, "grid", grid)

    @uamethod  # type: ignore[untyped-decorator]  # the library is untyped
    def start(_parent: Any) -> int:
        CALLS.append(())
        return 1

    @uamethod  # type: ignore[untyped-decorator]  # the library is untyped
    def set_speed(_parent: Any, speed: float) -> bool:
        CALLS.append((speed,))
        return True

    @uamethod  # type: ignore[untyped-decorator]  # the library is untyped
    def load(_parent: Any, recipe: str, count: int) -> tuple[int, Any]:
        CALLS.append((recipe, count))
        return count + 1, point(0.5, count)

    machine = await objects.add_object(ua.NodeId("machine", index), f"{index}:machine")
    kinds = ua.VariantType
    loaded = [
        ua.Argument(Name="number", DataType=ua.NodeId(ua.ObjectIds.Int64)),
        ua.Argument(Name="where", DataType=point.data_type),
    ]
    for name, function, inputs, outputs in (
        ("start", start, [], [kinds.Int64]),
        ("speed", set_speed, [kinds.Double], [kinds.Boolean]),
        ("load", load, [kinds.String, kinds.Int32], loaded),
    ):
        await machine.add_method(
            ua.NodeId(name, index), f"{index}:{name}", function, inputs, outputs
        )
