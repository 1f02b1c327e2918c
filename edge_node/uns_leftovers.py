"""What an earlier run left retained in the Unified Namespace and nobody publishes any more.

Devices and tags may be taken out of the configuration while the node is down; their last values
would stay on the broker for ever. Each device's ``_meta`` tells whose it is and what tags there
were. Knows no connection.
"""

from typing import Final

from edge_node.mqtt_link import Message
from proto.control.node import NodeDocument
from proto.uns.paths import META, format_meta_topic, format_status_topic
from proto.uns.payload import decode_meta

DEEPEST: Final = 8
"""Levels below the node's location that a device's path may have to be found."""
_MOST_TOPICS: Final = 500_000


class Leftovers:
    """Finds every topic that an earlier run of a node published to.

    Args:
        document: the node's.

    Attributes:
        topics: what was found, those still in use among them.
        taken: how many messages there were.
    """

    def __init__(self, document: NodeDocument) -> None:
        uns, node = document.uns, document.node
        base = "/".join((uns.root, *uns.location))
        self.filters = (
            [(f"{base}/{'+/' * levels}{META}", 0) for levels in range(1, DEEPEST + 1)]
            if uns.enabled
            else []
        )
        self.topics: dict[str, None] = {}
        self.taken = 0
        self._start = f"{base}/"
        self._owner = node.group, node.edge

    def take(self, message: Message) -> bool:
        """Take a message if it is a ``_meta`` of the namespace; those of other nodes do nothing."""
        path, _, last = message.topic.rpartition("/")
        if last != META or not message.topic.startswith(self._start):
            return False
        if not message.retained:
            return True
        self.taken += 1
        try:
            meta = decode_meta(message.payload)
        except ValueError:
            return True  # not by an edge node of this suite, and no business of ours
        if (meta.group, meta.edge) == self._owner and len(self.topics) < _MOST_TOPICS:
            own = (f"{path}/{tag}" for tag in meta.tags)
            topics = (format_meta_topic(path), format_status_topic(path), *own)
            self.topics.update(dict.fromkeys(topics))
        return True

    def finish(self) -> list[str]:
        """Return what was found, and ask for nothing any more."""
        self.filters = []
        found = list(self.topics)
        self.topics.clear()
        return found
