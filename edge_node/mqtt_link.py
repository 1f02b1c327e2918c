"""One MQTT connection at a time: paho's protocol engine on trio, without paho's threads.

The socket is opened by trio, paho reads and writes it when trio says that it can. paho's own
reconnecting stays off: each CONNECT needs a will of its own, so each connection is a fresh client.
This module knows nothing of Sparkplug.
"""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import trio
from paho.mqtt import client as mqtt
from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from edge_node.errors import BrokerRefused, BrokerUnreachable
from edge_node.mqtt_client import MqttClient, MqttWill, explain_end, explain_refusal
from edge_node.mqtt_packet import publish_packet
from edge_node.mqtt_socket import Endpoint, LinkSocket, open_socket

CONNECT_TIMEOUT_S: Final = 10.0
MAX_QUEUED_BYTES: Final = 64 * 1024 * 1024
"""What may wait for a broker that does not read; beyond it the connection is given up."""


class Message(NamedTuple):
    """A received message.

    Attributes:
        retained: whether it is from before the subscription.
    """

    topic: str
    payload: bytes
    retained: bool


_WAIT_LIMIT = 1_000


class MqttConnection:
    """A connection that is made once and lost once.

    Made by :func:`connect`. All methods belong to the trio thread.

    Attributes:
        max_packet_bytes: largest packet the broker takes, where it said so (MQTT 5).
    """

    def __init__(self, endpoint: Endpoint, sock: LinkSocket, will: MqttWill | None) -> None:
        self.max_packet_bytes: int | None = None
        self._endpoint = endpoint
        self._sock = sock
        self._client = client = MqttClient(endpoint, sock, will)
        self._incoming, self._received = trio.open_memory_channel[Message](_WAIT_LIMIT)
        self._answered = trio.Event()
        self._refusal: str | None = None
        self._lost = trio.Event()
        self._reason = ""
        self._leaving = False
        self._writable = trio.Event()
        self._queued_bytes = 0
        self._unacknowledged: deque[mqtt.MQTTMessageInfo] = deque()
        self._first_below_dollar: tuple[str, mqtt.MQTTMessageInfo] | None = None
        self._progress = trio.Event()
        self._subscriptions: dict[int, tuple[trio.Event, list[str]]] = {}
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        client.on_subscribe = self._on_subscribe
        client.on_socket_register_write = self._on_register_write

    # What the owner calls.

    @property
    def messages(self) -> trio.MemoryReceiveChannel[Message]:
        """Received messages; ends when the connection is lost."""
        return self._received

    @property
    def is_lost(self) -> bool:
        """Whether nothing can be sent any more."""
        return self._lost.is_set()

    @property
    def queued_bytes(self) -> int:
        """Bytes of payload that wait for the broker to read them; 0 while it keeps up."""
        return self._queued_bytes

    async def wait_lost(self) -> str:
        """Wait for the end of the connection.

        Returns:
            Why it ended.
        """
        await self._lost.wait()
        return self._reason

    def publish(self, topic: str, payload: bytes, qos: int = 0, retain: bool = False) -> bool:
        """Queue one message; it is written as soon as the socket takes it.

        Returns:
            Whether it was queued: not on a connection that is lost, which :meth:`wait_lost` tells.
        """
        if self._lost.is_set():
            return False
        if not qos and self._write_through(topic, payload, retain=retain):
            return self._count_queued(payload)
        info = self._client.publish(topic, payload, qos, retain)
        if qos:
            # on_publish would be called for QoS 0 too and costs as much as the publishing itself.
            self._unacknowledged.append(info)
            if self._first_below_dollar is None and topic.startswith("$"):
                self._first_below_dollar = topic, info
            self._forget_acknowledged()
        return self._count_queued(payload)

    def _count_queued(self, payload: bytes) -> bool:
        self._queued_bytes += len(payload)
        if self._queued_bytes > MAX_QUEUED_BYTES:
            self._end(f"broker does not read, {self._queued_bytes} bytes wait for it")
        return True

    def _write_through(self, topic: str, payload: bytes, *, retain: bool) -> bool:
        """Write a message of QoS 0 past paho, which takes ten times as long over it.

        Returns:
            Whether it was: not while paho has packets of its own to write, which come before it.
        """
        if self._client.want_write():
            return False
        five = self._endpoint.protocol == "5"
        try:
            self._sock.send(publish_packet(topic, payload, retain=retain, version_5=five))
        except BlockingIOError:
            return False
        self._writable.set()
        return True

    async def subscribe(self, filters: Sequence[tuple[str, int]]) -> None:
        """Subscribe and wait for the broker's answer.

        Raises:
            BrokerRefused: a filter was refused.
            BrokerUnreachable: no answer came.
        """
        _, mid = self._client.subscribe(list(filters))
        if mid is None:
            raise BrokerUnreachable(f"{self._endpoint}: connection lost before subscribing")
        answered, refused = self._subscriptions[mid] = (trio.Event(), [])
        with trio.move_on_after(CONNECT_TIMEOUT_S):
            await answered.wait()
        if self._lost.is_set() or not answered.is_set():
            raise BrokerUnreachable(f"{self._endpoint}: {self._reason or 'no answer to SUBSCRIBE'}")
        if refused:
            named = ", ".join(
                f"{topic!r} ({reason})"
                for (topic, _), reason in zip(filters, refused, strict=False)
                if reason
            )
            if named:
                raise BrokerRefused(f"{self._endpoint}: subscription refused: {named}")

    def unsubscribe(self, filters: Sequence[tuple[str, int]]) -> None:
        """Have nothing more sent for filters that were subscribed to."""
        if not self._lost.is_set():
            self._client.unsubscribe([topic for topic, _ in filters])

    async def wait_settled(self) -> None:
        """Wait until everything is written and every QoS 1 message acknowledged, or it is lost."""
        while not self._lost.is_set():
            self._forget_acknowledged()
            waits = self._client.want_write() or self._sock.buffered
            if not self._unacknowledged and not waits:
                return
            self._progress = trio.Event()
            await self._progress.wait()

    def _forget_acknowledged(self) -> None:
        while self._unacknowledged and self._unacknowledged[0].is_published():
            self._unacknowledged.popleft()

    async def disconnect(self, *, with_will: bool = False, timeout_s: float = 3.0) -> None:
        """Say goodbye and close.

        Args:
            with_will: let the broker publish the will all the same (MQTT 5 reason 0x04).
            timeout_s: how long to wait for what is still to be written and acknowledged.
        """
        with trio.move_on_after(timeout_s):
            await self.wait_settled()
        self._leaving = True
        if not self._lost.is_set():
            self._client.say_goodbye(with_will=with_will)
            with trio.move_on_after(timeout_s):
                await self._lost.wait()
        self._end("left")

    def abort(self, reason: str) -> None:
        """Close without DISCONNECT: the broker publishes the will."""
        self._end(reason)

    def leave(self) -> None:
        """Close at once with a DISCONNECT, as far as the socket takes it: no will is published."""
        if not self._lost.is_set():
            self._leaving = True
            self._client.say_goodbye()
            self._client.loop_write()
        self._end("left")

    # The loop.

    async def run(self) -> None:
        """Move bytes until the connection is lost; never raises but for cancellation."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._read)
                nursery.start_soon(self._write)
                nursery.start_soon(self._tick)
                await self._lost.wait()
                nursery.cancel_scope.cancel()
        finally:
            self._end("closed")

    async def _wait_accepted(self) -> None:
        with trio.move_on_after(CONNECT_TIMEOUT_S):
            await self._answered.wait()
        if self._refusal is not None:
            why = explain_refusal(self._refusal)
            raise BrokerRefused(f"{self._endpoint}: broker refused the connection: {why}")
        if self._lost.is_set():
            raise BrokerUnreachable(
                f"{self._endpoint}: connection closed before it was accepted: {self._reason}"
            )
        if not self._answered.is_set():
            self._end("no CONNACK")
            raise BrokerUnreachable(
                f"{self._endpoint}: no CONNACK within {CONNECT_TIMEOUT_S:g} s, "
                "expected an MQTT broker"
            )

    async def _read(self) -> None:
        while not self._lost.is_set():
            try:
                await trio.lowlevel.wait_readable(self._sock.fileno())
            except (trio.ClosedResourceError, ValueError):
                return
            self._check(self._client.loop_read())
            # What TLS has already decrypted is not announced by the socket again.
            while not self._lost.is_set() and self._sock.pending():
                self._check(self._client.loop_read())
            self._progress.set()

    async def _write(self) -> None:
        client, sock = self._client, self._sock
        while not self._lost.is_set():
            await self._writable.wait()
            self._writable = trio.Event()
            while not self._lost.is_set() and (client.want_write() or sock.buffered):
                self._check(client.loop_write())
                try:
                    if not sock.flush():
                        await trio.lowlevel.wait_writable(sock.fileno())
                except (trio.ClosedResourceError, ValueError):
                    return
                except OSError:
                    self._end("connection lost")
            self._queued_bytes = 0
            self._progress.set()

    async def _tick(self) -> None:
        while not self._lost.is_set():
            await trio.sleep(min(1.0, self._endpoint.keep_alive_s / 4))
            self._check(self._client.loop_misc())

    def _check(self, rc: MQTTErrorCode) -> None:
        if self._sock.buffered:
            self._writable.set()
        if rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
            self._end(mqtt.error_string(rc))

    def _end(self, reason: str, advice: str = "") -> None:
        if self._lost.is_set():
            return
        self._reason = (self._sock.failure or reason) + advice
        self._lost.set()
        self._progress.set()
        self._answered.set()
        self._incoming.close()
        for answered, _ in self._subscriptions.values():
            answered.set()
        self._sock.close()

    # What paho calls.

    def _on_connect(
        self,
        _client: mqtt.Client,
        _userdata: object,
        _flags: mqtt.ConnectFlags,
        reason: ReasonCode,
        properties: Properties | None,
    ) -> None:
        if reason.is_failure:
            self._refusal = reason.getName()
        self.max_packet_bytes = getattr(properties, "MaximumPacketSize", None)
        self._answered.set()

    def _on_disconnect(
        self,
        _client: mqtt.Client,
        _userdata: object,
        flags: mqtt.DisconnectFlags,
        reason: ReasonCode,
        properties: Properties | None,
    ) -> None:
        if self._leaving:
            self._end("left")
        else:
            told = flags.is_disconnect_packet_from_server
            self._end(explain_end(reason, properties, told=told), self._advise())

    def _advise(self) -> str:
        """Return what may have had the broker hang up: some do so at a topic that begins with $."""
        if self._first_below_dollar is None:
            return ""
        topic, info = self._first_below_dollar
        if info.is_published():
            return ""
        return (
            f"; it had not taken {topic!r} yet: where the broker refuses topics that begin"
            " with '$', choose another node.topic_prefix"
        )

    def _on_message(
        self, _client: mqtt.Client, _userdata: object, message: mqtt.MQTTMessage
    ) -> None:
        try:
            self._incoming.send_nowait(
                Message(message.topic, bytes(message.payload), message.retain)
            )
        except trio.WouldBlock:
            self._end(f"{_WAIT_LIMIT} received messages wait, more than can be handled")

    def _on_subscribe(
        self,
        _client: mqtt.Client,
        _userdata: object,
        mid: int,
        reasons: list[ReasonCode],
        _properties: Properties,
    ) -> None:
        answered, refused = self._subscriptions.pop(mid)
        if any(reason.is_failure for reason in reasons):
            refused.extend(reason.getName() if reason.is_failure else "" for reason in reasons)
        answered.set()

    def _on_register_write(self, _client: mqtt.Client, _userdata: object, _sock: object) -> None:
        self._writable.set()


async def connect(
    nursery: trio.Nursery, endpoint: Endpoint, make_will: Callable[[], MqttWill | None]
) -> MqttConnection:
    """Connect to a broker.

    Args:
        nursery: where the connection's loop runs.
        endpoint: the broker.
        make_will: called when the socket is open, right before CONNECT is written, so that a bdSeq
            is used up only by a CONNECT that was really sent.

    Raises:
        BrokerUnreachable: nothing (or nothing that speaks MQTT) answers, or TLS failed.
        BrokerRefused: the broker does not accept the connection.
    """
    sock = await open_socket(endpoint)
    try:
        connection = MqttConnection(endpoint, sock, make_will())
    except BaseException:
        sock.close()
        raise
    nursery.start_soon(connection.run)
    try:
        connection._client.open()  # noqa: SLF001  # one module, two halves of a constructor
        await connection._wait_accepted()  # noqa: SLF001  # same
    except BaseException:
        connection.leave()
        raise
    return connection
