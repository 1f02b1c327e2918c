"""What the host's tests stand on: an edge node of their own, and the host as a process.

The edge node is a plain paho client with payloads from the codec; it shares no session code with
the suite's edge node, so that both cannot be wrong in the same way.
"""

import json
import os
import queue
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

from deploy.local.broker import MqttBroker
from proto.sparkplug.codec import Metric, Payload, decode_payload, encode_payload
from proto.sparkplug.datatypes import DataType
from proto.sparkplug.metrics import Property

ROOT = Path(__file__).resolve().parents[2]
PASSWORD = "correct horse battery"
_WAIT_S = 10.0


def wait_for(condition: Callable[[], Any], what: str, timeout_s: float = _WAIT_S) -> Any:
    """Poll until a condition holds; give what it gave."""
    deadline = time.monotonic() + timeout_s
    while not (found := condition()):
        assert time.monotonic() < deadline, f"{what} did not happen within {timeout_s:g} s"
        time.sleep(0.02)
    return found


class Listener:
    """A client that keeps every message it hears."""

    def __init__(self, broker: MqttBroker, *filters: str, will: MQTTMessage | None = None) -> None:
        self.messages: queue.Queue[MQTTMessage] = queue.Queue()
        self.client = Client(CallbackAPIVersion.VERSION2)
        if will is not None:
            self.client.will_set(will.topic, will.payload, will.qos, will.retain)
        self.client.on_message = lambda _client, _data, message: self.messages.put(message)
        self.client.connect(broker.host, broker.port, keepalive=5)
        self.client.loop_start()
        if filters:
            subscribed = queue.Queue[int]()
            self.client.on_subscribe = lambda _c, _d, mid, _reasons, _p: subscribed.put(mid)
            self.client.subscribe([(topic, 1) for topic in filters])
            subscribed.get(timeout=_WAIT_S)

    def next(self, timeout_s: float = _WAIT_S) -> MQTTMessage:
        """Wait for the next message."""
        return self.messages.get(timeout=timeout_s)

    def publish(self, topic: str, payload: bytes, qos: int = 0, *, retain: bool = False) -> None:
        """Send a message and wait until it is out."""
        self.client.publish(topic, payload, qos, retain).wait_for_publish(_WAIT_S)

    def close(self) -> None:
        """Say goodbye."""
        self.client.disconnect()
        self.client.loop_stop()
        # paho leaves these to its finalizer, which may come after that of the sockets themselves.
        self.client._reset_sockets()

    def vanish(self) -> None:
        """Go without a word: the broker publishes the will."""
        sock = self.client.socket()
        assert sock is not None
        self.client.loop_stop()
        sock.close()
        self.client._reset_sockets()


def metric(
    name: str,
    datatype: DataType,
    value: Any,
    alias: int | None = None,
    **properties: tuple[DataType, Any],
) -> Metric:
    """Make a metric with the time of now."""
    told = {key: Property(*prop) for key, prop in properties.items()}
    return Metric(name, datatype, value, _now_ms(), alias, properties=told or None)


class EdgePeer:
    """An edge node with one device, ``press``, by hand."""

    def __init__(self, broker: MqttBroker, group: str = "plant", edge: str = "line-1") -> None:
        self.group, self.edge = group, edge
        self.seq = -1
        self.bd_seq = 0
        will = MQTTMessage(topic=self.topic("NDEATH").encode())
        will.payload = self.death()
        will.qos = 1
        self.listener = Listener(
            broker, self.topic("NCMD"), f"spBv1.0/{group}/DCMD/{edge}/#", will=will
        )

    def topic(self, kind: str, device: str | None = None) -> str:
        """Give the topic of a message type."""
        return f"spBv1.0/{self.group}/{kind}/{self.edge}" + (f"/{device}" if device else "")

    def death(self, bd_seq: int | None = None) -> bytes:
        """Give the payload of NDEATH."""
        number = self.bd_seq if bd_seq is None else bd_seq
        return encode_payload(
            Payload(_now_ms(), None, (Metric("bdSeq", DataType.INT64, number, _now_ms()),))
        )

    def send(self, kind: str, metrics: Sequence[Metric] = (), device: str | None = None) -> None:
        """Publish with the next sequence number."""
        self.seq = 0 if kind == "NBIRTH" else (self.seq + 1) % 256
        payload = encode_payload(Payload(_now_ms(), self.seq, tuple(metrics)))
        self.listener.publish(self.topic(kind, device), payload)

    def birth(self, device_metrics: Sequence[Metric] | None = None) -> None:
        """Publish NBIRTH and the DBIRTH of ``press``."""
        self.send(
            "NBIRTH",
            (
                metric("bdSeq", DataType.INT64, self.bd_seq),
                metric("Node Control/Rebirth", DataType.BOOLEAN, False),
                metric("uptime", DataType.UINT32, 5, 1),
            ),
        )
        self.send("DBIRTH", press_metrics() if device_metrics is None else device_metrics, "press")

    def data(
        self, alias: int, datatype: DataType, value: Any, device: str | None = "press"
    ) -> None:
        """Publish one value by alias."""
        kind = "NDATA" if device is None else "DDATA"
        told = Metric(None, None, None, _now_ms(), alias)
        typed = Metric(None, datatype, value, told.timestamp_ms, alias)
        self.send(kind, (typed,), device)

    def historical(self, alias: int, datatype: DataType, value: Any, age_ms: int) -> None:
        """Publish one value of the past."""
        told = Metric(None, datatype, value, _now_ms() - age_ms, alias, is_historical=True)
        self.send("DDATA", (told,), "press")

    def command(self, timeout_s: float = _WAIT_S) -> tuple[MQTTMessage, Payload]:
        """Wait for a command."""
        message = self.listener.next(timeout_s)
        return message, decode_payload(bytes(message.payload))

    def close(self) -> None:
        """Say NDEATH and goodbye."""
        self.listener.publish(self.topic("NDEATH"), self.death(), 1)
        self.listener.close()


