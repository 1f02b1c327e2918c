"""What can go wrong with an edge node itself; a driver's errors are in ``drivers.base``."""

from collections.abc import Sequence


class EdgeError(Exception):
    """The root of what an edge node reports about itself."""


class ConfigurationRejected(EdgeError):
    """The configuration cannot be used.

    Attributes:
        mistakes: every mistake, one line each: ``file: path: message``.
    """

    def __init__(self, mistakes: Sequence[str]) -> None:
        super().__init__("\n".join(mistakes))
        self.mistakes = tuple(mistakes)


class StateUnavailable(EdgeError):
    """What must outlive the process cannot be read or written."""


class BrokerError(EdgeError):
    """The connection to the broker: try again later."""


class BrokerUnreachable(BrokerError):
    """Nothing that can be used answers at the broker's address."""


class BrokerRefused(BrokerError):
    """The broker answered and does not want this connection or subscription."""
