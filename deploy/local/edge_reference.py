"""The reference of an edge node's configuration file, made from the documents' own words.

``python -m deploy.local.edge_reference`` writes the page again; a test holds it to the documents. A
setting without a description is an error.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from proto.control.broker import BrokerListDocument
from proto.control.device import Device, PollGroup, Tag
from proto.control.document import Document
from proto.control.node import (
    MetricsDocument,
    NodeIdentity,
    RemoteDocument,
    SparkplugDocument,
    UnsDocument,
)
from proto.control.template import InstanceDocument, TemplateDocument, TemplateParameterDocument

PAGE: Final = Path(__file__).resolve().parents[2] / "docs/reference/edge-configuration.md"

_HEAD: Final = """\
# Configuration of an edge node

<!-- Made by `python -m deploy.local.edge_reference`; do not edit. -->

An edge node is described by one TOML file. `./nexus check` tells every mistake in it at once, as
`file: path: message`; a key that is not listed here is a mistake. `deploy/local/plant.toml` is a
whole example. Relative paths start at the directory that the process runs in.

| environment variable | what it does |
|---|---|
| `NEXUS_MQTT_URL` | replaces `mqtt.url` and `mqtt.servers` |
| `NEXUS_MQTT_USERNAME` | stands in for `mqtt.username` |
| `NEXUS_MQTT_PASSWORD` | the password, where the file names none |
| `NEXUS_MQTT_PASSWORD_FILE` | the file that holds it, likewise |
| `NEXUS_TOPIC_PREFIX` | stands in for `node.topic_prefix` |
"""
_DEVICE_WORDS: Final = (
    "One device. `driver` says how it is reached, and `connection` where; these and the keys of "
    "its tags are in the driver's guide: [Modbus](../guide/drivers/modbus.md), "
    "[Siemens S7](../guide/drivers/s7.md), [OPC UA](../guide/drivers/opcua.md)."
)
_TABLE: Final = "| key | value | default | meaning |\n|---|---|---|---|"
_SECTIONS: Final[tuple[tuple[str, str, type[Document]], ...]] = (
    ("`[node]`", "Who the node is.", NodeIdentity),
    ("`[mqtt]`", "Its brokers, one at a time, and how it signs in.", BrokerListDocument),
    ("`[sparkplug]`", "How it speaks Sparkplug B.", SparkplugDocument),
    ("`[uns]`", "The plain JSON mirror; see [The Unified Namespace](uns.md).", UnsDocument),
    ("`[metrics]`", "Numbers for Prometheus and probes for orchestrators.", MetricsDocument),
    (
        "`[remote]`",
        "What is taken besides Sparkplug; see [The suite's own topics](system-topics.md).",
        RemoteDocument,
    ),
    ("`[[devices]]`", _DEVICE_WORDS, Device),
    ("`[[devices.poll_groups]]`", "Tags that are read together.", PollGroup),
    ("`[[devices.tags]]`", "What every tag has, whatever the driver.", Tag),
    (
        "`[[templates]]`",
        "Tags that are written once; see [Templates](../guide/templates.md).",
        TemplateDocument,
    ),
    ("`[[templates.parameters]]`", "What instances fill in.", TemplateParameterDocument),
    ("`[[devices.instances]]`", "One thing of a template's type.", InstanceDocument),
)
_KINDS: Final = {
    "string": "text",
    "integer": "whole number",
    "number": "number",
    "boolean": "true or false",
    "array": "list",
    "object": "table of keys",
    "null": "",
}


class UndocumentedSetting(Exception):
    """A setting has no description."""


def format_reference() -> str:
    """Return the page.

    Raises:
        UndocumentedSetting: names the setting.
    """
    parts = [_HEAD]
    for title, words, model in _SECTIONS:
        schema = model.model_json_schema()
        required = set(schema.get("required", ()))
        rows = "\n".join(
            _format_row(model, name, part, needed=name in required)
            for name, part in schema["properties"].items()
        )
        parts.append(f"## {title}\n\n{words}\n\n{_TABLE}\n{rows}\n")
    return "\n".join(parts)


def _format_row(
    model: type[Document], name: str, schema: Mapping[str, Any], *, needed: bool
) -> str:
    description = schema.get("description")
    if not description:
        raise UndocumentedSetting(f"{model.__name__}.{name}: no description, expected one")
    text = re.sub(r"\s+", " ", description).replace("``", "`").replace("|", "\\|")
    default = "required" if needed else _format_default(schema.get("default"))
    return f"| `{name}` | {_format_kind(schema)} | {default} | {text} |"


def _format_default(value: object) -> str:
    if value is None or value == []:
        return "none"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, list):
        return "see there"
    return f"`{value}`"


def _format_kind(schema: Mapping[str, Any]) -> str:
    if "enum" in schema:
        return ", ".join(f"`{item}`" for item in schema["enum"])
    if "anyOf" in schema:
        return ", ".join(kind for kind in map(_format_kind, schema["anyOf"]) if kind)
    kind = "path" if schema.get("format") == "path" else _KINDS[schema.get("type", "array")]
    bounds = ", ".join(_bounds(schema))
    return f"{kind}, {bounds}" if bounds else kind


def _bounds(schema: Mapping[str, Any]) -> Iterator[str]:
    if "exclusiveMinimum" in schema:
        yield f"above {schema['exclusiveMinimum']}"
    if "minimum" in schema:
        yield f"from {schema['minimum']}"
    if "maximum" in schema:
        yield f"to {schema['maximum']}"


if __name__ == "__main__":
    PAGE.write_text(format_reference(), encoding="utf-8")
