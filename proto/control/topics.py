"""The suite's own topics, below the configured prefix."""

from typing import Final

from proto.sparkplug.topics import NodeId

RESULT: Final = "result"
"""The last level of every result's topic, and of no command's."""


def node_status_topic(prefix: str, node: NodeId) -> str:
    """Return where an edge node reports itself."""
    return f"{prefix}/status/{node.group}/{node.edge}"


def historian_status_topic(prefix: str, historian_id: str) -> str:
    """Return where a historian reports itself."""
    return f"{prefix}/historian/{historian_id}/status"


def acknowledgement_topic(prefix: str, node: NodeId) -> str:
    """Return where the historian names the payloads that are committed."""
    return f"{prefix}/ack/{node.group}/{node.edge}"


def configuration_filter(prefix: str, node: NodeId) -> str:
    """Return what an edge node subscribes to for its devices' configuration."""
    return configuration_topic(prefix, node, "+")


def configuration_topic(prefix: str, node: NodeId, device: str) -> str:
    """Return where a device is configured."""
    return f"{prefix}/config/devices/{node.group}/{node.edge}/{device}"


def parse_configuration_topic(topic: str, prefix: str, node: NodeId) -> str | None:
    """Return the device that is configured on a topic, ``None`` where it is for none."""
    device = topic.removeprefix(configuration_topic(prefix, node, ""))
    return device if device and device != topic and "/" not in device else None


def command_filter(prefix: str, node: NodeId) -> str:
    """Return what an edge node subscribes to for commands; results come on it as well."""
    return f"{prefix}/cmd/{node.group}/{node.edge}/+/#"


def command_topic(prefix: str, node: NodeId, device: str, tag: str) -> str:
    """Return where a tag is written; the tag's ``/`` are levels."""
    return f"{prefix}/cmd/{node.group}/{node.edge}/{device}/{tag}"


def command_result_topic(prefix: str, node: NodeId, device: str, tag: str) -> str:
    """Return where it is told what became of a write."""
    return f"{command_topic(prefix, node, device, tag)}/{RESULT}"


def parse_command_topic(topic: str, prefix: str, node: NodeId) -> tuple[str, str] | None:
    """Return the device and the tag that a command is for, ``None`` for what is no command.

    A topic that ends in ``/result`` is a result, always: a tag whose last level is ``result`` is
    written with Sparkplug commands only.
    """
    base = f"{prefix}/cmd/{node.group}/{node.edge}/"
    device, _, tag = topic.removeprefix(base).partition("/")
    if not topic.startswith(base) or not device or not tag:
        return None
    if tag.rpartition("/")[2] in {RESULT, ""}:
        return None
    return device, tag


def result_filter(prefix: str) -> str:
    """Return what a host subscribes to for the results of all nodes; commands come on it too."""
    return f"{prefix}/cmd/+/+/+/#"


def parse_result_topic(topic: str, prefix: str) -> tuple[NodeId, str, str] | None:
    """Return node, device and tag that a result is of, ``None`` for what is no result."""
    levels = topic.removeprefix(f"{prefix}/cmd/").split("/")
    if levels[-1] != RESULT or not topic.startswith(f"{prefix}/cmd/"):
        return None
    group, edge, device, *tag = levels[:-1] if len(levels) >= 5 else ("", "", "")
    return (NodeId(group, edge), device, "/".join(tag)) if tag else None
