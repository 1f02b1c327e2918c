"""Nothing that is imported or received breaks anything but itself."""

from contextlib import suppress

from hypothesis import given
from hypothesis import strategies as st

from edge_node.drivers.base import ConfigError
from edge_node.drivers.s7.address import Area
from edge_node.drivers.s7.codec import Refused, check_written, parse_read, parse_setup
from edge_node.drivers.s7.exports.declaration import Declaration, place
from edge_node.drivers.s7.exports.reading import is_export, read_export
from edge_node.drivers.s7.exports.symbol import Symbol
from edge_node.drivers.s7.points import compile_point
from edge_node.drivers.s7.transport import Framer, ProtocolError
from edge_node.drivers.s7.userdata import (
    parse_component,
    parse_module,
    parse_numbers,
    parse_protection,
    parse_state,
    parse_unit,
)

WORDS = st.sampled_from(
    [
        *("DATA_BLOCK", "TYPE", "STRUCT", "END_STRUCT", "END_TYPE", "END_DATA_BLOCK", "BEGIN"),
        *('"A"', "DB", "5", "Array", "[", "0", "..", "9", "]", "of", "Int", "Bool", ";", ":", ":="),
        *("{", "}", "//", "\n", "VAR", "END_VAR", "String", "(*", "*)", "'"),
    ]
)
SUFFIXES = st.sampled_from([".db", ".xml", ".sdf", ".asc", ".seq", ".csv", ".xlsx"])


@given(SUFFIXES, st.lists(WORDS, max_size=60).map(" ".join) | st.text(max_size=200))
def test_a_file_of_nonsense_is_refused_with_a_message_or_has_no_tags(
    suffix: str, text: str
) -> None:
    is_export(f"a{suffix}", text.encode())
    with suppress(ConfigError):
        read_export([(f"a{suffix}", text.encode())], {"A": 1})


@given(SUFFIXES, st.binary(max_size=200))
def test_bytes_of_nonsense_are_refused_as_well(suffix: str, data: bytes) -> None:
    with suppress(ConfigError):
        read_export([(f"a{suffix}", b"PK\x03\x04" + data), (f"b{suffix}", data)], {})


SIMPLE = st.sampled_from(["Bool", "Byte", "Int", "Real", "LReal", "DTL", "String[5]", "WString[3]"])
BOUNDS = st.sampled_from(["0..0", "1..9", "-1..6", "0..1, 1..3"])
KINDS = SIMPLE | st.builds("Array[{}] of {}".format, BOUNDS, SIMPLE)


@given(st.lists(st.tuples(KINDS, st.lists(KINDS, max_size=4)), max_size=12))
def test_what_a_block_declares_never_overlaps_and_can_be_read(
    kinds: list[tuple[str, list[str]]],
) -> None:
    members = [
        Declaration(
            f"m{i}",
            "Struct" if inner else kind,
            tuple(Declaration(f"n{j}", one) for j, one in enumerate(inner)),
        )
        for i, (kind, inner) in enumerate(kinds)
    ]
    end = 0
    for symbol in place(Area.DB, 1, "B", members, {}):
        assert isinstance(symbol, Symbol)
        point = compile_point(symbol.to_tag())
        bit = 8 * point.start + (point.address.bit or 0)
        assert bit >= end
        if point.datatype == "bool":
            end = bit + (point.count or 1)
        else:
            assert point.start % 2 == 0 or point.element_size == 1
            end = 8 * point.end


@given(st.binary(max_size=80), st.integers(1, 3))
def test_answers_of_nonsense_are_told_as_such(data: bytes, count: int) -> None:
    for parse in (parse_setup, check_written, parse_unit, lambda m: parse_read(m, count)):
        with suppress(ProtocolError, Refused):
            parse(data)
        with suppress(ProtocolError, Refused):
            parse(b"\x32\x03" + data)
        with suppress(ProtocolError, Refused):
            parse(b"\x32\x07" + data)
    for read in (parse_numbers, parse_module, parse_component, parse_protection, parse_state):
        read(data)


@given(st.lists(st.binary(max_size=30), max_size=8))
def test_a_framer_takes_anything_apart_or_says_that_it_cannot(pieces: list[bytes]) -> None:
    framer = Framer()
    with suppress(ProtocolError):
        for piece in pieces:
            framer.feed(piece)
            framer.feed(b"\x03\0\0\x07\x02\xf0\x80")
