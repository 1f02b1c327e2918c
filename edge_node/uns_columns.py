"""What the UNS mirror knows of its tags: topics and latest values in columns, device after device.

Knows nothing of when something is published.
"""

from edge_node.pipeline.tags import DeviceTags
from proto.control.device import Device
from proto.control.node import NodeIdentity
from proto.sparkplug.metrics import Value
from proto.uns.paths import format_meta_topic, format_status_topic
from proto.uns.payload import TagDescription, encode_meta, encode_unit


class Mirrored:
    """One device.

    Attributes:
        base: where its tags begin in the columns.
        meta_topic: where it is told what each tag is.
        status: payload of whether its values are current.
    """

    __slots__ = ("_device", "_node", "base", "meta_topic", "status", "status_topic", "tags")

    def __init__(
        self, base: int, node: NodeIdentity, device: str, tags: DeviceTags, path: str
    ) -> None:
        self.base = base
        self.tags = tags
        self.meta_topic = format_meta_topic(path)
        self.status_topic = format_status_topic(path)
        self.status = b""
        self._node = node
        self._device = device

    def encode_meta(self) -> bytes:
        """Return what each tag is; not kept, since it is large and seldom told."""
        return encode_meta(
            self._node.group,
            self._node.edge,
            self._device,
            [
                TagDescription(
                    tag.name,
                    tag.datatype,
                    tag.unit,
                    tag.description,
                    tag.low,
                    tag.high,
                    tag.writable,
                    None if tag.enumeration is None else tag.enumeration.names,
                )
                for tag in self.tags.tags
            ],
        )

    @property
    def end(self) -> int:
        """The column after the last."""
        return self.base + len(self.tags.tags)


class Columns:
    """Every mirrored tag: what it is and what is to be told of it.

    Attributes:
        topics: where each is published.
        units: encoded.
        values: the latest, null where they are not good.
        times_ms: of the values, 0 where there is none yet.
        sent_at: when each was last published.
        waiting: whether the latest is still to be published.
    """

    __slots__ = ("qualities", "sent_at", "times_ms", "topics", "units", "values", "waiting")

    def __init__(self) -> None:
        self.topics: list[str] = []
        self.units: list[str] = []
        self.values: list[Value] = []
        self.times_ms: list[int] = []
        self.qualities: list[int] = []
        self.sent_at: list[float] = []
        self.waiting: list[bool] = []

    def add(self, node: NodeIdentity, path: str, device: Device, tags: DeviceTags) -> Mirrored:
        """Add a device of which nothing is known yet; ``path`` is where its tags lie."""
        mirrored = Mirrored(len(self.topics), node, device.name, tags, path)
        count = len(tags.tags)
        self.topics += [f"{path}/{tag.name}" for tag in tags.tags]  # checked with the document
        self.units += [encode_unit(tag.unit) for tag in tags.tags]
        self.values += [None] * count
        self.times_ms += [0] * count
        self.qualities += [0] * count
        self.sent_at += [float("-inf")] * count
        self.waiting += [False] * count
        return mirrored

    def take(self, other: "Columns", mirrored: Mirrored) -> None:
        """Take over a device with all that is known of it."""
        start, end = mirrored.base, mirrored.end
        mirrored.base = len(self.topics)
        for name in self.__slots__:
            getattr(self, name).extend(getattr(other, name)[start:end])

    def topics_of(self, mirrored: Mirrored) -> list[str]:
        """Return every topic of a device."""
        own = self.topics[mirrored.base : mirrored.end]
        return [mirrored.meta_topic, mirrored.status_topic, *own]
