"""The built page: its files, and a plain word where it was not built."""

from pathlib import Path

from quart import Blueprint, Response, send_from_directory
from quart_schema import hide
from werkzeug.exceptions import NotFound

from web.context import context

blueprint = Blueprint("pages", __name__)

_NOT_BUILT = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>NEXUS Edge: console not built</title></head>
<body>
<h1>The console has not been built</h1>
<p>The host runs, and its API answers, but there is no page to show.</p>
<p>Run <code>./nexus demo</code> once, or in <code>web/ui</code>:
<code>npm ci &amp;&amp; npm run build</code>. Then reload this page.</p>
</body>
</html>
"""


@blueprint.get("/")
@hide
async def index() -> Response:
    """Serve the page itself."""
    static = context().options.static
    if not is_built(static):
        return Response(_NOT_BUILT, 503, content_type="text/html; charset=utf-8")
    response = await send_from_directory(static, "index.html")
    # It names the other files by their content, so it is the one that must be asked for.
    response.headers["Cache-Control"] = "no-cache"
    return response


@blueprint.get("/<path:name>")
@hide
async def file(name: str) -> Response:
    """Serve one of the page's files."""
    if name.startswith("api/"):
        raise NotFound(f"/{name} is not a resource of this API, see /api/v1/openapi.json")
    response = await send_from_directory(context().options.static, name)
    if name.startswith("assets/"):
        response.headers["Cache-Control"] = "public, max-age=31536000, immutable"
    return response


def is_built(static: Path) -> bool:
    """Whether there is a page to serve."""
    return (static / "index.html").is_file()
