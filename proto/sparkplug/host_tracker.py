"""A host application's picture of all edge nodes, without I/O (specification 5.4, 5.9 to 5.11).

``receive`` takes whatever arrives on ``spBv1.0/#`` and gives back events and rebirth requests, in
order. It never raises on foreign input, and what one node does wrong touches no other. ``tick`` is
to be called at ``next_deadline_ms``: missing messages are given up and births asked for then.

The picture itself is ``nodes``: live objects, updated in place (see ``node_view``).
"""

import heapq
from collections.abc import Iterable, Iterator, Mapping
from typing import TypeAlias

from proto.sparkplug.codec import parse
from proto.sparkplug.errors import PayloadError, TopicError, UnknownMetric
from proto.sparkplug.host_births import BirthReader
from proto.sparkplug.host_commands import rebirth_command, write_command
from proto.sparkplug.host_events import (
    HostEvent,
    RebirthRequested,
    TrackerOptions,
    Violation,
    ViolationKind,
)
from proto.sparkplug.messages import Publish
from proto.sparkplug.node_tracker import NodeTracker
from proto.sparkplug.node_view import NodeView
from proto.sparkplug.rebirth import RebirthCause
from proto.sparkplug.topics import STATE_PREFIX, MessageType, NodeId, Topic, parse_topic

HostAction: TypeAlias = Publish | HostEvent

_MAX_KNOWN_TOPICS = 100_000


class _Views(Mapping[NodeId, NodeView]):
    """The trackers' views, without the trackers."""

    def __init__(self, trackers: dict[NodeId, NodeTracker]) -> None:
        self._trackers = trackers

    def __getitem__(self, node: NodeId) -> NodeView:
        return self._trackers[node].view

    def __iter__(self) -> Iterator[NodeId]:
        return iter(self._trackers)

    def __len__(self) -> int:
        return len(self._trackers)


