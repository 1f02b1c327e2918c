"""Bytes as the manuals print them, and the values they mean."""

from typing import Any

import pytest

from edge_node.drivers.base import RawValue, RequestRejected
from edge_node.drivers.s7.address import Address, Area
from edge_node.drivers.s7.decode import BlockDecoder
from edge_node.drivers.s7.encode import Write, encode_writes
from edge_node.drivers.s7.plan import Block
from edge_node.drivers.s7.points import Point, size_of, stride_of
from proto.control.s7 import S7Datatype

JUNE_15_2024_12_30 = 1_718_454_600_000


def point(datatype: S7Datatype, length: int = 0, start: int = 0, bit: int | None = None) -> Point:
    address = Address(Area.DB, 1, start, bit)
    return Point("p", address, datatype, start, size_of(datatype, length), length)


def array(datatype: S7Datatype, count: int, length: int = 0, bit: int | None = None) -> Point:
    if datatype == "bool":
        size = ((bit or 0) + count + 7) // 8
    else:
        size = stride_of(datatype, length) * (count - 1) + size_of(datatype, length)
    return Point("p", Address(Area.DB, 1, 0, bit), datatype, 0, size, length, count=count)


def encode(one: Point, value: Any) -> list[Write]:
    return encode_writes(one, value, 200)


def decode(data: bytes, *points: Point) -> list[RawValue]:
    decoder = BlockDecoder(Block(Area.DB, 1, 0, len(data), tuple(range(len(points)))), points)
    values: list[RawValue] = [None] * len(points)
    for index, value in zip(decoder.order, decoder(data), strict=True):
        values[index] = value
    return values


BOTH_WAYS: list[tuple[S7Datatype, str, Any]] = [
    ("byte", "ff", 255),
    ("word", "ff fe", 65534),
    ("dword", "00 01 00 00", 65536),
    ("lword", "ff ff ff ff ff ff ff ff", 2**64 - 1),
    ("sint", "ff", -1),
    ("usint", "80", 128),
    ("int", "ff fe", -2),
    ("uint", "ff fe", 65534),
    ("dint", "ff ff ff fe", -2),
    ("udint", "ff ff ff fe", 2**32 - 2),
    ("lint", "ff ff ff ff ff ff ff fe", -2),
    ("ulint", "80 00 00 00 00 00 00 00", 2**63),
    ("real", "3f 80 00 00", 1.0),
    ("lreal", "3f f0 00 00 00 00 00 00", 1.0),
    ("char", "41", "A"),
    ("time", "ff ff ff ff", -1),
    ("ltime", "00 00 00 00 00 00 00 2a", 42),
    ("tod", "02 ae a5 40", 45_000_000),
    ("s5time", "01 23", 1_230),
    ("s5time", "21 00", 100_000),
    ("s5time", "39 99", 9_990_000),
    ("counter", "01 23", 123),
    ("date", "00 00", 631_152_000_000),
    ("dt", "24 06 15 12 30 00 00 07", JUNE_15_2024_12_30),
    ("dtl", "07 e8 06 0f 07 0c 1e 00 00 00 00 00", JUNE_15_2024_12_30),
    ("ldt", "17 d9 2d 5a 9b a2 d0 00", 1_718_454_600_000),
]


@pytest.mark.parametrize(("datatype", "data", "value"), BOTH_WAYS)
def test_a_value_is_read_as_the_plc_means_it(datatype: S7Datatype, data: str, value: Any) -> None:
    assert decode(bytes.fromhex(data), point(datatype)) == [value]


@pytest.mark.parametrize(("datatype", "data", "value"), BOTH_WAYS)
def test_a_value_is_written_as_the_plc_means_it(
    datatype: S7Datatype, data: str, value: Any
) -> None:
    assert encode(point(datatype), value) == [Write(0, bytes.fromhex(data))]


def test_strings_are_read_up_to_their_length() -> None:
    assert decode(b"\x08\x03abcXXXXX", point("string", 8)) == ["abc"]
    assert decode(b"\x00\x04\x00\x02\x20\xac\x00b\0\0\0\0", point("wstring", 4)) == ["€b"]


def test_strings_are_written_without_their_declared_length() -> None:
    assert encode(point("string", 8), "abc") == [Write(1, b"\x03abc")]
    assert encode(point("wstring", 4), "€b") == [Write(2, b"\x00\x02\x20\xac\x00b")]


def test_a_string_longer_than_a_message_is_written_with_its_length_last() -> None:
    writes = encode_writes(point("string", 254), "x" * 250, 100)
    assert [(write.start, len(write.data)) for write in writes] == [(201, 51), (101, 100), (1, 100)]
    assert writes[-1].data == b"\xfa" + b"x" * 99


