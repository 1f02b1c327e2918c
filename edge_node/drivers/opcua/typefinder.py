"""Looks up how a server's structures lie on the wire, in the server's own type tree.

asyncio. What it finds is kept by ``structures.Layouts``.
"""

from collections.abc import Sequence
from typing import Any, Final

import structlog
from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua.ua_binary import struct_from_binary

from edge_node.drivers.opcua.reasons import explain_node
from edge_node.drivers.opcua.session import ServiceRefused, Session
from edge_node.drivers.opcua.structures import Field, Layout, Layouts
from edge_node.drivers.opcua.wire import Opaque

_HIGHEST_BUILT_IN: Final = 25
_INT32: Final = 6
_VARIANT: Final = 24
_STRUCTURE: Final = ua.ObjectIds.Structure
_ENUMERATION: Final = ua.ObjectIds.Enumeration
_ABSTRACT: Final = frozenset(
    {ua.ObjectIds.BaseDataType, ua.ObjectIds.Number, ua.ObjectIds.Integer, ua.ObjectIds.UInteger}
)
_DEEPEST: Final = 10
"""Structures within structures, and types above types; more is a circle."""

log = structlog.get_logger(__name__)


class _NoLayout(Exception):
    """The structure cannot be decoded; the message says why."""


async def find_layouts(session: Session, layouts: Layouts) -> None:
    """Look up every structure that was met and is not known yet.

    Raises:
        DeviceUnreachable: no answer, or the session is gone.
    """
    for encoding in layouts.take_unknown():
        try:
            data_type = await _follow(session, encoding, ua.ObjectIds.HasEncoding)
            layout = await _find(session, data_type, 0)
        except (_NoLayout, ServiceRefused) as exc:
            layouts.add(encoding, str(exc))
            log.warning("opcua_structure_unknown", encoding=encoding.to_string(), reason=str(exc))
        else:
            layouts.add(encoding, layout)


async def find_encoding(session: Session, node: Any) -> Any:
    """Return the binary encoding of a variable's data type, ``None`` where it has none.

    Raises:
        ServiceRefused: the server does not browse.
        DeviceUnreachable: no answer, or the session is gone.
    """
    (told,) = await session.read_values([node], ua.AttributeIds.DataType)
    if not isinstance(told.value, str):
        return None
    data_type = ua.NodeId.from_string(told.value)
    references = await _references(
        session, data_type, ua.ObjectIds.HasEncoding, ua.BrowseDirection.Forward
    )
    return next((r.NodeId for r in references if r.BrowseName.Name == "Default Binary"), None)


async def find_layout(session: Session, data_type: Any) -> Layout | None:
    """Return the layout of a data type, ``None`` where it is no structure that can be read.

    Raises:
        DeviceUnreachable: no answer, or the session is gone.
    """
    try:
        return await _find(session, data_type, 0)
    except (_NoLayout, ServiceRefused):
        return None


async def find_built_in(session: Session, data_type: Any) -> int:
    """Return the built-in type that a data type is made of; 22 for structures.

    Raises:
        ServiceRefused: the server does not browse.
        DeviceUnreachable: no answer, or the session is gone.
    """
    node: Any = data_type
    for _ in range(_DEEPEST):
        if node.NamespaceIndex == 0 and isinstance(node.Identifier, int):
            number = node.Identifier
            if number in _ABSTRACT:
                return _VARIANT
            if number == _ENUMERATION:
                return _INT32
            if 0 < number <= _HIGHEST_BUILT_IN:
                return int(number)
        node = await _follow(session, node, ua.ObjectIds.HasSubtype)
        if node is None:
            break
    return _VARIANT


async def _find(session: Session, data_type: Any, depth: int) -> Layout:
    if data_type is None:
        raise _NoLayout("the server does not say what it is an encoding of")
    if depth > _DEEPEST:
        raise _NoLayout("structures lie within structures without end")
    definition = await _read_definition(session, data_type)
    kind = ua.StructureType(definition.StructureType)
    if kind not in {
        ua.StructureType.Structure,
        ua.StructureType.StructureWithOptionalFields,
        ua.StructureType.Union,
    }:
        raise _NoLayout(f"structures of type {kind.name} are not read")
    is_union = kind == ua.StructureType.Union
    fields = []
    for field in definition.Fields or ():
        code = await find_built_in(session, field.DataType)
        nested = await _find(session, field.DataType, depth + 1) if code == _STRUCTURE else None
        if field.ValueRank > 1:
            raise _NoLayout(f"field {field.Name!r} has {field.ValueRank} dimensions, expected 1")
        optional = bool(field.IsOptional) and not is_union
        fields.append(Field(field.Name, code, field.ValueRank == 1, optional, nested))
    return Layout(data_type.to_string(), tuple(fields), is_union)


async def _read_definition(session: Session, data_type: Any) -> Any:
    (sample,) = await session.read_values([data_type], ua.AttributeIds.DataTypeDefinition)
    value = sample.value
    if not isinstance(value, Opaque):
        raise _NoLayout(
            "the server does not describe its structures (DataTypeDefinition):"
            f" {explain_node(sample.status)}"
        )
    if value.encoding.Identifier != ua.ObjectIds.StructureDefinition_Encoding_DefaultBinary:
        raise _NoLayout("its type is no structure")
    return struct_from_binary(ua.StructureDefinition, Buffer(value.body))


async def _follow(session: Session, node: Any, reference: int) -> Any:
    """Return where a node's inverse reference leads, ``None`` for nowhere."""
    references = await _references(session, node, reference, ua.BrowseDirection.Inverse)
    return references[0].NodeId if references else None


async def _references(
    session: Session, node: Any, reference: int, direction: ua.BrowseDirection
) -> Sequence[Any]:
    request = ua.BrowseRequest()
    request.Parameters.NodesToBrowse = [
        ua.BrowseDescription(
            NodeId=node,
            BrowseDirection=direction,
            ReferenceTypeId=ua.NodeId(reference),
            IncludeSubtypes=True,
            NodeClassMask=0,
            ResultMask=ua.BrowseResultMask.BrowseName,
        )
    ]
    answer = await session.ask(request, ua.BrowseResponse)
    references: Sequence[Any] = answer.Results[0].References or ()
    return references
