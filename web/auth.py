"""Who is asking: a signed cookie that scripts cannot read and other sites cannot send.

The cookie names the user and the generation of their password, so that changing it ends sessions.
"""

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Final, ParamSpec, TypeVar

from quart import Quart
from quart_auth import Action, AuthUser, QuartAuth
from quart_auth import current_user as cookie_user
from werkzeug.exceptions import Forbidden, ServiceUnavailable, Unauthorized

from host_app.users import Role, User, Users
from web.context import WebOptions, context

_P = ParamSpec("_P")
_R = TypeVar("_R")

_SALT: Final = "nexus-console-session"


def set_up_sessions(app: Quart, options: WebOptions, users: Users) -> QuartAuth:
    """Let the application know its users by their cookie."""
    app.secret_key = users.session_key
    # The __Host- prefix makes browsers refuse the cookie from anything but this very host on TLS.
    name = "__Host-nexus" if options.is_secure else "nexus_session"
    return QuartAuth(
        app,
        cookie_name=name,
        cookie_http_only=True,
        cookie_samesite="Strict",
        cookie_secure=options.is_secure,
        duration=options.session_s,
        salt=_SALT,
    )


def issue(user: User) -> AuthUser:
    """Return what the sign-in cookie is made of."""
    return AuthUser(f"{user.generation}:{user.name}", Action.WRITE_PERMANENT)


def find_user() -> User | None:
    """Return who sent the request or opened the socket, None when nobody is signed in."""
    auth_id: str | None = cookie_user.auth_id
    if auth_id is None:
        return None
    generation, _, name = auth_id.partition(":")
    user = context().users.find(name)
    return user if user is not None and str(user.generation) == generation else None


def the_user(wanted: Role = Role.VIEWER) -> User:
    """Return who sent the request.

    Raises:
        Unauthorized: nobody is signed in.
        Forbidden: the user may not do that.
        ServiceUnavailable: the host has just started and cannot tell yet.
    """
    user = find_user()
    if user is None and not context().users.is_read:
        # Whoever is told 401 forgets the session, which may well hold.
        raise ServiceUnavailable(
            f"the host has not read its users yet, database: {context().database.problem}"
        )
    if user is None:
        raise Unauthorized("not signed in")
    if not user.role.includes(wanted):
        raise Forbidden(f"{user.name} is {user.role.value}, expected at least {wanted.value}")
    return user


def needs(
    role: Role,
) -> Callable[[Callable[_P, Awaitable[_R]]], Callable[_P, Awaitable[_R]]]:
    """Refuse requests of those who are not signed in or have a lesser role."""

    def decorate(handler: Callable[_P, Awaitable[_R]]) -> Callable[_P, Awaitable[_R]]:
        @wraps(handler)
        async def checked(*args: _P.args, **kwargs: _P.kwargs) -> _R:
            the_user(role)
            return await handler(*args, **kwargs)

        return checked

    return decorate