class HostTracker:
    """Follows every edge node that says anything.

    Attributes:
        nodes: the picture, by node.
        foreign_violations: messages that no node can be blamed for.
    """

    def __init__(self, *, host_id: str, options: TrackerOptions | None = None) -> None:
        self.host_id = host_id
        self.options = options or TrackerOptions()
        self._trackers: dict[NodeId, NodeTracker] = {}
        self.nodes: Mapping[NodeId, NodeView] = _Views(self._trackers)
        self.foreign_violations = 0
        self._births = BirthReader()
        self._topics: dict[str, Topic] = {}
        self._due: list[tuple[int, NodeId]] = []

    @property
    def next_deadline_ms(self) -> int | None:
        """When ``tick`` wants to be called; ``None`` while nothing is pending."""
        return self._due[0][0] if self._due else None

    def receive(self, topic: str, payload: bytes, now_ms: int) -> list[HostAction]:
        """What arrived, with the host's time.

        STATE messages and commands are nothing to the tracker and give nothing back.
        """
        if topic.startswith(STATE_PREFIX):
            return []
        try:
            named = self._topics.get(topic) or self._learn(topic)
        except TopicError as error:
            self.foreign_violations += 1
            return [Violation(None, topic, ViolationKind.TOPIC, str(error))]
        kind = named.message_type
        if kind is MessageType.NCMD or kind is MessageType.DCMD:
            return []
        tracker = self._trackers.get(named.node)
        if tracker is None:
            if kind is MessageType.NDEATH:
                return []  # the end of something that was never seen
            tracker = NodeTracker(named.node, self.options, self._births)
            self._trackers[named.node] = tracker
        events: list[HostEvent] = []
        due_ms = tracker.due_ms
        try:
            parsed = parse(payload)
        except PayloadError as error:
            tracker.violate(topic, ViolationKind.PAYLOAD, str(error), now_ms, events)
        else:
            fingerprint = hash(payload) if kind is MessageType.NBIRTH else 0
            tracker.receive((named, topic, parsed), fingerprint, now_ms, events)
        if tracker.due_ms == due_ms:
            return list(events)
        return self._follow_up((tracker,), now_ms, events)

    def tick(self, now_ms: int) -> list[HostAction]:
        """Time has passed: give up what stayed away, ask for births where they are due."""
        trackers: dict[NodeId, NodeTracker] = {}
        while self._due and self._due[0][0] <= now_ms:
            node = heapq.heappop(self._due)[1]
            if node in self._trackers:
                trackers[node] = self._trackers[node]
        events: list[HostEvent] = []
        for tracker in trackers.values():
            tracker.time_out(now_ms, events)
        return self._follow_up(trackers.values(), now_ms, events)

    def lost_connection(self, now_ms: int) -> list[HostAction]:
        """The host's own connection is gone: every node is offline to it, everything stale."""
        events: list[HostEvent] = []
        self._due.clear()
        for tracker in self._trackers.values():
            tracker.lose("the host lost its connection", now_ms, events)
        return list(events)

    def reconnected(self, now_ms: int) -> None:
        """The host hears again: nodes that were born before are asked for births, one by one.

        A node that births on its own meanwhile, as those that wait for this host do, is not asked.
        """
        at_ms = now_ms + self.options.reorder_timeout_ms
        for node, tracker in self._trackers.items():
            if tracker.view.diagnostics.births and not tracker.view.online:
                tracker.pacing.want(RebirthCause.HOST_AWAY, RebirthCause.HOST_AWAY, at_ms)
                heapq.heappush(self._due, (at_ms, node))
                at_ms += self.options.reconnect_spacing_ms

    def forget(self, node: NodeId) -> None:
        """Drop a node from the picture; it comes back when it says anything."""
        self._trackers.pop(node, None)

    def command(
        self, node: NodeId, device: str | None, metric: str, value: object, now_ms: int
    ) -> Publish:
        """An NCMD (``device`` is ``None``) or DCMD that writes one metric, typed as its birth said.

        Raises:
            UnknownMetric: no such node, device or metric.
            NodeOffline: the node or device is not there.
            NotWritable: the birth says the metric is read only.
            WrongType: a value of another kind than the metric's data type.
            ValueOutOfRange: a value its data type cannot hold, or null.
        """
        return write_command(
            self._tracker(node).view,
            device,
            metric,
            value,
            now_ms,
            uint32_as_long=self.options.uint32_as_long,
        )

    def rebirth(self, node: NodeId, now_ms: int) -> Publish:
        """A rebirth request because somebody wants one, whatever the throttle says.

        Raises:
            UnknownMetric: no such node.
        """
        tracker = self._tracker(node)
        tracker.pacing.sent(now_ms)
        cause = RebirthCause.PERSON
        tracker.view.diagnostics.request_rebirth(cause, cause, now_ms)
        return rebirth_command(node, now_ms)

    def _learn(self, topic: str) -> Topic:
        named = parse_topic(topic)
        if len(self._topics) >= _MAX_KNOWN_TOPICS:
            self._topics.clear()
        self._topics[topic] = named
        return named

    def _tracker(self, node: NodeId) -> NodeTracker:
        tracker = self._trackers.get(node)
        if tracker is None:
            raise UnknownMetric(f"edge node {node}: never heard of")
        return tracker

    def _follow_up(
        self, trackers: Iterable[NodeTracker], now_ms: int, events: list[HostEvent]
    ) -> list[HostAction]:
        """Send the rebirth requests that are due; remember when the others are."""
        actions: list[HostAction] = list(events)
        for tracker in trackers:
            pacing, view = tracker.pacing, tracker.view
            if pacing.due_ms is not None and pacing.due_ms <= now_ms:
                pacing.sent(now_ms)
                view.diagnostics.request_rebirth(pacing.cause, pacing.reason, now_ms)
                actions.append(rebirth_command(view.node, now_ms))
                actions.append(RebirthRequested(view.node, pacing.reason))
            if (due_ms := tracker.due_ms) is not None:
                heapq.heappush(self._due, (due_ms, view.node))
        return actions
