"""Serves the application with hypercorn on a socket that was opened beforehand.

Opening it first makes a port that is taken a plain message at start, and lets port 0 be asked what
it became.
"""

import asyncio
import logging
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hypercorn.asyncio import serve
from hypercorn.config import Config
from hypercorn.typing import ASGIReceiveCallable, ASGISendCallable, Scope
from quart import Quart

from host_app.errors import ConfigError
from web.context import WebOptions

GRACE_S: Final = 3.0
"""How long open requests may take to end."""
STUCK_S: Final = 30
"""A browser's machine that takes no byte for this long is gone; its connection is ended."""


@dataclass(frozen=True, slots=True)
class Tls:
    """Certificate chain and key, PEM."""

    cert_file: Path
    key_file: Path


def open_socket(bind: str, port: int) -> socket.socket:
    """Listen.

    Raises:
        ConfigError: the address cannot be listened on, with what to do.
    """
    try:
        family, kind, proto, _, address = socket.getaddrinfo(
            bind, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        sock = socket.socket(family, kind, proto)
    except OSError as exc:
        raise ConfigError(f"--bind {bind!r}: {exc.strerror or exc}") from exc
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux; accepted sockets inherit it
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, STUCK_S * 1000)
        sock.bind(address)
        sock.listen(128)
    except OSError as exc:
        sock.close()
        raise ConfigError(
            f"port {port} on {bind}: {exc.strerror or exc}; choose another with --port"
        ) from exc
    sock.setblocking(False)
    return sock


def format_url(sock: socket.socket, tls: Tls | None) -> str:
    """Return where a browser on this machine finds the console."""
    host, port = sock.getsockname()[:2]
    if host in {"0.0.0.0", "::"}:  # noqa: S104  # compared, not bound
        host = "127.0.0.1"
    shown = f"[{host}]" if ":" in host else host
    return f"{'http' if tls is None else 'https'}://{shown}:{port}"


async def run_server(
    app: Quart, sock: socket.socket, options: WebOptions, tls: Tls | None, stop: asyncio.Event
) -> None:
    """Serve until told to stop; open requests get a moment to end. The socket is taken over."""
    config = Config()
    config.bind = [f"fd://{sock.detach()}"]
    config.graceful_timeout = GRACE_S
    config.keep_alive_timeout = 60
    config.websocket_max_message_size = 64 * 1024
    config.websocket_ping_interval = 20
    config.include_server_header = False
    config.accesslog = None
    # The suite's own handler writes them; what hypercorn says of its start is said better already.
    config.errorlog = logging.getLogger("hypercorn.error")
    config.errorlog.setLevel(logging.WARNING)
    if tls is not None:
        config.certfile, config.keyfile = str(tls.cert_file), str(tls.key_file)

    async def wait_stop() -> None:
        await stop.wait()

    async def application(
        scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable
    ) -> None:
        if options.is_secure and scope["type"] in {"http", "websocket"}:
            # A proxy ended TLS; without this, cookies that need it would be thought lost.
            scope["scheme"] = "https" if scope["type"] == "http" else "wss"
        await app(scope, receive, send)

    await serve(application, config, shutdown_trigger=wait_stop)
