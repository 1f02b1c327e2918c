"""Opens the history for the web, and tells the host what is wrong with its address."""

from historian.queries import ConfigError as AddressError
from historian.queries import History
from host_app.errors import ConfigError

__all__ = ["History", "open_history"]


def open_history(url: str | None) -> History | None:
    """Return the history in a database; nothing is connected yet. None without an address.

    Raises:
        ConfigError: not an address of a PostgreSQL database.
    """
    if url is None:
        return None
    try:
        return History(url)
    except AddressError as exc:
        raise ConfigError(str(exc).replace("NEXUS_DATABASE_URL", "NEXUS_HISTORY_URL")) from exc
