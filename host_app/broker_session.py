"""The host on one broker: its STATE, its picture of the nodes there, its reconnecting.

With several brokers there are several of these. Each keeps a picture of its own, because what is
lost with one connection is not lost on the others; the service puts them together.
"""

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import structlog
from pydantic import ValidationError

from host_app.clock import now_ms
from host_app.errors import BrokerRefused, BrokerUnreachable
from host_app.mqtt_link import Message, MqttConnection, Will, connect
from host_app.mqtt_stream import Endpoint
from host_app.notices import RateLimit
from host_app.scope import Mode, NodeFilter
from host_app.traffic import NodeTraffic
from proto.control.command import CommandResult
from proto.control.topics import parse_result_topic, result_filter
from proto.sparkplug.errors import TopicError
from proto.sparkplug.host_events import HostEvent, RebirthRequested, TrackerOptions
from proto.sparkplug.host_state import HostStateSession
from proto.sparkplug.host_tracker import HostAction, HostTracker
from proto.sparkplug.messages import Publish
from proto.sparkplug.topics import STATE_PREFIX, MessageType, NodeId, parse_topic

log = structlog.get_logger(__name__)

FIRST_PAUSE_S: Final = 0.25
LONGEST_PAUSE_S: Final = 15.0
TICK_S: Final = 0.05
ACKNOWLEDGE_TIMEOUT_S: Final = 5.0
LONGEST_FLOOD_S: Final = 30.0
"""For so long in a row a flood excuses what stays away."""

_MAX_KNOWN_TOPICS: Final = 200_000
_COMMANDS: Final = frozenset({MessageType.NCMD, MessageType.DCMD})

_jitter = random.SystemRandom()


@dataclass(slots=True)
class LinkCounters:
    """Counted since the process started.

    Attributes:
        retained_ignored: Sparkplug messages that came as retained; they may be of a node that is
            long gone, and the specification wants none.
        failed: messages that our own code could not handle.
    """

    connects: int = 0
    messages: int = 0
    bytes: int = 0
    retained_ignored: int = 0
    failed: int = 0


Events = Callable[["BrokerSession", Sequence[HostEvent]], None]
"""Takes what happened on a broker, in order."""


Refusal = Callable[[NodeId, str, str, str], None]
"""Takes node, device, metric and the reason."""


