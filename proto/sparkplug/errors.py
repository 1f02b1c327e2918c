"""What can go wrong, by whose fault it is.

``ForeignError`` is theirs: bytes or topics from the network that are not Sparkplug. Whoever
receives catches it, counts it and goes on. ``LocalError`` is ours: the caller asked for something
that Sparkplug or the node's birth does not allow. Every message says subject, found, expected.
"""


class SparkplugError(Exception):
    """Anything this package raises."""


class ForeignError(SparkplugError):
    """Theirs: what came over the network is not what the specification says."""


class PayloadError(ForeignError):
    """Bytes that are no Sparkplug payload, or a value that its data type cannot have."""


class TopicError(ForeignError):
    """A topic that is none of Sparkplug's."""


class LocalError(SparkplugError):
    """Ours: a caller's mistake, told before anything reaches the network."""


class StateError(LocalError):
    """A call that does not fit the state of the session."""


class InvalidId(LocalError):
    """A group, edge node, device or host id that no topic can carry."""


class WrongType(LocalError):
    """A value of another kind than its data type."""


class ValueOutOfRange(LocalError):
    """A value of the right kind that its data type cannot hold."""


class InvalidMetric(LocalError):
    """A metric that may not stand where it was put (names and aliases that collide, templates)."""


class UnknownMetric(LocalError):
    """A metric, device or node that no birth told of."""


class NotWritable(LocalError):
    """A metric whose birth says that it is read only."""


class NodeOffline(LocalError):
    """A command for a node or device that is not there to take it."""
