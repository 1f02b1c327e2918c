"""Messages → rows: takes the inbox in small slices, so that socket and database get their turn.

Of every slice the births come first: what they define is made known to the database in one
statement. Then everything is resolved and packed in its order of arrival.
"""

import asyncio
import time
from collections.abc import Callable, Iterable
from typing import Final

from historian.acknowledge import Receipt
from historian.backoff import Backoff
from historian.catalogue import Definition, MetricKey, read_definitions
from historian.complaints import Complaints
from historian.counters import Counters
from historian.errors import BatchRejected, SchemaMismatch, StorageUnavailable
from historian.inbox import Inbox, Message
from historian.packer import Packer, UnknownMetric
from historian.registry import Registry
from historian.resolve import Head, Note, Path, Release, Resolver
from historian.rows import Rows
from historian.values import Live
from historian.writer import Writer
from proto import sparkplug_b_pb2 as pb
from proto.sparkplug.codec import Envelope, open_envelope, parse
from proto.sparkplug.errors import PayloadError
from proto.sparkplug.metrics import is_control
from proto.sparkplug.topics import MessageType, NodeId

_SLICE_MESSAGES: Final = 256
_SLICE_BYTES: Final = 256 * 1024
"""What is decoded in one go, while nothing else gets its turn."""
_TICK_S: Final = 0.2
_BIRTHS: Final = frozenset({MessageType.NBIRTH, MessageType.DBIRTH})
_DATA: Final = frozenset({MessageType.NDATA, MessageType.DDATA})