class BrokerSession:
    """One broker.

    Attributes:
        tracker: the picture of the nodes on this broker.
        mode: how much part the host takes.
        traffic: what was measured of each node's messages.
        problem: why there is no connection, None while the host is online here.
        on_events: what to do with events of the tracker.
        on_change: called when ``problem`` changes.
        on_refusal: called when an edge node says that it did not do a Sparkplug command.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        host_id: str,
        options: TrackerOptions,
        *,
        mode: Mode = Mode.PRIMARY,
        node_filter: NodeFilter | None = None,
        topic_prefix: str = "$nexus",
    ) -> None:
        self.endpoint = endpoint
        self.mode = mode
        self.tracker = HostTracker(host_id=host_id, options=options)
        self._host_id, self._options = host_id, options
        self._leaving = False
        self.counters = LinkCounters()
        self.problem: str | None = "not connected yet"
        self.on_events: Events = _ignore_events
        self.on_refusal: Refusal = _ignore_refusal
        self._topic_prefix = topic_prefix
        self._beside = (STATE_PREFIX, f"{topic_prefix}/cmd/")
        self.on_change: Callable[[BrokerSession], None] = _ignore_change
        self._state = HostStateSession(host_id)
        self._connection: MqttConnection | None = None
        self.traffic: dict[NodeId, NodeTraffic] = {}
        self._filter = node_filter or NodeFilter()
        self._topics: dict[str, NodeTraffic | None] = {}
        self._nobody = NodeTraffic(0)
        self._retained = RateLimit(10_000)
        self._failed = RateLimit(10_000)

    @property
    def online(self) -> bool:
        """Whether the host does its part here: it listens, and a primary says so by its STATE."""
        return self.problem is None

    def publish(self, message: Publish) -> bool:
        """Send a message.

        Returns:
            Whether there was a connection to send it on, and a mode that sends at all.
        """
        if self.mode is Mode.PASSIVE or self._connection is None or self._connection.is_lost:
            return False
        self._connection.publish(message.topic, message.payload, message.qos, message.retain)
        return True

    async def run(
        self, stop: asyncio.Event, *, leave_limit_s: float = ACKNOWLEDGE_TIMEOUT_S
    ) -> None:
        """Be online on this broker until told to stop, then leave cleanly.

        Args:
            stop: leave.
            leave_limit_s: how long the leaving may take; then the connection is cut.
        """
        self._leaving = False
        keeper = asyncio.create_task(self._keep_connected())
        stopper = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({keeper, stopper}, return_when=asyncio.FIRST_COMPLETED)
            if keeper.done():
                keeper.result()
            self._leaving = True
            try:
                async with asyncio.timeout(leave_limit_s):
                    await self._leave()
            except TimeoutError:
                log.warning("broker_left_without_goodbye", broker=str(self.endpoint))
        finally:
            stopper.cancel()
            keeper.cancel()
            await asyncio.gather(keeper, stopper, return_exceptions=True)
            self._connection = None
            self._state.disconnected()
            self.problem = "not connected"

    def forget(self) -> None:
        """Drop the picture; whoever becomes active again starts with a new one."""
        self.tracker = HostTracker(host_id=self._host_id, options=self._options)
        self.traffic.clear()
        self._topics.clear()

    def sample(self, now: int) -> None:
        """End a sampling interval of the nodes' traffic."""
        for node, traffic in self.traffic.items():
            traffic.sample(self.tracker.nodes.get(node), now)

    async def _keep_connected(self) -> None:
        pause_s = FIRST_PAUSE_S
        while True:
            try:
                reason = await self._serve()
            except BrokerUnreachable as exc:
                reason = str(exc)
            else:
                pause_s = FIRST_PAUSE_S
            if self._leaving:
                return
            self._forget_connection(reason)
            await asyncio.sleep(_jitter.uniform(0.5, 1.0) * pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    async def _serve(self) -> str:
        subscriptions: Sequence[tuple[str, int]] = ()

        def make_will() -> Will | None:
            nonlocal subscriptions
            opening = self._state.connect(now_ms())
            subscriptions = opening.subscriptions
            will = opening.will
            if self.mode is not Mode.PRIMARY:
                return None
            return Will(will.topic, will.payload, will.qos, will.retain)

        connection = await connect(self.endpoint, make_will)
        try:
            connection.on_messages = self._receive
            self._connection = connection
            await connection.subscribe(subscriptions)
            self.tracker.reconnected(now_ms())
            births = self._state.connected() if self.mode is Mode.PRIMARY else ()
            for birth in births:
                mid = connection.publish(birth.topic, birth.payload, birth.qos, birth.retain)
                if not await connection.wait_acknowledged(mid, ACKNOWLEDGE_TIMEOUT_S):
                    raise BrokerUnreachable(f"{self.endpoint}: STATE was not acknowledged")
            self.counters.connects += 1
            self._tell(None)
            async with asyncio.TaskGroup() as tasks:
                ticking = tasks.create_task(self._tick(connection))
                hearing = tasks.create_task(self._subscribe_results(connection))
                reason = await connection.wait_lost()
                ticking.cancel()
                hearing.cancel()
        finally:
            connection.abort("given up")
        return reason

    async def _subscribe_results(self, connection: MqttConnection) -> None:
        """Hear what edge nodes did not do; without it a write is known by its value alone."""
        if self.mode is Mode.PASSIVE:
            return
        try:
            await connection.subscribe(((result_filter(self._topic_prefix), 1),))
        except BrokerRefused as exc:
            log.warning("results_not_heard", broker=str(self.endpoint), reason=str(exc))
        except BrokerUnreachable as exc:
            log.debug("subscription_lost", reason=str(exc))  # the connection's end is told

    async def _leave(self) -> None:
        connection, self._connection = self._connection, None
        if connection is None or connection.is_lost:
            return
        for death in self._state.disconnect(now_ms()):
            mid = connection.publish(death.topic, death.payload, death.qos, death.retain)
            await connection.wait_acknowledged(mid, ACKNOWLEDGE_TIMEOUT_S)
        await connection.disconnect()
        log.info("broker_left", broker=str(self.endpoint))

    async def _tick(self, connection: MqttConnection) -> None:
        """Let the tracker miss what stayed away, but not what only waits to be read."""
        postponed_s = 0.0
        while True:
            await asyncio.sleep(TICK_S)
            deadline_ms = self.tracker.next_deadline_ms
            if deadline_ms is None or deadline_ms > (now := now_ms()):
                continue
            if connection.is_flooded and postponed_s < LONGEST_FLOOD_S:
                postponed_s += TICK_S
                continue
            postponed_s = 0.0
            self._perform(self.tracker.tick(now))

    def _receive(self, batch: list[Message]) -> None:
        counters = self.counters
        receive = self.tracker.receive
        now = now_ms()
        events: list[HostEvent] = []
        for topic, payload, retained in batch:
            counters.messages += 1
            counters.bytes += len(payload)
            if topic.startswith(self._beside):
                self._take_beside(topic, payload, retained=retained)
                continue
            traffic = self._topics[topic] if topic in self._topics else self._learn(topic, now)
            if traffic is None:
                continue
            if retained:
                self._ignore_retained(topic, now)
            else:
                traffic.observe(payload, now)
                try:
                    actions = receive(topic, payload, now)
                except Exception as exc:  # noqa: BLE001  # our bug; one message must not cost the others
                    self._report_failure(topic, exc, now)
                    continue
                if actions:
                    self._sort(actions, events)
        if events:
            self.on_events(self, events)

    def _take_beside(self, topic: str, payload: bytes, *, retained: bool) -> None:
        """Take what is no message of a node: STATE, and results of commands."""
        if topic.startswith(STATE_PREFIX):
            for message in self._state.receive(topic, payload):
                log.warning("state_announced_again", broker=str(self.endpoint))
                self.publish(message)
        elif not retained:
            self._take_result(topic, payload)

    def _take_result(self, topic: str, payload: bytes) -> None:
        place = parse_result_topic(topic, self._topic_prefix)
        if place is None:
            return  # a command, of which the node tells the result
        try:
            result = CommandResult.model_validate_json(payload)
        except ValidationError as exc:
            log.debug("result_unreadable", topic=topic[:200], reason=str(exc))
            return
        if result.id is None and not result.ok and self._filter.admits(place[0]):
            self.on_refusal(*place, result.reason or result.outcome)

    def _perform(self, actions: Sequence[HostAction]) -> None:
        events: list[HostEvent] = []
        self._sort(actions, events)
        if events:
            self.on_events(self, events)

    def _sort(self, actions: Sequence[HostAction], events: list[HostEvent]) -> None:
        for action in actions:
            if isinstance(action, Publish):
                self.publish(action)
            elif self.mode is not Mode.PASSIVE or not isinstance(action, RebirthRequested):
                events.append(action)

    def _learn(self, topic: str, now: int) -> NodeTraffic | None:
        """Find whose messages come on a topic; None for nodes that are none of our business."""
        traffic: NodeTraffic | None = self._nobody
        try:
            named = parse_topic(topic)
        except TopicError:
            named = None  # the tracker tells
        if named is not None and not self._filter.admits(named.node):
            traffic = None
        elif named is not None and named.message_type not in _COMMANDS:
            traffic = self.traffic.setdefault(named.node, NodeTraffic(now))
        if len(self._topics) >= _MAX_KNOWN_TOPICS:
            self._topics.clear()
        self._topics[topic] = traffic
        return traffic

    def _report_failure(self, topic: str, exc: Exception, now: int) -> None:
        self.counters.failed += 1
        if (more := self._failed.admit(topic, now)) is not None:
            log.error("message_failed", topic=topic[:200], more=more, exc_info=exc)

    def _ignore_retained(self, topic: str, now: int) -> None:
        self.counters.retained_ignored += 1
        if (more := self._retained.admit(topic, now)) is not None:
            log.warning("retained_message_ignored", topic=topic[:200], more=more)

    def _forget_connection(self, reason: str) -> None:
        self._connection = None
        self._state.disconnected()
        self._perform(self.tracker.lost_connection(now_ms()))
        self._tell(reason)

    def _tell(self, problem: str | None) -> None:
        if problem is None:
            log.info("broker_connected", broker=str(self.endpoint))
        elif self.problem is None:
            log.error("broker_lost", broker=str(self.endpoint), reason=problem)
        elif self.problem != problem:
            log.error("broker_unreachable", broker=str(self.endpoint), reason=problem)
        else:
            log.debug("broker_unreachable", broker=str(self.endpoint), reason=problem)
        changed, self.problem = problem != self.problem, problem
        if changed:
            self.on_change(self)


def _ignore_events(_session: BrokerSession, _events: Sequence[HostEvent]) -> None:
    pass


def _ignore_refusal(_node: NodeId, _device: str, _metric: str, _reason: str) -> None:
    pass


def _ignore_change(_session: BrokerSession) -> None:
    pass