@pytest.mark.parametrize(
    ("datatype", "data"),
    [
        ("s5time", "0a 00"),
        ("counter", "0f 00"),
        ("dt", "24 13 15 12 30 00 00 07"),
        ("dt", "2f 06 15 12 30 00 00 07"),
        ("dtl", "00 00 00 00 00 00 00 00 00 00 00 00"),
        ("string", "02 05 41 42"),
        ("wstring", "00 01 00 02 00 41"),
        ("wstring", "00 01 00 01 d8 00"),
    ],
)
def test_bytes_that_mean_nothing_are_no_value(datatype: S7Datatype, data: str) -> None:
    raw = bytes.fromhex(data)
    length = {"string": len(raw) - 2, "wstring": (len(raw) - 4) // 2}.get(datatype, 0)
    assert decode(raw, point(datatype, length)) == [None]


def test_overlapping_tags_and_bits_are_read_from_the_same_bytes() -> None:
    assert decode(
        b"\x12\x34\x00\x05",
        point("word"),
        point("byte", start=1),
        point("dword"),
        point("bool", start=3, bit=2),
        point("bool", start=3, bit=1),
    ) == [0x1234, 0x34, 0x12340005, True, False]


@pytest.mark.parametrize(
    ("datatype", "value", "expected"),
    [
        ("byte", 256, "0 to 255 for byte"),
        ("int", -32769, "-32768 to 32767 for int"),
        ("int", 1.5, "an integer"),
        ("int", True, "an integer"),
        ("dint", "1", "an integer"),
        ("real", 1e39, "a number within the range of real"),
        ("real", float("nan"), "a finite number"),
        ("lreal", 10**400, "a number within the range of lreal"),
        ("real", None, "a number"),
        ("char", "AB", "one character"),
        ("string", "123456789", "at most 8 characters"),
        ("string", "€", "characters of Latin-1"),
        ("wstring", "123456789", "at most 8 characters"),
        ("wstring", 5, "text"),
        ("s5time", 1_235, "a multiple of 10 ms"),
        ("s5time", 9_990_001, "0 to 9990000 ms"),
        ("counter", 1000, "0 to 999"),
        ("date", 631_152_000_001, "midnight of a day"),
        ("dt", 0, "a time from 1990 to 2089"),
        ("dtl", -1, "a time from 1970 to 2262"),
        ("dtl", 10**20, "milliseconds since 1970"),
    ],
)
def test_a_value_that_does_not_fit_is_refused(
    datatype: S7Datatype, value: RawValue, expected: str
) -> None:
    with pytest.raises(RequestRejected, match="does not fit") as caught:
        encode(point(datatype, 8 if "string" in datatype else 0), value)
    assert expected in str(caught.value)


def test_a_bit_takes_booleans_zero_and_one() -> None:
    flag = point("bool", bit=3)
    assert encode(flag, value=True) == [Write(0, b"\1", 3)]
    assert encode(flag, 0) == [Write(0, b"\0", 3)]
    with pytest.raises(RequestRejected, match="true or false"):
        encode(flag, 2)


ARRAYS: list[tuple[Point, str, list[Any]]] = [
    (array("int", 3), "00 01 ff fe 00 03", [1, -2, 3]),
    (array("real", 2), "3f 80 00 00 bf 80 00 00", [1.0, -1.0]),
    (array("sint", 3), "ff 01 02", [-1, 1, 2]),
    (array("char", 3), "41 42 43", ["A", "B", "C"]),
    (array("wchar", 2), "20 ac 00 62", ["€", "b"]),
    (array("s5time", 2), "01 23 21 00", [1_230, 100_000]),
    (array("ltod", 1), "00 00 00 00 00 00 00 2a", [42]),
    (
        array("dt", 2),
        "24 06 15 12 30 00 00 07 24 06 15 12 30 00 00 07",
        [JUNE_15_2024_12_30, JUNE_15_2024_12_30],
    ),
    (array("bool", 10, bit=0), "05 02", [True, False, True, *[False] * 6, True]),
    (array("bool", 4, bit=6), "c0 01", [True, True, True, False]),
]


@pytest.mark.parametrize(("one", "data", "values"), ARRAYS)
def test_an_array_is_read_as_one_list(one: Point, data: str, values: list[Any]) -> None:
    assert decode(bytes.fromhex(data), one) == [values]


@pytest.mark.parametrize(("one", "data", "values"), ARRAYS)
def test_an_array_is_written_as_one_list(one: Point, data: str, values: list[Any]) -> None:
    memory = bytearray(len(bytes.fromhex(data)))
    for write in encode(one, values):
        if write.bit is None:
            memory[write.start : write.start + len(write.data)] = write.data
        else:
            memory[write.start] |= write.data[0] << write.bit
    assert memory == bytes.fromhex(data)


def test_strings_of_an_array_begin_at_even_bytes_and_keep_their_declared_length() -> None:
    names = array("string", 2, length=3)
    assert decode(b"\x03\x02ab-\0\x03\x01c--", names) == [["ab", "c"]]
    assert encode(names, ["ab", "c"]) == [Write(1, b"\x02ab"), Write(7, b"\x01c")]


def test_one_bad_element_leaves_an_array_without_value() -> None:
    assert decode(bytes.fromhex("00 01 0f 00"), array("counter", 2)) == [None]
    assert decode(b"\x03\x02a\0-", array("string", 1, length=3)) == [None]


def test_an_array_is_written_whole_or_refused() -> None:
    with pytest.raises(RequestRejected, match="expected a list of 3"):
        encode(array("int", 3), [1, 2])
    with pytest.raises(RequestRejected, match="expected a list of 3"):
        encode(array("int", 3), 1)
    with pytest.raises(RequestRejected, match="expected -32768 to 32767 for int"):
        encode(array("int", 2), [1, 40_000])


def test_an_array_longer_than_a_message_is_cut_between_its_elements() -> None:
    writes = encode_writes(array("dint", 5), [1, 2, 3, 4, 5], 10)
    assert [(write.start, len(write.data)) for write in writes] == [(0, 8), (8, 8), (16, 4)]
