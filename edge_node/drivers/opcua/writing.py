"""Writes and calls of methods, checked before they are sent. asyncio."""

from typing import Any, Final

import structlog
from asyncua import ua
from asyncua.ua.uaerrors import UaError

from edge_node.drivers.base import RawValue, RequestRejected
from edge_node.drivers.opcua.kinds import KINDS, Kind, check_writable, to_ticks
from edge_node.drivers.opcua.points import Method, Point
from edge_node.drivers.opcua.reasons import describe_status, explain_node
from edge_node.drivers.opcua.session import ServiceRefused, Session
from proto.control.opcua import OpcUaField
from proto.sparkplug.metrics import DataSet

_MAKERS: Final[dict[str, Any]] = {
    "datetime": lambda value: ua.win_epoch_to_datetime(to_ticks(value)),
    "nodeid": ua.NodeId.from_string,
    "qualifiedname": ua.QualifiedName.from_string,
    "localizedtext": ua.LocalizedText,
    "statuscode": ua.StatusCode,
}

log = structlog.get_logger(__name__)


async def write_value(session: Session, point: Point, node: Any, value: RawValue) -> None:
    """Write a value to a node.

    Raises:
        RequestRejected: it does not fit, or the server refused it.
        DeviceUnreachable: no answer, or the session is gone.
    """
    assert point.kind is not None  # noqa: S101  # structures are not writable, the document says
    request = ua.WriteRequest()
    # Many servers refuse writes that carry a status or a time.
    told = ua.DataValue(_variant(point.kind, point.array, value), StatusCode=None)
    request.Parameters.NodesToWrite = [
        ua.WriteValue(NodeId=node, AttributeId=ua.AttributeIds.Value, Value=told)
    ]
    try:
        answer = await session.ask(request, ua.WriteResponse)
    except ServiceRefused as exc:
        raise RequestRejected(str(exc)) from exc
    status = answer.Results[0]
    if not status.is_good():
        raise RequestRejected(f"{point.address}: {explain_node(status.value)}")


async def call_method(session: Session, method: Method, value: RawValue) -> list[Any]:
    """Call a method with what was written; return what it gave back.

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
        answer = await session.ask(request, ua.CallResponse)
    except ServiceRefused as exc:
        raise RequestRejected(str(exc)) from exc
    result = answer.Results[0]
    if not result.StatusCode.is_good():
        wrong = [
            f"argument {field.name!r}: {describe_status(status.value)}"
            for field, status in zip(
                method.arguments, result.InputArgumentResults or (), strict=False
            )
            if not status.is_good()
        ]
        reason = "; ".join([explain_node(result.StatusCode.value), *wrong])
        raise RequestRejected(f"method {method.address}: {reason}")
    outputs = [variant.Value for variant in result.OutputArguments or ()]
    log.info("opcua_method_called", method=str(method.address), outputs=[str(o) for o in outputs])
    return outputs


def _arguments(fields: tuple[OpcUaField, ...], value: RawValue) -> list[Any]:
    if not fields:
        return []
    values: tuple[Any, ...] = (value,)
    if isinstance(value, DataSet):
        if len(value.rows) != 1:
            raise RequestRejected(f"found {len(value.rows)} rows of arguments, expected one")
        wanted = tuple(field.name for field in fields)
        if value.columns != wanted:
            raise RequestRejected(
                f"arguments are {', '.join(value.columns)}, expected {', '.join(wanted)}"
            )
        values = value.rows[0]
    return [
        _variant(KINDS[field.datatype], field.array, each)
        for field, each in zip(fields, values, strict=True)
    ]


def _variant(kind: Kind, array: bool, value: RawValue) -> Any:
    try:
        checked = check_writable(value, kind, array=array)
        make = _MAKERS.get(kind.name)
        if make is not None:
            checked = [make(each) for each in checked] if array else make(checked)
    except (ValueError, UaError) as exc:
        raise RequestRejected(str(exc)) from exc
    return ua.Variant(checked, ua.VariantType(kind.code), is_array=array)
