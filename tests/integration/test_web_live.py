"""Sign-in, live socket and writes through a real host process."""

import json
import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from deploy.local.broker import MqttBroker
from proto.control.command import CommandResult
from proto.sparkplug.datatypes import DataType
from tests.integration.host_rig import (
    PASSWORD,
    EdgePeer,
    HostProcess,
    metric,
    press_metrics,
    running_host,
    wait_for,
)


@pytest.fixture(scope="module")
def host(
    module_mqtt_broker: MqttBroker,
    module_postgres_url: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[HostProcess]:
    folder = tmp_path_factory.mktemp("host")
    with running_host(folder, module_mqtt_broker, module_postgres_url) as process:
        yield process


@pytest.fixture(scope="module")
def cookie(host: HostProcess) -> str:
    return host.sign_in()


@pytest.fixture
def edge(module_mqtt_broker: MqttBroker, host: HostProcess, cookie: str) -> Iterator[EdgePeer]:
    peer = EdgePeer(module_mqtt_broker)
    peer.birth()

    def is_born() -> bool:
        node = host.node(cookie, "plant/line-1")
        return node is not None and any(device["online"] for device in node["devices"])

    wait_for(is_born, "birth")
    yield peer
    peer.close()


class LivePeer:
    """A browser's socket: every message that came, by its type."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._messages: queue.Queue[dict[str, Any]] = queue.Queue()
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def wait(self, kind: str, **fields: Any) -> dict[str, Any]:
        """Wait for a message of a type, passing over others."""
        while True:
            message = self._messages.get(timeout=10)
            if message["type"] == kind and fields.items() <= message.items():
                return message

    def wait_temperature(self) -> tuple[float, dict[str, Any]]:
        """Wait for the next word of the press's temperature."""
        while True:
            message = self._messages.get(timeout=10)
            if message["type"] == "node" and "temperature" in (told := press(message["node"])):
                return told["temperature"]["value"], message
            for row in message.get("values", ()):
                if row[2] == "temperature":
                    return row[3], message

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()
        self._thread.join()

    def _read(self) -> None:
        try:
            for text in self._socket:
                self._messages.put(json.loads(text))
        except ConnectionClosed:
            pass  # the host went; what came before is in the queue


@contextmanager
def live(host: HostProcess, cookie: str, **headers: str) -> Iterator[LivePeer]:
    url = host.url.replace("http://", "ws://") + "/api/v1/live"
    socket = connect(url, additional_headers={"Cookie": cookie, **headers}, max_size=None)
    peer = LivePeer(socket)
    try:
        yield peer
    finally:
        peer.close()


def press(node: dict[str, Any]) -> dict[str, Any]:
    return {m["name"]: m for d in node["devices"] for m in d["metrics"]}


def write(host: HostProcess, cookie: str, name: str, value: Any) -> tuple[int, Any]:
    body = {
        "group": "plant",
        "edge": "line-1",
        "device": "press",
        "metric": name,
        "value": value,
    }
    return host.post("/api/v1/write", body, cookie)[:2]


def test_socket_tells_the_whole_picture_first_and_then_what_changes(
    host: HostProcess, cookie: str, edge: EdgePeer
) -> None:
    with live(host, cookie) as browser:
        snapshot = browser.wait("snapshot")
        assert snapshot["host"] == {
            "id": "nexus",
            "online": True,
            "mode": "primary",
            "database": True,
            "problems": [],
        }
        [node] = [n for n in snapshot["nodes"] if n["id"] == "plant/line-1"]
        assert press(node)["temperature"]["value"] == 21.5
        edge.data(10, DataType.DOUBLE, -1.0)
        while browser.wait_temperature()[0] != -1.0:
            pass  # the birth may still be told
        for value in range(100):
            edge.data(10, DataType.DOUBLE, float(value))
        messages: list[dict[str, Any]] = []
        while not messages or messages[-1]["values"][-1][3] != 99.0:
            messages.append(browser.wait_temperature()[1])
        assert len(messages) < 5, "values were not conflated"
        row = messages[-1]["values"][-1]
        assert row[:3] == ["plant/line-1", "press", "temperature"]
        assert row[4] == 192
        assert row[5] <= messages[-1]["server_time_ms"]
        assert row[6] is False
        edge.send("DDEATH", (), "press")
        dead = browser.wait("node")["node"]
        assert press(dead)["temperature"]["stale"]


def test_write_is_confirmed_by_the_value_that_comes_back(
    host: HostProcess, cookie: str, edge: EdgePeer, module_postgres_url: str
) -> None:
    with live(host, cookie) as browser:
        browser.wait("snapshot")
        status, answer = write(host, cookie, "setpoint", 55.3)
        assert status == 202
        message, command = edge.command()
        assert message.topic == edge.topic("DCMD", "press")
        assert (message.qos, message.retain) == (0, False)
        assert command.seq is None
        [sent] = command.metrics
        assert (sent.alias, sent.datatype) == (11, DataType.FLOAT)
        assert sent.value == pytest.approx(55.3)
        edge.data(11, DataType.FLOAT, sent.value)
        assert browser.wait("write_result", id=answer["id"]) == {
            "type": "write_result",
            "id": answer["id"],
            "ok": True,
            "reason": None,
        }
    with psycopg.connect(module_postgres_url) as connection:
        query = (
            "SELECT actor, action, target FROM host.audit WHERE detail->>'id' = %s ORDER BY at, id"
        )

        def entries() -> list[Any] | None:
            rows = connection.execute(query, [answer["id"]]).fetchall()
            connection.rollback()
            return rows if len(rows) == 2 else None

        assert wait_for(entries, "audit") == [
            ("admin", "write", "plant/line-1/press/setpoint"),
            ("admin", "write_result", "plant/line-1/press/setpoint"),
        ]


def test_write_to_an_enumeration_takes_its_names_and_numbers_alone(
    host: HostProcess, cookie: str, edge: EdgePeer
) -> None:
    names = (DataType.STRING, '{"0": "stopped", "7": "fault"}')
    edge.birth([*press_metrics(), metric("state", DataType.UINT16, 0, 14, Enumeration=names)])

    def state() -> dict[str, Any] | None:
        node = host.node(cookie, "plant/line-1")
        assert node is not None
        return press(node).get("state")

    shown = wait_for(state, "the state")
    assert shown["enumeration"] == {"0": "stopped", "7": "fault"}
    for wrong in (3, "running", True):
        status, answer = write(host, cookie, "state", wrong)
        assert status == 400
        assert "expected 0 (stopped), 7 (fault)" in answer["error"]
    assert edge.listener.messages.empty(), "something was sent"
    for value in ("fault", 7):
        assert write(host, cookie, "state", value)[0] == 202
        [sent] = edge.command()[1].metrics
        assert (sent.alias, sent.datatype, sent.value) == (14, DataType.UINT16, 7)


def test_write_that_the_node_ignores_times_out_with_the_reason(
    host: HostProcess, cookie: str, edge: EdgePeer
) -> None:
    with live(host, cookie) as browser:
        browser.wait("snapshot")
        ids = [write(host, cookie, "setpoint", value)[1]["id"] for value in (1.5, 2.5)]
        edge.command()
        edge.data(11, DataType.FLOAT, 2.0)
        for write_id in ids:
            result = browser.wait("write_result", id=write_id)
            assert (result["ok"], result["reason"]) == (
                False,
                "the value came back as 2.0 within 5 s",
            )


def test_write_that_the_node_refuses_ends_with_the_nodes_reason(
    host: HostProcess, cookie: str, edge: EdgePeer
) -> None:
    topic = "$nexus/cmd/plant/line-1/press/setpoint/result"
    refusal = CommandResult(
        id=None, timestamp_ms=1, ok=False, outcome="refused", reason="1.5 is below low, 20"
    )
    with live(host, cookie) as browser:
        browser.wait("snapshot")
        write_id = write(host, cookie, "setpoint", 1.5)[1]["id"]
        edge.command()
        edge.listener.publish(topic, refusal.model_dump_json().encode(), 1)
        result = browser.wait("write_result", id=write_id)
        assert (result["ok"], result["reason"]) == (False, "1.5 is below low, 20")


@pytest.mark.parametrize(
    ("metric", "value", "status", "error"),
    [
        ("temperature", 1.0, 409, "read only"),
        ("nothing", 1.0, 404, "no birth told of it"),
        ("setpoint", "warm", 400, "expected a number"),
        ("setpoint", 1e300, 400, "does not fit Float"),
        ("setpoint", None, 400, "null"),
        ("setpoint", [1], 400, "expected a Float"),
        ("total", "18446744073709551616", 400, "does not fit UInt64"),
        ("total", -1, 400, "does not fit UInt64"),
        ("running", 1, 400, "true or false"),
    ],
)
def test_write_that_cannot_be_is_refused_with_the_reason(  # noqa: PLR0917  # pytest names them
    host: HostProcess,
    cookie: str,
    edge: EdgePeer,
    metric: str,
    value: Any,
    status: int,
    error: str,
) -> None:
    found, answer = write(host, cookie, metric, value)
    assert (found, error in answer["error"]) == (status, True), answer
    assert edge.listener.messages.empty()


def test_write_to_an_offline_node_is_refused(
    host: HostProcess, cookie: str, edge: EdgePeer
) -> None:
    edge.listener.publish(edge.topic("NDEATH"), edge.death(), 1)
    wait_for(lambda: not (host.node(cookie, "plant/line-1") or {})["online"], "death")
    status, answer = write(host, cookie, "setpoint", 1.0)
    assert status == 409
    assert "offline" in answer["error"]


def test_exact_64_bit_integer_is_written(host: HostProcess, cookie: str, edge: EdgePeer) -> None:
    assert write(host, cookie, "total", "18446744073709551615")[0] == 202
    assert edge.command()[1].metrics[0].value == 2**64 - 1


def test_rebirth_is_sent_on_request(host: HostProcess, cookie: str, edge: EdgePeer) -> None:
    status, _, _ = host.post("/api/v1/rebirth", {"group": "plant", "edge": "line-1"}, cookie)
    assert status == 202
    assert edge.command()[1].metrics[0].name == "Node Control/Rebirth"
    status, answer, _ = host.post("/api/v1/rebirth", {"group": "plant", "edge": "no"}, cookie)
    assert (status, answer["error"]) == (404, "edge node plant/no: never heard of")


def test_socket_is_refused_without_session_and_from_another_origin(
    host: HostProcess, cookie: str
) -> None:
    for headers, status in (
        ({}, 401),
        ({"Cookie": cookie, "Origin": "https://evil.example"}, 403),
        ({"Cookie": cookie[:-4] + "AAAA"}, 401),
    ):
        with pytest.raises(InvalidStatus) as refused:
            connect(
                host.url.replace("http://", "ws://") + "/api/v1/live", additional_headers=headers
            )
        assert refused.value.response.status_code == status
    with live(host, cookie, Origin=host.url) as browser:
        browser.wait("snapshot")


def test_notices_reach_the_browser(host: HostProcess, cookie: str, edge: EdgePeer) -> None:
    with live(host, cookie) as browser:
        browser.wait("snapshot")
        edge.listener.publish("spBv1.0/plant/NBIRTH/vandal-2", b"\xff\xff")
        notice = browser.wait("notice", level="warning")
        assert notice["text"].startswith("plant/vandal-2: payload cannot be decoded")


def test_sockets_end_when_the_host_stops(
    module_mqtt_broker: MqttBroker,
    module_postgres_url: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("stopping")
    arguments = ("--host-id", "other")
    with (
        running_host(folder, module_mqtt_broker, module_postgres_url, *arguments) as other,
        live(other, other.sign_in("admin", PASSWORD)) as browser,
    ):
        browser.wait("snapshot")
        assert other.terminate() == 0
