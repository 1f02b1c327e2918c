"""Array values ⇄ the bytes they travel as (specification 6.4.17).

Everything is little-endian. The specification's examples for floats are printed the other way
round and its DateTime example drops two zero bytes; its text, and other implementations, say
little-endian and eight bytes.
"""

import struct
from typing import Final, cast

from proto.sparkplug.datatypes import DataType
from proto.sparkplug.errors import PayloadError
from proto.sparkplug.metrics import ArrayValue

_FORMAT: Final = {
    DataType.INT8_ARRAY: "b",
    DataType.INT16_ARRAY: "h",
    DataType.INT32_ARRAY: "i",
    DataType.INT64_ARRAY: "q",
    DataType.UINT8_ARRAY: "B",
    DataType.UINT16_ARRAY: "H",
    DataType.UINT32_ARRAY: "I",
    DataType.UINT64_ARRAY: "Q",
    DataType.FLOAT_ARRAY: "f",
    DataType.DOUBLE_ARRAY: "d",
    DataType.DATETIME_ARRAY: "Q",
}
_COUNT: Final = struct.Struct("<I")


def pack_array(datatype: DataType, values: ArrayValue) -> bytes:
    """The bytes of values that fit their data type."""
    if datatype is DataType.BOOLEAN_ARRAY:
        return _pack_booleans(cast("list[bool]", values))
    if datatype is DataType.STRING_ARRAY:
        return b"".join(text.encode() + b"\x00" for text in cast("list[str]", values))
    return struct.pack(f"<{len(values)}{_FORMAT[datatype]}", *values)


def unpack_array(datatype: DataType, packed: bytes) -> ArrayValue:
    """The values that lie in the bytes.

    Raises:
        PayloadError: the bytes end in the middle of an element, or hold more or less than they say.
    """
    if datatype is DataType.BOOLEAN_ARRAY:
        return _unpack_booleans(packed)
    if datatype is DataType.STRING_ARRAY:
        return _unpack_strings(packed)
    code = _FORMAT[datatype]
    size = struct.calcsize(f"<{code}")
    if len(packed) % size:
        raise PayloadError(f"{datatype.label}: {len(packed)} bytes, expected a multiple of {size}")
    return list(struct.unpack(f"<{len(packed) // size}{code}", packed))


def _pack_booleans(values: list[bool]) -> bytes:
    """A count of four bytes, then bits: the first value is the highest bit of the first byte."""
    size = (len(values) + 7) // 8
    bits = 0
    for value in values:
        bits = bits << 1 | value
    return _COUNT.pack(len(values)) + (bits << (size * 8 - len(values))).to_bytes(size, "big")


def _unpack_booleans(packed: bytes) -> list[bool]:
    if len(packed) < _COUNT.size:
        raise PayloadError(f"BooleanArray: {len(packed)} bytes, expected a count of 4 bytes first")
    count: int = _COUNT.unpack_from(packed)[0]
    expected = _COUNT.size + (count + 7) // 8
    if len(packed) != expected:
        raise PayloadError(
            f"BooleanArray: {len(packed)} bytes for {count} values, expected {expected}"
        )
    bits = packed[_COUNT.size :]
    return [bool(bits[i >> 3] & (0x80 >> (i & 7))) for i in range(count)]


def _unpack_strings(packed: bytes) -> list[str]:
    if packed and packed[-1]:
        raise PayloadError("StringArray: the last string has no end, expected a NUL")
    try:
        return packed.decode().split("\x00")[:-1]
    except UnicodeDecodeError as error:
        raise PayloadError(f"StringArray: {error.reason}, expected UTF-8") from error
