"""Which topics of the Unified Namespace a node's document gives its devices and tags."""

from collections.abc import Mapping, Sequence

from proto.control.device import Device
from proto.control.node import NodeDocument, UnsDocument
from proto.uns.paths import format_device_path, format_tag_topic


def device_path(uns: UnsDocument, device: Device) -> str:
    """Return the topic below which a device's tags lie.

    Raises:
        ValueError: the path cannot be a topic.
    """
    return format_device_path(uns.root, uns.location, device.uns_path or device.name)


def find_topic_clashes(document: NodeDocument, tags: Mapping[str, Sequence[str]]) -> list[str]:
    """Return every tag whose topic cannot be, or is another tag's too; empty when all is well.

    Args:
        document: the node's.
        tags: their names, by device.
    """
    if not document.uns.enabled:
        return []
    mistakes: list[str] = []
    owners: dict[str, str] = {}
    for device in document.devices:
        where = f"devices[{device.name}]"
        try:
            path = device_path(document.uns, device)
        except ValueError as exc:
            mistakes.append(f"{where}.uns_path: {exc}")
            continue
        for name in tags[device.name]:
            here = f"{where}.tags[{name}]"
            try:
                topic = format_tag_topic(path, name)
            except ValueError as exc:
                mistakes.append(f"{here}.name: {exc}")
                continue
            if (other := owners.setdefault(topic, here)) != here:
                mistakes.append(f"{here}: topic {topic!r} is that of {other} too")
    return mistakes
