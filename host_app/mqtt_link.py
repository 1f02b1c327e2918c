"""One MQTT connection at a time: paho's protocol engine on asyncio, without paho's threads.

paho's own reconnecting stays off: each CONNECT of a host application carries a will with a time of
its own, so each connection is a fresh client. Messages that came together are handed over together.
This module knows nothing of Sparkplug.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from host_app.errors import BrokerRefused, BrokerUnreachable
from host_app.mqtt_stream import Endpoint, MqttStream, open_stream

CONNECT_TIMEOUT_S: Final = 10.0
MAX_QUEUED_BYTES: Final = 64 * 1024 * 1024
"""What may wait for a broker that does not read; beyond it the connection is given up."""

Message = tuple[str, bytes, bool]
"""Topic, payload and whether it was retained."""

_CONNACK_ADVICE = {
    "Not authorized": "check the user name, its password and the broker's access rules",
    "Bad user name or password": "check the user name and its password",
    "Bad authentication method": "check the user name and its password",
    "Client identifier not valid": "check the client id",
    "Unsupported protocol version": "check the MQTT version",
}


@dataclass(frozen=True, slots=True)
class Will:
    """What the broker publishes when the connection ends without a DISCONNECT."""

    topic: str
    payload: bytes
    qos: int
    retain: bool


class _Client(mqtt.Client):
    """paho over a stream that somebody else opened."""

    def __init__(self, endpoint: Endpoint, stream: MqttStream) -> None:
        five = endpoint.protocol == "5"
        super().__init__(
            CallbackAPIVersion.VERSION2,
            client_id=endpoint.client_id,
            clean_session=None if five else True,
            protocol=MQTTProtocolVersion.MQTTv5 if five else MQTTProtocolVersion.MQTTv311,
            reconnect_on_failure=False,
        )
        self._opened = stream

    def _create_socket(self) -> MqttStream:
        return self._opened


class MqttConnection:
    """A connection that is made once and lost once. Made by :func:`connect`.

    Attributes:
        on_messages: called with all messages of one read, in order; set by the owner. What it
            raises is the owner's bug and ends the connection.
    """

    def __init__(self, endpoint: Endpoint, stream: MqttStream, will: Will | None) -> None:
        self.on_messages: Callable[[list[Message]], None] = _ignore
        self._endpoint = endpoint
        self._stream = stream
        self._batch: list[Message] = []
        self._answered = asyncio.Event()
        self._refusal: str | None = None
        self._lost = asyncio.Event()
        self._reason = ""
        self._failure: BaseException | None = None
        self._leaving = False
        self._acknowledged: dict[int, asyncio.Event] = {}
        self._subscriptions: dict[int, tuple[asyncio.Event, list[str]]] = {}
        self._client = client = _Client(endpoint, stream)
        if endpoint.username is not None:
            client.username_pw_set(endpoint.username, endpoint.password)
        if will is not None:
            client.will_set(will.topic, will.payload, will.qos, will.retain)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        client.on_subscribe = self._on_subscribe
        client.on_publish = self._on_publish
        stream.on_received = self._read
        stream.on_lost = self._end

    @property
    def is_lost(self) -> bool:
        """Whether nothing can be sent any more."""
        return self._lost.is_set()

    @property
    def is_flooded(self) -> bool:
        """Whether messages come faster than they are taken."""
        return self._stream.is_flooded

    async def wait_lost(self) -> str:
        """Keep the connection alive until it ends.

        Returns:
            Why it ended.

        Raises:
            BaseException: what ``on_messages`` raised.
        """
        tick_s = min(1.0, self._endpoint.keep_alive_s / 4)
        while not self._lost.is_set():
            try:
                async with asyncio.timeout(tick_s):
                    await self._lost.wait()
            except TimeoutError:
                self._check(self._client.loop_misc())
        if self._failure is not None:
            raise self._failure
        return self._reason

    def publish(self, topic: str, payload: bytes, qos: int = 0, retain: bool = False) -> int | None:
        """Send one message.

        On a connection that is lost it does nothing: the loss is reported by :meth:`wait_lost`.

        Returns:
            For QoS 1 what :meth:`wait_acknowledged` takes, else None.
        """
        if self._lost.is_set():
            return None
        info = self._client.publish(topic, payload, qos, retain)
        if qos:
            self._acknowledged[info.mid] = asyncio.Event()
        self._write()
        if self._stream.queued_bytes > MAX_QUEUED_BYTES:
            self._end(f"broker does not read, {self._stream.queued_bytes} bytes wait for it")
        return info.mid if qos else None

    async def wait_acknowledged(self, mid: int | None, timeout_s: float) -> bool:
        """Wait until the broker has a QoS 1 message.

        Returns:
            Whether it has.
        """
        acknowledged = None if mid is None else self._acknowledged.get(mid)
        if acknowledged is None:
            return not self._lost.is_set()
        try:
            async with asyncio.timeout(timeout_s):
                await acknowledged.wait()
        except TimeoutError:
            return False
        return not self._lost.is_set()

    async def subscribe(self, filters: Sequence[tuple[str, int]]) -> None:
        """Subscribe and wait for the broker's answer.

        Raises:
            BrokerRefused: a filter was refused.
            BrokerUnreachable: no answer came.
        """
        _, mid = self._client.subscribe(list(filters))
        if mid is None:
            raise BrokerUnreachable(f"{self._endpoint}: connection lost before subscribing")
        answered, refused = self._subscriptions[mid] = (asyncio.Event(), [])
        self._write()
        if not await _wait(answered, CONNECT_TIMEOUT_S) or self._lost.is_set():
            raise BrokerUnreachable(f"{self._endpoint}: {self._reason or 'no answer to SUBSCRIBE'}")
        named = ", ".join(
            f"{topic!r} ({reason})"
            for (topic, _), reason in zip(filters, refused, strict=False)
            if reason
        )
        if named:
            raise BrokerRefused(
                f"{self._endpoint}: subscription refused: {named}; check the broker's access rules"
            )

    async def disconnect(self, *, timeout_s: float = 3.0) -> None:
        """Say goodbye, so that the broker drops the will, and close."""
        self._leaving = True
        if not self._lost.is_set():
            self._client.disconnect()
            self._stream.close()
            await _wait(self._lost, timeout_s)
        self.abort("left")

    def abort(self, reason: str) -> None:
        """Close without DISCONNECT: the broker publishes the will."""
        self._end(reason)
        self._stream.abort()

    def _open(self) -> None:
        """Hand the stream to paho, which sends CONNECT."""
        endpoint = self._endpoint
        if endpoint.protocol == "5":
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
            properties.SessionExpiryInterval = 0
            self._client.connect(
                endpoint.host,
                endpoint.port,
                endpoint.keep_alive_s,
                clean_start=True,
                properties=properties,
            )
        else:
            self._client.connect(endpoint.host, endpoint.port, endpoint.keep_alive_s)

    async def _wait_accepted(self) -> None:
        answered = await _wait(self._answered, CONNECT_TIMEOUT_S)
        if self._refusal is not None:
            advice = _CONNACK_ADVICE.get(self._refusal)
            raise BrokerRefused(
                f"{self._endpoint}: broker refused the connection: {self._refusal}"
                + (f"; {advice}" if advice else "")
            )
        if self._lost.is_set():
            raise BrokerUnreachable(
                f"{self._endpoint}: connection closed before it was accepted: {self._reason}"
            )
        if not answered:
            raise BrokerUnreachable(
                f"{self._endpoint}: no CONNACK within {CONNECT_TIMEOUT_S:g} s, "
                "expected an MQTT broker"
            )

    def _read(self) -> None:
        """Let paho take every packet that is there, then hand the messages over at once."""
        while self._stream.has_received and not self._lost.is_set():
            self._check(self._client.loop_read())
        self._write()
        if self._batch:
            batch, self._batch = self._batch, []
            try:
                self.on_messages(batch)
            except Exception as exc:  # noqa: BLE001  # raised again where the owner waits
                self._failure = exc
                self._end(f"failed on a message: {exc}")

    def _write(self) -> None:
        while self._client.want_write() and not self._lost.is_set():
            self._check(self._client.loop_write())

    def _check(self, rc: MQTTErrorCode) -> None:
        if rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
            self._end(mqtt.error_string(rc))

    def _end(self, reason: str) -> None:
        if self._lost.is_set():
            return
        self._reason = "left" if self._leaving else reason
        self._lost.set()
        self._answered.set()
        for answered, _ in self._subscriptions.values():
            answered.set()
        for acknowledged in self._acknowledged.values():
            acknowledged.set()
        self._stream.close()

    # What paho calls.

    def _on_connect(
        self,
        _client: mqtt.Client,
        _userdata: object,
        _flags: mqtt.ConnectFlags,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        if reason.is_failure:
            self._refusal = reason.getName()
        self._answered.set()

    def _on_disconnect(
        self,
        _client: mqtt.Client,
        _userdata: object,
        flags: mqtt.DisconnectFlags,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        if flags.is_disconnect_packet_from_server:
            self._end(f"broker disconnected: {reason.getName()}")
        elif not self._leaving:
            self._end(f"connection lost: {reason.getName()}")

    def _on_message(
        self, _client: mqtt.Client, _userdata: object, message: mqtt.MQTTMessage
    ) -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError:  # MQTT 1.5.3 forbids it; some brokers let it pass
            topic = message._topic.decode(errors="replace")  # noqa: SLF001  # no public way to it
        self._batch.append((topic, bytes(message.payload), message.retain))

    def _on_subscribe(
        self,
        _client: mqtt.Client,
        _userdata: object,
        mid: int,
        reasons: list[ReasonCode],
        _properties: Properties,
    ) -> None:
        answered, refused = self._subscriptions.pop(mid)
        refused.extend(reason.getName() if reason.is_failure else "" for reason in reasons)
        answered.set()

    def _on_publish(
        self,
        _client: mqtt.Client,
        _userdata: object,
        mid: int,
        _reason: ReasonCode,
        _properties: Properties,
    ) -> None:
        acknowledged = self._acknowledged.pop(mid, None)
        if acknowledged is not None:
            acknowledged.set()


async def connect(endpoint: Endpoint, make_will: Callable[[], Will | None]) -> MqttConnection:
    """Connect to a broker.

    Args:
        endpoint: the broker.
        make_will: called when the stream is open, right before CONNECT is sent, so that the will
            carries the time of that CONNECT.

    Raises:
        BrokerUnreachable: nothing (or nothing that speaks MQTT) answers, or TLS failed.
        BrokerRefused: the broker does not accept the connection.
    """
    stream = await open_stream(endpoint)
    try:
        connection = MqttConnection(endpoint, stream, make_will())
    except BaseException:
        stream.abort()
        raise
    try:
        connection._open()  # noqa: SLF001  # one module, two halves of a constructor
        await connection._wait_accepted()  # noqa: SLF001  # same
    except BaseException:
        connection.abort("not connected")
        raise
    return connection


async def _wait(event: asyncio.Event, timeout_s: float) -> bool:
    try:
        async with asyncio.timeout(timeout_s):
            await event.wait()
    except TimeoutError:
        return False
    return True


def _ignore(_messages: list[Message]) -> None:
    pass