def press_metrics() -> list[Metric]:
    """The metrics of the device."""
    return [
        metric(
            "temperature",
            DataType.DOUBLE,
            21.5,
            10,
            engUnit=(DataType.STRING, "degC"),
            engLow=(DataType.DOUBLE, 0.0),
            engHigh=(DataType.DOUBLE, 90.0),
            Documentation=(DataType.STRING, "oil"),
            readOnly=(DataType.BOOLEAN, True),
            unsPath=(DataType.STRING, "uns/acme/press/temperature"),
        ),
        metric("setpoint", DataType.FLOAT, 40.0, 11),
        metric("total", DataType.UINT64, 2**63 + 1, 12),
        metric("running", DataType.BOOLEAN, True, 13),
    ]


class HostProcess:
    """``./nexus host`` as a process of its own, with its log read back as JSON."""

    def __init__(self, folder: Path, environment: Mapping[str, str], *arguments: str) -> None:
        self._log = folder / "host.log"
        self._started = self._log.stat().st_size if self._log.exists() else 0
        base = {name: value for name, value in os.environ.items() if not name.startswith("NEXUS_")}
        program = [sys.executable, "-m", "deploy.local.cli", "--log-format", "json", "host"]
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                [*program, "--port", "0", *arguments],
                env={**base, "PYTHONPATH": str(ROOT), **environment},
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
            )
        self.url = self.wait_event("console_listening")["url"]

    def events(self) -> list[dict[str, Any]]:
        """What it logged so far."""
        with self._log.open(encoding="utf-8") as log:
            log.seek(self._started)
            return [json.loads(line) for line in log if line.startswith("{")]

    def wait_event(self, name: str, timeout_s: float = 20.0) -> dict[str, Any]:
        """Wait until it logs an event."""

        def find() -> dict[str, Any] | None:
            assert self.process.poll() is None, self._log.read_text()
            return next((e for e in self.events() if e["event"] == name), None)

        found: dict[str, Any] = wait_for(find, f"event {name}", timeout_s)
        return found

    def wait_ready(self) -> None:
        """Wait until the host is online on its brokers."""
        wait_for(lambda: self.get("/readyz")[0] == 200, "readiness")

    def get(self, path: str, cookie: str | None = None) -> tuple[int, Any]:
        """Ask for a resource; give status and JSON."""
        request = urllib.request.Request(f"{self.url}{path}")  # noqa: S310  # our own host
        if cookie is not None:
            request.add_header("Cookie", cookie)
        return _open(request)[:2]

    def post(self, path: str, body: Any, cookie: str | None = None) -> tuple[int, Any, Any]:
        """Send JSON; give status, JSON and headers."""
        request = urllib.request.Request(  # noqa: S310  # our own host
            f"{self.url}{path}",
            json.dumps(body).encode(),
            {"Content-Type": "application/json"},
            method="POST",
        )
        if cookie is not None:
            request.add_header("Cookie", cookie)
        return _open(request)

    def sign_in(self, username: str = "admin", password: str = PASSWORD) -> str:
        """Sign in and give the cookie."""
        status, answer, headers = self.post(
            "/api/v1/session", {"username": username, "password": password}
        )
        assert status == 200, answer
        return str(headers["Set-Cookie"].partition(";")[0])

    def node(self, cookie: str, node_id: str) -> dict[str, Any] | None:
        """Give one node of the picture."""
        status, answer = self.get("/api/v1/nodes", cookie)
        assert status == 200, answer
        return next((node for node in answer["nodes"] if node["id"] == node_id), None)

    def terminate(self, name: int = signal.SIGTERM) -> int:
        """Ask it to stop and give its exit status."""
        self.process.send_signal(name)
        status = self.process.wait(_WAIT_S)
        assert self.process.stdout is not None
        assert self.process.stdout.read() == b""
        self.process.stdout.close()
        return status

    def close(self) -> None:
        """Stop it, if it still runs."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(_WAIT_S)
        if self.process.stdout is not None:
            self.process.stdout.close()


@contextmanager
def running_host(
    folder: Path, broker: MqttBroker, database_url: str | None = None, *arguments: str
) -> Iterator[HostProcess]:
    """Run a host with the user ``admin`` until the block ends."""
    environment = {"NEXUS_MQTT_URL": broker.url, "NEXUS_CONSOLE_PASSWORD": PASSWORD}
    if database_url is not None:
        environment["NEXUS_DATABASE_URL"] = database_url
    host = HostProcess(folder, environment, *arguments)
    try:
        host.wait_ready()
        if database_url is not None:
            host.wait_event("console_password_is_set")
        yield host
    finally:
        host.close()


def _open(request: urllib.request.Request) -> tuple[int, Any, Any]:
    try:
        with urllib.request.urlopen(request, timeout=_WAIT_S) as answer:  # noqa: S310  # same
            return answer.status, _parse(answer.read()), answer.headers
    except urllib.error.HTTPError as exc:
        with exc:
            return exc.code, _parse(exc.read()), exc.headers


def _parse(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return body.decode()


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
