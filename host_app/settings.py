"""Settings from the environment, secrets among them: never on argv, never logged."""

import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from ssl import SSLContext, SSLError, create_default_context
from typing import Literal

from pydantic import ValidationError

from host_app.errors import ConfigError
from host_app.mqtt_stream import Endpoint
from host_app.passwords import check_new_password
from proto.control.broker import BrokerDocument
from proto.sparkplug.errors import InvalidId
from proto.sparkplug.topics import check_id

Protocol = Literal["3.1.1", "5"]


@dataclass(frozen=True, slots=True)
class Secrets:
    """What must not be on a command line."""

    mqtt_username: str | None = None
    mqtt_password: str | None = field(default=None, repr=False)
    database_url: str | None = field(default=None, repr=False)
    console_password: str | None = field(default=None, repr=False)
    history_url: str | None = field(default=None, repr=False)


def read_secrets(environment: Mapping[str, str] = os.environ) -> Secrets:
    """Read each from ``NAME`` or from the file that ``NAME_FILE`` names.

    Raises:
        ConfigError: both are set, the file cannot be read, or the console's password is too short.
    """
    secrets = Secrets(
        mqtt_username=_read(environment, "NEXUS_MQTT_USERNAME"),
        mqtt_password=_read(environment, "NEXUS_MQTT_PASSWORD"),
        database_url=_read(environment, "NEXUS_DATABASE_URL"),
        console_password=_read(environment, "NEXUS_CONSOLE_PASSWORD"),
        history_url=_read(environment, "NEXUS_HISTORY_URL"),
    )
    if secrets.console_password is not None:
        try:
            check_new_password(secrets.console_password)
        except ValueError as exc:
            raise ConfigError(f"NEXUS_CONSOLE_PASSWORD: {exc}") from exc
    return secrets


def read_topic_prefix(environment: Mapping[str, str] = os.environ) -> str:
    """Return the first level of the suite's own topics.

    Raises:
        ConfigError: it can be none.
    """
    prefix = environment.get("NEXUS_TOPIC_PREFIX", "$nexus")
    if not prefix or set(prefix) & set("+#\x00"):
        raise ConfigError(
            f"NEXUS_TOPIC_PREFIX is {prefix!r}, expected a topic level without + and #"
        )
    return prefix


@dataclass(frozen=True, slots=True)
class BrokerFiles:
    """PEM files for TLS to the broker."""

    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None


def make_endpoints(
    urls: Sequence[str],
    host_id: str,
    secrets: Secrets,
    *,
    protocol: Protocol,
    files: BrokerFiles,
    keep_alive_s: int,
    high_availability: bool = False,
) -> list[Endpoint]:
    """Check the brokers' addresses and make endpoints of them.

    Hosts that take over from each other share a client id, so that the broker itself ends the
    connection of the one before.

    Raises:
        ConfigError: every mistake at once.
    """
    mistakes: list[str] = []
    endpoints: list[Endpoint] = []
    try:
        check_id(host_id, "host")
    except InvalidId as exc:
        mistakes.append(str(exc))
    if len(set(urls)) != len(urls):
        mistakes.append(f"broker addresses stand more than once: {' '.join(urls)}")
    client_id = f"nexus-host-{host_id}"
    if not high_availability:
        # A second host by mistake would otherwise fight the first for the connection for ever.
        client_id += f"-{socket.gethostname()}-{os.getpid()}"
    elif secrets.database_url is None:
        mistakes.append("--ha needs the database that all hosts share, set NEXUS_DATABASE_URL")
    for url in urls:
        try:
            document = BrokerDocument(
                url=url,
                ca_file=files.ca,
                cert_file=files.cert,
                key_file=files.key,
                protocol=protocol,
                keep_alive_s=keep_alive_s,
            )
            endpoints.append(
                Endpoint(
                    document.host,
                    document.port,
                    client_id,
                    protocol=protocol,
                    keep_alive_s=keep_alive_s,
                    username=secrets.mqtt_username,
                    password=secrets.mqtt_password,
                    tls=_make_tls(files) if document.tls else None,
                )
            )
        except ValidationError as exc:
            mistakes += [f"mqtt: {_said(e['msg'])}" for e in exc.errors()]
        except (OSError, SSLError) as exc:
            named = ", ".join(str(f) for f in (files.ca, files.cert, files.key) if f is not None)
            mistakes.append(f"mqtt: PEM files {named}: {exc.strerror or exc}")
    if mistakes:
        raise ConfigError("\n".join(mistakes))
    return endpoints


def _make_tls(files: BrokerFiles) -> SSLContext:
    context = create_default_context(cafile=None if files.ca is None else str(files.ca))
    if files.cert is not None:
        context.load_cert_chain(files.cert, files.key)
    return context


def _said(message: str) -> str:
    return message.removeprefix("Value error, ")


def _read(environment: Mapping[str, str], name: str) -> str | None:
    value, path = environment.get(name) or None, environment.get(f"{name}_FILE") or None
    if path is None:
        return value
    if value is not None:
        raise ConfigError(f"{name} and {name}_FILE are both set, expected one of them")
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigError(f"{name}_FILE {path!r}: cannot be read: {exc}") from exc
    if not lines or not lines[0]:
        raise ConfigError(f"{name}_FILE {path!r}: first line is empty, expected the value")
    return lines[0]
