"""An edge node's configuration file: read, and checked as a whole.

Everything that is wrong is told at once, the drivers' objections included. Nothing is repaired.
"""

import os
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from edge_node.drivers.base import ConfigError, Driver
from edge_node.drivers.registry import Drivers
from edge_node.errors import ConfigurationRejected
from edge_node.metrics import DEVICE_REBIRTH
from edge_node.mistakes import explain
from edge_node.pipeline.tags import find_misnamed
from edge_node.templates import Instances, find_template_clashes
from edge_node.uns_topics import find_topic_clashes
from proto.control.device import Device
from proto.control.devices import DeviceDocument
from proto.control.node import NodeDocument
from proto.control.template_expansion import expand_templates, without_templates
from proto.sparkplug.metrics import BD_SEQ, REBIRTH

URL_VARIABLE: Final = "NEXUS_MQTT_URL"
USERNAME_VARIABLE: Final = "NEXUS_MQTT_USERNAME"
PREFIX_VARIABLE: Final = "NEXUS_TOPIC_PREFIX"

_RESERVED: Final = frozenset(name.casefold() for name in (BD_SEQ, REBIRTH, DEVICE_REBIRTH))
_DEVICE: Final[TypeAdapter[Any]] = TypeAdapter(DeviceDocument)


@dataclass(frozen=True, slots=True)
class Configuration:
    """A checked configuration, with the drivers that were made from it.

    Attributes:
        document: with the members of template instances as ordinary tags.
        drivers: by device.
        instances: what those members belong to, by device.
        makers: made the drivers, and makes those of the next configuration of the same process.
        data: what was checked.
        restart_needed: sections that are another now, which counts from the next start on.
    """

    document: NodeDocument
    drivers: Mapping[str, Driver]
    instances: Instances = field(default_factory=dict)
    makers: Drivers = field(default_factory=Drivers)
    data: Mapping[str, Any] = field(default_factory=dict)
    restart_needed: tuple[str, ...] = ()


def load(path: Path, environment: Mapping[str, str] = os.environ) -> Configuration:
    """Read and check a file; see :func:`parse`.

    Raises:
        ConfigurationRejected: every mistake, each ``file: path: message``.
    """
    return check(parse(read(path), path, environment), str(path))


def read(path: Path) -> bytes:
    """Return what stands in a file.

    Raises:
        ConfigurationRejected: it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as exc:
        raise ConfigurationRejected([f"{path}: cannot be read: {exc.strerror}"]) from exc


def parse(
    content: bytes, path: Path, environment: Mapping[str, str] = os.environ
) -> dict[str, Any]:
    """Return what a file says, unchecked.

    Args:
        content: TOML.
        path: where it was read.
        environment: ``NEXUS_MQTT_URL`` overrides ``mqtt.url`` and, being the only broker then,
            ``mqtt.servers``; ``NEXUS_MQTT_USERNAME`` and
            ``NEXUS_TOPIC_PREFIX`` stand in for keys that the file leaves out.

    Raises:
        ConfigurationRejected: it is no TOML.
    """
    data = _parse_toml(content, path)
    _apply_environment(data, environment)
    return data


def _parse_toml(content: bytes, path: Path) -> dict[str, Any]:
    try:
        text = content.decode()
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


def check(
    data: Mapping[str, Any], file: str | None = None, current: Configuration | None = None
) -> Configuration:
    """Check what a file says, or a file with what came besides.

    Args:
        data: as parsed.
        file: stands before each mistake.
        current: what runs. Devices that are the same keep their drivers, and those that are told
            in the same words are not even looked at again; the other sections stay as they are,
            since they count from the start of a process.

    Raises:
        ConfigurationRejected: every mistake.
    """
    told = data
    same = {} if current is None else _find_same(told, current)
    expansion = expand_templates(_put_known(told, same))
    data = expansion.data
    instances: Instances = expansion.instances
    if current is not None and same:
        kept = {name: own for name, own in current.instances.items() if name in same}
        instances = {**instances, **kept}
    mistakes: list[str] = []
    document: NodeDocument | None = None
    try:
        document = NodeDocument.model_validate(data)
    except ValidationError as exc:
        mistakes += explain(exc, data, NodeDocument)
    restart_needed: tuple[str, ...] = ()
    if document is not None and current is not None:
        restart_needed = _find_other_sections(document, current.document)
        fixed = {name: getattr(current.document, name) for name in restart_needed}
        document = document.model_copy(update=fixed)
    makers = Drivers() if current is None else current.makers
    known = {} if current is None else _find_known(instances, current)
    drivers = _make_drivers(data.get("devices"), makers, known, mistakes)
    if document is not None:
        mistakes += find_topic_clashes(document)
        mistakes += _find_twins(document)
        mistakes += find_template_clashes(document, drivers, instances)
    mistakes = [*expansion.mistakes, *expansion.retell(mistakes)]
    if document is None or mistakes:
        where = "" if file is None else f"{file}: "
        raise ConfigurationRejected([f"{where}{mistake}" for mistake in mistakes])
    return Configuration(
        without_templates(document), drivers, instances, makers, told, restart_needed
    )


def _find_same(data: Mapping[str, Any], current: Configuration) -> dict[str, DeviceDocument]:
    """Return the devices that are told in the same words as those that run."""
    before = {device["name"]: device for device in _named(current.data)}
    same_templates = data.get("templates") == current.data.get("templates")
    told = {
        device["name"]
        for device in _named(data)
        if before.get(device["name"]) == device and (same_templates or not device.get("instances"))
    }
    return {device.name: device for device in current.document.devices if device.name in told}


def _put_known(data: Mapping[str, Any], same: Mapping[str, DeviceDocument]) -> Mapping[str, Any]:
    """Put documents in the place of the devices they were made of; they are not validated again."""
    if not same:
        return data
    devices = [
        same.get(item["name"], item)
        if isinstance(item, Mapping) and isinstance(item.get("name"), str)
        else item
        for item in data["devices"]
    ]
    return {**data, "devices": devices}


def _named(data: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Give what looks like a device with a name."""
    devices = data.get("devices")
    for item in devices if isinstance(devices, list) else ():
        if isinstance(item, Mapping) and isinstance(item.get("name"), str):
            yield item


