"""Topics of the Unified Namespace, and which characters may stand in them.

``<root>/<enterprise>/<site>/<area>/<line>/…/<device>/<tag path>`` (ISA-95, as deep as the plant
needs), and beside a device's tags ``_meta`` and ``_status``.
"""

from collections.abc import Sequence
from typing import Final

META: Final = "_meta"
STATUS: Final = "_status"
RESERVED: Final = frozenset({META, STATUS})
"""What no tag may be called at the top of its device."""

MAX_TOPIC_BYTES: Final = 65_535
"""MQTT's limit on a topic (3.1.1 clause 1.5.3)."""


def format_device_path(root: str, location: Sequence[str], device_path: str) -> str:
    """Return the topic below which a device's tags lie.

    Args:
        root: first level.
        location: enterprise, site, area, line, …
        device_path: the device's own path, one or more levels joined by ``/``.

    Raises:
        ValueError: a level is empty or has a character that topics cannot carry, or the first one
            begins with ``$``, which brokers keep for themselves.
    """
    topic = "/".join((root, *location, device_path))
    check_topic(topic)
    return topic


def format_tag_topic(device_path: str, tag: str) -> str:
    """Return the topic of one tag.

    Args:
        device_path: from :func:`format_device_path`.
        tag: the tag's name; ``/`` makes levels.

    Raises:
        ValueError: as for :func:`format_device_path`, or the name is reserved.
    """
    if tag in RESERVED:
        raise ValueError(f"tag {tag!r} is a name of the namespace itself, expected another one")
    topic = f"{device_path}/{tag}"
    check_topic(topic)
    return topic


def format_meta_topic(device_path: str) -> str:
    """Return where a device tells what its tags are."""
    return f"{device_path}/{META}"


def format_status_topic(device_path: str) -> str:
    """Return where a device tells whether it is there."""
    return f"{device_path}/{STATUS}"


def check_topic(topic: str) -> None:
    """Refuse what cannot be a topic to publish on.

    Raises:
        ValueError: says which level and why.
    """
    if topic.startswith("$"):
        raise ValueError(f"topic {topic!r} begins with '$', which brokers keep for themselves")
    for level in topic.split("/"):
        if not level:
            raise ValueError(f"topic {topic!r} has an empty level")
        for character in "+#\x00":
            if character in level:
                raise ValueError(f"topic {topic!r}: level {level!r} has {character!r}")
    if len(topic.encode()) > MAX_TOPIC_BYTES:
        raise ValueError(f"topic of {len(topic.encode())} bytes is above {MAX_TOPIC_BYTES}")