def now_ms() -> int:
    """Milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


class Ingest:
    """The decoding half of the historian."""

    def __init__(
        self,
        *,
        inbox: Inbox,
        resolver: Resolver,
        registry: Registry,
        packer: Packer,
        writer: Writer,
        counters: Counters,
        ask_rebirth: Callable[[NodeId], None],
        take_notes: Callable[[list[Note]], None],
    ) -> None:
        self._inbox = inbox
        self._resolver = resolver
        self._registry = registry
        self._packer = packer
        self._writer = writer
        self._counters = counters
        self._ask_rebirth = ask_rebirth
        self._take_notes = take_notes
        self._live: list[tuple[Release, Live]] = []
        self._complaints = Complaints()
        self._idle = asyncio.Event()
        self._idle.set()

    def receive(self, topic: str, data: bytes) -> None:
        """Take a message from the broker."""
        self._counters.messages_received += 1
        dropped = self._inbox.put(topic, data, now_ms())
        if len(self._inbox):
            self._idle.clear()
        if dropped:
            self._count_dropped(dropped, "buffer_full", limit_bytes=self._inbox.max_bytes)

    def note_connection(self) -> None:
        """Messages may have been missed before this point."""
        self._inbox.mark_gap(now_ms())

    async def run(self) -> None:
        """Decode until cancelled."""
        while True:
            if not len(self._inbox):
                self._idle.set()
            await self._inbox.wait()
            await self._writer.wait_room()
            await self._decode(self._inbox.take(_SLICE_MESSAGES, _SLICE_BYTES))
            self._writer.offer()
            await asyncio.sleep(0)

    async def run_ticks(self) -> None:
        """Let what waits too long be given up, until cancelled."""
        while True:
            await asyncio.sleep(_TICK_S)
            self._resolver.tick(now_ms())
            self._collect()

    def give_up_waiting(self) -> None:
        """Count what still waits for a birth as lost: the end has come."""
        self._resolver.lose_connection()
        self._collect()

    async def drain(self) -> None:
        """Wait until everything that arrived is decoded."""
        if len(self._inbox):
            self._idle.clear()
        await self._idle.wait()

    async def _decode(self, messages: list[Message]) -> None:
        births: dict[int, pb.Payload] = {}
        new: dict[MetricKey, Definition] = {}
        for message in messages:
            if message.topic is not None and message.topic.message_type in _BIRTHS:
                payload = self._parse_birth(message, new)
                if payload is not None:
                    births[id(message)] = payload
        if new:
            await self._describe(new)
        for message in messages:
            if message.topic is None:
                self._resolver.lose_connection()
                continue
            head: Head | None
            if message.topic.message_type in _DATA:
                head = self._open(message)
            else:
                # Where sessions begin and end, what came before is settled first.
                self._store_live()
                head = births.get(id(message))
                if head is None and message.topic.message_type not in _BIRTHS:
                    head = self._parse(message)
            if head is not None:
                self._store(self._resolver.receive(message, head))
        self._store_live()
        self._collect()

    def _open(self, message: Message) -> Envelope | None:
        try:
            return open_envelope(message.data)
        except PayloadError as error:
            self._reject(message, error)
            return None

    def _parse(self, message: Message) -> pb.Payload | None:
        try:
            return parse(message.data)
        except PayloadError as error:
            self._reject(message, error)
            return None

    def _parse_birth(self, message: Message, new: dict[MetricKey, Definition]) -> pb.Payload | None:
        payload = self._parse(message)
        if payload is None or message.topic is None:
            return None
        try:
            new |= self._registry.select_new(read_definitions(message.topic, payload))
        except PayloadError as error:
            self._reject(message, error)
            return None
        return payload

    async def _describe(self, definitions: dict[MetricKey, Definition]) -> None:
        backoff = Backoff()
        while True:
            try:
                await self._registry.describe(definitions)
            except BatchRejected as error:
                self._complaints.tell("metrics_refused", now_ms(), reason=str(error))
                if len(definitions) == 1:
                    return
                for key, definition in definitions.items():
                    await self._describe({key: definition})
                return
            except (StorageUnavailable, SchemaMismatch) as error:
                self._complaints.tell("births_wait", now_ms(), reason=str(error))
                await asyncio.sleep(backoff.fail())
            else:
                return

    def _store(self, releases: Iterable[Release]) -> None:
        for release in releases:
            message = release.message
            if release.path is Path.LIVE and isinstance(release.head, Envelope):
                live = Live(release.table, release.head, message.data, message.received_ms)
                self._live.append((release, live))
                continue
            rows = self._writer.open
            points, refused = rows.points, rows.refused
            head = release.head
            try:
                if isinstance(head, pb.Payload):
                    self._packer.pack_birth(rows, release.table, head, message.received_ms)
                else:
                    head = open_envelope(message.data)
                    waited = Live(release.table, head, message.data, message.received_ms)
                    self._packer.pack_waited(rows, waited)
            except PayloadError as error:
                self._reject(message, error)
                continue
            self._count(rows, points, refused, message)
            self._note_receipt(rows, message, head)

    def _store_live(self) -> None:
        """Pack what the resolver has released, all of it together."""
        if not self._live:
            return
        taken, self._live = self._live, []
        rows = self._writer.open
        points, refused = rows.points, rows.refused
        faults = self._packer.pack_live(rows, [live for _, live in taken])
        self._count(rows, points, refused, taken[0][0].message)
        for number, (release, live) in enumerate(taken):
            fault = faults.get(number)
            if fault is None:
                self._note_receipt(rows, release.message, live.head)
            elif isinstance(fault, UnknownMetric):
                self._resolver.hold_unknown(release)
            else:
                self._reject(release.message, fault)

    def _note_receipt(self, rows: Rows, message: Message, head: Head) -> None:
        topic = message.topic
        if topic is not None and topic.message_type in _DATA and head.HasField("seq"):
            rows.receipts.append(Receipt(topic.node, head.timestamp, head.seq))

    def _count(self, rows: Rows, points: int, refused: int, message: Message) -> None:
        lost = rows.refused - refused
        self._counters.points_received += rows.points - points + lost
        if lost:
            self._counters.points_dropped += lost
            self._complaints.tell(
                "points_refused",
                now_ms(),
                topic=str(message.topic),
                points=lost,
                reason=rows.fault,
            )

    def _collect(self) -> None:
        resolver = self._resolver
        if resolver.rebirths:
            for node in resolver.rebirths:
                self._ask_rebirth(node)
            resolver.rebirths.clear()
        if resolver.notes:
            self._take_notes(resolver.notes)
            resolver.notes.clear()
        if resolver.missed:
            self._counters.messages_missed += resolver.missed
            self._complaints.tell("messages_missed", now_ms(), messages=resolver.missed)
            resolver.missed = 0
        if resolver.dropped:
            self._count_dropped(resolver.dropped, "data_without_birth_dropped")
            resolver.dropped.clear()

    def _count_dropped(self, messages: list[Message], event: str, **fields: object) -> None:
        points = 0
        for message in messages:
            payload = self._parse(message)
            if payload is not None:
                points += sum(not is_control(metric.name) for metric in payload.metrics)
        self._counters.points_received += points
        self._counters.points_dropped += points
        self._complaints.tell(
            event,
            now_ms(),
            messages=len(messages),
            points=points,
            topic=str(messages[0].topic),
            points_dropped=self._counters.points_dropped,
            **fields,
        )

    def _reject(self, message: Message, error: PayloadError) -> None:
        self._counters.payloads_rejected += 1
        self._complaints.tell(
            "payload_rejected", now_ms(), topic=str(message.topic), reason=str(error)
        )
