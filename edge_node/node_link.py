"""The edge node on its broker: connection after connection, each with its own will and bdSeq.

Decides when to connect, when to leave and what arrives where; what is said is the publisher's
business and how bytes travel the connection's.
"""

from collections.abc import Callable
from typing import Final

import structlog
import trio

from edge_node.backoff import Backoff
from edge_node.bd_seq import BdSeqFile
from edge_node.counters import Counters
from edge_node.errors import BrokerError, StateUnavailable
from edge_node.mqtt_link import MqttConnection, MqttWill, connect
from edge_node.mqtt_socket import Endpoint
from edge_node.publisher import Publisher
from edge_node.uns import UnsMirror
from proto.sparkplug.edge_events import (
    PrimaryHostOffline,
    PrimaryHostOnline,
    RebirthDone,
    Rejected,
    WriteRequested,
)
from proto.sparkplug.messages import Connect, Publish

FIRST_DELAY_S: Final = 1.0
LONGEST_DELAY_S: Final = 30.0
STEADY_S: Final = 10.0
"""A connection that lasted this long was a success: the next delay is short again."""
_HOST_PAUSE_S = 0.2

log = structlog.get_logger(__name__)


class NodeLink:
    """One edge node's connections.

    Args:
        endpoint: the broker.
        publisher: the Sparkplug side.
        mirror: the UNS side.
        bd_seq: where the number for the next CONNECT is kept.
        next_bd_seq: gives that number once a CONNECT was prepared.
        counters: for reconnects.
        on_write: called with device (``None`` for the node), metric and value.
        on_connected: called when a connection stands, to publish what else is retained.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        publisher: Publisher,
        mirror: UnsMirror,
        *,
        bd_seq: BdSeqFile,
        next_bd_seq: Callable[[], int],
        counters: Counters,
        on_write: Callable[[WriteRequested], None],
        on_connected: Callable[[], None],
    ) -> None:
        self._endpoint = endpoint
        self._publisher = publisher
        self._mirror = mirror
        self._bd_seq = bd_seq
        self._next_bd_seq = next_bd_seq
        self._counters = counters
        self._on_write = on_write
        self._on_connected = on_connected
        self._connection: MqttConnection | None = None
        self._prepared: Connect | None = None
        self._was_connected = False
        self._told_away = False

    @property
    def is_congested(self) -> bool:
        """Whether the broker reads more slowly than it is written to."""
        return self._connection is not None and self._connection.is_congested

    def publish(self, topic: str, payload: bytes, qos: int, retain: bool) -> None:
        """Publish beside Sparkplug, when there is a connection."""
        if self._connection is not None:
            self._connection.publish(topic, payload, qos, retain)

    async def run(self) -> None:
        """Stay connected until cancelled."""
        backoff = Backoff(FIRST_DELAY_S, LONGEST_DELAY_S)
        async with trio.open_nursery() as nursery:
            while True:
                started = trio.current_time()
                delay_s: float | None = None
                try:
                    delay_s = await self._stay(nursery)
                except BrokerError as exc:
                    self._tell_away(str(exc))
                finally:
                    self._leave()
                if delay_s is None:
                    if trio.current_time() - started >= STEADY_S:
                        backoff.reset()
                    delay_s = backoff.next_delay_s()
                await trio.sleep(delay_s)

    async def _stay(self, nursery: trio.Nursery) -> float | None:
        """Connect, and serve the connection until it ends.

        Returns:
            How long to wait before the next one, ``None`` for what the back-off says.

        Raises:
            BrokerError: there was no connection.
        """
        connection = await connect(nursery, self._endpoint, self._make_will)
        try:
            assert self._prepared is not None  # noqa: S101  # the will was made
            await connection.subscribe(self._prepared.subscriptions)
            self._enter(connection)
            async for topic, payload in connection.messages:
                if self._receive(topic, payload):
                    await connection.disconnect(with_will=True)
                    return _HOST_PAUSE_S
            reason = await connection.wait_lost()
        finally:
            connection.abort("left")
        self._tell_away(reason)
        return None

    def _make_will(self) -> MqttWill:
        """Take the next bdSeq; it is on disk before the CONNECT that uses this one is written."""
        self._prepared = self._publisher.prepare()
        try:
            self._bd_seq.write(self._next_bd_seq())
        except StateUnavailable as exc:
            # A node that publishes with a bdSeq it may have to repeat beats one that is silent.
            log.exception("bd_seq_not_kept", reason=str(exc))
        will = self._prepared.will
        return MqttWill(will.topic, will.payload, will.qos, will.retain)

    def _enter(self, connection: MqttConnection) -> None:
        self._connection = connection
        if self._was_connected:
            self._counters.reconnects += 1
        self._was_connected = True
        self._told_away = False
        log.info("broker_connected", broker=str(self._endpoint))

        def send(message: Publish) -> None:
            connection.publish(message.topic, message.payload, message.qos, message.retain)

        self._publisher.attach(send)
        self._mirror.attach(connection.publish)
        self._on_connected()

    def _leave(self) -> None:
        self._connection = None
        self._mirror.detach()
        self._publisher.detach()

    def _receive(self, topic: str, payload: bytes) -> bool:
        """Handle a message; return whether the connection must be left."""
        leave = False
        for event in self._publisher.receive(topic, payload):
            match event:
                case WriteRequested():
                    self._on_write(event)
                case Rejected():
                    self._counters.commands_rejected += 1
                    log.warning("command_rejected", topic=event.topic, reason=event.reason)
                case RebirthDone():
                    log.info("reborn", births=event.births)
                case PrimaryHostOnline():
                    log.info("primary_host_online")
                case PrimaryHostOffline():
                    log.warning("primary_host_offline", leaving=event.must_disconnect)
                    leave = leave or event.must_disconnect
        return leave

    def _tell_away(self, reason: str) -> None:
        """Log that there is no connection: loudly when that is news."""
        if self._told_away:
            log.debug("broker_still_away", reason=reason)
        else:
            log.error("broker_away", broker=str(self._endpoint), reason=reason)
            self._told_away = True

    async def say_goodbye(self, last_words: Callable[[], None]) -> None:
        """End by intent: deaths, last words, DISCONNECT; nothing when there is no connection.

        Args:
            last_words: publishes what else is to be said, before the DISCONNECT.
        """
        connection = self._connection
        if connection is None:
            return
        self._publisher.farewell()
        last_words()
        await connection.disconnect(with_will=True)
