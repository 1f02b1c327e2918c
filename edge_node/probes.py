"""``/healthz``, ``/readyz`` and ``/metrics`` over plain HTTP, for those who watch the process.

It answers GET and nothing else, and closes after each answer; it reads what it tells from functions
and changes nothing. Long answers go out in pieces, with everything else's turn between them.
"""

from collections.abc import Callable, Iterator
from http import HTTPStatus
from typing import Final

import structlog
import trio

_PATIENCE_S: Final = 5.0
_LONGEST_REQUEST: Final = 8_192
_TEXT: Final = "text/plain; charset=utf-8"
_METRICS: Final = "text/plain; version=0.0.4; charset=utf-8"

Answer = tuple[HTTPStatus, str, Iterator[str]]

log = structlog.get_logger(__name__)


class Probes:
    """The small HTTP server.

    Args:
        read_metrics: yields the metrics in Prometheus' text format.
        explain_unready: why the node does not publish now; ``None`` when it does.

    Attributes:
        port: what is listened on, 0 before.
    """

    def __init__(
        self, read_metrics: Callable[[], Iterator[str]], explain_unready: Callable[[], str | None]
    ) -> None:
        self.port = 0
        self._read_metrics = read_metrics
        self._explain_unready = explain_unready

    async def run(self, bind: str, port: int) -> None:
        """Serve until cancelled.

        An address that cannot be listened on is told and left alone: polling does not stand still
        because nobody can watch it.

        Args:
            bind: address to listen on.
            port: TCP port; 0 takes a free one.
        """
        try:
            listeners = await trio.open_tcp_listeners(port, host=bind)
        except OSError as exc:
            reason = exc.strerror or str(exc)
            log.error("metrics_not_served", address=f"{bind}:{port}", reason=reason)  # noqa: TRY400
            return
        self.port = listeners[0].socket.getsockname()[1]
        log.info("metrics_served", address=f"{bind}:{self.port}")
        await trio.serve_listeners(self._serve, listeners)

    async def _serve(self, stream: trio.SocketStream) -> None:
        with trio.move_on_after(_PATIENCE_S):
            try:
                head = await _read_head(stream)
                status, kind, body = self._answer(head)
                lines = (
                    f"HTTP/1.1 {status.value} {status.phrase}",
                    f"Content-Type: {kind}",
                    "Connection: close",
                )
                await stream.send_all("\r\n".join(lines).encode() + b"\r\n\r\n")
                if not head.startswith(b"HEAD "):
                    for piece in body:
                        await stream.send_all(piece.encode())
                await stream.send_eof()
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                pass  # whoever asked has gone
        await trio.aclose_forcefully(stream)

    def _answer(self, head: bytes) -> Answer:
        method, _, rest = head.partition(b" ")
        if method not in {b"GET", b"HEAD"}:
            return HTTPStatus.METHOD_NOT_ALLOWED, _TEXT, iter(["expected GET\n"])
        match rest.partition(b" ")[0].partition(b"?")[0]:
            case b"/healthz":
                return HTTPStatus.OK, _TEXT, iter(["ok\n"])
            case b"/readyz":
                if (reason := self._explain_unready()) is None:
                    return HTTPStatus.OK, _TEXT, iter(["ready\n"])
                return HTTPStatus.SERVICE_UNAVAILABLE, _TEXT, iter([f"{reason}\n"])
            case b"/metrics":
                return HTTPStatus.OK, _METRICS, self._read_metrics()
        expected = "expected /healthz, /readyz or /metrics\n"
        return HTTPStatus.NOT_FOUND, _TEXT, iter([expected])


async def _read_head(stream: trio.SocketStream) -> bytes:
    """Return a request up to its empty line, or what came before it grew too long or ended."""
    head = b""
    while b"\r\n\r\n" not in head and len(head) < _LONGEST_REQUEST:
        data = await stream.receive_some()
        if not data:
            break
        head += data
    return head
