"""The small HTTP server for those who watch the process."""

import asyncio

import pytest

from historian.errors import ConfigError
from historian.probes import Probes
from proto.control.status import HistorianStatus

pytestmark = pytest.mark.asyncio

STATUS = HistorianStatus(
    timestamp_ms=1,
    version="0",
    started_ms=0,
    database="postgresql",
    points_received=12,
    points_stored=7,
    backlog_bytes=99,
)


async def ask(request: bytes, unready: str | None = None) -> tuple[str, str]:
    """Send bytes; give back the status line and the body."""
    listening: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    probes = Probes(lambda: STATUS, lambda: unready)
    serving = asyncio.create_task(probes.run("127.0.0.1", 0, listening.set_result))
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", await listening)
        writer.write(request)
        writer.write_eof()
        answer = (await reader.read()).decode()
        writer.close()
        await writer.wait_closed()
    finally:
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
    head, _, body = answer.partition("\r\n\r\n")
    return head.partition("\r\n")[0], body


def get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()


async def test_health_is_told_while_the_loop_runs() -> None:
    assert await ask(get("/healthz"), "database is away") == ("HTTP/1.1 200 OK", "ok\n")


async def test_readiness_is_told_with_its_reason() -> None:
    assert await ask(get("/readyz")) == ("HTTP/1.1 200 OK", "ready\n")
    status, body = await ask(get("/readyz"), "database is away")
    assert status == "HTTP/1.1 503 Service Unavailable"
    assert body == "database is away\n"


async def test_metrics_are_those_of_the_status() -> None:
    status, body = await ask(get("/metrics?x=1"), "down")
    assert status == "HTTP/1.1 200 OK"
    assert "nexus_historian_points_received_total 12.0" in body
    assert "nexus_historian_points_stored_total 7.0" in body
    assert "nexus_historian_backlog_bytes 99.0" in body
    assert "nexus_historian_ready 0.0" in body


async def test_other_paths_and_methods_are_refused() -> None:
    assert (await ask(get("/")))[0] == "HTTP/1.1 404 Not Found"
    post = b"POST /metrics HTTP/1.1\r\n\r\n"
    assert (await ask(post))[0] == "HTTP/1.1 405 Method Not Allowed"


@pytest.mark.parametrize("noise", [b"", b"\x16\x03\x01", b"x" * 20_000])
async def test_what_is_no_http_gets_no_answer(noise: bytes) -> None:
    assert await ask(noise) == ("", "")


async def test_port_that_is_taken_is_told() -> None:
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    with pytest.raises(ConfigError, match=f"metrics on 127.0.0.1:{port}: "):
        await Probes(lambda: STATUS, lambda: None).run("127.0.0.1", port, lambda _: None)
    server.close()
    await server.wait_closed()
