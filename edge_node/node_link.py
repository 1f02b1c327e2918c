"""The edge node on its brokers: connection after connection, each with its own will and bdSeq.

Decides when to connect, when to leave and what arrives where; what is said is the publisher's
business and how bytes travel the connection's. Never on two brokers at once.
"""

import math
import random
from collections.abc import Callable, Sequence
from enum import Enum
from functools import partial
from typing import Final

import structlog
import trio

from edge_node.bd_seq import BdSeqFile
from edge_node.counters import Counters
from edge_node.errors import BrokerError, BrokerRefused, BrokerUnreachable, StateUnavailable
from edge_node.mqtt_client import MqttWill
from edge_node.mqtt_link import Message, MqttConnection, connect
from edge_node.mqtt_socket import Endpoint
from edge_node.publisher import Publisher
from edge_node.server_walk import ServerWalk
from edge_node.uns import UnsMirror
from edge_node.uns_leftovers import Leftovers
from proto.sparkplug.edge_events import (
    EdgeEvent,
    PrimaryHostOffline,
    PrimaryHostOnline,
    RebirthDone,
    Rejected,
    WriteRequested,
)
from proto.sparkplug.messages import Connect, Publish
from proto.sparkplug.topics import NAMESPACE, STATE_PREFIX

GOODBYE_S: Final = 2.0
"""How long deaths may take to be acknowledged; the whole leave-taking stays within 3 s."""

LOOK_S: Final = 2.0
LONGEST_LOOK_S: Final = 30.0
"""What an earlier run left behind is all there once nothing has come for the first; at last after
the second."""

log = structlog.get_logger(__name__)


class Leave(Enum):
    """Why a connection is left by intent."""

    HOST_LOST = "primary host offline"
    HOST_ABSENT = "primary host not here"
    NEXT_SERVER = "next server asked for"


