"""``/healthz``, ``/readyz`` and ``/metrics`` over plain HTTP, for those who watch the process.

It answers GET and nothing else, and closes after each answer; it reads what it tells from functions
and changes nothing.
"""

import asyncio
from collections.abc import Callable, Iterator
from http import HTTPStatus
from typing import Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

from historian.errors import ConfigError
from proto.control.status import HistorianStatus

_PATIENCE_S: Final = 5.0
_LONGEST_REQUEST: Final = 8_192
_TEXT: Final = "text/plain; charset=utf-8"

_COUNTERS: Final = {
    "points_received": "Points in births and data, control metrics aside",
    "points_stored": "Points written to the database",
    "points_duplicate": "Points that were there already",
    "points_dropped": "Points lost to a bound, or impossible to store",
    "messages_missed": "Messages that never arrived, as gaps in sequence numbers tell; at least",
    "payloads_rejected": "Messages that were no Sparkplug payload",
}
_GAUGES: Final = {
    "backlog_points": "Points decoded and not in the database yet",
    "backlog_bytes": "Memory taken by what is on its way",
}

Answer = tuple[HTTPStatus, str, bytes]


class Probes:
    """The small HTTP server.

    Args:
        read_status: the present status document.
        explain_unready: why the historian is not doing its work now; ``None`` when it is.
    """

    def __init__(
        self,
        read_status: Callable[[], HistorianStatus],
        explain_unready: Callable[[], str | None],
    ) -> None:
        self._explain_unready = explain_unready
        self._registry = CollectorRegistry()
        self._registry.register(_StatusCollector(read_status, explain_unready))

    async def run(self, bind: str, port: int, on_listening: Callable[[int], None]) -> None:
        """Serve until cancelled.

        Args:
            bind: address to listen on.
            port: TCP port; 0 takes a free one.
            on_listening: told the port.

        Raises:
            ConfigError: the address cannot be listened on.
        """
        try:
            server = await asyncio.start_server(self._serve, bind, port, limit=_LONGEST_REQUEST)
        except OSError as error:
            raise ConfigError(f"metrics on {bind}:{port}: {error.strerror or error}") from error
        async with server:
            on_listening(server.sockets[0].getsockname()[1])
            await server.serve_forever()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_PATIENCE_S):
                head = await reader.readuntil(b"\r\n\r\n")
                status, kind, body = self._answer(head)
                lines = (
                    f"HTTP/1.1 {status.value} {status.phrase}",
                    f"Content-Type: {kind}",
                    f"Content-Length: {len(body)}",
                    "Connection: close",
                )
                writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
                await writer.drain()
        except (TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            return  # whoever asked has gone or is no HTTP client
        finally:
            writer.close()

    def _answer(self, head: bytes) -> Answer:
        method, _, rest = head.partition(b" ")
        if method not in {b"GET", b"HEAD"}:
            return HTTPStatus.METHOD_NOT_ALLOWED, _TEXT, b"expected GET\n"
        match rest.partition(b" ")[0].partition(b"?")[0]:
            case b"/healthz":
                return HTTPStatus.OK, _TEXT, b"ok\n"
            case b"/readyz":
                reason = self._explain_unready()
                if reason is None:
                    return HTTPStatus.OK, _TEXT, b"ready\n"
                return HTTPStatus.SERVICE_UNAVAILABLE, _TEXT, f"{reason}\n".encode()
            case b"/metrics":
                return HTTPStatus.OK, CONTENT_TYPE_LATEST, generate_latest(self._registry)
        return HTTPStatus.NOT_FOUND, _TEXT, b"expected /healthz, /readyz or /metrics\n"


class _StatusCollector(Collector):
    """Turns the status document into Prometheus metrics when they are asked for."""

    def __init__(
        self,
        read_status: Callable[[], HistorianStatus],
        explain_unready: Callable[[], str | None],
    ) -> None:
        self._read_status = read_status
        self._explain_unready = explain_unready

    def describe(self) -> Iterator[Metric]:
        """Tell the registry nothing: it need not ask before the first scrape."""
        yield from ()

    def collect(self) -> Iterator[Metric]:
        """Read the status once for all metrics."""
        status = self._read_status()
        for field, text in _COUNTERS.items():
            counter = CounterMetricFamily(f"nexus_historian_{field}", text)
            counter.add_metric([], getattr(status, field))
            yield counter
        for field, text in _GAUGES.items():
            gauge = GaugeMetricFamily(f"nexus_historian_{field}", text)
            gauge.add_metric([], getattr(status, field))
            yield gauge
        ready = GaugeMetricFamily("nexus_historian_ready", "1 while broker and database are there")
        ready.add_metric([], self._explain_unready() is None)
        yield ready
