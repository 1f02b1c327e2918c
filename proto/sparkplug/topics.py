"""Topics ⇄ what they name (specification 4.1). Ids are taken as they are, case and all.

``parse_topic`` is for what arrives and raises ``TopicError`` (theirs); ``format_topic`` and
``state_topic`` are for what is sent and raise ``InvalidId`` (ours).
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from proto.sparkplug.errors import InvalidId, TopicError

NAMESPACE: Final = "spBv1.0"
STATE_PREFIX: Final = f"{NAMESPACE}/STATE/"


class MessageType(StrEnum):
    """The eight message types below a group (4.1.3); STATE has a topic form of its own."""

    NBIRTH = "NBIRTH"
    NDEATH = "NDEATH"
    NDATA = "NDATA"
    NCMD = "NCMD"
    DBIRTH = "DBIRTH"
    DDEATH = "DDEATH"
    DDATA = "DDATA"
    DCMD = "DCMD"

    @property
    def is_device(self) -> bool:
        """Whether the topic ends in a device id."""
        return self.value[0] == "D"


@dataclass(frozen=True, slots=True, order=True)
class NodeId:
    """An edge node descriptor: group and edge node together are unique (4.1.4)."""

    group: str
    edge: str

    def __str__(self) -> str:
        return f"{self.group}/{self.edge}"


@dataclass(frozen=True, slots=True)
class Topic:
    """What a topic names; ``device`` is ``None`` for messages of the node itself."""

    message_type: MessageType
    node: NodeId
    device: str | None = None

    def __str__(self) -> str:
        return format_topic(self.message_type, self.node, self.device)


def check_id(identifier: str, what: str) -> str:
    """The id, when a topic can carry it: not empty, UTF-8, without ``/ + #`` and NUL (4.1.2 ff.).

    Raises:
        InvalidId: with ``what`` (group, edge node, device, host) and the id.
    """
    if (fault := _fault(identifier)) is not None:
        raise InvalidId(f"{what} id {identifier!r} {fault}, expected UTF-8 text without / + #")
    return identifier


def format_topic(message_type: MessageType, node: NodeId, device: str | None = None) -> str:
    """The topic of a message.

    Raises:
        InvalidId: an id that no topic can carry, or a device where none belongs, or none where
            one does.
    """
    check_id(node.group, "group")
    check_id(node.edge, "edge node")
    if message_type.is_device != (device is not None):
        wanted = "a device id" if message_type.is_device else "no device id"
        raise InvalidId(f"{message_type} of {node}: device is {device!r}, expected {wanted}")
    head = f"{NAMESPACE}/{node.group}/{message_type.value}/{node.edge}"
    return head if device is None else f"{head}/{check_id(device, 'device')}"


def parse_topic(topic: str) -> Topic:
    """What an arriving topic names.

    Raises:
        TopicError: it is not ``spBv1.0/<group>/<message type>/<edge>[/<device>]``.
    """
    levels = topic.split("/")
    if levels[0] != NAMESPACE or len(levels) not in {4, 5}:
        raise TopicError(
            f"topic {topic!r}: expected {NAMESPACE}/<group>/<type>/<edge node>[/<device>]"
        )
    for level in levels:
        if (fault := _fault(level)) is not None:
            raise TopicError(f"topic {topic!r}: level {level!r} {fault}")
    try:
        message_type = MessageType(levels[2])
    except ValueError as error:
        raise TopicError(
            f"topic {topic!r}: message type is {levels[2]!r}, "
            f"expected one of {', '.join(MessageType)}"
        ) from error
    device = levels[4] if len(levels) == 5 else None
    if message_type.is_device != (device is not None):
        wanted = "a device" if message_type.is_device else "no device"
        raise TopicError(
            f"topic {topic!r}: {message_type} has device {device!r}, expected {wanted}"
        )
    return Topic(message_type, NodeId(levels[1], levels[3]), device)


def command_filters(node: NodeId) -> tuple[str, str]:
    """What an edge node subscribes to: its own commands and those of all its devices (5.3.1)."""
    ncmd = format_topic(MessageType.NCMD, node)
    return ncmd, f"{NAMESPACE}/{node.group}/{MessageType.DCMD.value}/{node.edge}/#"


def state_topic(host_id: str) -> str:
    """Where a host application tells its state (4.2).

    Raises:
        InvalidId: an id that no topic can carry.
    """
    return STATE_PREFIX + check_id(host_id, "host")


def parse_state_topic(topic: str) -> str | None:
    """The host id, or ``None`` when the topic is no STATE topic."""
    host_id = topic.removeprefix(STATE_PREFIX)
    return host_id if host_id != topic and _fault(host_id) is None else None


def _fault(identifier: str) -> str | None:
    if not identifier:
        return "is empty"
    if any(character in identifier for character in "/+#\x00"):
        return "has one of / + # NUL"
    try:
        identifier.encode()
    except UnicodeEncodeError:
        return "is not UTF-8"
    return None
