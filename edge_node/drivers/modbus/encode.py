"""A value to the registers that hold it: checked for type and range, refused rather than bent.

Pure; the mirror image of ``decode``.
"""

import math
import struct

from edge_node.drivers.base import RawValue, RequestRejected
from edge_node.drivers.modbus.decode import BCD, STRUCT_CODES
from edge_node.drivers.modbus.points import Point

_INTEGERS = {
    "int8": (-(2**7), 2**7 - 1),
    "uint8": (0, 2**8 - 1),
    "int16": (-(2**15), 2**15 - 1),
    "uint16": (0, 2**16 - 1),
    "int32": (-(2**31), 2**31 - 1),
    "uint32": (0, 2**32 - 1),
    "int64": (-(2**63), 2**63 - 1),
    "uint64": (0, 2**64 - 1),
    "bcd16": (0, 9_999),
    "bcd32": (0, 99_999_999),
    "bcd64": (0, 9_999_999_999_999_999),
}


def encode_registers(point: Point, value: RawValue) -> bytes:
    """Return the data bytes of the registers of a point, as they go on the wire.

    Raises:
        RequestRejected: the value does not fit the point.
    """
    if point.datatype == "string":
        return _encode_text(point, value)
    if point.datatype in _INTEGERS:
        number: int | float = _integer(point, value)
        if point.datatype in BCD:
            number = int(str(number), 16)
    else:
        number = _real(point, value)
    endian = ">" if point.count == 1 or point.word_order.startswith("big") else "<"
    try:
        data = struct.pack(endian + STRUCT_CODES[point.datatype], number)
    except OverflowError:
        expected = f"a number within the range of {point.datatype}"
        raise _refusal(point, value, expected) from None
    swapped = (
        point.swap_bytes if point.count == 1 else point.word_order in {"little", "big-swapped"}
    )
    return _swap_bytes(data) if swapped else data


def encode_byte(point: Point, value: RawValue) -> int:
    """Return an 8-bit point's value as its byte.

    Raises:
        RequestRejected: the value does not fit the point.
    """
    return _integer(point, value) & 0xFF


def encode_bit(point: Point, value: RawValue) -> bool:
    """Return a point's value as one bit.

    Raises:
        RequestRejected: the value is not a boolean, 0 or 1.
    """
    if isinstance(value, bool):
        return value
    if isinstance(value, int | float) and value in {0, 1}:
        return bool(value)
    raise _refusal(point, value, "true or false")


def _integer(point: Point, value: RawValue) -> int:
    low, high = _INTEGERS[point.datatype]
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise _refusal(point, value, f"an integer from {low} to {high}")
    if not low <= value <= high:
        raise _refusal(point, value, f"{low} to {high} for {point.datatype}")
    return value


def _real(point: Point, value: RawValue) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _refusal(point, value, "a number")
    try:
        number = float(value)
    except OverflowError:
        raise _refusal(point, value, f"a number within the range of {point.datatype}") from None
    if not math.isfinite(number):
        raise _refusal(point, value, "a finite number")
    return number


def _encode_text(point: Point, value: RawValue) -> bytes:
    if not isinstance(value, str):
        raise _refusal(point, value, "text")
    encoding = point.encoding or "utf-8"
    try:
        data = value.encode("utf-16-be" if encoding == "utf-16" else encoding)
    except UnicodeEncodeError:
        raise _refusal(point, value, f"text that {encoding} has letters for") from None
    if len(data) > point.length:
        raise _refusal(point, value, f"at most {point.length} bytes")
    data = data.ljust(2 * point.count, b"\0")
    return _swap_bytes(data) if point.word_order.endswith("-swapped") else data


def _swap_bytes(data: bytes) -> bytes:
    swapped = bytearray(len(data))
    swapped[0::2], swapped[1::2] = data[1::2], data[0::2]
    return bytes(swapped)


def _refusal(point: Point, value: RawValue, expected: str) -> RequestRejected:
    return RequestRejected(f"tag {point.name!r}: value {value!r} does not fit, expected {expected}")
