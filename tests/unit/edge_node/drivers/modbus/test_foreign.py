from typing import Any

import pytest

from edge_node.drivers.base import ConfigError
from edge_node.drivers.modbus.foreign import read_foreign
from edge_node.tag_table import parse_table
from proto.control.modbus import ModbusTag


@pytest.mark.parametrize(
    ("text", "datatype", "unit_id", "cells"),
    [
        ("1!400101", "int16", 1, {"address": "holding:100"}),
        ("17!000001", "bool", 17, {"address": "coil:0"}),
        ("1!100004", "bool", 1, {"address": "discrete:3"}),
        ("1!30001.4", "bool", 1, {"address": "input:0.4"}),
        ("1!400001#BB", "float32", 1, {"address": "holding:0", "word_order": "big"}),
        ("1!400001#LB", "float32", 1, {"address": "holding:0", "word_order": "little"}),
        ("1!400001#BL", "int32", 1, {"address": "holding:0", "word_order": "big-swapped"}),
        ("1!400001#LL", "int32", 1, {"address": "holding:0", "word_order": "little-swapped"}),
        ("1!400001#B", "float64", 1, {"address": "holding:0", "word_order": "big"}),
        ("1!400001#L", "uint16", 1, {"address": "holding:0", "swap_bytes": True}),
        (
            "1!400001.10",
            "string",
            1,
            {"address": "holding:0", "length": 10, "swap_bytes": False},
        ),
        (
            "1!400001.7L",
            "string",
            1,
            {"address": "holding:0", "length": 7, "swap_bytes": True},
        ),
        (
            "temp.holding.100.INT16:slaveID=3:scale=0.1",
            None,
            3,
            {"name": "temp", "address": "holding:100", "datatype": "int16", "scale": 0.1},
        ),
        (
            "low.input.7.UINT8H",
            None,
            None,
            {"name": "low", "address": "input:7", "datatype": "uint8", "byte": "high"},
        ),
        (
            "door.holding.9.BIT:bit=4",
            None,
            None,
            {"name": "door", "address": "holding:9.4", "datatype": "bool"},
        ),
        ("on.coil.3.BIT", None, None, {"name": "on", "address": "coil:3", "datatype": "bool"}),
        (
            "serial.holding.20.STRING:length=4:output=STRING",
            None,
            None,
            {"name": "serial", "address": "holding:20", "datatype": "string", "length": 8},
        ),
    ],
)
def test_addresses_of_other_gateways_become_keys_of_a_tag(
    text: str, datatype: str | None, unit_id: int | None, cells: dict[str, Any]
) -> None:
    foreign = read_foreign(text, datatype)
    assert foreign is not None
    assert foreign.unit_id == unit_id
    assert foreign.cells == cells


@pytest.mark.parametrize("text", ["holding:100", "40101", "%MW100", "4x101", "holding:100.5"])
def test_our_own_notations_are_nobody_elses(text: str) -> None:
    assert read_foreign(text, "int16") is None


@pytest.mark.parametrize(
    ("text", "datatype", "message"),
    [
        ("1!400001.10H", "int16", "has a length, expected datatype string"),
        ("1!400001.10D", "string", "one character to a register"),
        ("a.holding.1.INT24", None, "has type INT24, expected one of BIT, INT8L"),
        ("a.holding.1.INT16:colour=red", None, "has option 'colour', expected one of bit,"),
        ("a.holding.70000.INT16", None, "address 70000 is above 65535"),
    ],
)
def test_what_cannot_be_is_told(text: str, datatype: str | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_foreign(text, datatype)


def test_a_table_of_neuron_is_imported() -> None:
    text = (
        "name,address,type,description\n"
        "Temp,1!400101#LB,FLOAT,Oven\n"
        "Door,1!300001.4,BIT,\n"
        "Serial,1!400201.8,STRING,\n"
    )
    assert parse_table(text, "neuron.csv") == [
        ModbusTag(
            name="Temp",
            address="holding:100",
            datatype="float32",
            word_order="little",
            description="Oven",
        ),
        ModbusTag(name="Door", address="input:0.4", datatype="bool"),
        ModbusTag(name="Serial", address="holding:200", datatype="string", length=8),
    ]


def test_a_list_of_umh_addresses_is_imported_as_it_stands_in_its_file() -> None:
    text = (
        '    - "temp.holding.100.INT16:slaveID=1:scale=0.1"\n\n    - "run.coil.3.BIT:slaveID=1"\n'
    )
    assert parse_table(text, "umh.yaml") == [
        ModbusTag(name="temp", address="holding:100", datatype="int16", scale=0.1),
        ModbusTag(name="run", address="coil:3", datatype="bool"),
    ]


def test_a_table_of_several_units_is_taken_apart() -> None:
    text = "name,address,datatype\nA,1!400001,int16\nB,2!400001,int16\n"
    with pytest.raises(ConfigError, match="rows are of units 1, 2, expected one: --unit"):
        parse_table(text, "t.csv")
    assert [tag.name for tag in parse_table(text, "t.csv", unit_id=2)] == ["B"]
    with pytest.raises(ConfigError, match="rows are of unit 1, 2, none of unit 3"):
        parse_table(text, "t.csv", unit_id=3)
