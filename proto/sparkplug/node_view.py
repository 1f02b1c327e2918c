"""A host's picture of one edge node: the node, its devices, their metrics as last heard.

The objects are updated in place and live as long as births name them, so that a reader may keep
them. ``quality`` and ``stale`` are two things: the first is what the node said of the value, the
second that nobody says anything of it any more.
"""

from collections.abc import Iterator, Mapping

from proto.sparkplug.datatypes import DataType
from proto.sparkplug.diagnostics import NodeDiagnostics
from proto.sparkplug.metrics import (
    BD_SEQ,
    QUALITY_GOOD,
    READ_ONLY_PROPERTY,
    Property,
    Value,
)
from proto.sparkplug.topics import NodeId


class MetricView:
    """One metric.

    Attributes:
        alias: ``None`` when the birth gave none.
        value: ``None`` is null.
        timestamp_ms: when the node acquired the value.
        quality: 0 bad, 192 good, 500 stale, or whatever the node said.
        stale: its node or device is gone; since the owner's ``since_ms``.
        properties: as the birth had them, with what data changed; ``quality`` is newer than the
            ``Quality`` among them.
        is_transient: of no interest to a historian.
    """

    __slots__ = (
        "alias",
        "datatype",
        "is_transient",
        "name",
        "properties",
        "quality",
        "stale",
        "timestamp_ms",
        "value",
    )

    def __init__(self, name: str, datatype: DataType) -> None:
        self.name = name
        self.datatype = datatype
        self.alias: int | None = None
        self.value: Value = None
        self.timestamp_ms = 0
        self.quality = QUALITY_GOOD
        self.stale = False
        self.properties: Mapping[str, Property] = {}
        self.is_transient = False

    def __repr__(self) -> str:
        return f"<MetricView {self.name!r} {self.datatype.label} {self.value!r}>"

    @property
    def writable(self) -> bool:
        """Whether the birth leaves the metric open to be written: ``readOnly`` is not true."""
        read_only = self.properties.get(READ_ONLY_PROPERTY)
        return self.name != BD_SEQ and (read_only is None or read_only.value is not True)


class Branch:
    """What a node and a device have in common.

    Attributes:
        online: born, and no death since.
        since_ms: when ``online`` became what it is: the birth's own time, the host's time of a
            node's death, the time a DDEATH tells.
        metrics: by name, as the last birth listed them.
        aliases: the same by alias, where the birth gave one.
    """

    __slots__ = ("aliases", "metrics", "online", "since_ms")

    def __init__(self) -> None:
        self.online = False
        self.since_ms = 0
        self.metrics: dict[str, MetricView] = {}
        self.aliases: dict[int, MetricView] = {}

    def die(self, at_ms: int) -> None:
        """Offline; every metric is stale. A second death changes nothing."""
        if self.online or self.since_ms == 0:
            self.online = False
            self.since_ms = at_ms
        for metric in self.metrics.values():
            metric.stale = True


class DeviceView(Branch):
    """A device behind an edge node."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name


class NodeView(Branch):
    """An edge node.

    Attributes:
        node: who it is.
        bd_seq: as the last NBIRTH told it; ``None`` when it told none.
        devices: every device a DBIRTH told of since the node was first seen.
        diagnostics: what it did, and what it did wrong.
        birth_ms: the node's time of its last NBIRTH.
    """

    __slots__ = ("alias_owners", "bd_seq", "birth_ms", "devices", "diagnostics", "node")

    def __init__(self, node: NodeId) -> None:
        super().__init__()
        self.node = node
        self.bd_seq: int | None = None
        self.birth_ms = 0
        self.devices: dict[str, DeviceView] = {}
        self.diagnostics = NodeDiagnostics()
        self.alias_owners: dict[int, str | None] = {}

    def branch(self, device: str | None) -> Branch | None:
        """The device, or the node itself for ``None``; ``None`` when there is no such device."""
        return self if device is None else self.devices.get(device)

    def metric(self, device: str | None, name: str) -> MetricView | None:
        """A metric by device and name."""
        branch = self.branch(device)
        return None if branch is None else branch.metrics.get(name)

    def die(self, at_ms: int) -> None:
        """The node and all its devices are offline."""
        super().die(at_ms)
        for device in self.devices.values():
            device.die(at_ms)

    def all_metrics(self) -> Iterator[tuple[str | None, MetricView]]:
        """Every metric with the device it belongs to; the node's own first."""
        for metric in self.metrics.values():
            yield None, metric
        for name, device in self.devices.items():
            for metric in device.metrics.values():
                yield name, metric
