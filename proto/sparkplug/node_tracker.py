"""One edge node as a host follows it: births, data and deaths in order, whatever arrives.

``HostTracker`` hands every message of a node to its ``NodeTracker``, which keeps the picture
(``view``), the order (``order``) and the asking for births (``pacing``), and tells what happened.
It never raises on foreign input and knows no other node.
"""

from typing import TypeAlias

from proto.sparkplug.codec import PbPayload
from proto.sparkplug.host_births import BirthReader, Fault, apply_data
from proto.sparkplug.host_events import (
    DeviceBorn,
    DeviceDied,
    HostEvent,
    MetricsChanged,
    NodeBorn,
    NodeDied,
    TrackerOptions,
    Violation,
    ViolationKind,
)
from proto.sparkplug.metrics import BD_SEQ, REBIRTH
from proto.sparkplug.node_view import Branch, DeviceView, NodeView
from proto.sparkplug.rebirth import RebirthCause, RebirthPacing
from proto.sparkplug.reorder import ReorderBuffer, Turn
from proto.sparkplug.topics import MessageType, NodeId, Topic

Arrived: TypeAlias = tuple[Topic, str, PbPayload]
"""A parsed message: what its topic names, the topic, the payload."""

_MAX_SEQ = 255
_UNORDERED_AFTER = 3
"""A node whose gaps outlive this many births in a row has no order worth waiting for."""