class NodeLink:
    """One edge node's connections.

    Args:
        endpoints: the brokers, in the order they are tried.
        publisher: the Sparkplug side.
        mirror: the UNS side.
        bd_seq: where the number for the next CONNECT is kept.
        counters: for reconnects and rejected commands.
        on_write: called for each write that a host asks for.
        on_rejected: called for each command of a host that is not acted on.
        filters: what else to subscribe to.
        on_message: called for each message that comes on these.
        on_connected: called when a connection stands, to publish what else is retained.
        leftovers: finds what an earlier run left in the mirror.
    """

    def __init__(
        self,
        endpoints: Sequence[Endpoint],
        publisher: Publisher,
        mirror: UnsMirror,
        *,
        bd_seq: BdSeqFile,
        counters: Counters,
        on_write: Callable[[WriteRequested], None],
        on_rejected: Callable[[Rejected], None],
        filters: Sequence[str] = (),
        on_message: Callable[[Message], None],
        on_connected: Callable[[], None],
        leftovers: Leftovers,
    ) -> None:
        self._endpoints = endpoints
        self._publisher = publisher
        self._mirror = mirror
        self._bd_seq = bd_seq
        self._counters = counters
        self._on_write = on_write
        self._on_rejected = on_rejected
        self._filters = tuple((each, 1) for each in filters)
        self._on_message = on_message
        self._on_connected = on_connected
        self._leftovers = leftovers
        self._walk = ServerWalk(len(endpoints))
        self._connection: MqttConnection | None = None
        self._prepared: Connect | None = None
        self._leave: Leave | None = None
        self._was_connected = False
        self._told_away = False

    @property
    def is_connected(self) -> bool:
        """Whether there is a connection to a broker."""
        return self._connection is not None

    @property
    def queued_bytes(self) -> int:
        """Bytes of payload that wait for the broker to read them; 0 while it keeps up."""
        return 0 if self._connection is None else self._connection.queued_bytes

    def publish(self, topic: str, payload: bytes, qos: int, retain: bool) -> None:
        """Publish beside Sparkplug, when there is a connection."""
        if self._connection is not None:
            self._connection.publish(topic, payload, qos, retain)

    def go_to_next_server(self) -> None:
        """End the session and go on with the next broker; called from ``on_write``."""
        self._leave = Leave.NEXT_SERVER

    async def run(self, start_delay_s: float = 0.0) -> None:
        """Stay connected until cancelled.

        Args:
            start_delay_s: begin at a random moment within this time.
        """
        await trio.sleep(random.uniform(0, start_delay_s))  # noqa: S311  # no secret
        async with trio.open_nursery() as nursery:
            while True:
                started = trio.current_time()
                leave: Leave | None = None
                try:
                    leave = await self._stay(nursery, self._endpoints[self._walk.current])
                except BrokerError as exc:
                    self._tell_away(str(exc))
                finally:
                    self._detach()
                if leave is None:
                    delay_s = self._walk.lost(trio.current_time() - started)
                elif leave is Leave.NEXT_SERVER:
                    delay_s = self._walk.left()
                else:
                    delay_s = self._walk.passed_on()
                await trio.sleep(delay_s)

    async def _stay(self, nursery: trio.Nursery, endpoint: Endpoint) -> Leave | None:
        """Connect, and serve the connection until it ends.

        Returns:
            Why it was left, ``None`` when it was lost.

        Raises:
            BrokerError: there was no connection.
        """
        connection = await connect(nursery, endpoint, partial(self._make_will, str(endpoint)))
        try:
            assert self._prepared is not None  # noqa: S101  # the will was made
            await connection.subscribe(self._prepared.subscriptions)
            self._attach(connection, endpoint)
            nursery.start_soon(self._begin_mirror, connection)
            if self._filters:
                nursery.start_soon(self._subscribe_more, connection)
            leave = await self._serve(connection)
            if leave is not None:
                log.warning("broker_left", broker=str(endpoint), reason=leave.value)
                await self._take_leave(connection, lambda: None)
                return leave
            self._tell_away(f"{endpoint}: {await connection.wait_lost()}")
        finally:
            # The will is for sessions that were born: it would be a stray NDEATH otherwise.
            if self._publisher.has_births:
                connection.abort("left")
            else:
                connection.leave()
        return None

    async def _begin_mirror(self, connection: MqttConnection) -> None:
        """Have the mirror publish, once the broker was asked for what an earlier run left there."""
        filters = self._leftovers.filters
        try:
            if filters:
                await connection.subscribe(filters)
        except BrokerError as exc:
            # once is enough: a broker may hang up on who asks for what it may not read
            log.info("leftovers_not_looked_for", reason=str(exc))
            self._leftovers.finish()
            filters = []
        if self._connection is not connection:
            return
        self._mirror.attach(connection.publish)
        if not filters:
            return
        taken = -1
        with trio.move_on_after(LONGEST_LOOK_S):
            while taken != self._leftovers.taken:
                taken = self._leftovers.taken
                await trio.sleep(LOOK_S)
        if self._connection is connection:
            connection.unsubscribe(filters)
            if cleared := self._mirror.clear(self._leftovers.finish()):
                log.info("leftovers_cleared", topics=cleared)

    async def _subscribe_more(self, connection: MqttConnection) -> None:
        """Subscribe to what is not Sparkplug; a node does its work without it."""
        try:
            await connection.subscribe(self._filters)
        except BrokerRefused as exc:
            log.error("subscription_refused", reason=str(exc))  # noqa: TRY400  # no fault of ours
        except BrokerUnreachable as exc:
            log.debug("subscription_lost", reason=str(exc))  # the connection's end is told

    async def _serve(self, connection: MqttConnection) -> Leave | None:
        """Handle what arrives until the connection is lost or must be left."""
        look_s = self._walk.look_s()
        deadline = math.inf if look_s is None else trio.current_time() + look_s
        while True:
            message: Message | None = None
            with trio.move_on_at(deadline if self._publisher.is_waiting else math.inf):
                try:
                    message = await connection.messages.receive()
                except trio.EndOfChannel:
                    return None
            if message is None:
                return Leave.HOST_ABSENT
            if not message.topic.startswith(f"{NAMESPACE}/"):
                if not self._leftovers.take(message):
                    self._on_message(message)
                continue
            if message.retained and not message.topic.startswith(STATE_PREFIX):
                self._reject_retained(message.topic)
                continue
            for event in self._publisher.receive(message.topic, message.payload):
                self._handle(event)
            if leave := self._take_leave_request():
                return leave

    def _reject_retained(self, topic: str) -> None:
        """Refuse a command that the broker keeps: it would be done again at each connection."""
        self._counters.commands_rejected += 1
        log.warning("command_rejected", topic=topic, reason="retained, expected a plain message")

    def _take_leave_request(self) -> Leave | None:
        leave, self._leave = self._leave, None
        return leave

    def _handle(self, event: EdgeEvent) -> None:
        match event:
            case WriteRequested():
                self._on_write(event)
            case Rejected():
                self._counters.commands_rejected += 1
                log.warning("command_rejected", topic=event.topic, reason=event.reason)
                self._on_rejected(event)
            case RebirthDone():
                log.info("reborn", births=event.births)
            case PrimaryHostOnline():
                self._walk.born()
                log.info("primary_host_online")
            case PrimaryHostOffline(must_disconnect=True):
                self._leave = Leave.HOST_LOST
            case PrimaryHostOffline():
                log.info("primary_host_absent")
                if self._walk.host_absent():
                    self._leave = Leave.HOST_ABSENT

    def _make_will(self, broker: str) -> MqttWill:
        """Take the next bdSeq; it is on disk before the CONNECT that uses this one is written."""
        self._prepared = self._publisher.prepare(broker)
        try:
            self._bd_seq.write(self._publisher.next_bd_seq)
        except StateUnavailable as exc:
            # A node that publishes with a bdSeq it may have to repeat beats one that is silent.
            log.exception("bd_seq_not_kept", reason=str(exc))
        will = self._prepared.will
        return MqttWill(will.topic, will.payload, will.qos, will.retain)

    def _attach(self, connection: MqttConnection, endpoint: Endpoint) -> None:
        self._connection = connection
        if self._was_connected:
            self._counters.reconnects += 1
        self._was_connected = True
        self._told_away = False
        log.info("broker_connected", broker=str(endpoint))

        def send(message: Publish) -> bool:
            return connection.publish(message.topic, message.payload, message.qos, message.retain)

        self._publisher.attach(send, connection.max_packet_bytes)
        self._on_connected()

    def _detach(self) -> None:
        self._connection = None
        self._mirror.detach()
        self._publisher.detach()

    def _tell_away(self, reason: str) -> None:
        """Log that there is no connection: loudly when that is news."""
        if self._told_away:
            log.debug("broker_still_away", reason=reason)
        else:
            log.error("broker_away", reason=reason)
            self._told_away = True

    async def say_goodbye(self, last_words: Callable[[], None]) -> None:
        """End by intent: deaths, last words, DISCONNECT; nothing when there is no connection.

        Args:
            last_words: publishes what else is to be said, before the DISCONNECT.
        """
        if self._connection is not None:
            await self._take_leave(self._connection, last_words)

    async def _take_leave(self, connection: MqttConnection, last_words: Callable[[], None]) -> None:
        with_will = self._publisher.has_births
        self._publisher.farewell()
        last_words()
        await connection.disconnect(with_will=with_will, timeout_s=GOODBYE_S)
