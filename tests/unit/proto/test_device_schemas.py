import tomllib
from pathlib import Path
from typing import Any, get_args

import pytest
from jsonschema import Draft202012Validator

from proto.control.devices import DeviceDocument
from proto.control.schemas import DEVICES, make_schema

PLANT: dict[str, Any] = tomllib.loads(Path("deploy/local/plant.toml").read_text(encoding="utf-8"))


def mistakes(schema: dict[str, Any], document: object) -> list[str]:
    Draft202012Validator.check_schema(schema)
    return [error.message for error in Draft202012Validator(schema).iter_errors(document)]


def device(driver: str) -> dict[str, Any]:
    connections = {"modbus": {"host": "plc"}, "s7": {"host": "plc"}}
    tags = {
        "modbus": {"name": "t", "address": "holding:0", "datatype": "int16"},
        "s7": {"name": "t", "address": "DB1.DBW0", "datatype": "int"},
    }
    return {
        "name": "press",
        "driver": driver,
        "connection": connections[driver],
        "tags": [tags[driver]],
    }


def test_the_example_plant_is_sound() -> None:
    assert mistakes(make_schema("node"), PLANT) == []


def test_every_driver_has_a_schema_of_its_own() -> None:
    union, _ = get_args(DeviceDocument)
    assert set(DEVICES.values()) == set(get_args(union))
    for driver, document in DEVICES.items():
        assert document.model_fields["driver"].annotation is not None
        assert get_args(document.model_fields["driver"].annotation) == (driver,)
        properties = make_schema(f"{driver}-device")["properties"]
        assert properties["driver"]["const"] == driver


def test_devices_are_told_apart_by_their_driver() -> None:
    devices = make_schema("node")["properties"]["devices"]["items"]
    assert devices["discriminator"]["propertyName"] == "driver"
    assert set(devices["discriminator"]["mapping"]) == set(DEVICES)
    assert len(devices["oneOf"]) == len(DEVICES)


@pytest.mark.parametrize("driver", ["modbus", "s7"])
def test_a_sound_device_is_one_of_its_driver_and_of_no_other(driver: str) -> None:
    sound = device(driver)
    assert mistakes(make_schema(f"{driver}-device"), sound) == []
    assert mistakes(make_schema("device"), sound) == []
    for other in set(DEVICES) - {driver}:
        assert mistakes(make_schema(f"{other}-device"), sound)


@pytest.mark.parametrize(
    "change",
    [
        {"colour": "red"},
        {"driver": "profibus"},
        {"tags": []},
        {"name": "a/b"},
        {"poll_groups": [{"name": "fast", "interval_s": 0.01}]},
        {"connection": {"host": "plc", "port": 70_000}},
    ],
)
def test_what_the_documents_refuse_the_schema_refuses(change: dict[str, Any]) -> None:
    assert mistakes(make_schema("device"), device("modbus") | change)
