"""Who did what."""

from dataclasses import asdict

from quart import Blueprint
from quart_schema import document_response, tag, validate_querystring
from werkzeug.exceptions import ServiceUnavailable

from host_app.errors import StorageUnavailable
from host_app.users import Role
from web.api.models import AuditJson, AuditQuery, ErrorJson
from web.auth import needs
from web.context import context

blueprint = Blueprint("audit", __name__)


@blueprint.get("/api/v1/audit")
@validate_querystring(AuditQuery)
@document_response(AuditJson)
@document_response(ErrorJson, 401)
@document_response(ErrorJson, 403)
@tag(["audit"])
@needs(Role.ADMIN)
async def list_audit(query_args: AuditQuery) -> dict[str, object]:
    """Give the newest entries of the audit log."""
    try:
        entries = await context().audit.latest(query_args.limit)
    except StorageUnavailable as exc:
        raise ServiceUnavailable(str(exc)) from exc
    return {"entries": [asdict(entry) for entry in entries]}
