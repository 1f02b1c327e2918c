"""Which metric a value belongs to: aliases through births of that same session, and of no other.

Pure: takes payloads and a time; gives back what to pack, notes events and says whom to ask
for a rebirth. Knows no MQTT, no database and no clock.

What cannot be attributed waits, bounded in bytes and time: for the message that is missing before
it, or for the birth that is asked for. An NDEATH ends the session, and what still waits with it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final, TypeAlias

from historian.absences import Absences, Sight
from historian.catalogue import MetricKey
from historian.inbox import Message
from historian.sessions import Held, Session
from historian.tables import Table, make_table
from proto import sparkplug_b_pb2 as pb
from proto.sparkplug.codec import Envelope, open_envelope, parse
from proto.sparkplug.metrics import BD_SEQ
from proto.sparkplug.topics import MessageType, NodeId, Topic

_SEQ_MASK: Final = 0xFF
_GAPS_TOLERATED: Final = 3
"""After so many gaps in a row a node's sequence numbers are not believed any more."""
_GAPS_FORGIVEN: Final = 32
"""So many messages in order between two gaps: the node counts well, and messages were lost."""


Head: TypeAlias = pb.Payload | Envelope
"""A birth or death with all it says; of data, what stands outside of the metrics is enough."""


class Path(Enum):
    """How the values of a payload are stored."""

    LIVE = auto()
    BIRTH = auto()
    LATE = auto()
    """Waited for its birth: it may already be there, and what is unknown stays unknown."""


@dataclass(frozen=True, slots=True)
class Release:
    """A payload whose metrics are known now."""

    table: Table
    head: Head | None
    """``None`` for a message that waited: it has to be parsed again."""
    message: Message
    path: Path


@dataclass(frozen=True, slots=True)
class Note:
    """Something that happened to a node or device, for the event table."""

    time_ms: int
    kind: str
    node: NodeId
    device: str | None = None
    detail: Mapping[str, int | str | None] | None = None


@dataclass(frozen=True, slots=True)
class ResolveOptions:
    """Bounds of waiting."""

    max_held_bytes: int = 32 * 2**20
    hold_ms: int = 60_000
    reorder_ms: int = 1_000
    rebirth_pause_ms: int = 5_000
    """Least time between two rebirth requests to one node; doubles while no birth comes."""
    max_rebirth_pause_ms: int = 300_000
    check_sequence: bool = True
    """False where others take a share of the data, so that gaps mean nothing."""


