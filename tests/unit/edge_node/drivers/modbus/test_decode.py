import struct
from typing import Any

import pytest

from edge_node.drivers.base import RawValue, RequestRejected
from edge_node.drivers.modbus.address import Table
from edge_node.drivers.modbus.decode import BlockDecoder, decode_text
from edge_node.drivers.modbus.encode import encode_bit, encode_byte, encode_registers
from edge_node.drivers.modbus.plan import Limits, plan_reads
from edge_node.drivers.modbus.points import Point, registers_of


def holding(
    name: str, start: int, datatype: Any = "uint16", order: Any = "big", **more: Any
) -> Point:
    count = registers_of(datatype, more.get("length", 0))
    return Point(name, Table.HOLDING, start, count, datatype, order, **more)


def decode(points: list[Point], data: bytes) -> dict[str, RawValue]:
    (block,) = plan_reads(points, Limits())
    decoder = BlockDecoder(block, points)
    assert len(data) == decoder.size
    return {points[i].name: v for i, v in zip(decoder.order, decoder(data), strict=True)}


@pytest.mark.parametrize(
    ("order", "wire"),
    [
        ("big", "0a 0b 0c 0d"),
        ("little", "0c 0d 0a 0b"),
        ("big-swapped", "0b 0a 0d 0c"),
        ("little-swapped", "0d 0c 0b 0a"),
    ],
)
def test_four_word_orders_of_32_bits(order: str, wire: str) -> None:
    point = holding("a", 0, "uint32", order)
    assert decode([point], bytes.fromhex(wire)) == {"a": 0x0A0B0C0D}
    assert encode_registers(point, 0x0A0B0C0D) == bytes.fromhex(wire)


@pytest.mark.parametrize(
    ("order", "wire"),
    [
        ("big", "01 02 03 04 05 06 07 08"),
        ("little", "07 08 05 06 03 04 01 02"),
        ("big-swapped", "02 01 04 03 06 05 08 07"),
        ("little-swapped", "08 07 06 05 04 03 02 01"),
    ],
)
def test_four_word_orders_of_64_bits(order: str, wire: str) -> None:
    point = holding("a", 0, "uint64", order)
    assert decode([point], bytes.fromhex(wire)) == {"a": 0x0102030405060708}
    assert encode_registers(point, 0x0102030405060708) == bytes.fromhex(wire)


def test_a_lone_register_has_no_word_order() -> None:
    assert decode([holding("a", 0, "int16", "little-swapped")], b"\xff\xfe") == {"a": -2}
    assert encode_registers(holding("a", 0, "int16", "little-swapped"), -2) == b"\xff\xfe"


def test_gaps_are_skipped_and_signs_kept() -> None:
    points = [holding("a", 10, "int16"), holding("b", 13, "int32"), holding("c", 16, "float32")]
    data = struct.pack(">h4xi2xf", -5, -70_000, 1.5)
    assert decode(points, data) == {"a": -5, "b": -70_000, "c": 1.5}


def test_overlapping_points_each_get_their_value() -> None:
    points = [
        holding("whole", 0, "uint32"),
        holding("high", 0, "uint16"),
        holding("low", 1, "uint16"),
        holding("same", 0, "uint32", "little"),
    ]
    assert decode(points, bytes.fromhex("0001 0002")) == {
        "whole": 0x00010002,
        "high": 1,
        "low": 2,
        "same": 0x00020001,
    }


def test_bits_of_registers_count_from_the_least_significant() -> None:
    points = [
        holding("word", 5),
        holding("b0", 5, "bool", bit=0),
        holding("b7", 5, "bool", bit=7),
        holding("b8", 5, "bool", bit=8),
        holding("b15", 6, "bool", bit=15),
    ]
    assert decode(points, bytes.fromhex("0101 8000")) == {
        "word": 0x0101,
        "b0": True,
        "b7": False,
        "b8": True,
        "b15": True,
    }


def test_coils_count_from_the_lowest_bit_of_the_first_byte() -> None:
    points = [Point(f"c{i}", Table.COIL, 3 + i, 1, "bool") for i in range(10)]
    values = decode(points, bytes([0b10000001, 0b10]))
    assert [name for name, on in values.items() if on] == ["c0", "c7", "c9"]