def _find_other_sections(document: NodeDocument, current: NodeDocument) -> tuple[str, ...]:
    return tuple(
        name
        for name in NodeDocument.model_fields
        if name not in {"devices", "templates"}
        and getattr(document, name) != getattr(current, name)
    )


def _find_known(
    instances: Instances, current: Configuration
) -> dict[str, tuple[DeviceDocument, Driver]]:
    """Return the devices that run and whose instances are the same, with their drivers."""
    return {
        device.name: (device, current.drivers[device.name])
        for device in current.document.devices
        if instances.get(device.name, []) == current.instances.get(device.name, [])
    }


def _make_drivers(
    devices: object,
    makers: Drivers,
    known: Mapping[str, tuple[DeviceDocument, Driver]],
    mistakes: list[str],
) -> dict[str, Driver]:
    """Make the driver of every device that is sound by itself, and collect the objections."""
    made: dict[str, Driver] = {}
    for data in devices if isinstance(devices, list) else []:
        if isinstance(data, Device):  # it runs, and is the same
            made[data.name] = known[data.name][1]
            continue
        try:
            device = _DEVICE.validate_python(data).model_copy(update={"instances": ()})
        except ValidationError:
            continue  # already told, with its place in the whole file
        same, driver = known.get(device.name, (None, None))
        if driver is not None and device == same:
            made[device.name] = driver
            continue
        try:
            driver = made[device.name] = makers.make(device)
            mistakes += [
                f"devices[{device.name}]: {mistake}"
                for mistake in find_misnamed(device.tags, driver.groups)
            ]
        except ConfigError as exc:
            mistakes += [f"devices[{device.name}]: {mistake}" for mistake in exc.mistakes]
    return made


def _find_twins(document: NodeDocument) -> list[str]:
    """Return names that differ in case only (specification 5.2), or are the protocol's own."""
    mistakes = _find_twin_names("", [device.name for device in document.devices], "devices")
    for device in document.devices:
        names = [tag.name for tag in device.tags]
        mistakes += _find_twin_names(f"devices[{device.name}].", names, "tags")
        mistakes += [
            f"devices[{device.name}].tags[{name}].name: is the protocol's own, expected another"
            for name in names
            if name.casefold() in _RESERVED
        ]
    return mistakes


def _find_twin_names(where: str, names: list[str], what: str) -> list[str]:
    first: dict[str, str] = {}
    return [
        f"{where}{what}[{name}].name: differs from {twin!r} in case only, "
        "which hosts may not tell apart"
        for name in names
        if (twin := first.setdefault(name.casefold(), name)) != name
    ]