class Resolver:
    """All sessions seen on this connection.

    Attributes:
        notes: events, to be taken by the caller.
        rebirths: nodes to ask for a rebirth, to be taken by the caller.
        dropped: messages that waited in vain, to be counted and taken by the caller.
        missed: messages that never came, as sequence numbers tell; to be taken by the caller.
        held_bytes: memory taken by what waits.
        absences: sessions that may have ended unseen.
    """

    def __init__(self, ids: Mapping[MetricKey, int], options: ResolveOptions | None = None) -> None:
        self._ids = ids
        self._options = options or ResolveOptions()
        self._sessions: dict[NodeId, Session] = {}
        self._restless: set[NodeId] = set()
        self.notes: list[Note] = []
        self.rebirths: list[NodeId] = []
        self.dropped: list[Message] = []
        self.missed = 0
        self.held_bytes = 0
        self.absences = Absences()

    def receive(self, message: Message, head: Head) -> list[Release]:
        """Take one message in its order of arrival.

        Returns:
            What can be stored now, in order.
        """
        topic = message.topic
        if topic is None:
            raise ValueError("a gap mark is no message, expected lose_connection() for it")
        session = self._sessions.get(topic.node)
        if session is None:
            session = self._sessions[topic.node] = Session(
                self._options.rebirth_pause_ms, checks_seq=self._options.check_sequence
            )
        session.seen_ms = message.received_ms
        match topic.message_type:
            case MessageType.NBIRTH:
                return self._node_birth(session, topic, message, _whole(head))
            case MessageType.NDEATH:
                self._node_death(session, topic, message, _whole(head))
                return []
            case _ if not session.born:
                return self._before_birth(session, topic, message, head)
        if session.checks_seq and head.HasField("seq"):
            return self._in_turn(session, topic, message, head)
        self._follow(session, topic.node, message.received_ms, head)
        return self._accept(session, topic, message, head)

    def _in_turn(
        self, session: Session, topic: Topic, message: Message, head: Head
    ) -> list[Release]:
        if head.seq != session.next_seq and not message.follows_loss:
            self._reorder(session, topic, message, head.seq)
            return []
        session.next_seq = (head.seq + 1) & _SEQ_MASK
        session.in_order += 1
        released = self._accept(session, topic, message, head)
        if session.reordered:
            released += self._close_gap(session)
        return released

    def hold_unknown(self, release: Release) -> None:
        """Take back a payload with an alias that its births do not have: it waits for others."""
        topic = release.message.topic
        if topic is not None:
            session = self._sessions[topic.node]
            self._wait(session, topic, release.message)
            self._ask(session, topic.node, release.message.received_ms, "unknown metric")

    def lose_connection(self) -> None:
        """Messages may have been missed: no alias known before is valid after."""
        for node, session in self._sessions.items():
            if session.born or session.bd_seq is not None:
                self.absences.lose_sight(node, Sight(session.bd_seq, session.seen_ms))
            # The next birth may be of another session: what waits cannot be attributed by it.
            self._drop(session.end())
            session.resume_asking(self._options.rebirth_pause_ms)
            self._restless.discard(node)

    def tick(self, now_ms: int) -> None:
        """Give up waiting where the time has come."""
        options = self._options
        for node in list(self._restless):
            session = self._sessions[node]
            since = session.gap_since_ms
            if since is not None and now_ms - since >= options.reorder_ms:
                self._give_up_order(session, node, now_ms)
            while session.waiting and now_ms - session.waiting[0].since_ms >= options.hold_ms:
                self._drop([session.waiting.popleft()])
            if session.waiting:
                self._ask(session, node, now_ms, "data waits for its birth")
            elif session.gap_since_ms is None:
                self._restless.discard(node)

    # The life of a session.

    def _node_birth(
        self, session: Session, topic: Topic, message: Message, payload: pb.Payload
    ) -> list[Release]:
        bd_seq = read_bd_seq(payload)
        self._note_gap(session, topic.node, message.received_ms)
        session.collect_reordered()
        if session.bd_seq is not None and bd_seq != session.bd_seq:
            # Another MQTT session of the node: what waits belongs to the one before.
            self._drop(list(session.waiting))
            session.waiting.clear()
        self._note_lost(topic.node, bd_seq)
        table = make_table(topic, payload, self._ids)
        session.begin(bd_seq, payload.seq if payload.HasField("seq") else 0, table)
        session.resume_asking(self._options.rebirth_pause_ms)
        self._note(message, payload, "node_birth", {"bd_seq": bd_seq})
        return [
            Release(table, payload, message, Path.BIRTH),
            *self._release_waiting(session, None, table),
        ]

    def _note_lost(self, node: NodeId, bd_seq: int | None) -> None:
        sight = self.absences.find_again(node, bd_seq)
        if sight is not None:
            detail = {"bd_seq": sight.bd_seq, "found": bd_seq}
            self.notes.append(Note(sight.seen_ms, "node_lost", node, None, detail))

    def _node_death(
        self, session: Session, topic: Topic, message: Message, payload: pb.Payload
    ) -> None:
        bd_seq = read_bd_seq(payload)
        if session.born and None not in {bd_seq, session.bd_seq} and bd_seq != session.bd_seq:
            return  # the will of an earlier connection
        self._note_gap(session, topic.node, message.received_ms)
        self._drop(session.end())
        self._restless.discard(topic.node)
        self.absences.forget(topic.node)
        # A will is made when the node connects: its own time says nothing of the death.
        self.notes.append(
            Note(message.received_ms, "node_death", topic.node, None, {"bd_seq": bd_seq})
        )

    def _before_birth(
        self, session: Session, topic: Topic, message: Message, head: Head
    ) -> list[Release]:
        now_ms = message.received_ms
        self._ask(session, topic.node, now_ms, f"{topic.message_type} before NBIRTH")
        if topic.message_type is MessageType.DBIRTH:
            # It names everything itself; what follows waits for the whole picture all the same.
            birth = _whole(head)
            table = make_table(topic, birth, self._ids)
            return [Release(table, birth, message, Path.BIRTH)]
        if topic.message_type is not MessageType.DDEATH:
            self._wait(session, topic, message)
        return []

    def _accept(
        self, session: Session, topic: Topic, message: Message, head: Head
    ) -> list[Release]:
        match topic.message_type:
            case MessageType.DBIRTH:
                birth = _whole(head)
                table = make_table(topic, birth, self._ids)
                session.tables[topic.device] = table
                self._note(message, head, "device_birth")
                return [
                    Release(table, birth, message, Path.BIRTH),
                    *self._release_waiting(session, topic.device, table),
                ]
            case MessageType.DDEATH:
                session.tables.pop(topic.device, None)
                self._note(message, head, "device_death")
                return []
        known = session.tables.get(topic.device)
        if known is None:
            self._wait(session, topic, message)
            self._ask(session, topic.node, message.received_ms, "data of an unknown device")
            return []
        return [Release(known, head, message, Path.LIVE)]

    # Waiting.

    def _reorder(self, session: Session, topic: Topic, message: Message, seq: int) -> None:
        if session.gap_since_ms is None:
            session.gap_since_ms = message.received_ms
        replaced = session.reordered.pop(seq, None)
        if replaced is not None:
            self._drop([replaced])
        session.reordered[seq] = Held(topic, message, message.received_ms)
        self.held_bytes += message.size
        self._restless.add(topic.node)
        self._keep_bound(session)

    def _close_gap(self, session: Session) -> list[Release]:
        released: list[Release] = []
        while (held := session.reordered.pop(session.next_seq, None)) is not None:
            self.held_bytes -= held.message.size
            read = parse if held.topic.message_type is MessageType.DBIRTH else open_envelope
            head: Head = read(held.message.data)
            session.next_seq = (session.next_seq + 1) & _SEQ_MASK
            released += self._accept(session, held.topic, held.message, head)
        session.gap_since_ms = None if not session.reordered else session.gap_since_ms
        return released

    def _give_up_order(self, session: Session, node: NodeId, now_ms: int) -> None:
        session.gaps = session.gaps + 1 if session.in_order < _GAPS_FORGIVEN else 1
        self._note_gap(session, node, now_ms)
        session.collect_reordered()
        session.born = False
        session.tables.clear()
        if session.gaps >= _GAPS_TOLERATED and session.checks_seq:
            session.checks_seq = False
            self.notes.append(Note(now_ms, "sequence_ignored", node))

    def _note_gap(self, session: Session, node: NodeId, now_ms: int) -> None:
        found, missing = session.find_gap()
        if found is not None:
            self.missed += missing
            detail = {"expected": session.next_seq, "found": found, "missing": missing}
            self.notes.append(Note(now_ms, "gap", node, None, detail))

    def _follow(self, session: Session, node: NodeId, now_ms: int, head: Head) -> None:
        if not (self._options.check_sequence and head.HasField("seq")):
            return
        session.follow(head.seq)
        if session.in_order > _SEQ_MASK:
            # A whole round without a fault: it was the way here that lost messages.
            session.checks_seq = True
            session.gaps = 0
            self.notes.append(Note(now_ms, "sequence_believed", node))

    def _wait(self, session: Session, topic: Topic, message: Message) -> None:
        session.waiting.append(Held(topic, message, message.received_ms))
        self.held_bytes += message.size
        self._restless.add(topic.node)
        self._keep_bound(session)

    def _keep_bound(self, session: Session) -> None:
        while self.held_bytes > self._options.max_held_bytes and session.waiting:
            self._drop([session.waiting.popleft()])
        while self.held_bytes > self._options.max_held_bytes and session.reordered:
            self._drop([session.reordered.pop(next(iter(session.reordered)))])

    def _release_waiting(self, session: Session, device: str | None, table: Table) -> list[Release]:
        mine = session.take_waiting(device)
        self.held_bytes -= sum(held.message.size for held in mine)
        return [Release(table, None, held.message, Path.LATE) for held in mine]

    def _drop(self, held: list[Held]) -> None:
        self.held_bytes -= sum(one.message.size for one in held)
        self.dropped += [one.message for one in held]

    def _ask(self, session: Session, node: NodeId, now_ms: int, reason: str) -> None:
        if now_ms < session.next_ask_ms:
            return
        session.next_ask_ms = now_ms + session.ask_pause_ms
        session.ask_pause_ms = min(2 * session.ask_pause_ms, self._options.max_rebirth_pause_ms)
        self.rebirths.append(node)
        self.notes.append(Note(now_ms, "rebirth_requested", node, None, {"reason": reason}))

    def _note(
        self,
        message: Message,
        head: Head,
        kind: str,
        detail: Mapping[str, int | str | None] | None = None,
    ) -> None:
        if message.topic is not None:
            self.notes.append(
                Note(
                    head.timestamp or message.received_ms,
                    kind,
                    message.topic.node,
                    message.topic.device,
                    detail,
                )
            )


def _whole(head: Head) -> pb.Payload:
    if isinstance(head, Envelope):
        raise TypeError("found a birth or death whose metrics are not parsed, expected all of it")
    return head


def read_bd_seq(payload: pb.Payload) -> int | None:
    """The birth/death sequence number of an NBIRTH or NDEATH, ``None`` where it is missing."""
    for metric in payload.metrics:
        if metric.name == BD_SEQ:
            return metric.long_value or metric.int_value
    return None
