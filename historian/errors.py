"""What can go wrong in the historian, classified by what the caller should do.

A message says subject, what was found, what was expected. Library exceptions stop where the library
is used: ``raise … from exc``.
"""


class HistorianError(Exception):
    """Root of everything that the historian raises."""


class ConfigError(HistorianError):
    """The settings cannot work: tell the user and stop with status 2."""


class StorageUnavailable(HistorianError):
    """The database cannot take anything now: keep the batch, back off, try again."""


class BatchRejected(HistorianError):
    """The database refuses something in the batch: find it, drop it, count it, store the rest."""


class SchemaMismatch(HistorianError):
    """The database's schema is not one that this version can write: stop."""


class LinkLost(HistorianError):
    """The broker is unreachable or refused the connection: back off, connect again."""
