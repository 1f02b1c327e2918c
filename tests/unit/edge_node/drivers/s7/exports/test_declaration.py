"""Where STEP 7 puts what a block declares: offsets as its editor shows them."""

from typing import Any

import pytest

from edge_node.drivers.s7.address import Area
from edge_node.drivers.s7.exports.declaration import Declaration, Types, place
from edge_node.drivers.s7.exports.symbol import LeftOut, Symbol


def placed(*members: Declaration, types: Types | None = None) -> list[tuple[Any, ...]]:
    return [
        (one.name, str(one.address), one.count)
        for one in place(Area.DB, 1, "", members, types or {})
        if isinstance(one, Symbol)
    ]


def declared(kind: str, name: str = "a", *members: Declaration) -> Declaration:
    return Declaration(name, kind, members)


@pytest.mark.parametrize(
    ("kinds", "addresses"),
    [
        (["Bool", "Bool", "Bool"], ["DB1.DBX0.0", "DB1.DBX0.1", "DB1.DBX0.2"]),
        (["Bool"] * 9, [f"DB1.DBX{i // 8}.{i % 8}" for i in range(9)]),
        (["Bool", "Byte", "Bool"], ["DB1.DBX0.0", "DB1.DBB1", "DB1.DBX2.0"]),
        (["Bool", "Int", "Bool"], ["DB1.DBX0.0", "DB1.DBW2", "DB1.DBX4.0"]),
        (["SInt", "USInt", "Char", "Real"], ["DB1.DBB0", "DB1.DBB1", "DB1.DBB2", "DB1.DBD4"]),
        (["Byte", "LReal", "Byte", "DTL"], ["DB1.DBB0", "DB1.DBB2", "DB1.DBB10", "DB1.DBB12"]),
        (
            ["String[3]", "Byte", "String", "Int"],
            ["DB1.DBB0", "DB1.DBB5", "DB1.DBB6", "DB1.DBW262"],
        ),
        (["WString[2]", "WChar", "Time_Of_Day"], ["DB1.DBB0", "DB1.DBW8", "DB1.DBD10"]),
        (["Byte", "Array[0..2] of Byte", "Byte"], ["DB1.DBB0", "DB1.DBB2", "DB1.DBB6"]),
        (["Bool", "Array[1..3] of Bool", "Bool"], ["DB1.DBX0.0", "DB1.DBX2.0", "DB1.DBX4.0"]),
        (["Array[0..1] of String[3]", "Byte"], ["DB1.DBB0", "DB1.DBB12"]),
        (["Any", "Int"], ["DB1.DBW10"]),
    ],
)
def test_each_member_begins_where_step_7_puts_it(kinds: list[str], addresses: list[str]) -> None:
    members = [declared(kind, f"m{i}") for i, kind in enumerate(kinds)]
    assert [address for _, address, _ in placed(*members)] == addresses


def test_structures_begin_and_end_at_even_bytes() -> None:
    inner = declared("Struct", "Motor", declared("Bool", "On"), declared("Byte", "Mode"))
    assert placed(declared("Bool", "A"), inner, declared("Bool", "B")) == [
        ("A", "DB1.DBX0.0", None),
        ("Motor/On", "DB1.DBX2.0", None),
        ("Motor/Mode", "DB1.DBB3", None),
        ("B", "DB1.DBX4.0", None),
    ]


def test_an_array_of_structures_becomes_a_folder_for_each() -> None:
    types = {"DRIVE": [declared("Int", "Speed"), declared("Bool", "Ok")]}
    assert placed(declared('Array[1..2] of "Drive"', "D"), declared("Int", "E"), types=types) == [
        ("D/1/Speed", "DB1.DBW0", None),
        ("D/1/Ok", "DB1.DBX2.0", None),
        ("D/2/Speed", "DB1.DBW4", None),
        ("D/2/Ok", "DB1.DBX6.0", None),
        ("E", "DB1.DBW8", None),
    ]


def test_an_array_of_several_dimensions_becomes_an_array_for_each_row() -> None:
    assert placed(declared("Array[0..1, 1..3] of Int", "M")) == [
        ("M/0", "DB1.DBW0", 3),
        ("M/1", "DB1.DBW6", 3),
    ]
    assert placed(declared("Array[0..1, 0..8] of Bool", "B"), declared("Byte", "C")) == [
        ("B/0", "DB1.DBX0.0", 9),
        ("B/1", "DB1.DBX2.0", 9),
        ("C", "DB1.DBB4", None),
    ]


def test_the_offset_of_an_export_is_taken_and_one_that_cannot_be_is_refused() -> None:
    assert placed(Declaration("a", "Int", bit=80), declared("Int", "b")) == [
        ("a", "DB1.DBW10", None),
        ("b", "DB1.DBW12", None),
    ]
    with pytest.raises(ValueError, match=r"b: offset is 0.0, expected 2.0 or above"):
        placed(declared("Int"), Declaration("b", "Int", bit=0))


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ('"Pump"', 'a: type "Pump" is not known, and so neither where the next ones lie'),
        ("R", "type R is not known"),
        ('Array[0.."MAX"] of Int', 'array bounds are 0.."MAX", expected numbers'),
        ("Array[3..1] of Int", "array bounds are 3..1, expected the lower first"),
        ("Array[0..99999] of Int", "more than 65536 elements"),
        ("WString[1000]", "WString[1000] is not supported, expected 1 to 254 characters"),
    ],
)
def test_a_layout_that_cannot_be_known_is_refused(kind: str, reason: str) -> None:
    with pytest.raises(ValueError, match=r"^a: ") as caught:
        placed(declared(kind))
    assert reason in str(caught.value)


def test_a_type_that_contains_itself_is_refused() -> None:
    with pytest.raises(ValueError, match=r"32 structures in each other"):
        placed(declared("A"), types={"A": [declared("A")]})


def test_what_holds_no_value_takes_its_room_and_is_told() -> None:
    found = list(place(Area.DB, 1, "B", [declared("Pointer", "p"), declared("Int", "i")], {}))
    assert found[0] == LeftOut("B/p", "Pointer holds no value to read")
    assert isinstance(found[1], Symbol)
    assert str(found[1].address) == "DB1.DBW6"
