"""A value to what must be written for it: checked for type and range, refused rather than bent.

Pure; the mirror image of ``decode``.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from edge_node.drivers.base import RawValue, RequestRejected
from edge_node.drivers.s7.points import Point
from edge_node.drivers.s7.values import ENCODERS, pack


@dataclass(frozen=True, slots=True)
class Write:
    """One write to a CPU.

    Attributes:
        start: first byte.
        data: what to write there; of a bit, one byte, 0 or 1.
        bit: of ``start``, when only that bit is written.
    """

    start: int
    data: bytes
    bit: int | None = None


def encode_writes(point: Point, value: RawValue, longest: int) -> list[Write]:
    """Return the writes that give a point a value, in their order.

    Bits are written as bits, so that their neighbours are safe. The declared length of a string,
    which stands before its characters, is left as it is; its current length is written last.

    Args:
        point: which.
        value: what it shall hold.
        longest: most bytes of one write.

    Raises:
        RequestRejected: the value does not fit the point.
    """
    if point.count is None:
        if point.datatype == "bool":
            return [Write(point.start, bytes((_bit(point, value),)), point.address.bit or 0)]
        skip, data = _encode(point, value)
        return _pieces(point.start + skip, data, longest)
    if not isinstance(value, list) or len(value) != point.count:
        raise _refusal(point, value, f"a list of {point.count}")
    if point.datatype == "bool":
        return _bit_writes(point, [_bit(point, item) for item in value], longest)
    encoded = [_encode(point, item) for item in value]
    if point.datatype in {"string", "wstring"}:
        starts = (point.start + point.stride * i for i in range(point.count))
        return [
            write
            for start, (skip, data) in zip(starts, encoded, strict=True)
            for write in _pieces(start + skip, data, longest)
        ]
    whole = longest - longest % point.stride
    return _pieces(point.start, b"".join(data for _, data in encoded), whole)[::-1]


def _pieces(start: int, data: bytes, longest: int) -> list[Write]:
    """Cut what is too long; the first piece comes last, since a string's length stands there."""
    cuts = range(0, len(data), longest)
    return [Write(start + at, data[at : at + longest]) for at in reversed(cuts)]


def _bit_writes(point: Point, bits: Sequence[bool], longest: int) -> list[Write]:
    """Write whole bytes as bytes, and the bits of bytes that are shared as bits."""
    first = point.address.bit or 0
    head = bits[: (8 - first) % 8]
    middle = bits[len(head) : len(head) + (len(bits) - len(head)) // 8 * 8]
    tail = bits[len(head) + len(middle) :]
    start = point.start + (1 if first else 0)
    data = bytes(
        sum(bit << i for i, bit in enumerate(middle[at : at + 8]))
        for at in range(0, len(middle), 8)
    )
    return [
        *(Write(point.start, bytes((bit,)), first + i) for i, bit in enumerate(head)),
        *_pieces(start, data, longest)[::-1],
        *(Write(start + len(data), bytes((bit,)), i) for i, bit in enumerate(tail)),
    ]


def _bit(point: Point, value: object) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, int | float) and value in {0, 1}:
        return bool(value)
    raise _refusal(point, value, "true or false")


def _encode(point: Point, value: object) -> tuple[int, bytes]:
    """Return how far into the point or element to write, and what."""
    try:
        if point.datatype in {"string", "wstring", "char", "wchar"}:
            return _encode_text(point, value)
        if point.datatype in {"real", "lreal"}:
            return 0, pack(point.datatype, _real(value))
        number = _integer(value)
        encode = ENCODERS.get(point.datatype)
        return 0, pack(point.datatype, number if encode is None else encode(number))
    except ValueError as exc:
        raise _refusal(point, value, str(exc)) from exc


def _encode_text(point: Point, value: object) -> tuple[int, bytes]:
    if not isinstance(value, str):
        raise ValueError("text")  # noqa: TRY004  # becomes a refusal of the value
    wide = point.datatype in {"wstring", "wchar"}
    try:
        data = value.encode("utf-16-be" if wide else "latin-1")
    except UnicodeEncodeError:
        expected = "whole characters" if wide else "characters of Latin-1, others need a WSTRING"
        raise ValueError(expected) from None
    if point.datatype in {"char", "wchar"}:
        if len(data) != point.element_size:
            raise ValueError("one character")
        return 0, data
    count = len(data) // 2 if wide else len(data)
    if count > point.length:
        raise ValueError(f"at most {point.length} characters")
    return (2, count.to_bytes(2) + data) if wide else (1, bytes([count]) + data)


def _integer(value: object) -> int:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError("an integer")  # noqa: TRY004  # becomes a refusal of the value
    return value


def _real(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("a number")  # noqa: TRY004  # becomes a refusal of the value
    try:
        number = float(value)
    except OverflowError:
        raise ValueError("a number within the range of lreal") from None
    if not math.isfinite(number):
        raise ValueError("a finite number")
    return number


def _refusal(point: Point, value: object, expected: str) -> RequestRejected:
    return RequestRejected(f"tag {point.name!r}: value {value!r} does not fit, expected {expected}")
