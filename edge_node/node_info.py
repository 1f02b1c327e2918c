"""What a node tells of itself in Sparkplug: its version, how long it runs, how its devices are.

And what hosts may ask of it. Knows metrics, not how they are sent.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from proto.sparkplug.datatypes import DataType
from proto.sparkplug.edge_events import Reading
from proto.sparkplug.metrics import (
    QUALITY_GOOD,
    READ_ONLY_PROPERTY,
    UNIT_PROPERTY,
    Metric,
    Property,
    Value,
)

REBOOT: Final = "Node Control/Reboot"
NEXT_SERVER: Final = "Node Control/Next Server"

VERSION: Final = "Node Info/Version"
UPTIME: Final = "Node Info/Uptime"
DEVICES: Final = "Node Info/Devices"
DEVICES_UP: Final = "Node Info/Devices Up"
UNSENT: Final = "Node Info/Unsent Points"
BUFFERED: Final = "Node Info/Buffered Bytes"


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """What changes of a node.

    Attributes:
        uptime_s: since the process started.
        devices: how many devices are configured and enabled.
        devices_up: how many devices answer.
        unsent_points: changes that could not be sent.
        buffered_bytes: what waits for the broker to read it.
    """

    uptime_s: int
    devices: int
    devices_up: int
    unsent_points: int
    buffered_bytes: int

    def values(self) -> dict[str, Value]:
        """Return each as its metric."""
        return {
            UPTIME: self.uptime_s,
            DEVICES: self.devices,
            DEVICES_UP: self.devices_up,
            UNSENT: self.unsent_points,
            BUFFERED: self.buffered_bytes,
        }


def define_node_metrics(
    *, version: str, facts: NodeFacts, reboot: bool, next_server: bool
) -> list[Metric]:
    """Return the node's own metrics.

    Args:
        version: of the suite.
        facts: as of now.
        reboot: whether hosts may restart the process.
        next_server: whether hosts may send the node to its next broker.
    """
    read_only = {READ_ONLY_PROPERTY: Property(DataType.BOOLEAN, True)}
    seconds = {**read_only, UNIT_PROPERTY: Property(DataType.STRING, "s")}
    bytes_ = {**read_only, UNIT_PROPERTY: Property(DataType.STRING, "By")}
    metrics = [
        Metric(VERSION, DataType.STRING, version, properties=read_only),
        Metric(UPTIME, DataType.INT64, facts.uptime_s, properties=seconds),
        Metric(DEVICES, DataType.INT32, facts.devices, properties=read_only),
        Metric(DEVICES_UP, DataType.INT32, facts.devices_up, properties=read_only),
        Metric(UNSENT, DataType.INT64, facts.unsent_points, properties=read_only),
        Metric(BUFFERED, DataType.INT64, facts.buffered_bytes, properties=bytes_),
    ]
    for name, offered in ((REBOOT, reboot), (NEXT_SERVER, next_server)):
        if offered:
            metrics.append(Metric(name, DataType.BOOLEAN, False))
    return metrics


class NodeInfo:
    """Remembers what was last told of the node.

    Args:
        alias: gives the alias of a metric of the node.
    """

    def __init__(self, alias: Callable[[str], int]) -> None:
        self._alias = alias
        self._told: dict[str, Value] = {}

    def changes(self, facts: NodeFacts, now_ms: int) -> list[Reading]:
        """Return what is to be told now."""
        values = facts.values()
        changed = {name: value for name, value in values.items() if self._told.get(name) != value}
        self._told.update(changed)
        return [(self._alias(name), value, now_ms, QUALITY_GOOD) for name, value in changed.items()]
