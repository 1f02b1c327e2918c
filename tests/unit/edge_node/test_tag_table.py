import tomllib

import pytest

from edge_node.drivers.base import ConfigError
from edge_node.tag_table import format_table, format_tags_toml, parse_table
from proto.control.modbus import ModbusTag
from proto.control.s7 import S7Tag


def test_a_table_becomes_tags_that_toml_can_hold() -> None:
    text = (
        "name,address,datatype,unit,scale,writable,description\n"
        'Temp,40101,int16,degC,0.1,,"Oven, front"\n'
        "Run,coil:3,bool,,,yes,\n"
    )
    tags = parse_table(text, "tags.csv")
    assert [tag.name for tag in tags] == ["Temp", "Run"]
    document = tomllib.loads("[[devices]]\n" + format_tags_toml(tags))
    assert document["devices"][0]["tags"] == [
        {
            "name": "Temp",
            "address": "40101",
            "datatype": "int16",
            "unit": "degC",
            "scale": 0.1,
            "description": "Oven, front",
        },
        {"name": "Run", "address": "coil:3", "datatype": "bool", "writable": True},
    ]


def test_names_of_numbers_stand_in_one_cell() -> None:
    text = "name,address,datatype,enumeration\nA,holding:1,uint16,0=stopped | 1 = running\n"
    tags = parse_table(text, "tags.csv")
    assert tags[0].enumeration == {0: "stopped", 1: "running"}
    written = tomllib.loads(format_tags_toml(tags))["devices"]["tags"][0]
    assert ModbusTag.model_validate(written) == tags[0]
    with pytest.raises(ConfigError, match=r"line 2: enumeration is 'on', expected for example 0="):
        parse_table(text.replace("0=stopped | 1 = running", "on"), "tags.csv")


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_spreadsheets_separate_cells_in_their_own_ways(delimiter: str) -> None:
    text = "\ufeffname,address,datatype\r\nA,holding:1,uint16\r\n".replace(",", delimiter)
    (tag,) = parse_table(text, "tags.csv")
    assert tag == ModbusTag(name="A", address="holding:1", datatype="uint16")


def test_the_driver_says_what_the_tags_are() -> None:
    text = "name,address,datatype,count\nTemps,DB1.DBD0,real,10\nRun,M0.0,,\n"
    assert parse_table(text, "tags.csv", "s7") == [
        S7Tag(name="Temps", address="DB1.DBD0", datatype="real", count=10),
        S7Tag(name="Run", address="M0.0"),
    ]
    with pytest.raises(ConfigError, match=r"line 2: datatype 'int' takes 2 bytes, DB1.DBD0 has 4"):
        parse_table("name,address,datatype\nA,DB1.DBD0,int\n", "tags.csv", "s7")


def test_a_list_of_objects_does_as_well() -> None:
    text = '[{"name": "A", "address": "DB1.DBW0", "datatype": "int", "writable": true}]'
    assert parse_table(text, "tags.json", "s7") == [
        S7Tag(name="A", address="DB1.DBW0", datatype="int", writable=True)
    ]
    with pytest.raises(ConfigError, match=r"tags.json: row 1: address 'X' is not understood"):
        parse_table('[{"name": "A", "address": "X"}]', "tags.json", "s7")
    with pytest.raises(ConfigError, match=r"line 1 is no JSON"):
        parse_table("[{]", "tags.json", "s7")


def test_every_mistake_is_told_with_its_line() -> None:
    text = (
        "name,address,datatype,writable,low,colour\n"
        "A,holding:1,uint16,,,\n"
        "B,holding:70000,uint16,,,\n"
        "C,holding:2,int17,,,\n"
        "D,holding:3,uint16,perhaps,,\n"
        "E,holding:4,uint16,,cold,\n"
        "F,holding:5,uint16,,,red\n"
        "G,holding:6,uint16,,,,more\n"
    )
    with pytest.raises(ConfigError) as caught:
        parse_table(text, "tags.csv")
    mistakes = caught.value.mistakes
    assert mistakes[0] == "tags.csv: line 3: address 70000 is above 65535"
    assert mistakes[1].startswith("tags.csv: line 4: datatype: found 'int17', expected 'bool', ")
    assert mistakes[2] == "tags.csv: line 5: writable is 'perhaps', expected true or false"
    assert mistakes[3] == "tags.csv: line 6: low: found 'cold', expected a number"
    assert mistakes[4].startswith("tags.csv: line 7: colour: is no known key, expected one of ")
    assert mistakes[5] == "tags.csv: line 8: 1 cells more than columns"
    assert len(mistakes) == 6


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "columns are none, expected also address, datatype, name"),
        ("name;typ\nA;int16\n", "columns are name, typ, expected also address, datatype"),
        ("name,address,datatype\n", "no rows, expected one for each tag"),
    ],
)
def test_a_table_without_what_matters_is_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_table(text, "tags.csv")


def test_a_written_table_can_be_read() -> None:
    rows = [{"name": "a,b", "address": "coil:0", "datatype": "bool"}]
    (tag,) = parse_table(format_table(rows), "tags.csv")
    assert tag.name == "a,b"
    assert format_table([]) == "name,address,datatype\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "name,address,datatype,array\nA,i=85,double,false\n",
            "t.csv: line 2: address 'i=85' is of driver opcua, expected modbus, or --driver opcua",
        ),
        (
            "name,address,count\nDB1,DB1.DBB0,10\n",
            "t.csv: line 2: address 'DB1.DBB0' is of driver s7, expected modbus, or --driver s7",
        ),
    ],
)
def test_a_table_of_another_driver_says_which(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_table(text, "t.csv")
    assert caught.value.mistakes == (message,)


def test_what_a_device_lets_be_written_is_writable_where_asked_for_only() -> None:
    text = "name,address,datatype,may_write\nA,i=1,double,true\nB,i=2,double,false\n"
    tags = parse_table(text, "t.csv", "opcua")
    assert [tag.writable for tag in tags] == [False, False]
    tags = parse_table(text, "t.csv", "opcua", writable=True)
    assert [tag.writable for tag in tags] == [True, False]
