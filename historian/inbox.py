"""What arrived and is not decoded yet, bounded in bytes: the oldest data makes room for the newest.

Births and deaths are never dropped, only superseded by newer ones of the same node: without them
the data behind them would be attributed to the wrong metrics. Knows topics, not payloads.
"""

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import Final

from proto.sparkplug.errors import TopicError
from proto.sparkplug.topics import MessageType, NodeId, Topic, parse_topic

_OVERHEAD_BYTES: Final = 120
"""What a message costs in memory beyond its payload."""
_TOPICS_REMEMBERED: Final = 100_000

_STORED = frozenset(
    {
        MessageType.NBIRTH,
        MessageType.NDEATH,
        MessageType.NDATA,
        MessageType.DBIRTH,
        MessageType.DDEATH,
        MessageType.DDATA,
    }
)
_DATA = frozenset({MessageType.NDATA, MessageType.DDATA})


@dataclass(slots=True)
class Message:
    """One message as it came from the broker, or the mark that a connection ended.

    Attributes:
        topic: what it is about; ``None`` says that messages may have been missed at this point.
        data: the payload.
        received_ms: when it was taken from the socket, milliseconds since the epoch.
        follows_loss: data of the same node was dropped before it, but no birth: its sequence
            number may be any, and aliases stay what they were.
    """

    topic: Topic | None
    data: bytes
    received_ms: int
    follows_loss: bool = False

    @property
    def size(self) -> int:
        """Bytes of memory that it takes."""
        return len(self.data) + _OVERHEAD_BYTES


class Inbox:
    """A queue between the broker's connection and the decoding.

    Attributes:
        size: bytes of memory taken.
        refused: messages whose topic is none of Sparkplug's.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.size = 0
        self.refused = 0
        self._queue: deque[Message] = deque()
        self._kept: dict[Topic, Message] = {}
        self._topics: dict[str, Topic | None] = {}
        self._robbed: set[NodeId] = set()
        self._arrived = asyncio.Event()

    def __len__(self) -> int:
        return len(self._queue) + len(self._kept)

    def put(self, topic: str, data: bytes, received_ms: int) -> list[Message]:
        """Add a message; commands, STATE and foreign topics are left out.

        Returns:
            What had to make room: the oldest data, and births that newer ones supersede.
        """
        try:
            parsed = self._topics[topic]
        except KeyError:
            parsed = self._parse(topic)
        if parsed is None:
            return []
        return self._add(Message(parsed, data, received_ms))

    def mark_gap(self, received_ms: int) -> None:
        """Say that messages may have been missed here: no alias known before is valid after."""
        self._add(Message(None, b"", received_ms))

    def take(self, limit: int, max_bytes: int) -> list[Message]:
        """Remove and return messages, oldest first.

        Args:
            limit: how many at most.
            max_bytes: with the message that reaches this it ends.
        """
        taken: list[Message] = []
        taken_bytes = 0
        if self._kept:
            taken.extend(self._kept.values())
            self._kept.clear()
            for message in taken:
                if message.topic is not None and message.topic.node in self._robbed:
                    message.follows_loss = True
        queue, robbed = self._queue, self._robbed
        while queue and len(taken) < limit and taken_bytes < max_bytes:
            message = queue.popleft()
            taken.append(message)
            taken_bytes += message.size
            if robbed and message.topic is not None and message.topic.node in robbed:
                # Only the oldest is dropped: from here on nothing of this node is missing.
                message.follows_loss = True
                robbed.discard(message.topic.node)
        self.size -= sum(message.size for message in taken)
        if not queue:
            self._arrived.clear()
        return taken

    async def wait(self) -> None:
        """Wait until there is something to take."""
        await self._arrived.wait()

    def _parse(self, topic: str) -> Topic | None:
        parsed: Topic | None
        try:
            parsed = parse_topic(topic)
        except TopicError:
            parsed = None
            # STATE has a form of its own and belongs to the hosts.
            self.refused += not topic.startswith("spBv1.0/STATE/")
        if parsed is not None and parsed.message_type not in _STORED:
            parsed = None
        if len(self._topics) >= _TOPICS_REMEMBERED:
            self._topics.clear()
        self._topics[topic] = parsed
        return parsed

    def _add(self, message: Message) -> list[Message]:
        self._queue.append(message)
        self.size += message.size
        self._arrived.set()
        return self._make_room() if self.size > self.max_bytes else []

    def _make_room(self) -> list[Message]:
        dropped: list[Message] = []
        while self.size > self.max_bytes and len(self._queue) > 1:
            message = self._queue.popleft()
            if message.topic is not None and message.topic.message_type in _DATA:
                dropped.append(message)
                self.size -= message.size
                self._robbed.add(message.topic.node)
            else:
                dropped += self._keep(message)
        return dropped

    def _keep(self, message: Message) -> list[Message]:
        topic = message.topic
        if topic is None:
            # Nothing known before the gap is of use after it.
            topic, superseded = _GAP, list(self._kept)
        elif topic.message_type.is_device:
            superseded = [
                known
                for known in self._kept
                if known.node == topic.node and known.device == topic.device
            ]
        else:
            # A node's birth or death ends everything that was said of its devices.
            superseded = [known for known in self._kept if known.node == topic.node]
        dropped = [self._kept.pop(known) for known in superseded]
        self.size -= sum(old.size for old in dropped)
        self._kept[topic] = message
        return [old for old in dropped if old.topic is not None]


_GAP: Final = Topic(MessageType.NDEATH, NodeId("", ""))
