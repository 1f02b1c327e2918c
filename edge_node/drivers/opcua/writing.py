"""Writes of values, arrays and structures, checked before they are sent. asyncio."""

import math
from collections.abc import Sequence
from typing import Any

from asyncua import ua

from edge_node.drivers.base import RawValue, RequestRejected
from edge_node.drivers.opcua.points import Point
from edge_node.drivers.opcua.reasons import explain_node
from edge_node.drivers.opcua.rewriting import read_given, rewrite
from edge_node.drivers.opcua.sending import make_variant
from edge_node.drivers.opcua.session import ServiceRefused, Session
from edge_node.drivers.opcua.structures import Layouts
from edge_node.drivers.opcua.typefinder import find_encoding, find_layouts
from edge_node.drivers.opcua.wire import Opaque


async def write_value(
    session: Session, layouts: Layouts, point: Point, node: Any, value: RawValue
) -> list[bytes]:
    """Write a value to a node.

    Returns:
        The bytes of the structures that the node should hold now; nothing of other types.

    Raises:
        RequestRejected: it does not fit, or the server refused it.
        DeviceUnreachable: no answer, or the session is gone.
    """
    bodies: list[bytes] = []
    try:
        if point.kind is None:
            variant, bodies = await _structure(session, layouts, point, node, value)
        else:
            dimensions = await _dimensions(session, node, value) if point.array else ()
            variant = make_variant(point.kind, value, array=point.array, dimensions=dimensions)
        request = ua.WriteRequest()
        # Many servers refuse writes that carry a status or a time.
        told = ua.DataValue(variant, StatusCode=None)
        request.Parameters.NodesToWrite = [
            ua.WriteValue(NodeId=node, AttributeId=ua.AttributeIds.Value, Value=told)
        ]
        answer = await session.ask(request, ua.WriteResponse)
    except (ServiceRefused, ValueError) as exc:
        raise RequestRejected(str(exc)) from exc
    status = answer.Results[0]
    if not status.is_good():
        raise RequestRejected(f"{point.address}: {explain_node(status.value)}")
    return bodies


async def _structure(
    session: Session, layouts: Layouts, point: Point, node: Any, value: RawValue
) -> tuple[Any, list[bytes]]:
    """Return what a node of structures is to hold: what it holds, with what was given new."""
    given = read_given(value, array=point.array)
    (sample,) = await session.read_values([node])
    found = sample.value if isinstance(sample.value, list) else [sample.value]
    held = [each for each in found if isinstance(each, Opaque)]
    encoding = held[0].encoding if held else await find_encoding(session, node)
    if encoding is None:
        raise ValueError(f"{point.address}: the node is of no structure that the server describes")
    bodies: list[bytes] = []
    made: list[Any] = []
    for index, columns in enumerate(given):
        old = held[index] if index < len(held) else None
        kind = encoding if old is None else old.encoding
        layout = await _find_layout(session, layouts, kind)
        try:
            body = rewrite(layout, None if old is None else old.body, columns)
        except ValueError as exc:
            where = f"row {index + 1}: " if point.array else ""
            raise ValueError(f"{where}{exc}") from exc
        bodies.append(body)
        made.append(ua.ExtensionObject(ua.NodeId(kind.Identifier, kind.NamespaceIndex), body))
    content = made if point.array else made[0]
    kind = ua.VariantType.ExtensionObject
    return ua.Variant(content, kind, is_array=point.array), bodies


async def _find_layout(session: Session, layouts: Layouts, encoding: Any) -> Any:
    try:
        return layouts.find(encoding)
    except ValueError:
        await find_layouts(session, layouts)
    return layouts.find(encoding)


async def _dimensions(session: Session, node: Any, value: RawValue) -> tuple[int, ...]:
    """Return the dimensions of a node's array, where it has several.

    Raises:
        ValueError: the value has not as many elements as they have together.
    """
    (told,) = await session.read_values([node], ua.AttributeIds.ArrayDimensions)
    sizes: Sequence[int] = told.value if isinstance(told.value, list) else ()
    if len(sizes) < 2 or not all(sizes):
        return ()
    if isinstance(value, list) and len(value) != math.prod(sizes):
        shape = " x ".join(map(str, sizes))
        raise ValueError(f"found {len(value)} values, expected {math.prod(sizes)}, {shape}")
    return tuple(sizes)
