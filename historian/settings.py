"""Where the historian finds broker and database, and its bounds: from environment variables.

Every secret can also be given as a file: ``NAME_FILE`` names it.
"""

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pydantic

from historian.errors import ConfigError
from historian.schema.migrate import normalize_url
from proto.control.broker import BrokerDocument

OLDEST_ACCEPTED_MS: Final = 946_684_800_000
"""2000-01-01, unless another is given: clocks that are not set yet show earlier times."""
AHEAD_ACCEPTED_MS: Final = 86_400_000


@dataclass(frozen=True, slots=True)
class Settings:
    """What a historian is told from outside.

    Attributes:
        broker: the MQTT broker.
        mqtt_password: of the broker's account.
        database_url: normalized; holds the password.
        historian_id: names this process among others.
        topic_prefix: first level of the suite's own topics.
        buffer_bytes: bound of what waits in memory for the database.
        lanes: COPYs in flight.
        oldest_ms: points of an earlier time are refused.
        ahead_ms: points further in the future are refused.
        status_interval_s: between two status messages.
        drain_s: how long a stop may take to store what was received.
        share: name under which several historians share the data; ``None`` takes all of it.
        metrics_bind: address of ``/metrics``, ``/healthz`` and ``/readyz``.
        metrics_port: TCP port of the same; ``None`` leaves them out.
    """

    broker: BrokerDocument
    database_url: str = field(repr=False)
    mqtt_password: str | None = field(default=None, repr=False)
    historian_id: str = "historian"
    topic_prefix: str = "$nexus"
    buffer_bytes: int = 256 * 2**20
    lanes: int = 2
    oldest_ms: int = OLDEST_ACCEPTED_MS
    ahead_ms: int = AHEAD_ACCEPTED_MS
    status_interval_s: float = 5.0
    drain_s: float = 30.0
    share: str | None = None
    metrics_bind: str = "127.0.0.1"
    metrics_port: int | None = None


def read_settings(
    environment: Mapping[str, str] = os.environ,
    *,
    historian_id: str | None = None,
    buffer_mib: int = 256,
    lanes: int = 2,
    status_interval_s: float = 5.0,
    oldest_ms: int = OLDEST_ACCEPTED_MS,
    ahead_ms: int = AHEAD_ACCEPTED_MS,
    share: str | None = None,
    metrics_bind: str = "127.0.0.1",
    metrics_port: int | None = None,
) -> Settings:
    """Read the settings.

    Raises:
        ConfigError: a variable is missing or cannot work.
    """
    database_url = read_database_url(environment)
    try:
        broker = BrokerDocument(
            url=environment.get("NEXUS_MQTT_URL", "mqtt://127.0.0.1:1883"),
            username=_read_secret(environment, "NEXUS_MQTT_USERNAME"),
        )
    except pydantic.ValidationError as error:
        message = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise ConfigError(f"NEXUS_MQTT_URL: {message}") from error
    prefix = environment.get("NEXUS_TOPIC_PREFIX", "$nexus")
    if not prefix or set(prefix) & set("+#\x00"):
        raise ConfigError(
            f"NEXUS_TOPIC_PREFIX is {prefix!r}, expected a topic level without + and #"
        )
    if oldest_ms < 0:
        raise ConfigError("the oldest time to accept is before 1970-01-01, expected that or later")
    name = historian_id or environment.get("NEXUS_HISTORIAN_ID") or socket.gethostname()
    if set(name) & set("/+#\x00"):
        raise ConfigError(f"historian id is {name!r}, expected a topic level without / + #")
    if share is not None:
        if not share or set(share) & set("/+#\x00"):
            raise ConfigError(f"share is {share!r}, expected a name without / + #")
        # Shared subscriptions are of MQTT 5.
        broker = broker.model_copy(update={"protocol": "5"})
    return Settings(
        broker=broker,
        database_url=database_url,
        mqtt_password=_read_secret(environment, "NEXUS_MQTT_PASSWORD"),
        historian_id=name,
        topic_prefix=prefix,
        buffer_bytes=buffer_mib * 2**20,
        lanes=lanes,
        status_interval_s=status_interval_s,
        oldest_ms=oldest_ms,
        ahead_ms=ahead_ms,
        share=share,
        metrics_bind=metrics_bind,
        metrics_port=metrics_port,
    )


def read_database_url(environment: Mapping[str, str] = os.environ) -> str:
    """The database, as a ``postgresql://`` address with its password.

    Raises:
        ConfigError: none is given, or it is no address of a PostgreSQL database.
    """
    given = _read_secret(environment, "NEXUS_DATABASE_URL")
    if given is None:
        raise ConfigError(
            "NEXUS_DATABASE_URL is not set, expected postgresql://user:password@host/database"
            " (or NEXUS_DATABASE_URL_FILE with the name of a file that holds it)"
        )
    return normalize_url(given)


def _read_secret(environment: Mapping[str, str], name: str) -> str | None:
    value, path = environment.get(name), environment.get(f"{name}_FILE")
    if value and path:
        raise ConfigError(f"{name} and {name}_FILE are both set, expected one of them")
    if path:
        try:
            return Path(path).read_text(encoding="utf-8").strip()
        except OSError as error:
            raise ConfigError(f"{name}_FILE: {error}") from error
    return value or None
