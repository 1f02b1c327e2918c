import json
from typing import Any

import pytest
from click.testing import CliRunner

from deploy.local.cli import cli
from proto.control.schemas import DOCUMENTS, make_schema


def properties_of(schema: dict[str, Any]) -> set[str]:
    """Every key that is described, at any depth."""
    found: set[str] = set()
    for part in [schema, *schema.get("$defs", {}).values()]:
        found |= set(part.get("properties", {}))
    return found


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_document_has_a_schema_without_loose_ends(name: str) -> None:
    schema = make_schema(name)
    text = json.dumps(schema)
    references = {part.partition('"')[0] for part in text.split('"$ref": "#/$defs/')[1:]}
    assert references <= set(schema.get("$defs", {}))
    assert schema["$schema"].endswith("2020-12/schema")


def test_a_device_is_one_of_the_drivers_devices() -> None:
    schema = make_schema("device")
    mapping = schema["discriminator"]["mapping"]
    assert {"modbus", "s7"} <= set(mapping)
    assert {"address", "datatype", "read_back", "host", "poll_groups"} <= properties_of(schema)


def test_unknown_keys_are_refused_in_every_document() -> None:
    for name in DOCUMENTS:
        schema = make_schema(name)
        objects = [schema, *schema.get("$defs", {}).values()]
        for part in objects:
            if "properties" in part:
                assert part["additionalProperties"] is False, f"{name} {part.get('title')}"


def test_the_command_prints_one_or_all() -> None:
    one = CliRunner().invoke(cli, ["schema", "command"])
    assert json.loads(one.output) == make_schema("command")
    every = CliRunner().invoke(cli, ["schema"])
    assert set(json.loads(every.output)) == set(DOCUMENTS)
