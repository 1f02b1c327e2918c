"""An edge node's configuration file: read, and checked as a whole.

Everything that is wrong is told at once, the drivers' objections included. Nothing is repaired.
"""

import os
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from edge_node.configuration import Configuration, DeviceMaker, Marks, mark
from edge_node.errors import ConfigurationRejected
from edge_node.metrics import DEVICE_REBIRTH
from edge_node.mistakes import explain
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


def load(
    path: Path, environment: Mapping[str, str] = os.environ, *, whole: bool = True
) -> Configuration:
    """Read and check a file; see :func:`parse` and :func:`check`.

    Raises:
        ConfigurationRejected: every mistake, each ``file: path: message``.
    """
    return check(parse(read(path), path, environment), str(path), whole=whole)


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
    data: Mapping[str, Any],
    file: str | None = None,
    current: Configuration | None = None,
    *,
    whole: bool = True,
) -> Configuration:
    """Check what a file says, or a file with what came besides.

    Args:
        data: as parsed.
        file: stands before each mistake.
        current: what runs. Devices that are the same keep their drivers, and those that are told
            in the same words are not even looked at again; the other sections stay as they are,
            since they count from the start of a process.
        whole: whether the documents keep their tags; else it is :meth:`Configuration.settled`, and
            nothing of the data but its sections is kept either.

    Raises:
        ConfigurationRejected: every mistake.
    """
    words = {device["name"]: mark(device) for device in _named(data)}
    templates = mark(data.get("templates"))
    same = {} if current is None else _find_same(data, words, templates, current)
    expansion = expand_templates(_put_known(data, same))
    told = data if whole else {name: part for name, part in data.items() if name != "devices"}
    del data  # what is told of a large plant goes while the plant is made of it
    instances: Instances = expansion.instances
    if current is not None and same:
        kept = {name: own for name, own in current.instances.items() if name in same}
        instances = {**instances, **kept}
    fleet = DeviceMaker(current, instances)
    objections = fleet.take(expansion.data.get("devices"), whole=whole)
    mistakes: list[str] = []
    document: NodeDocument | None = None
    try:
        document = NodeDocument.model_validate(expansion.data)
    except ValidationError as exc:
        mistakes += explain(exc, expansion.data, NodeDocument)
    mistakes += objections
    restart_needed: tuple[str, ...] = ()
    if document is not None and current is not None:
        restart_needed = _find_other_sections(document, current.document)
        fixed = {name: getattr(current.document, name) for name in restart_needed}
        document = document.model_copy(update=fixed)
    if document is not None:
        names = {d.name: fleet.tag_names(d) for d in document.devices}
        mistakes += find_topic_clashes(document, names)
        mistakes += _find_twins(document, names)
        mistakes += find_template_clashes(document, fleet.drivers, fleet.tags, instances)
    mistakes = [*expansion.mistakes, *expansion.retell(mistakes)]
    if document is None or mistakes:
        where = "" if file is None else f"{file}: "
        raise ConfigurationRejected([f"{where}{mistake}" for mistake in mistakes])
    known = {} if current is None else current.marks
    return Configuration(
        without_templates(document),
        fleet.drivers,
        fleet.tags,
        instances,
        fleet.makers,
        {
            name: Marks(words[name], content) if name in words else known[name]
            for name, content in fleet.contents.items()
        },
        templates,
        told if whole else {**told, "devices": list(document.devices)},
        restart_needed,
    )


def _find_same(
    data: Mapping[str, Any], words: Mapping[str, bytes], templates: bytes, current: Configuration
) -> dict[str, DeviceDocument]:
    """Return the devices that run and are told in the same words, or by their document."""
    same_templates = templates == current.templates
    told = {
        device["name"]
        for device in _named(data)
        if (known := current.marks.get(device["name"])) is not None
        and (same_templates or not device.get("instances"))
        and known.words == words[device["name"]]
    }
    devices = data.get("devices")
    items = devices if isinstance(devices, list | tuple) else ()
    told |= {item.name for item in items if isinstance(item, Device)}
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


def _find_twins(document: NodeDocument, tags: Mapping[str, Sequence[str]]) -> list[str]:
    """Return names that differ in case only (specification 5.2), or are the protocol's own."""
    mistakes = _find_twin_names("", [device.name for device in document.devices], "devices")
    for device in document.devices:
        names = tags[device.name]
        mistakes += _find_twin_names(f"devices[{device.name}].", names, "tags")
        mistakes += [
            f"devices[{device.name}].tags[{name}].name: is the protocol's own, expected another"
            for name in names
            if name.casefold() in _RESERVED
        ]
    return mistakes


def _find_twin_names(where: str, names: Sequence[str], what: str) -> list[str]:
    first: dict[str, str] = {}
    return [
        f"{where}{what}[{name}].name: differs from {twin!r} in case only, "
        "which hosts may not tell apart"
        for name in names
        if (twin := first.setdefault(name.casefold(), name)) != name
    ]
