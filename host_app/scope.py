"""How much part a host takes: its mode, and which nodes it looks at."""

from collections.abc import Sequence
from enum import StrEnum
from fnmatch import fnmatchcase

from proto.sparkplug.topics import NodeId


class Mode(StrEnum):
    """What a host application does beside listening."""

    PRIMARY = "primary"
    """Tells its STATE, asks for births, sends commands."""
    ACTIVE = "active"
    """No STATE: edge nodes do not wait for it. Asks for births, sends commands."""
    PASSIVE = "passive"
    """Publishes nothing at all."""


class NodeFilter:
    """Patterns that a node must match; without any, every node does.

    Args:
        groups: patterns of group ids, with ``*``, ``?`` and ``[…]``.
        nodes: patterns of ``group/edge``.
    """

    def __init__(self, groups: Sequence[str] = (), nodes: Sequence[str] = ()) -> None:
        self._groups = tuple(groups)
        self._nodes = tuple(nodes)

    def admits(self, node: NodeId) -> bool:
        """Whether the host looks at a node: its group and itself match where patterns are given."""
        return _any(self._groups, node.group) and _any(self._nodes, str(node))


def _any(patterns: Sequence[str], text: str) -> bool:
    return not patterns or any(fnmatchcase(text, pattern) for pattern in patterns)
