"""The picture over REST."""

import json
from collections.abc import AsyncIterator
from typing import Any

from quart import Blueprint, Response
from quart_schema import document_response, tag
from werkzeug.exceptions import NotFound

from host_app.users import Role
from proto.sparkplug.node_view import NodeView
from proto.sparkplug.topics import NodeId
from web.api.models import DiagnosticsJson, ErrorJson, NodesJson
from web.auth import needs
from web.context import context
from web.diagnostics_json import diagnostics_to_json
from web.node_json import node_to_json

blueprint = Blueprint("nodes", __name__)


@blueprint.get("/api/v1/nodes")
@document_response(NodesJson)
@document_response(ErrorJson, 401)
@tag(["plant"])
@needs(Role.VIEWER)
async def list_nodes() -> Response:
    """Give every node with its devices and metrics."""
    views = list(context().service.nodes())
    return Response(_stream(views), content_type="application/json")


@blueprint.get("/api/v1/nodes/<group>/<edge>/diagnostics")
@document_response(DiagnosticsJson)
@document_response(ErrorJson, 401)
@document_response(ErrorJson, 404)
@tag(["plant"])
@needs(Role.VIEWER)
async def show_diagnostics(group: str, edge: str) -> dict[str, Any]:
    """Give what one node did, how quickly, and what it does not keep to."""
    service = context().service
    node = NodeId(group, edge)
    view = service.node(node)
    if view is None:
        raise NotFound(f"edge node {node}: never heard of")
    return diagnostics_to_json(view, service.traffic(node))


async def _stream(views: list[NodeView]) -> AsyncIterator[bytes]:
    # Node by node, so that a big plant does not hold up the event loop.
    yield b'{"nodes":['
    for number, view in enumerate(views):
        text = json.dumps(node_to_json(view), separators=(",", ":"), allow_nan=False)
        yield (b"," if number else b"") + text.encode()
    yield b"]}"
