"""``plant.toml`` and the simulated plant describe the same registers, each in its own words."""

import re
import tomllib
from pathlib import Path

import pytest

from deploy.local.plant.layout import UNITS, Unit
from edge_node.drivers.modbus.points import Point, compile_points
from proto.control.modbus import ModbusDevice
from proto.control.node import NodeDocument

EXAMPLE = Path("deploy/local/plant.toml")


@pytest.fixture(scope="module")
def document() -> NodeDocument:
    return NodeDocument.model_validate(tomllib.loads(EXAMPLE.read_text()))


def device_of(document: NodeDocument, unit: Unit) -> ModbusDevice:
    (device,) = [
        device
        for device in document.devices
        if isinstance(device, ModbusDevice) and device.connection.unit_id == unit.unit_id
    ]
    return device


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.machine)
def test_every_tag_of_the_example_is_a_register_or_bit_of_the_plant(
    document: NodeDocument, unit: Unit
) -> None:
    device = device_of(document, unit)
    assert device.name.lower() == unit.machine
    registers = {(str(r.table), r.address): r for r in unit.registers}
    bits = {(str(b.table), b.address) for b in unit.bits}
    tags = {tag.name: tag for tag in device.tags}
    points: list[Point] = [p for group in compile_points(device).values() for p in group]
    for point in points:
        where = (point.table.value, point.start)
        if point.table.is_bits:
            assert where in bits, point.name
            continue
        register = registers[where]
        if point.bit is not None:
            assert register.kind == "uint16", point.name
            continue
        assert point.datatype == register.kind, point.name
        assert point.length == register.length, point.name
        if point.count > 1:
            assert point.word_order == register.order, point.name
        tag = tags[point.name]
        if register.per_unit != 1:
            assert tag.scale == pytest.approx(1 / register.per_unit), point.name
        if point.writable:
            assert register.writable, point.name
            assert (tag.low, tag.high) == (register.low, register.high), point.name


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.machine)
def test_every_writable_item_of_the_plant_is_writable_in_the_example(
    document: NodeDocument, unit: Unit
) -> None:
    points = [p for g in compile_points(device_of(document, unit)).values() for p in g]
    writable = {(p.table.value, p.start) for p in points if p.writable}
    expected = {(r.table, r.address) for r in unit.registers if r.writable}
    expected |= {(b.table, b.address) for b in unit.bits if b.table == "coil"}
    assert writable == expected


def test_the_example_has_a_real_lines_worth_of_tags(document: NodeDocument) -> None:
    tags = [tag for device in document.devices for tag in device.tags]
    assert len(tags) >= 60
    assert {tag.datatype for tag in tags} >= {
        "bool",
        "int16",
        "uint16",
        "int32",
        "uint32",
        "int64",
        "float32",
        "float64",
        "string",
    }
    assert sum(1 for tag in tags if tag.unit) > 40
    for tag in tags:
        if tag.writable and tag.datatype not in {"bool", "string"}:
            assert tag.low is not None, tag.name


def test_the_example_speaks_of_commands_that_exist() -> None:
    commands = re.findall(r"\./nexus (\w+)", EXAMPLE.read_text())
    assert set(commands) == {"simulate", "check", "edge"}
