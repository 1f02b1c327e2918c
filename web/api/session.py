"""Signing in and out."""

from datetime import timedelta

import structlog
from quart import Blueprint, request
from quart_auth import login_user, logout_user
from quart_rate_limiter import rate_limit
from quart_schema import document_response, tag, validate_request
from werkzeug.exceptions import ServiceUnavailable, Unauthorized

from host_app.audit import Entry
from host_app.clock import now_ms
from host_app.errors import StorageUnavailable
from web.api.models import EmptyJson, ErrorJson, SessionJson, SignInRequest
from web.auth import find_user, issue, the_user
from web.context import context

log = structlog.get_logger(__name__)
blueprint = Blueprint("session", __name__)

_ATTEMPTS = 10
_PERIOD = timedelta(minutes=1)


async def _peer() -> str:
    # Not what X-Forwarded-For says: whoever guesses passwords would change it with every guess.
    return request.remote_addr or "unknown"


@blueprint.post("/api/v1/session")
@rate_limit(_ATTEMPTS, _PERIOD, key_function=_peer)
@validate_request(SignInRequest)
@document_response(SessionJson)
@document_response(ErrorJson, 401)
@document_response(ErrorJson, 429)
@document_response(ErrorJson, 503)
@tag(["session"])
async def sign_in(data: SignInRequest) -> dict[str, str]:
    """Sign in; the answer sets the session cookie."""
    ours = context()
    try:
        user = await ours.users.sign_in(data.username, data.password)
    except StorageUnavailable as exc:
        raise ServiceUnavailable(f"nobody can sign in now, {exc}") from exc
    if user is None:
        failed = Entry(now_ms(), "-", "sign_in_failed", data.username, request.remote_addr)
        ours.audit.record(failed)
        if ours.users.is_empty:
            raise Unauthorized(
                "there are no users yet: run ./nexus host --add-user NAME on the server, "
                "or set NEXUS_CONSOLE_PASSWORD for the user admin"
            )
        raise Unauthorized("user name or password is wrong")
    login_user(issue(user))
    ours.audit.record(Entry(now_ms(), user.name, "sign_in", user.name, request.remote_addr))
    return {"username": user.name, "role": user.role.value}


@blueprint.get("/api/v1/session")
@document_response(SessionJson)
@document_response(ErrorJson, 401)
@document_response(ErrorJson, 503)
@tag(["session"])
async def show_session() -> dict[str, str]:
    """Tell who is signed in."""
    user = the_user()
    return {"username": user.name, "role": user.role.value}


@blueprint.delete("/api/v1/session")
@document_response(EmptyJson)
@tag(["session"])
async def sign_out() -> dict[str, str]:
    """Sign out; the answer takes the cookie away."""
    user = find_user()
    if user is not None:
        entry = Entry(now_ms(), user.name, "sign_out", user.name, request.remote_addr)
        context().audit.record(entry)
    logout_user()
    return {}
