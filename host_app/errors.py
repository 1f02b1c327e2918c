"""What can go wrong in the host, classified by what the caller should do.

A message says subject, what was found, what was expected. Library exceptions stop where the library
is used: ``raise … from exc``.
"""


class HostError(Exception):
    """Root of everything that the host raises."""


class ConfigError(HostError):
    """The settings cannot work: tell the user and stop with status 2."""


class BrokerUnreachable(HostError):
    """Nothing that speaks MQTT answers there: back off, connect again."""


class BrokerRefused(BrokerUnreachable):
    """The broker answers and does not want us: back off, and tell what to change."""


class StorageUnavailable(HostError):
    """The database does not answer now: go on without it, try again."""


class UnknownUser(HostError):
    """There is no user of that name."""


class CommandRefused(HostError):
    """A command was not sent.

    Attributes:
        reason: kind of refusal: ``unknown``, ``offline``, ``read_only``, ``value``, ``busy`` or
            ``passive``.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
