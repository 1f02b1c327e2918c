"""An edge node's configuration file: read, checked as a whole, its secrets fetched.

Everything that is wrong is told at once, the drivers' objections included. Nothing is repaired.
"""

import os
import ssl
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from edge_node.drivers.base import ConfigError, Driver
from edge_node.drivers.registry import Drivers
from edge_node.errors import ConfigurationRejected
from edge_node.mistakes import explain
from edge_node.mqtt_socket import Endpoint
from edge_node.templates import Instances, find_template_clashes
from edge_node.uns_topics import find_topic_clashes
from proto.control.broker import BrokerDocument, BrokerListDocument
from proto.control.devices import DeviceDocument
from proto.control.node import NodeDocument
from proto.control.template_expansion import expand_templates, without_templates

URL_VARIABLE: Final = "NEXUS_MQTT_URL"
USERNAME_VARIABLE: Final = "NEXUS_MQTT_USERNAME"
PASSWORD_VARIABLE: Final = "NEXUS_MQTT_PASSWORD"  # noqa: S105  # a name, not a password
PREFIX_VARIABLE: Final = "NEXUS_TOPIC_PREFIX"

_DEVICE: Final[TypeAdapter[Any]] = TypeAdapter(DeviceDocument)


@dataclass(frozen=True, slots=True)
class Configuration:
    """A checked configuration, with the drivers that were made from it.

    Attributes:
        document: with the members of template instances as ordinary tags.
        drivers: by device.
        instances: what those members belong to, by device.
    """

    document: NodeDocument
    drivers: Mapping[str, Driver]
    instances: Instances = field(default_factory=dict)


def load(path: Path, environment: Mapping[str, str] = os.environ) -> Configuration:
    """Read and check a file.

    Args:
        path: TOML.
        environment: ``NEXUS_MQTT_URL`` overrides ``mqtt.url`` and, being the only broker then,
            ``mqtt.servers``; ``NEXUS_MQTT_USERNAME`` and
            ``NEXUS_TOPIC_PREFIX`` stand in for keys that the file leaves out.

    Raises:
        ConfigurationRejected: every mistake, each ``file: path: message``.
    """
    data = _read(path)
    _apply_environment(data, environment)
    return _check(data, str(path))


def _read(path: Path) -> dict[str, Any]:
    try:
        text = path.read_bytes().decode()
    except OSError as exc:
        raise ConfigurationRejected([f"{path}: cannot be read: {exc.strerror}"]) from exc
    except UnicodeDecodeError as exc:
        raise ConfigurationRejected(
            [f"{path}: byte {exc.start} is not UTF-8, expected a TOML file in UTF-8"]
        ) from exc
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as exc:
        message, _, where = str(exc).removesuffix(")").partition(" (at ")
        raise ConfigurationRejected([f"{path}: {where or 'TOML'}: {message}"]) from exc


def _apply_environment(data: dict[str, Any], environment: Mapping[str, str]) -> None:
    mqtt = data.setdefault("mqtt", {})
    if isinstance(mqtt, dict):
        if url := environment.get(URL_VARIABLE):
            mqtt["url"] = url
            mqtt.pop("servers", None)
        if username := environment.get(USERNAME_VARIABLE):
            mqtt.setdefault("username", username)
    node = data.get("node")
    if isinstance(node, dict) and (prefix := environment.get(PREFIX_VARIABLE)):
        node.setdefault("topic_prefix", prefix)


def _check(data: dict[str, Any], file: str) -> Configuration:
    expansion = expand_templates(data)
    data = expansion.data
    mistakes: list[str] = []
    document: NodeDocument | None = None
    try:
        document = NodeDocument.model_validate(data)
    except ValidationError as exc:
        mistakes += explain(exc, data, NodeDocument)
    drivers = _make_drivers(data.get("devices"), mistakes)
    if document is not None:
        mistakes += find_topic_clashes(document)
        mistakes += _find_twins(document)
        mistakes += find_template_clashes(document, drivers, expansion.instances)
    mistakes = [*expansion.mistakes, *expansion.retell(mistakes)]
    if document is None or mistakes:
        raise ConfigurationRejected([f"{file}: {mistake}" for mistake in mistakes])
    return Configuration(without_templates(document), drivers, expansion.instances)


def _make_drivers(devices: object, mistakes: list[str]) -> dict[str, Driver]:
    """Make the driver of every device that is sound by itself, and collect the objections."""
    makers = Drivers()
    made: dict[str, Driver] = {}
    for data in devices if isinstance(devices, list) else []:
        try:
            device = _DEVICE.validate_python(data)
        except ValidationError:
            continue  # already told, with its place in the whole file
        try:
            made[device.name] = makers.make(device)
        except ConfigError as exc:
            mistakes += [f"devices[{device.name}]: {mistake}" for mistake in exc.mistakes]
    return made


def _find_twins(document: NodeDocument) -> list[str]:
    """Return names that differ in case only (specification 5.2, case sensitivity)."""
    mistakes = _find_twin_names("", [device.name for device in document.devices], "devices")
    for device in document.devices:
        names = [tag.name for tag in device.tags]
        mistakes += _find_twin_names(f"devices[{device.name}].", names, "tags")
    return mistakes


def _find_twin_names(where: str, names: list[str], what: str) -> list[str]:
    first: dict[str, str] = {}
    return [
        f"{where}{what}[{name}].name: differs from {twin!r} in case only, "
        "which hosts may not tell apart"
        for name in names
        if (twin := first.setdefault(name.casefold(), name)) != name
    ]


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
