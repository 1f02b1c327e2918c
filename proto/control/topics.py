"""The suite's own topics, below the configured prefix."""

from proto.sparkplug.topics import NodeId


def node_status_topic(prefix: str, node: NodeId) -> str:
    """Return where an edge node reports itself."""
    return f"{prefix}/status/{node.group}/{node.edge}"


def historian_status_topic(prefix: str, historian_id: str) -> str:
    """Return where a historian reports itself."""
    return f"{prefix}/historian/{historian_id}/status"


def acknowledgement_topic(prefix: str, node: NodeId) -> str:
    """Return where the historian names the payloads that are committed."""
    return f"{prefix}/ack/{node.group}/{node.edge}"
