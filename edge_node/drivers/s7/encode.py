"""A value to the bytes that hold it: checked for type and range, refused rather than bent.

Pure; the mirror image of ``decode``.
"""

import math

from edge_node.drivers.base import RawValue, RequestRejected
from edge_node.drivers.s7.points import Point
from edge_node.drivers.s7.values import ENCODERS, pack


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


def encode_value(point: Point, value: RawValue) -> tuple[int, bytes]:
    """Return how far into the point to write, and what.

    The declared length of a string, which stands before its characters, is left as it is.

    Raises:
        RequestRejected: the value does not fit the point.
    """
    try:
        if point.datatype in {"string", "wstring", "char"}:
            return _encode_text(point, value)
        if point.datatype in {"real", "lreal"}:
            return 0, pack(point.datatype, _real(value))
        number = _integer(value)
        encode = ENCODERS.get(point.datatype)
        return 0, pack(point.datatype, number if encode is None else encode(number))
    except ValueError as exc:
        raise _refusal(point, value, str(exc)) from exc


def _encode_text(point: Point, value: RawValue) -> tuple[int, bytes]:
    if not isinstance(value, str):
        raise ValueError("text")  # noqa: TRY004  # becomes a refusal of the value
    if point.datatype == "wstring":
        data = value.encode("utf-16-be")
        if len(data) > 2 * point.length:
            raise ValueError(f"at most {point.length} characters")
        return 2, (len(data) // 2).to_bytes(2) + data
    try:
        data = value.encode("latin-1")
    except UnicodeEncodeError:
        raise ValueError("characters of Latin-1, others need a WSTRING") from None
    if point.datatype == "char":
        if len(data) != 1:
            raise ValueError("one character")
        return 0, data
    if len(data) > point.length:
        raise ValueError(f"at most {point.length} characters")
    return 1, bytes([len(data)]) + data


def _integer(value: RawValue) -> int:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError("an integer")  # noqa: TRY004  # becomes a refusal of the value
    return value


def _real(value: RawValue) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("a number")  # noqa: TRY004  # becomes a refusal of the value
    try:
        number = float(value)
    except OverflowError:
        raise ValueError("a number within the range of lreal") from None
    if not math.isfinite(number):
        raise ValueError("a finite number")
    return number


def _refusal(point: Point, value: RawValue, expected: str) -> RequestRejected:
    return RequestRejected(f"tag {point.name!r}: value {value!r} does not fit, expected {expected}")
