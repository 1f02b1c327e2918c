"""How an edge node reaches its brokers: the ``[mqtt]`` section with its secrets fetched."""

import os
import ssl
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from edge_node.errors import ConfigurationRejected
from edge_node.mqtt_socket import Endpoint
from proto.control.broker import BrokerDocument, BrokerListDocument

PASSWORD_VARIABLE: Final = "NEXUS_MQTT_PASSWORD"  # noqa: S105  # a name, not a password


def make_endpoints(
    brokers: BrokerListDocument, client_id: str, environment: Mapping[str, str] = os.environ
) -> list[Endpoint]:
    """Return how to reach each broker, in the order they are tried; see :func:`make_endpoint`.

    Raises:
        ConfigurationRejected: a secret or a certificate cannot be read.
    """
    return [make_endpoint(broker, client_id, environment) for broker in brokers.each()]


def make_endpoint(
    broker: BrokerDocument, client_id: str, environment: Mapping[str, str] = os.environ
) -> Endpoint:
    """Return how to reach the broker, with its secrets and certificates read.

    Args:
        broker: the ``[mqtt]`` section.
        client_id: used where the section names none.
        environment: for ``password_env``; ``NEXUS_MQTT_PASSWORD`` and ``NEXUS_MQTT_PASSWORD_FILE``
            where the section names no password.

    Raises:
        ConfigurationRejected: a secret or a certificate cannot be read.
    """
    endpoint = Endpoint(
        host=broker.host,
        port=broker.port,
        client_id=broker.client_id or client_id,
        protocol=broker.protocol,
        keep_alive_s=broker.keep_alive_s,
        username=broker.username,
        password=_read_password(broker, environment),
    )
    return replace(endpoint, tls=_make_tls(broker)) if broker.tls else endpoint


def _read_password(broker: BrokerDocument, environment: Mapping[str, str]) -> str | None:
    if broker.password_env is not None:
        password = environment.get(broker.password_env)
        if password is None:
            raise ConfigurationRejected(
                [f"mqtt.password_env: variable {broker.password_env!r} is not set"]
            )
        return password
    if broker.password_file is not None:
        return _read_secret(broker.password_file, "mqtt.password_file")
    if (path := environment.get(f"{PASSWORD_VARIABLE}_FILE")) is not None:
        return _read_secret(Path(path), f"{PASSWORD_VARIABLE}_FILE")
    return environment.get(PASSWORD_VARIABLE)


def _read_secret(path: Path, subject: str) -> str:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigurationRejected([f"{subject}: {path} cannot be read: {exc}"]) from exc
    if not lines or not lines[0]:
        raise ConfigurationRejected([f"{subject}: {path} is empty, expected the password"])
    return lines[0]


def _make_tls(broker: BrokerDocument) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=broker.ca_file)
    except (OSError, ssl.SSLError) as exc:
        raise ConfigurationRejected(
            [f"mqtt.ca_file: {broker.ca_file} cannot be used: {exc}, expected PEM certificates"]
        ) from exc
    if broker.cert_file is not None and broker.key_file is not None:
        try:
            context.load_cert_chain(broker.cert_file, broker.key_file, password=_refuse_passphrase)
        except (OSError, ssl.SSLError) as exc:
            files = f"{broker.cert_file} with {broker.key_file}"
            expected = "expected a PEM certificate and its unencrypted key"
            raise ConfigurationRejected(
                [f"mqtt.cert_file: {files} cannot be used: {exc}, {expected}"]
            ) from exc
    return context


def _refuse_passphrase() -> str:
    """Answer for OpenSSL, which would otherwise ask the terminal."""
    return ""
