"""A host on standby knows nothing of the plant, and says so instead of showing an empty one."""

from quart import Quart, request
from werkzeug.exceptions import ServiceUnavailable

from web.context import context

_ALWAYS = frozenset({"session", "openapi.json"})


def set_up_standby(app: Quart) -> None:
    """Refuse what only the active host can answer."""

    @app.before_request
    async def check_active() -> None:
        resource = request.path.removeprefix("/api/v1/")
        if resource != request.path and resource not in _ALWAYS:
            refuse_on_standby()

    app.before_websocket(_check_socket)


async def _check_socket() -> None:
    refuse_on_standby()


def refuse_on_standby() -> None:
    """Refuse, on standby.

    Raises:
        ServiceUnavailable: another host is active.
    """
    if context().is_standby:
        raise ServiceUnavailable("this host is on standby, expected the active one")
