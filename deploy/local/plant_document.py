"""The demo's edge node configuration: the documented example, with this run's addresses.

The example is read as a document and written as a document; its text is never edited.
"""

import json
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

from deploy.local.checkout import ROOT
from proto.control.document import Document
from proto.control.node import NodeDocument
from proto.sparkplug.topics import NodeId

EXAMPLE = ROOT / "deploy" / "local" / "plant.toml"

_Json = None | bool | int | float | str | Sequence["_Json"] | Mapping[str, "_Json"]


def read_example() -> NodeDocument:
    """Return the example configuration that ships with the suite."""
    return NodeDocument.model_validate(tomllib.loads(EXAMPLE.read_text()))


def place_document(
    document: NodeDocument,
    *,
    mqtt_url: str,
    mqtt_username: str | None,
    modbus_port: int,
    topic_prefix: str,
    state_dir: Path,
    status_interval_s: float,
) -> NodeDocument:
    """Return the same plant at this run's broker and simulator."""
    node = document.node.model_copy(
        update={
            "topic_prefix": topic_prefix,
            "state_dir": state_dir,
            "status_interval_s": status_interval_s,
        }
    )
    mqtt = document.mqtt.model_copy(update={"url": mqtt_url, "username": mqtt_username})
    if mqtt_username is not None:
        mqtt = mqtt.model_copy(
            update={"password_env": "NEXUS_MQTT_PASSWORD", "password_file": None}
        )
    devices = tuple(
        device.model_copy(
            update={
                "connection": device.connection.model_copy(
                    update={"host": "127.0.0.1", "port": modbus_port}
                )
            }
        )
        for device in document.devices
    )
    placed = document.model_copy(update={"node": node, "mqtt": mqtt, "devices": devices})
    # A copy is not validated; what is written must be what a reader accepts.
    return NodeDocument.model_validate(placed.model_dump())


def node_id(document: NodeDocument) -> NodeId:
    """Return the Sparkplug identity of the document's node."""
    return NodeId(document.node.group, document.node.edge)


def count_tags(document: NodeDocument) -> int:
    """Return how many tags all devices have together."""
    return sum(len(device.tags) for device in document.devices)


def format_toml(document: Document) -> str:
    """Return a document as TOML text; what is absent is left out."""
    return format_fields(document.model_dump(mode="json", exclude_none=True))


def format_fields(fields: Mapping[str, _Json]) -> str:
    """Return the top-level keys of a document as TOML text."""
    return "".join(f"{key} = {_format_value(value)}\n" for key, value in fields.items())


def _format_value(value: _Json) -> str:
    if isinstance(value, Mapping):
        pairs = (f"{_format_text(k)} = {_format_value(v)}" for k, v in value.items())
        return "{" + ", ".join(pairs) + "}"
    if isinstance(value, str):
        return _format_text(value)
    if isinstance(value, Sequence):
        return "[" + ", ".join(_format_value(item) for item in value) + "]"
    # The rest of JSON, numbers and booleans, is written alike in TOML.
    return json.dumps(value)


def _format_text(text: str) -> str:
    # A JSON string is a TOML basic string, but for DEL, which TOML wants escaped.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
