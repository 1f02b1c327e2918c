"""Calls of methods: arguments checked before they are sent, what came back by its name. asyncio."""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any, Final

import structlog
from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua.ua_binary import struct_from_binary
from asyncua.ua.uaerrors import UaError

from edge_node.drivers.base import NotUnderstood, RawValue, RequestRejected
from edge_node.drivers.opcua.kinds import KINDS
from edge_node.drivers.opcua.points import Method
from edge_node.drivers.opcua.reasons import describe_status, explain_node, is_good
from edge_node.drivers.opcua.sending import make_variant
from edge_node.drivers.opcua.session import ServiceRefused, Session, open_answer
from edge_node.drivers.opcua.structures import Layouts, make_dataset
from edge_node.drivers.opcua.typefinder import find_layouts
from edge_node.drivers.opcua.wire import Opaque, WireError, decode_variant
from proto.control.opcua import OpcUaField
from proto.sparkplug.metrics import DataSet

_ARGUMENT: Final = ua.ObjectIds.Argument_Encoding_DefaultBinary
_U32: Final = struct.Struct("<I").unpack_from
_I32: Final = struct.Struct("<i").unpack_from

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Output:
    """What a method gave back in one output argument.

    Attributes:
        value: plain; a data set where it is a structure, or several.
        code: its type on the wire.
    """

    value: Any
    code: int


@dataclass(frozen=True, slots=True)
class CallAnswer:
    """What a server says of one call (OPC 10000-4 5.12.2)."""

    status: int
    arguments: tuple[int, ...]
    outputs: tuple[tuple[Any, int], ...]


async def call_method(
    session: Session, layouts: Layouts, method: Method, value: RawValue
) -> Mapping[str, Output]:
    """Call a method with what was written; return what it gave back, by the arguments' names.

    Raises:
        RequestRejected: an argument does not fit, or the server refused.
        DeviceUnreachable: no answer, or the session is gone.
    """
    arguments = _arguments(method.arguments, value)
    object_node, method_node = await session.resolve([method.object_address, method.address])
    for address, node in ((method.object_address, object_node), (method.address, method_node)):
        if isinstance(node, str):
            raise RequestRejected(f"{address}: {node}")
    request = ua.CallRequest()
    call = ua.CallMethodRequest()
    call.ObjectId, call.MethodId, call.InputArguments = object_node, method_node, arguments
    request.Parameters.MethodsToCall = [call]
    try:
        answer = parse_call(await session.ask_raw(request))
    except ServiceRefused as exc:
        raise RequestRejected(str(exc)) from exc
    except WireError as exc:
        raise NotUnderstood(f"{session.settings.url}: {exc}") from exc
    if not is_good(answer.status):
        wrong = [
            f"argument {field.name!r}: {describe_status(status)}"
            for field, status in zip(method.arguments, answer.arguments, strict=False)
            if not is_good(status)
        ]
        raise RequestRejected(
            f"method {method.address}: {'; '.join([explain_node(answer.status), *wrong])}"
        )
    outputs = [await _read_output(session, layouts, *output) for output in answer.outputs]
    names = await _output_names(session, method_node) if outputs else []
    given = {
        name or f"output {number}": output
        for number, (output, name) in enumerate(zip_longest(outputs, names[: len(outputs)]), 1)
    }
    told = {name: str(output.value) for name, output in given.items()}
    log.info("opcua_method_called", method=str(method.address), outputs=told)
    return given


def parse_call(answer: Buffer) -> CallAnswer:
    """Read the answer to one call.

    Raises:
        ServiceRefused: it tells a bad status.
        WireError: the bytes are no such answer.
    """
    data = open_answer(answer)
    try:
        count, status = _I32(data, 0)[0], _U32(data, 4)[0]
        if count != 1:
            raise WireError(f"{count} results of one call")
        number = max(0, _I32(data, 8)[0])
        arguments = struct.unpack_from(f"<{number}I", data, 12)
        buffer = Buffer(data, 12 + 4 * number)
        for _ in range(max(0, struct.unpack("<i", buffer.read(4))[0])):
            struct_from_binary(ua.DiagnosticInfo, buffer)
        at = buffer.cur_pos
        outputs = []
        number = max(0, _I32(data, at)[0])
        at += 4
        for _ in range(number):
            value, code, at = decode_variant(data, at)
            outputs.append((value, code))
    except (struct.error, IndexError, ValueError, UaError) as exc:
        raise WireError(f"the answer to a call cannot be decoded: {exc}") from exc
    return CallAnswer(status, arguments, tuple(outputs))


async def _read_output(session: Session, layouts: Layouts, value: Any, code: int) -> Output:
    found = value if isinstance(value, list) else [value]
    if not found or not all(isinstance(each, Opaque) for each in found):
        return Output(value, code)
    try:
        return Output(make_dataset([layouts.flatten(each) for each in found]), code)
    except ValueError:
        await find_layouts(session, layouts)
    try:
        return Output(make_dataset([layouts.flatten(each) for each in found]), code)
    except ValueError as exc:
        return Output(str(exc), code)


async def _output_names(session: Session, method: Any) -> list[str]:
    """Return the names of a method's output arguments; none where the server does not tell."""
    request = ua.TranslateBrowsePathsToNodeIdsRequest()
    element = ua.RelativePathElement(
        ReferenceTypeId=ua.NodeId(ua.ObjectIds.HasProperty),
        IsInverse=False,
        IncludeSubtypes=True,
        TargetName=ua.QualifiedName("OutputArguments", 0),
    )
    request.Parameters.BrowsePaths = [ua.BrowsePath(method, ua.RelativePath([element]))]
    try:
        answer = await session.ask(request, ua.TranslateBrowsePathsToNodeIdsResponse)
        targets = answer.Results[0].Targets or ()
        if not targets:
            return []
        (told,) = await session.read_values([targets[0].TargetId])
    except ServiceRefused:
        return []
    names = []
    for each in told.value if isinstance(told.value, list) else ():
        if not isinstance(each, Opaque) or each.encoding.Identifier != _ARGUMENT:
            return []
        names.append(struct_from_binary(ua.Argument, Buffer(each.body)).Name or "")
    return names


def _arguments(fields: tuple[OpcUaField, ...], value: RawValue) -> list[Any]:
    if not fields:
        return []
    values: dict[str, Any] = {fields[0].name: value}
    if isinstance(value, DataSet):
        values = _read_row(fields, value)
    made = []
    for field in fields:
        try:
            made.append(make_variant(KINDS[field.datatype], values[field.name], array=field.array))
        except ValueError as exc:
            where = f"argument {field.name!r}: " if len(fields) > 1 else ""
            raise RequestRejected(f"{where}{exc}") from exc
    return made


def _read_row(fields: tuple[OpcUaField, ...], value: DataSet) -> dict[str, Any]:
    """Return the arguments of a row; elements of arrays have columns of their own, ``via[0]``."""
    if len(value.rows) != 1:
        raise RequestRejected(f"found {len(value.rows)} rows of arguments, expected one")
    given: dict[str, Any] = {}
    for column, cell in zip(value.columns, value.rows[0], strict=True):
        name, bracket, _ = column.partition("[")
        if not bracket:
            given[column] = cell
        elif cell is not None:
            given.setdefault(name, []).append(cell)
        else:
            given.setdefault(name, [])
    if given.keys() != {field.name for field in fields}:
        wanted = ", ".join(field.name for field in fields)
        raise RequestRejected(f"arguments are {', '.join(given)}, expected {wanted}")
    return given
