"""The historian's connection to the broker: paho's protocol engine on asyncio, without its thread.

A thread of paho's would compete with the decoding for the interpreter, and wait for it several
times a message. Here the event loop reads the socket between two slices of decoding. Knows nothing
of Sparkplug. Each connection is a fresh client; paho's own reconnecting stays off.
"""

import asyncio
import socket
import ssl
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import structlog
from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from historian.backoff import Backoff
from historian.errors import LinkLost
from historian.mqtt_client import Client
from proto.control.broker import BrokerDocument

CONNECT_TIMEOUT_S: Final = 10.0
_PACKETS_A_TURN: Final = 200
_SECONDS_A_TURN: Final = 0.01
_MISC_S: Final = 1.0

log = structlog.get_logger(__name__)

Receive = Callable[[str, bytes], None]


class MqttLink:
    """A connection that is made again whenever it is lost.

    Args:
        broker: where to connect.
        client_id: unique at the broker.
        password: of ``broker.username``.
        filters: topic filters and QoS, subscribed on every connection.
        on_message: called with topic and payload.
        on_connected: called after every successful subscription.
    """

    def __init__(
        self,
        *,
        broker: BrokerDocument,
        client_id: str,
        password: str | None,
        filters: Sequence[tuple[str, int]],
        on_message: Receive,
        on_connected: Callable[[], None],
    ) -> None:
        self._broker = broker
        self._client_id = client_id
        self._password = password
        self._filters = list(filters)
        self._on_message = on_message
        self._on_connected = on_connected
        self._client: Client | None = None
        self._received = 0
        self._lost: asyncio.Future[str] | None = None
        self._accepted: asyncio.Future[None] | None = None
        self._subscribed: asyncio.Future[None] | None = None
        self._unsubscribed = asyncio.Event()
        self._settled = asyncio.Event()
        self.connected = asyncio.Event()

    async def run(self) -> None:
        """Stay connected until cancelled."""
        backoff = Backoff(first_s=0.2)
        while True:
            try:
                async with asyncio.timeout(3 * CONNECT_TIMEOUT_S):
                    await self._connect()
            except (LinkLost, TimeoutError) as error:
                self._close()
                tell = log.debug if backoff.failures else log.error
                tell("broker_unreachable", broker=self._broker.url, reason=str(error) or "timeout")
                await asyncio.sleep(backoff.fail())
                continue
            except BaseException:
                self._close()
                raise
            backoff.succeed()
            log.info("broker_connected", broker=self._broker.url, client_id=self._client_id)
            self._on_connected()
            self.connected.set()
            try:
                reason = await self._wait_lost()
            finally:
                self.connected.clear()
                self._close()
            log.error("broker_lost", broker=self._broker.url, reason=reason)
            await asyncio.sleep(backoff.fail())

    def publish(self, topic: str, payload: bytes, *, qos: int = 0, retain: bool = False) -> None:
        """Send a message; without a connection it is left out."""
        if self._client is not None and self.connected.is_set():
            self._client.publish(topic, payload, qos, retain)

    async def stop_receiving(self) -> None:
        """Unsubscribe and wait until the broker has confirmed: nothing arrives after this."""
        if self._client is None or not self.connected.is_set():
            return
        self._unsubscribed.clear()
        self._client.unsubscribe([topic for topic, _ in self._filters])
        await self._unsubscribed.wait()

    async def say(self, topic: str, payload: bytes, *, retain: bool) -> None:
        """Publish at QoS 1 and wait for the acknowledgement."""
        if self._client is None or not self.connected.is_set():
            return
        info = self._client.publish(topic, payload, 1, retain)
        self._settled.clear()
        while not info.is_published() and self.connected.is_set():
            await self._settled.wait()
            self._settled.clear()

    async def leave(self) -> None:
        """Send DISCONNECT and close."""
        if self._client is not None and self.connected.is_set():
            self._client.disconnect()
            self._client.loop_write()
        self._close()

    # One connection.

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        self._lost, self._accepted, self._subscribed = (
            loop.create_future(),
            loop.create_future(),
            loop.create_future(),
        )
        self._client = client = self._make_client()
        broker = self._broker
        try:
            # paho opens sockets blocking, and TLS handshakes too.
            await asyncio.to_thread(client.connect, broker.host, broker.port, broker.keep_alive_s)
        except (OSError, ValueError) as error:
            raise LinkLost(f"{broker.url}: {error}") from error
        sock = client.socket()
        if sock is None:
            raise LinkLost(f"{broker.url}: connection closed at once")
        loop.add_reader(sock, self._read)
        client.on_socket_register_write = self._handle_register_write
        client.on_socket_unregister_write = self._handle_unregister_write
        client.on_socket_close = self._handle_close
        self._check(client.loop_write())
        await self._wait_for(self._accepted)
        client.subscribe(self._filters)
        await self._wait_for(self._subscribed)

    def _make_client(self) -> Client:
        five = self._broker.protocol == "5"
        client = Client(
            on_arrival=self._handle_arrival,
            callback_api_version=CallbackAPIVersion.VERSION2,
            client_id=self._client_id,
            clean_session=None if five else True,
            protocol=MQTTProtocolVersion.MQTTv5 if five else MQTTProtocolVersion.MQTTv311,
            reconnect_on_failure=False,
        )
        client.connect_timeout = CONNECT_TIMEOUT_S
        if self._broker.username is not None:
            client.username_pw_set(self._broker.username, self._password)
        if self._broker.tls:
            context = ssl.create_default_context(
                cafile=None if self._broker.ca_file is None else str(self._broker.ca_file)
            )
            if self._broker.cert_file is not None and self._broker.key_file is not None:
                context.load_cert_chain(self._broker.cert_file, self._broker.key_file)
            client.tls_set_context(context)
        client.on_connect = self._handle_connect
        client.on_subscribe = self._handle_subscribe
        client.on_unsubscribe = lambda *_: self._unsubscribed.set()
        client.on_publish = lambda *_: self._settled.set()
        client.on_message = self._handle_message
        client.on_disconnect = self._handle_disconnect
        return client

    async def _wait_for(self, answer: asyncio.Future[None]) -> None:
        if self._lost is None:
            raise LinkLost(f"{self._broker.url}: closed")
        either: list[asyncio.Future[Any]] = [answer, self._lost]
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if answer.done():
            answer.result()
        else:
            raise LinkLost(f"{self._broker.url}: {self._lost.result()}")

    async def _wait_lost(self) -> str:
        while self._lost is not None and self._client is not None:
            done, _ = await asyncio.wait({self._lost}, timeout=_MISC_S)
            if done:
                return self._lost.result()
            self._check(self._client.loop_misc())
        return "closed"

    def _read(self) -> None:
        # As much as is there, within a turn; what is left wakes the loop again.
        client = self._client
        if client is None:
            return
        end = time.monotonic() + _SECONDS_A_TURN
        for _ in range(_PACKETS_A_TURN):
            before = self._received
            self._check(client.loop_read())
            sock = client.socket()
            if sock is None:
                return
            pending = client.has_read_ahead or (isinstance(sock, ssl.SSLSocket) and sock.pending())
            if self._received == before and not pending:
                return
            if time.monotonic() > end:
                break
        # Of what was read ahead the selector knows nothing.
        asyncio.get_running_loop().call_soon(self._read)

    def _write(self) -> None:
        if self._client is not None:
            self._check(self._client.loop_write())

    def _check(self, code: MQTTErrorCode) -> None:
        if code != MQTTErrorCode.MQTT_ERR_SUCCESS:
            lost = code == MQTTErrorCode.MQTT_ERR_CONN_LOST
            self._end("connection closed by the broker" if lost else mqtt.error_string(code))

    def _end(self, reason: str) -> None:
        if self._lost is not None and not self._lost.done():
            self._lost.set_result(reason)

    def _forget(self, sock: object) -> None:
        if isinstance(sock, socket.socket) and sock.fileno() >= 0:
            loop = asyncio.get_running_loop()
            loop.remove_reader(sock)
            loop.remove_writer(sock)

    def _close(self) -> None:
        client, self._client = self._client, None
        if client is None:
            return
        sock = client.socket()
        if sock is not None:
            self._forget(sock)
            sock.close()
        for answer in (self._lost, self._accepted, self._subscribed):
            if answer is not None and answer.done() and not answer.cancelled():
                answer.exception()  # seen
        self._end("closed")
        self._settled.set()

    # What paho calls.

    def _handle_register_write(self, _client: mqtt.Client, _userdata: object, sock: object) -> None:
        if isinstance(sock, socket.socket):
            asyncio.get_running_loop().add_writer(sock, self._write)

    def _handle_unregister_write(
        self, _client: mqtt.Client, _userdata: object, sock: object
    ) -> None:
        if isinstance(sock, socket.socket) and sock.fileno() >= 0:
            asyncio.get_running_loop().remove_writer(sock)

    def _handle_close(self, _client: mqtt.Client, _userdata: object, sock: object) -> None:
        self._forget(sock)

    def _handle_connect(
        self,
        _client: mqtt.Client,
        _userdata: object,
        _flags: mqtt.ConnectFlags,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        if self._accepted is None or self._accepted.done():
            return
        if reason.is_failure:
            refusal = LinkLost(f"broker refused the connection: {reason.getName()}")
            self._accepted.set_exception(refusal)
        else:
            self._accepted.set_result(None)

    def _handle_subscribe(
        self,
        _client: mqtt.Client,
        _userdata: object,
        _mid: int,
        reasons: list[ReasonCode],
        _properties: Properties | None,
    ) -> None:
        if self._subscribed is None or self._subscribed.done():
            return
        refused = [reason.getName() for reason in reasons if reason.is_failure]
        if refused:
            self._subscribed.set_exception(LinkLost(f"subscription refused: {', '.join(refused)}"))
        else:
            self._subscribed.set_result(None)

    def _handle_message(
        self, _client: mqtt.Client, _userdata: object, message: mqtt.MQTTMessage
    ) -> None:
        self._received += 1
        try:
            topic = message.topic
        except UnicodeDecodeError:
            log.debug("topic_not_utf8")
            return
        self._on_message(topic, bytes(message.payload))

    def _handle_arrival(self, topic: bytes, payload: bytes) -> None:
        self._received += 1
        try:
            name = topic.decode()
        except UnicodeDecodeError:
            log.debug("topic_not_utf8")
            return
        self._on_message(name, payload)

    def _handle_disconnect(
        self,
        _client: mqtt.Client,
        _userdata: object,
        _flags: mqtt.DisconnectFlags,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        self._end(f"connection ended: {reason.getName()}")
