"""The host application as a whole: all brokers, one picture, commands, and who listens.

This is what the web sees. It knows MQTT only through ``BrokerSession`` and no web at all.
"""

import asyncio
from collections.abc import Iterator, Sequence
from typing import Final, Protocol

import structlog

from host_app.audit import Audit, Entry
from host_app.broker_session import ACKNOWLEDGE_TIMEOUT_S, BrokerSession
from host_app.clock import now_ms
from host_app.commands import PendingWrites, Target, WriteResult
from host_app.engineering import choose, find_range_fault
from host_app.errors import CommandRefused
from host_app.notices import Level, Notice, RateLimit
from host_app.scope import Mode
from host_app.traffic import JournalKind, NodeTraffic
from host_app.uns_status import offline_statuses
from proto.sparkplug.errors import (
    LocalError,
    NodeOffline,
    NotWritable,
    SparkplugError,
    UnknownMetric,
)
from proto.sparkplug.host_events import (
    DeviceBorn,
    DeviceDied,
    HostEvent,
    MetricsChanged,
    NodeBorn,
    NodeDied,
    RebirthRequested,
    Violation,
)
from proto.sparkplug.node_view import MetricView, NodeView
from proto.sparkplug.topics import NodeId
from proto.sparkplug.values import check_value

log = structlog.get_logger(__name__)

SAMPLE_INTERVAL_S: Final = 5.0
_NOTICE_INTERVAL_MS: Final = 10_000
_OFFLINE_REASON: Final = "the edge node's connection was lost"


class HostListener(Protocol):
    """Whoever wants to know; called from the event loop, must not wait and must not raise."""

    def node_changed(self, node: NodeId) -> None:
        """A node or one of its devices was born or died."""

    def values_changed(self, node: NodeId, device: str | None, views: Sequence[MetricView]) -> None:
        """Metrics have new values."""

    def noticed(self, notice: Notice) -> None:
        """Something that people should know."""

    def write_ended(self, result: WriteResult) -> None:
        """A write was confirmed or not."""

    def host_changed(self) -> None:
        """Broker or database came or went."""