@pytest.mark.parametrize("starts", [(4,), (4, 9), (4, 6, 12)])
def test_scattered_discretes_are_picked_from_the_answer(starts: tuple[int, ...]) -> None:
    points = [Point(f"d{at}", Table.DISCRETE, at, 1, "bool") for at in starts]
    span = starts[-1] - starts[0] + 1
    data = (1 << starts[-1] - 4).to_bytes((span + 7) // 8, "little")
    assert [name for name, on in decode(points, data).items() if on] == [f"d{starts[-1]}"]


def test_strings_end_at_their_nul_and_lose_their_padding() -> None:
    points = [
        holding("a", 0, "string", length=4),
        holding("b", 2, "string", length=3),
        holding("c", 4, "string", "big-swapped", length=4),
    ]
    assert decode(points, b"AB\0XCD X" + b"oKa!") == {"a": "AB", "b": "CD", "c": "Ko!a"}


def test_text_is_utf8_or_else_latin1() -> None:
    assert decode_text("Käse".encode()) == "Käse"
    assert decode_text("Käse".encode("latin-1")) == "Käse"


def test_binary_coded_decimals_are_read_and_written() -> None:
    short, long = holding("a", 0, "bcd16"), holding("b", 1, "bcd32", "little")
    assert decode([short, long], bytes.fromhex("1234 5678 0012")) == {"a": 1234, "b": 125_678}
    assert encode_registers(short, 1234) == bytes.fromhex("1234")
    assert encode_registers(long, 125_678) == bytes.fromhex("5678 0012")
    assert encode_registers(short, 7) == bytes.fromhex("0007")


def test_half_registers_have_a_sign_or_none() -> None:
    points = [
        holding("word", 0),
        holding("high", 0, "int8", byte=0),
        holding("low", 0, "uint8", byte=1),
        holding("next", 1, "int8", byte=1),
    ]
    values = decode(points, bytes.fromhex("fe ff 00 7f"))
    assert values == {"word": 0xFEFF, "high": -2, "low": 255, "next": 127}
    assert encode_byte(points[1], -2) == 0xFE
    assert encode_byte(points[2], 255) == 0xFF
    for point, value in ((points[1], 128), (points[2], -1), (points[2], 1.5)):
        with pytest.raises(RequestRejected, match="does not fit"):
            encode_byte(point, value)


def test_half_precision_floats_are_read_and_written() -> None:
    point = holding("a", 0, "float16")
    assert decode([point], bytes.fromhex("3e00")) == {"a": 1.5}
    assert encode_registers(point, -2) == bytes.fromhex("c000")
    with pytest.raises(RequestRejected, match="range of float16"):
        encode_registers(point, 70_000)


def test_sixteen_decimal_digits_are_read_and_written() -> None:
    point = holding("a", 0, "bcd64", "little")
    assert decode([point], bytes.fromhex("5678 1234 0000 0000")) == {"a": 12_345_678}
    assert encode_registers(point, 12_345_678) == bytes.fromhex("5678 1234 0000 0000")


@pytest.mark.parametrize(
    ("encoding", "text", "wire"),
    [
        ("utf-8", "Öl", "c396 6c00"),
        ("latin-1", "Öl", "d66c 0000"),
        ("cp1252", "5€", "3580 0000"),
        ("shift_jis", "温度", "89b7 9378"),
        ("gb18030", "温度", "cec2 b6c8"),
        ("utf-16", "Öl", "00d6 006c"),
    ],
)
def test_strings_have_the_encoding_that_is_set(encoding: Any, text: str, wire: str) -> None:
    point = holding("a", 0, "string", length=4, encoding=encoding)
    assert decode([point], bytes.fromhex(wire)) == {"a": text}
    assert encode_registers(point, text) == bytes.fromhex(wire)


def test_bytes_that_are_no_text_in_the_encoding_are_no_value() -> None:
    point = holding("a", 0, "string", length=2, encoding="utf-8")
    assert decode([point], b"\xff\xfe") == {"a": None}
    latin = holding("a", 0, "string", length=8, encoding="latin-1")
    with pytest.raises(RequestRejected, match="expected text that latin-1 has letters for"):
        encode_registers(latin, "温度")


def test_digits_above_nine_are_no_value() -> None:
    assert decode([holding("a", 0, "bcd16")], bytes.fromhex("12a4")) == {"a": None}


@pytest.mark.parametrize(
    ("datatype", "value", "expected"),
    [
        ("bcd16", 10_000, "0 to 9999"),
        ("bcd32", -1, "0 to 99999999"),
        ("int16", 32_768, "-32768 to 32767"),
        ("uint16", -1, "0 to 65535"),
        ("int32", 2**31, "-2147483648 to 2147483647"),
        ("uint64", 2**64, "0 to 18446744073709551615"),
        ("int16", 1.5, "an integer"),
        ("int16", True, "an integer"),
        ("int16", "7", "an integer"),
        ("int16", None, "an integer"),
        ("float32", 1e39, "range of float32"),
        ("float32", float("nan"), "a finite number"),
        ("float64", float("inf"), "a finite number"),
        ("float64", 10**400, "range of float64"),
        ("float32", "warm", "a number"),
        ("float32", False, "a number"),
    ],
)
def test_a_value_that_does_not_fit_is_refused(
    datatype: str, value: RawValue, expected: str
) -> None:
    with pytest.raises(
        RequestRejected, match=r"tag 'a': value .* does not fit, expected"
    ) as caught:
        encode_registers(holding("a", 0, datatype), value)
    assert expected in str(caught.value)


def test_whole_floats_go_into_integers() -> None:
    assert encode_registers(holding("a", 0, "int16"), 12.0) == b"\0\x0c"


def test_strings_are_padded_and_not_cut() -> None:
    point = holding("a", 0, "string", length=5)
    assert encode_registers(point, "abc") == b"abc\0\0\0"
    swapped = holding("a", 0, "string", "little-swapped", length=4)
    assert encode_registers(swapped, "abcd") == b"badc"
    with pytest.raises(RequestRejected, match="expected at most 5 bytes"):
        encode_registers(point, "abcdef")
    with pytest.raises(RequestRejected, match="expected text"):
        encode_registers(point, 5)


@pytest.mark.parametrize(("value", "on"), [(True, True), (0, False), (1, True), (1.0, True)])
def test_bits_take_booleans_and_their_numbers(value: RawValue, on: bool) -> None:
    assert encode_bit(holding("a", 0, "bool", bit=1), value) is on


@pytest.mark.parametrize("value", [2, "on", None])
def test_bits_refuse_everything_else(value: RawValue) -> None:
    with pytest.raises(RequestRejected, match="expected true or false"):
        encode_bit(holding("a", 0, "bool", bit=1), value)
