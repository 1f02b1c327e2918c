"""Puts the application together."""

from http import HTTPStatus
from importlib.metadata import PackageNotFoundError, version

from pydantic import ValidationError
from quart import Quart, Response, json
from quart_rate_limiter import RateLimiter
from quart_schema import Info, QuartSchema, RequestSchemaValidationError
from quart_schema.validation import QuerystringValidationError
from werkzeug.exceptions import BadRequest, HTTPException

from historian.queries import History
from host_app.audit import Audit
from host_app.database import Database
from host_app.leader import Leadership
from host_app.service import HostService
from host_app.users import Users
from web import pages
from web.api import audit as audit_api
from web.api import commands, health, live, nodes, session
from web.api import history as history_api
from web.auth import set_up_sessions
from web.context import WebContext, WebOptions, set_context
from web.live import LiveHub
from web.security import set_up_security
from web.standby import set_up_standby


def create_app(
    service: HostService,
    users: Users,
    audit: Audit,
    database: Database,
    options: WebOptions | None = None,
    *,
    leadership: Leadership | None = None,
    history: History | None = None,
) -> tuple[Quart, LiveHub]:
    """Make the application around a host.

    Returns:
        The application, and the hub whose ``run`` feeds its live sockets.
    """
    options = options or WebOptions()
    app = Quart(__name__, static_folder=None)
    hub = LiveHub(service, database)
    ours = WebContext(service, users, audit, database, hub, options, leadership, history)
    set_context(app.extensions, ours)
    set_up_security(app, options)
    set_up_sessions(app, options, users)
    set_up_standby(app)
    users.on_session_key = lambda key: setattr(app, "secret_key", key)
    RateLimiter(app)
    QuartSchema(
        app,
        openapi_path="/api/v1/openapi.json",
        redoc_ui_path=None,  # these three load their programs from somebody else's servers
        scalar_ui_path=None,
        swagger_ui_path=None,
        info=Info(title="NEXUS Edge host", version=_version()),
        conversion_preference="pydantic",
    )
    for module in (session, nodes, commands, audit_api, history_api, live, health, pages):
        app.register_blueprint(module.blueprint)
    app.register_error_handler(RequestSchemaValidationError, _refuse_body)
    app.register_error_handler(HTTPException, _tell_error)
    return app, hub


async def _refuse_body(error: RequestSchemaValidationError) -> Response:
    cause = error.validation_error
    what = "query" if isinstance(error, QuerystringValidationError) else "body"
    if isinstance(cause, ValidationError):
        mistakes = (
            f"{'.'.join(map(str, mistake['loc'])) or what}: {_said(mistake['msg'])}"
            for mistake in cause.errors(include_url=False, include_input=False)
        )
        text = "; ".join(mistakes)
    else:
        text = f"{what} is not as expected, see /api/v1/openapi.json"
    return _error(text, HTTPStatus.BAD_REQUEST)


async def _tell_error(error: HTTPException) -> Response:
    text = error.description or error.name
    if text == BadRequest.description:  # what quart says of any body that it cannot read
        text = "body is not JSON, expected as in /api/v1/openapi.json"
    answer = _error(text, error.code or 500)
    if error.code == HTTPStatus.TOO_MANY_REQUESTS:
        retry_s = getattr(error, "retry_after", 60)
        answer = _error(f"too many attempts, try again in {retry_s} s", error.code)
        answer.headers["Retry-After"] = str(retry_s)
    if error.code == HTTPStatus.METHOD_NOT_ALLOWED and (allowed := error.get_headers()):
        answer.headers.extend([h for h in allowed if h[0] == "Allow"])
    return answer


def _error(text: str, status: int) -> Response:
    return Response(json.dumps({"error": text}), status, content_type="application/json")


def _said(message: str) -> str:
    return message.removeprefix("Value error, ")


def _version() -> str:
    try:
        return version("nexus-edge")
    except PackageNotFoundError:  # a checkout that is not installed
        return "0"
