"""What protects browsers: headers, and who may send what from where.

A cookie that is SameSite=Strict keeps other sites out; the checks of Origin and content type do so
again for browsers that do not know it.
"""

from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from quart import Quart, Response, request, websocket
from werkzeug.datastructures import Headers
from werkzeug.exceptions import Forbidden, UnsupportedMediaType

from web.context import WebOptions

MAX_BODY_BYTES: Final = 1 << 20

_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_CONTENT_SECURITY_POLICY: Final = (
    "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)
HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": _CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
_STRICT_TRANSPORT: Final = "max-age=31536000"


def set_up_security(app: Quart, options: WebOptions) -> None:
    """Check every request and add headers to every answer."""
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES

    @app.before_request
    async def check_request() -> None:
        if request.method in _SAFE:
            return
        check_origin(request.headers, options)
        if request.method != "DELETE" and request.mimetype != "application/json":
            raise UnsupportedMediaType(
                f"content type is {request.mimetype or 'missing'}, expected application/json"
            )

    @app.before_websocket
    async def check_websocket() -> None:
        check_origin(websocket.headers, options)

    @app.after_request
    async def add_headers(response: Response) -> Response:
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        if options.is_secure:
            response.headers["Strict-Transport-Security"] = _STRICT_TRANSPORT
        if request.path.startswith("/api/"):
            response.headers["Cache-Control"] = "no-store"
        return response


def check_origin(headers: Headers, options: WebOptions) -> None:
    """Refuse what another site's page sent; programs, which send no Origin, have no cookie jar.

    Raises:
        Forbidden: the Origin is not where the console itself lives.
    """
    origin = headers.get("Origin")
    if origin is None:
        return
    try:
        found = urlsplit(origin).netloc.lower()
    except ValueError:
        found = ""
    expected = {(headers.get("Host") or "").lower(), options.public_netloc} - {"", None}
    if not found or found not in expected:
        raise Forbidden(f"origin is {origin[:100]!r}, expected the console's own")
