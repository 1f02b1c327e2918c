"""A real mosquitto with the settings a test asks for, and an independent client that watches it."""

import contextlib
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import trio
from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion


def find_mosquitto() -> str | None:
    return shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


class Broker:
    """mosquitto on a port of its own, which it keeps over a restart.

    Attributes:
        protocol: version of MQTT in which a test's nodes speak to it.
    """

    def __init__(
        self,
        folder: Path,
        *,
        users: Mapping[str, str] | None = None,
        settings: str = "",
        tls: str = "",
        protocol: str = "3.1.1",
    ) -> None:
        self.host = "127.0.0.1"
        self.protocol = protocol
        self.port = _free_port()
        self._config = folder / "mosquitto.conf"
        access = "allow_anonymous true"
        if users:
            passwords = folder / "passwords"
            passwords.touch(mode=0o600)
            for name, password in users.items():
                subprocess.run(
                    ["mosquitto_passwd", "-b", str(passwords), name, password], check=True
                )
            access = f"allow_anonymous false\npassword_file {passwords}"
        self._config.write_text(
            f"user root\nlistener {self.port} {self.host}\n{access}\n{tls}\n"
            f"max_queued_messages 0\nset_tcp_nodelay true\n{settings}\n",
            encoding="utf-8",
        )
        self._log = folder / "mosquitto.log"
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def url(self) -> str:
        return f"mqtt://{self.host}:{self.port}"

    def start(self) -> None:
        mosquitto = find_mosquitto()
        assert mosquitto is not None
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [mosquitto, "-c", str(self._config)], stdout=log, stderr=log
            )
        deadline = time.monotonic() + 10
        while True:
            try:
                socket.create_connection((self.host, self.port), 1).close()
            except OSError:
                assert self._process.poll() is None, self._log.read_text(encoding="utf-8")
                assert time.monotonic() < deadline
                time.sleep(0.02)
            else:
                return

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(10)
            self._process = None


@dataclass(frozen=True, slots=True)
class Seen:
    topic: str
    payload: bytes
    qos: int
    retain: bool
    at: float = field(default_factory=time.time, compare=False)


Condition = Callable[[list[Seen]], bool]


class Watcher:
    """An independent MQTT client in its own thread that keeps what it receives, in order."""

    def __init__(
        self,
        broker: Broker,
        *filters: str,
        username: str | None = None,
        password: str | None = None,
    ) -> None:
        self.messages: list[Seen] = []
        self._arrived = threading.Condition()
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2)
        self._client.on_message = self._on_message
        if username is not None:
            self._client.username_pw_set(username, password)
        ready = threading.Event()
        self._client.on_subscribe = lambda *_: ready.set()
        self._client.on_connect = lambda client, *_: client.subscribe([(f, 1) for f in filters])
        self._client.connect(broker.host, broker.port)
        self._client.loop_start()
        assert ready.wait(10)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def publish(self, topic: str, payload: bytes, *, qos: int = 1, retain: bool = False) -> None:
        self._client.publish(topic, payload, qos, retain).wait_for_publish(10)

    def _on_message(self, _client: object, _userdata: object, message: mqtt.MQTTMessage) -> None:
        with self._arrived:
            self.messages.append(
                Seen(message.topic, bytes(message.payload), message.qos, message.retain)
            )
            self._arrived.notify_all()

    def _wait(self, condition: Condition, timeout_s: float) -> None:
        with self._arrived:
            if not self._arrived.wait_for(lambda: condition(self.messages), timeout_s):
                seen = "\n".join(f"{m.topic} {m.payload[:80]!r}" for m in self.messages)
                raise AssertionError(f"not seen within {timeout_s} s, but:\n{seen}")

    async def wait_for(self, condition: Condition, timeout_s: float = 30) -> list[Seen]:
        await trio.to_thread.run_sync(self._wait, condition, timeout_s)
        return list(self.messages)

    async def wait_count(self, count: int) -> list[Seen]:
        return await self.wait_for(lambda messages: len(messages) >= count)

    async def wait_payloads(self, count: int) -> dict[str, bytes]:
        return {m.topic: m.payload for m in await self.wait_count(count)}


class Gate:
    """A door in front of a broker that notes who comes and goes.

    Attributes:
        stays: when each connection was opened and closed, in trio's time.
        sent: what each client sent.
    """

    def __init__(self, broker: Broker) -> None:
        self.port = 0
        self.stays: list[list[float]] = []
        self.sent: list[bytearray] = []
        self._broker = broker

    @property
    def url(self) -> str:
        return f"mqtt://127.0.0.1:{self.port}"

    @property
    def protocol(self) -> str:
        return self._broker.protocol

    async def open(self, nursery: trio.Nursery) -> None:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        self.port = listeners[0].socket.getsockname()[1]
        nursery.start_soon(trio.serve_listeners, self._pass, listeners)

    async def _pass(self, inside: trio.SocketStream) -> None:
        outside = await trio.open_tcp_stream(self._broker.host, self._broker.port)
        stay = [trio.current_time(), float("inf")]
        self.stays.append(stay)
        async with inside, outside, trio.open_nursery() as nursery:
            sent = bytearray()
            self.sent.append(sent)
            nursery.start_soon(self._pump, inside, outside, sent, nursery.cancel_scope)
            nursery.start_soon(self._pump, outside, inside, bytearray(), nursery.cancel_scope)
        stay[1] = trio.current_time()

    @staticmethod
    async def _pump(
        source: trio.SocketStream,
        sink: trio.SocketStream,
        record: bytearray,
        scope: trio.CancelScope,
    ) -> None:
        with contextlib.suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            async for data in source:
                record += data
                await sink.send_all(data)
        scope.cancel()
