"""What the publisher keeps of one device: its aliases, what is queued, how large its birth is."""

from edge_node.pipeline.tags import DeviceTags, TagSpec
from edge_node.templates import InstancePacker
from proto.sparkplug.edge_events import Reading


class Outlet:
    """One device on its way out.

    Attributes:
        definition_bytes: how large its birth is, texts as values aside.
        packer: gathers the members of template instances, where there are any.
        points: how many values its birth has.
        online: whether it answers.
        too_large: whether its birth cannot be sent.
        refused: tags whose value did not fit, and that was told.
    """

    __slots__ = (
        "aliases",
        "by_alias",
        "definition_bytes",
        "name",
        "online",
        "packer",
        "pending",
        "points",
        "refused",
        "tags",
        "too_large",
    )

    def __init__(
        self,
        name: str,
        tags: DeviceTags,
        aliases: list[int],
        size: int,
        packer: InstancePacker | None = None,
    ) -> None:
        self.name = name
        self.tags = tags
        self.packer = packer
        self.points = len(aliases) if packer is None else packer.count(len(aliases))
        self.aliases = aliases
        self.by_alias: dict[int, TagSpec] = dict(zip(aliases, tags.tags, strict=True))
        self.definition_bytes = size
        self.online = False
        self.too_large = False
        self.pending: list[Reading] = []
        self.refused: set[str] = set()

    def pack(self, readings: list[Reading]) -> list[Reading]:
        """Return readings as the session knows them."""
        return readings if self.packer is None else self.packer.pack(readings)
