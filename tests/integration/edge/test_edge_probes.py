"""The probes of a running edge node, asked the way Prometheus and an orchestrator ask."""

import socket
from http import HTTPStatus
from pathlib import Path

import pytest
import trio
from prometheus_client.parser import text_string_to_metric_families
from structlog.testing import capture_logs

from edge_node.app import EdgeNode
from edge_node.probes import Probes
from tests.integration.edge.bench import Plc, node_document, press, running
from tests.integration.edge.edge_broker import Broker

pytestmark = pytest.mark.trio

PATIENCE_S = 30


async def ask(port: int, request: str) -> tuple[int, str]:
    """Return status and body."""
    stream = await trio.open_tcp_stream("127.0.0.1", port)
    async with stream:
        await stream.send_all(f"{request} HTTP/1.1\r\nHost: edge\r\n\r\n".encode())
        answer = b"".join([bytes(data) async for data in stream]).decode()
    head, _, body = answer.partition("\r\n\r\n")
    assert "Connection: close" in head
    return int(head.split()[1]), body


async def listening(node: EdgeNode) -> int:
    with trio.fail_after(PATIENCE_S):
        while not node.probes.port:
            await trio.lowlevel.checkpoint()
    return node.probes.port


async def test_a_running_node_tells_prometheus_of_its_devices(
    edge_broker: Broker, plc: Plc, tmp_path: Path
) -> None:
    document = node_document(edge_broker, tmp_path, press(plc), metrics={"port": 0})
    async with running(document) as node:
        port = await listening(node)
        samples: dict[str, float] = {}
        with trio.fail_after(PATIENCE_S):
            while samples.get("nexus_edge_device_polls_total", 0) < 5:
                status, body = await ask(port, "GET /metrics")
                assert status == HTTPStatus.OK
                samples = {
                    sample.name: sample.value
                    for family in text_string_to_metric_families(body)
                    for sample in family.samples
                }
        assert samples["nexus_edge_device_up"] == 1
        assert samples["nexus_edge_connected"] == 1
        requests = samples["nexus_edge_device_requests_total"]
        assert samples["nexus_edge_device_sent_bytes_total"] == requests * 12
        assert samples["nexus_edge_device_request_duration_seconds_count"] == requests


async def test_a_node_is_ready_while_it_can_publish(
    edge_broker: Broker, plc: Plc, tmp_path: Path
) -> None:
    waits = node_document(
        edge_broker, tmp_path, press(plc), metrics={"port": 0}, sparkplug={"primary_host": "scada"}
    )
    async with running(waits) as node:
        port = await listening(node)
        answer = (0, "")
        with trio.fail_after(PATIENCE_S):
            while "broker" in answer[1] or not answer[0]:
                answer = await ask(port, "GET /readyz")
        assert answer == (HTTPStatus.SERVICE_UNAVAILABLE, "the primary host is not there\n")
        assert await ask(port, "GET /healthz") == (HTTPStatus.OK, "ok\n")


async def test_without_a_broker_a_node_lives_and_is_not_ready(plc: Plc, tmp_path: Path) -> None:
    class Nowhere:
        url = "mqtt://127.0.0.1:9"

    async with running(node_document(Nowhere(), tmp_path, metrics={"port": 0})) as node:
        port = await listening(node)
        assert await ask(port, "GET /readyz") == (503, "no broker is connected\n")
        assert await ask(port, "HEAD /healthz") == (200, "")
        assert await ask(port, "POST /metrics") == (405, "expected GET\n")
        status, body = await ask(port, "GET /elsewhere")
        assert (status, body) == (404, "expected /healthz, /readyz or /metrics\n")


async def test_a_port_that_is_taken_is_told_and_stops_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, capture_logs() as logs:
        port = taken.getsockname()[1]
        await Probes(lambda: iter(()), lambda: None).run("127.0.0.1", port)
    (told,) = logs
    assert told["event"] == "metrics_not_served"
    assert told["address"] == f"127.0.0.1:{port}"
    assert "in use" in told["reason"]