class NodeTracker:
    """Follows one edge node."""

    __slots__ = (
        "_applied_ms",
        "_births",
        "_fruitless",
        "_options",
        "_print",
        "order",
        "pacing",
        "view",
    )

    def __init__(self, node: NodeId, options: TrackerOptions, births: BirthReader) -> None:
        self.view = NodeView(node)
        self.order: ReorderBuffer[Arrived] = ReorderBuffer(options.reorder_timeout_ms)
        self.pacing = RebirthPacing(options.rebirth_throttle_ms, options.rebirth_throttle_max_ms)
        self._options = options
        self._births = births
        self._print: int | None = None
        self._fruitless = 0
        self._applied_ms = 0

    @property
    def due_ms(self) -> int | None:
        """When this node wants a tick."""
        deadline, due = self.order.deadline_ms, self.pacing.due_ms
        if deadline is None or due is None:
            return deadline if due is None else due
        return min(deadline, due)

    def receive(
        self, arrived: Arrived, fingerprint: int, now_ms: int, events: list[HostEvent]
    ) -> None:
        """Take a message of this node; ``fingerprint`` tells two births of one time apart."""
        self.view.diagnostics.messages += 1
        kind = arrived[0].message_type
        if kind is MessageType.NBIRTH:
            self._nbirth(arrived, fingerprint, now_ms, events)
        elif kind is MessageType.NDEATH:
            self._ndeath(arrived, now_ms, events)
        else:
            self._in_order(arrived, now_ms, events)

    def time_out(self, now_ms: int, events: list[HostEvent]) -> None:
        """The missing message stays away: go on without it, and ask for births (5.11)."""
        deadline_ms = self.order.deadline_ms
        if deadline_ms is None or deadline_ms > now_ms:
            return
        if not self.view.online:
            self.order.clear()
            return
        self._fruitless += 1
        topic = next(iter(self.order.held().values()))[1]
        reason = (
            f"seq {self.order.expected} did not arrive within {self._options.reorder_timeout_ms} ms"
        )
        self._skip(topic, reason, now_ms, events)

    def lose(self, reason: str, now_ms: int, events: list[HostEvent]) -> None:
        """Nobody tells of this node any more."""
        self.order.clear()
        self.pacing.answered()
        if self.view.online:
            self.view.diagnostics.deaths += 1
            self.view.die(now_ms)
            events.append(NodeDied(self.view.node, reason))

    def violate(
        self, topic: str, kind: ViolationKind, reason: str, now_ms: int, events: list[HostEvent]
    ) -> None:
        """Count what is wrong, and tell it once an interval."""
        self._note(topic, [Fault(kind, reason)], now_ms, events)

    def _nbirth(
        self, arrived: Arrived, fingerprint: int, now_ms: int, events: list[HostEvent]
    ) -> None:
        _, topic, payload = arrived
        view, faults = self.view, list[Fault]()
        bd_seq = _bd_seq(payload)
        birth_ms = payload.timestamp or now_ms
        if self._is_old_birth(bd_seq, birth_ms, fingerprint):
            view.diagnostics.late += 1
            return
        seq = payload.seq
        if not payload.HasField("seq"):
            faults.append(Fault(ViolationKind.NO_SEQ, "NBIRTH: no seq, expected 0"))
        elif seq > _MAX_SEQ:
            faults.append(Fault(ViolationKind.BAD_SEQ, f"NBIRTH: seq is {seq}, expected 0 to 255"))
            seq %= _MAX_SEQ + 1
        if bd_seq is None:
            faults.append(Fault(ViolationKind.NO_BD_SEQ, "NBIRTH: no bdSeq, expected one"))
        for device in view.devices.values():
            device.die(birth_ms)
        view.alias_owners.clear()
        for device in view.devices.values():
            device.aliases = {}
        faults += self._births.apply(view, None, view, payload, now_ms)
        if REBIRTH not in view.metrics:
            reason = f"NBIRTH: no {REBIRTH}, expected it with value false"
            faults.append(Fault(ViolationKind.NO_REBIRTH_METRIC, reason))
        view.online, view.since_ms, view.birth_ms = True, birth_ms, birth_ms
        view.bd_seq = bd_seq
        view.diagnostics.births += 1
        self._print = fingerprint
        self._applied_ms = birth_ms
        self.pacing.answered()
        events.append(NodeBorn(view.node))
        self._note(topic, faults, now_ms, events)
        self.order.begin(seq)
        for held, (named, _, message) in self.order.held().items():
            # Within the same millisecond births belong to the new session, and data to the one
            # before: they are what made a host on the same machine ask for this birth.
            born_along = named.message_type is MessageType.DBIRTH and message.timestamp == birth_ms
            if message.timestamp <= birth_ms and not born_along:
                view.diagnostics.late += 1
                self.order.drop(held)
        self._go_on(now_ms, events)

    def _is_old_birth(self, bd_seq: int | None, birth_ms: int, fingerprint: int) -> bool:
        """Whether the network brought a birth again, or behind the one that followed it."""
        if birth_ms == self.view.birth_ms and fingerprint == self._print:
            return True
        current = self.view.bd_seq
        if not self.view.online or bd_seq is None or current is None:
            return False
        is_ahead = 0 < (bd_seq - current) % 256 < 128  # a later session, whatever its clock says
        return not is_ahead and self._is_late(birth_ms)

    def _is_late(self, sent_ms: int) -> bool:
        """Whether a message was sent before the birth in force, no longer ago than delays reach.

        What is older still is a clock that was set back, not a message that was under way.
        """
        behind = self.view.birth_ms - sent_ms
        return 0 < behind <= self._options.reorder_timeout_ms

    def _ndeath(self, arrived: Arrived, now_ms: int, events: list[HostEvent]) -> None:
        _, topic, payload = arrived
        view = self.view
        bd_seq = _bd_seq(payload)
        if bd_seq is None:
            reason = "NDEATH: no bdSeq, expected that of the birth"
            self.violate(topic, ViolationKind.NO_BD_SEQ, reason, now_ms, events)
        elif view.bd_seq is not None and bd_seq != view.bd_seq:
            if view.online:  # an old will, or one whose birth was lost: not this session's
                reason = f"NDEATH: bdSeq is {bd_seq}, expected {view.bd_seq}"
                self.violate(topic, ViolationKind.BD_SEQ_MISMATCH, reason, now_ms, events)
            return
        self.pacing.answered()
        if view.online:
            self.order.clear()
            view.diagnostics.deaths += 1
            view.die(now_ms)
            events.append(NodeDied(view.node, "NDEATH"))

    def _in_order(self, arrived: Arrived, now_ms: int, events: list[HostEvent]) -> None:
        named, topic, payload = arrived
        if not payload.HasField("seq"):
            reason = f"{named.message_type}: no seq, expected 0 to 255"
            self.violate(topic, ViolationKind.NO_SEQ, reason, now_ms, events)
            self._apply(arrived, now_ms, events)
            return
        seq = payload.seq
        if seq > _MAX_SEQ:
            reason = f"{named.message_type}: seq is {seq}, expected 0 to 255"
            self.violate(topic, ViolationKind.BAD_SEQ, reason, now_ms, events)
            seq %= _MAX_SEQ + 1
        if not self.view.online:
            self._unborn(arrived, seq, now_ms, events)
            return
        if self._is_late(payload.timestamp):
            self.view.diagnostics.late += 1
            return
        newer = payload.timestamp > self._applied_ms
        turn = self.order.offer(seq, arrived, now_ms, newer=newer)
        if turn is Turn.NOW:
            self._apply(arrived, now_ms, events)
            if len(self.order):
                self._go_on(now_ms, events)
            elif seq == _MAX_SEQ:
                self._fruitless = 0  # a round without a gap
        elif self._fruitless >= _UNORDERED_AFTER:
            self._unordered(arrived, turn, now_ms, events)
        elif turn is Turn.PAST:
            self.view.diagnostics.duplicates += 1
        else:
            self.view.diagnostics.held += 1

    def _unordered(
        self, arrived: Arrived, turn: Turn, now_ms: int, events: list[HostEvent]
    ) -> None:
        """A node that counts as it likes: its messages are taken as they come, newest wins."""
        if turn is Turn.EARLY:
            self._skip(arrived[1], "seq jumps", now_ms, events)
        elif arrived[2].timestamp >= self._applied_ms:
            self._apply(arrived, now_ms, events)
        else:
            self.view.diagnostics.duplicates += 1

    def _skip(self, topic: str, reason: str, now_ms: int, events: list[HostEvent]) -> None:
        """Go on without what is missing, and ask for births to make up for it."""
        self.view.diagnostics.gaps += 1
        for arrived in self.order.give_up():
            self._apply(arrived, now_ms, events)
        self.violate(topic, ViolationKind.GAP, reason, now_ms, events)
        self.pacing.want(RebirthCause.GAP, reason, now_ms)

    def _unborn(self, arrived: Arrived, seq: int, now_ms: int, events: list[HostEvent]) -> None:
        """Before the birth: kept a moment, should it have overtaken it; births are asked for."""
        named, topic, _ = arrived
        self.order.offer(seq, arrived, now_ms, newer=True)
        reason = f"{named.message_type} before NBIRTH"
        self.violate(topic, ViolationKind.UNKNOWN_NODE, reason, now_ms, events)
        self.pacing.want(RebirthCause.UNKNOWN_NODE, reason, now_ms)

    def _go_on(self, now_ms: int, events: list[HostEvent]) -> None:
        while (arrived := self.order.ready(now_ms)) is not None:
            self._apply(arrived, now_ms, events)

    def _apply(self, arrived: Arrived, now_ms: int, events: list[HostEvent]) -> None:
        named, topic, payload = arrived
        kind, device = named.message_type, named.device
        self._applied_ms = payload.timestamp
        if kind is MessageType.DBIRTH and device is not None:
            self._dbirth(device, topic, payload, now_ms, events)
        elif kind is MessageType.DDEATH and device is not None:
            self._ddeath(device, topic, payload, now_ms, events)
        else:
            self._data(device, topic, payload, now_ms, events)

    def _dbirth(
        self, name: str, topic: str, payload: PbPayload, now_ms: int, events: list[HostEvent]
    ) -> None:
        view = self.view
        if not view.online:
            self._unknown(topic, f"DBIRTH of {name!r} before NBIRTH", now_ms, events)
            return
        device = view.devices.get(name)
        if device is None:
            device = view.devices[name] = DeviceView(name)
        faults: list[Fault] = []
        if device.online:
            reason = f"DBIRTH of {name!r}: born already, expected DDEATH or NBIRTH between"
            faults.append(Fault(ViolationKind.SECOND_DBIRTH, reason))
        faults += self._births.apply(view, name, device, payload, now_ms)
        device.online, device.since_ms = True, payload.timestamp or now_ms
        view.diagnostics.device_births += 1
        events.append(DeviceBorn(view.node, name))
        self._note(topic, faults, now_ms, events)

    def _ddeath(
        self, name: str, topic: str, payload: PbPayload, now_ms: int, events: list[HostEvent]
    ) -> None:
        device = self.view.devices.get(name)
        if device is None or not device.online:
            self._unknown(topic, f"DDEATH of {name!r} before DBIRTH", now_ms, events)
            return
        self.view.diagnostics.device_deaths += 1
        device.die(payload.timestamp or now_ms)
        events.append(DeviceDied(self.view.node, name))

    def _data(
        self,
        device: str | None,
        topic: str,
        payload: PbPayload,
        now_ms: int,
        events: list[HostEvent],
    ) -> None:
        view = self.view
        branch: Branch | None = view if device is None else view.devices.get(device)
        if branch is None or not branch.online:
            owner = "node" if device is None else f"device {device!r}"
            self._unknown(topic, f"data of {owner} before its birth", now_ms, events)
            return
        changed, historical, faults = apply_data(branch, payload, now_ms)
        diagnostics = view.diagnostics
        diagnostics.metrics += len(changed)
        diagnostics.historical += historical
        if changed:
            events.append(MetricsChanged(view.node, device, changed))
        if faults:
            self._note(topic, faults, now_ms, events)
            for fault in faults:
                if fault.kind is ViolationKind.UNKNOWN_METRIC:
                    self.pacing.want(RebirthCause.UNKNOWN_METRIC, fault.reason, now_ms)
                    break

    def _unknown(self, topic: str, reason: str, now_ms: int, events: list[HostEvent]) -> None:
        kind = ViolationKind.UNKNOWN_DEVICE if self.view.online else ViolationKind.UNKNOWN_NODE
        self.violate(topic, kind, reason, now_ms, events)
        cause = RebirthCause.UNKNOWN_DEVICE if self.view.online else RebirthCause.UNKNOWN_NODE
        self.pacing.want(cause, reason, now_ms)

    def _note(self, topic: str, faults: list[Fault], now_ms: int, events: list[HostEvent]) -> None:
        interval_ms = self._options.violation_interval_ms
        for kind, reason in faults:
            if self.view.diagnostics.violate(kind, reason, now_ms, interval_ms):
                events.append(Violation(self.view.node, topic, kind, reason))


def _bd_seq(payload: PbPayload) -> int | None:
    """The bdSeq, from whichever integer field it came in."""
    for metric in payload.metrics:
        if metric.name == BD_SEQ and not metric.is_null:
            field = metric.WhichOneof("value")
            if field in {"long_value", "int_value"}:
                return metric.long_value if field == "long_value" else metric.int_value
    return None