class HostService:
    """The primary host application.

    Attributes:
        sessions: one for each broker.
        writes: commands that wait for their value.
        notices_sent: how many notices there were.
    """

    def __init__(self, host_id: str, sessions: Sequence[BrokerSession], audit: Audit) -> None:
        self.host_id = host_id
        self.sessions = tuple(sessions)
        self.writes = PendingWrites()
        self._audit = audit
        self._owners: dict[NodeId, BrokerSession] = {}
        self._listeners: list[HostListener] = []
        self._limit = RateLimit(_NOTICE_INTERVAL_MS)
        self.writes.on_result = self._write_ended
        for session in self.sessions:
            session.on_events = self._take
            session.on_change = self._session_changed
            session.on_refusal = self.writes.refused

    @property
    def online(self) -> bool:
        """Whether STATE says online on every broker."""
        return all(session.online for session in self.sessions)

    def add_listener(self, listener: HostListener) -> None:
        """Tell somebody everything from now on."""
        self._listeners.append(listener)

    def nodes(self) -> Iterator[NodeView]:
        """Every node, each as the broker tells it that it was last born on."""
        for node, session in self._owners.items():
            yield session.tracker.nodes[node]

    @property
    def mode(self) -> Mode:
        """How much part this host takes."""
        return self.sessions[0].mode if self.sessions else Mode.PRIMARY

    def traffic(self, node: NodeId) -> NodeTraffic | None:
        """What was measured of one node's messages."""
        session = self._owners.get(node)
        return None if session is None else session.traffic.get(node)

    def node(self, node: NodeId) -> NodeView | None:
        """One node."""
        session = self._owners.get(node)
        return None if session is None else session.tracker.nodes.get(node)

    async def run(
        self, stop: asyncio.Event, *, leave_limit_s: float = ACKNOWLEDGE_TIMEOUT_S
    ) -> None:
        """Be online until told to stop, then leave every broker cleanly.

        It may be run again; the picture starts anew then.
        """
        try:
            async with asyncio.TaskGroup() as tasks:
                sampling = tasks.create_task(self._sample())
                running = [
                    tasks.create_task(session.run(stop, leave_limit_s=leave_limit_s))
                    for session in self.sessions
                ]
                await asyncio.gather(*running)
                sampling.cancel()
        finally:
            self.writes.cancel_all("the host stops")
            self._owners.clear()
            for session in self.sessions:
                session.forget()

    def write(self, target: Target, value: object, *, actor: str, remote: str | None) -> str:
        """Send a value to a metric.

        Args:
            target: the metric.
            value: of the metric's data type, or a name of its enumeration.
            actor: who wants it, for the audit log.
            remote: from where.

        Returns:
            The id of the result that listeners will be told.

        Raises:
            CommandRefused: nothing was sent.
        """
        self._check_mode()
        session = self._owners.get(target.node)
        view = self.node(target.node)
        if session is None or view is None:
            raise CommandRefused("unknown", f"edge node {target.node}: never heard of")
        if self.writes.is_full:
            raise CommandRefused("busy", f"{len(self.writes)} writes are under way, expected fewer")
        metric = view.metric(target.device, target.metric)
        value = value if metric is None else _choose(metric, target, value)
        try:
            command = session.tracker.command(
                target.node, target.device, target.metric, value, now_ms()
            )
        except UnknownMetric as exc:
            raise CommandRefused("unknown", str(exc)) from exc
        except NodeOffline as exc:
            raise CommandRefused("offline", str(exc)) from exc
        except NotWritable as exc:
            raise CommandRefused("read_only", str(exc)) from exc
        except LocalError as exc:
            raise CommandRefused("value", str(exc)) from exc
        assert metric is not None  # noqa: S101  # command() has just found it
        if (fault := find_range_fault(metric, value)) is not None:
            raise CommandRefused("value", f"{target}: {fault}")
        if not session.publish(command):
            raise CommandRefused("offline", f"broker {session.endpoint}: {session.problem}")
        expected = check_value(metric.datatype, value)
        write_id = self.writes.add(target, actor, expected, metric.value)
        detail = {"id": write_id, "value": value, "before": metric.value}
        self._audit.record(Entry(now_ms(), actor, "write", str(target), remote, detail))
        return write_id

    def rebirth(self, node: NodeId, *, actor: str, remote: str | None) -> None:
        """Ask a node for its births, because somebody wants it.

        Raises:
            CommandRefused: nothing was sent.
        """
        self._check_mode()
        session = self._owners.get(node)
        if session is None:
            raise CommandRefused("unknown", f"edge node {node}: never heard of")
        try:
            request = session.tracker.rebirth(node, now_ms())
        except SparkplugError as exc:
            raise CommandRefused("unknown", str(exc)) from exc
        if not session.publish(request):
            raise CommandRefused("offline", f"broker {session.endpoint}: {session.problem}")
        self._note(session, node, "rebirth_requested", f"{actor} asked for it")
        self._audit.record(Entry(now_ms(), actor, "rebirth", str(node), remote))
        self.notice("info", f"{node}: {actor} asked for births")

    def _check_mode(self) -> None:
        if self.mode is Mode.PASSIVE:
            raise CommandRefused("passive", "this host is passive, expected primary or active")

    def notice(self, level: Level, text: str) -> None:
        """Tell people something."""
        notice = Notice(level, text, now_ms())
        for listener in self._listeners:
            listener.noticed(notice)

    def host_changed(self) -> None:
        """Tell listeners that a part of the host itself came or went."""
        for listener in self._listeners:
            listener.host_changed()

    async def _sample(self) -> None:
        while True:
            await asyncio.sleep(SAMPLE_INTERVAL_S)
            for session in self.sessions:
                session.sample(now_ms())

    def _note(self, session: BrokerSession, node: NodeId, kind: JournalKind, text: str) -> None:
        traffic = session.traffic.get(node)
        if traffic is not None:
            traffic.note(kind, text, now_ms())

    def _take(self, session: BrokerSession, events: Sequence[HostEvent]) -> None:
        now = now_ms()
        for event in events:
            match event:
                case MetricsChanged(node, device, changed):
                    if changed and (traffic := session.traffic.get(node)) is not None:
                        traffic.observe_metric(changed[0].timestamp_ms, now)
                    if self._owners.setdefault(node, session) is session:
                        self.writes.metrics_changed(node, device, changed)
                        for listener in self._listeners:
                            listener.values_changed(node, device, changed)
                case Violation():
                    self._violated(session, event)
                case RebirthRequested(node, reason):
                    self._note(session, node, "rebirth_requested", reason)
                    log.info("rebirth_requested", node=str(node), reason=reason)
                    self.notice("info", f"{node}: births requested, {reason}")
                case _:
                    self._lifecycle(session, event)

    def _lifecycle(
        self, session: BrokerSession, event: NodeBorn | NodeDied | DeviceBorn | DeviceDied
    ) -> None:
        node = event.node
        if isinstance(event, NodeBorn):
            self._owners[node] = session
        elif self._owners.setdefault(node, session) is not session:
            return
        view = session.tracker.nodes[node]
        match event:
            case NodeBorn():
                log.info("node_born", node=str(node), bd_seq=view.bd_seq)
                self._note(session, node, "born", f"bdSeq {view.bd_seq}")
                self.writes.metrics_changed(node, None, list(view.metrics.values()))
            case NodeDied(_, reason):
                log.warning("node_died", node=str(node), reason=reason)
                self._note(session, node, "died", reason)
                self.writes.branch_died(node, None)
                if session.mode is Mode.PRIMARY:
                    for status in offline_statuses(view, _OFFLINE_REASON):
                        session.publish(status)
            case DeviceBorn(_, device):
                log.info("device_born", node=str(node), device=device)
                metrics = view.devices[device].metrics.values()
                self.writes.metrics_changed(node, device, list(metrics))
            case DeviceDied(_, device):
                log.warning("device_died", node=str(node), device=device)
                self.writes.branch_died(node, device)
        for listener in self._listeners:
            listener.node_changed(node)

    def _violated(self, session: BrokerSession, event: Violation) -> None:
        if event.node is not None:
            self._note(session, event.node, "violation", f"{event.kind.value}: {event.reason}")
        subject = (event.kind, event.node)
        more = self._limit.admit(subject, now_ms())
        if more is None:
            return
        log.warning(
            "sparkplug_violation",
            node=None if event.node is None else str(event.node),
            topic=event.topic[:200],
            kind=event.kind.value,
            reason=event.reason[:500],
            more=more,
        )
        who = f"{event.node}: " if event.node is not None else ""
        self.notice("warning", f"{who}{event.kind.value}: {event.reason[:300]}")
        if event.node is not None and event.node not in self._owners:
            self._owners[event.node] = session
            for listener in self._listeners:
                listener.node_changed(event.node)

    def _write_ended(self, result: WriteResult) -> None:
        detail = {"id": result.id, "ok": result.ok, "reason": result.reason}
        target = str(result.target)
        self._audit.record(Entry(now_ms(), result.actor, "write_result", target, None, detail))
        for listener in self._listeners:
            listener.write_ended(result)

    def _session_changed(self, session: BrokerSession) -> None:
        if session.problem is None:
            self.notice("info", f"broker {session.endpoint}: connected")
        else:
            self.notice("error", f"broker: {session.problem}")
        self.host_changed()


def _choose(metric: MetricView, target: Target, value: object) -> object:
    try:
        return choose(metric, value)
    except ValueError as exc:
        raise CommandRefused("value", f"{target}: {exc}") from exc
