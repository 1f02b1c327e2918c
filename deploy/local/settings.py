"""The settings of a run that come from the environment, secrets among them.

Each ``NAME`` may also be given as ``NAME_FILE``, the path of a file that holds it.
"""

import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self


class SettingError(Exception):
    """A setting cannot be used; the message names it."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the environment says; None is what it leaves open."""

    database_url: str | None
    mqtt_url: str | None
    mqtt_username: str | None
    mqtt_password: str | None
    topic_prefix: str | None
    host_id: str
    console_password: str

    @classmethod
    def read(cls) -> Self:
        """Read the environment.

        Raises:
            SettingError: a file that a setting names cannot be read.
        """
        return cls(
            database_url=read_setting("NEXUS_DATABASE_URL"),
            mqtt_url=read_setting("NEXUS_MQTT_URL"),
            mqtt_username=read_setting("NEXUS_MQTT_USERNAME"),
            mqtt_password=read_setting("NEXUS_MQTT_PASSWORD"),
            topic_prefix=read_setting("NEXUS_TOPIC_PREFIX"),
            host_id=read_setting("NEXUS_HOST_ID") or "nexus",
            console_password=read_setting("NEXUS_CONSOLE_PASSWORD") or secrets.token_urlsafe(9),
        )


def read_setting(name: str, environment: Mapping[str, str] = os.environ) -> str | None:
    """Return a setting from ``NAME`` or from the file named by ``NAME_FILE``.

    Raises:
        SettingError: both are set, or the file cannot be read.
    """
    value = environment.get(name) or None
    path = environment.get(f"{name}_FILE")
    if not path:
        return value
    if value is not None:
        raise SettingError(f"{name} and {name}_FILE are both set, expected one of them")
    try:
        return Path(path).read_text().strip()
    except OSError as exc:
        raise SettingError(f"{name}_FILE: {path} cannot be read: {exc.strerror}") from exc


def describe_url(url: str) -> str:
    """Return an address without the password that may stand in it."""
    scheme, _, rest = url.partition("://")
    credentials, at, place = rest.rpartition("@")
    user = credentials.partition(":")[0]
    return f"{scheme}://{user}{at}{place}"
