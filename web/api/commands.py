"""Writing to metrics and asking for births."""

from http import HTTPStatus

from quart import Blueprint, request
from quart_schema import document_response, tag, validate_request
from werkzeug.exceptions import (
    BadRequest,
    Conflict,
    HTTPException,
    NotFound,
    ServiceUnavailable,
)

from host_app.commands import Target
from host_app.engineering import read_enumeration
from host_app.errors import CommandRefused
from host_app.users import Role
from proto.sparkplug.node_view import MetricView
from proto.sparkplug.topics import NodeId
from web.api.models import AcceptedJson, EmptyJson, ErrorJson, RebirthRequest, WriteRequest
from web.auth import needs, the_user
from web.context import context
from web.json_values import ValueNotUnderstood, value_from_json

blueprint = Blueprint("commands", __name__)

_REFUSALS: dict[str, type[HTTPException]] = {
    "unknown": NotFound,
    "offline": Conflict,
    "read_only": Conflict,
    "value": BadRequest,
    "busy": ServiceUnavailable,
    "passive": Conflict,
}


@blueprint.post("/api/v1/write")
@validate_request(WriteRequest)
@document_response(AcceptedJson, 202)
@document_response(ErrorJson, 400)
@document_response(ErrorJson, 401)
@document_response(ErrorJson, 403)
@document_response(ErrorJson, 404)
@document_response(ErrorJson, 409)
@tag(["commands"])
@needs(Role.OPERATOR)
async def write(data: WriteRequest) -> tuple[dict[str, str], int]:
    """Send a value to a metric; whether it was taken comes on the live socket."""
    service = context().service
    target = Target(NodeId(data.group, data.edge), data.device, data.metric)
    view = service.node(target.node)
    metric = None if view is None else view.metric(target.device, target.metric)
    if metric is None:
        raise NotFound(f"metric {target}: no birth told of it")
    try:
        value = _value(metric, data.value)
    except ValueNotUnderstood as exc:
        raise BadRequest(f"metric {target}: {exc}") from exc
    actor = the_user(Role.OPERATOR).name
    try:
        write_id = service.write(target, value, actor=actor, remote=request.remote_addr)
    except CommandRefused as exc:
        raise _REFUSALS[exc.reason](str(exc)) from exc
    return {"id": write_id}, HTTPStatus.ACCEPTED


def _value(metric: MetricView, told: object) -> object:
    """Return the value that was told; a text for an enumeration may be a name."""
    is_text = isinstance(told, str) and not told.lstrip("-").isdigit()
    if is_text and read_enumeration(metric) is not None:
        return told
    return value_from_json(metric.datatype, told)


@blueprint.post("/api/v1/rebirth")
@validate_request(RebirthRequest)
@document_response(EmptyJson, 202)
@document_response(ErrorJson, 401)
@document_response(ErrorJson, 403)
@document_response(ErrorJson, 404)
@document_response(ErrorJson, 409)
@tag(["commands"])
@needs(Role.OPERATOR)
async def rebirth(data: RebirthRequest) -> tuple[dict[str, str], int]:
    """Ask a node for its births."""
    actor = the_user(Role.OPERATOR).name
    node = NodeId(data.group, data.edge)
    try:
        context().service.rebirth(node, actor=actor, remote=request.remote_addr)
    except CommandRefused as exc:
        raise _REFUSALS[exc.reason](str(exc)) from exc
    return {}, HTTPStatus.ACCEPTED
