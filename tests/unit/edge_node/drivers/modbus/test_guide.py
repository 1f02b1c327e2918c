"""The guide names every setting, notation and exception that the driver has."""

from pathlib import Path

import pytest

from edge_node.drivers.modbus.codec import EXCEPTIONS
from proto.control.device import Tag
from proto.control.modbus import ModbusConnection, ModbusTag

GUIDE = Path("docs/guide/drivers/modbus.md").read_text()
SETTINGS = [
    *ModbusConnection.model_fields,
    *(name for name in ModbusTag.model_fields if name not in Tag.model_fields),
]


@pytest.mark.parametrize("setting", SETTINGS)
def test_every_setting_is_in_the_guide(setting: str) -> None:
    assert f"`{setting}`" in GUIDE or f"{setting} =" in GUIDE


@pytest.mark.parametrize("code", [1, 2, 3, 11])
def test_the_exceptions_people_meet_are_explained(code: int) -> None:
    assert EXCEPTIONS[code] in GUIDE


@pytest.mark.parametrize("kind", ["delay", "drop", "exception", "garbage", "disconnect", "slow"])
def test_every_fault_of_the_simulator_is_in_the_guide(kind: str) -> None:
    assert f"| `{kind}=" in GUIDE
