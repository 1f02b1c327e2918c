"""Values on the wire (OPC 10000-6 5.2.2): many DataValues to plain Python values, fast.

The client library makes an object of every part of every value; a subscription of thousands of
items is read here, straight from the bytes, in a tenth of the time. Types that are rare are left to
the library. Pure.
"""

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple
from uuid import UUID

from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua import ua_binary
from asyncua.ua.uaerrors import UaError

from edge_node.drivers.opcua.kinds import EXTENSION_OBJECT, to_ms


class WireError(Exception):
    """Bytes that are not what they should be."""


class Sample(NamedTuple):
    """One DataValue.

    Attributes:
        value: a plain value, a list for arrays, :class:`Opaque` for structures.
        code: its type on the wire, 0 for no value.
        status: the 32-bit StatusCode.
        source_ms: when it was acquired, ``None`` where the server does not tell.
        server_ms: when the server had it, ``None`` where it does not tell.
    """

    value: Any
    code: int
    status: int
    source_ms: int | None
    server_ms: int | None


@dataclass(frozen=True, slots=True)
class Opaque:
    """A structure, not yet decoded.

    Attributes:
        encoding: node id of its encoding, which tells its type.
        body: its bytes.
    """

    encoding: ua.NodeId
    body: bytes


_U32: Final = struct.Struct("<I").unpack_from
_I32: Final = struct.Struct("<i").unpack_from
_TICKS: Final = struct.Struct("<q").unpack_from

_NUMBERS: Final[Mapping[int, tuple[Callable[..., Any], int, str]]] = {
    code: (struct.Struct(f"<{letter}").unpack_from, struct.calcsize(f"<{letter}"), letter)
    for code, letter in {
        1: "?",
        2: "b",
        3: "B",
        4: "h",
        5: "H",
        6: "i",
        7: "I",
        8: "q",
        9: "Q",
        10: "f",
        11: "d",
        19: "I",
    }.items()
}


def decode_values(data: bytes, at: int) -> tuple[list[Sample], int]:
    """Read an array of DataValues; return it and where it ends.

    Raises:
        WireError: the bytes are not such an array.
    """
    try:
        count = _I32(data, at)[0]
        at += 4
        samples: list[Sample] = []
        for _ in range(max(0, count)):
            sample, at = decode_value(data, at)
            samples.append(sample)
    except (struct.error, IndexError, ValueError, UaError) as exc:
        raise WireError(f"values of a read cannot be decoded: {exc}") from exc
    return samples, at


def decode_changes(data: bytes, at: int) -> tuple[list[tuple[int, Sample]], int]:
    """Read the monitored items of a DataChangeNotification: client handle and value each.

    Raises:
        WireError: the bytes are not such an array.
    """
    try:
        count = _I32(data, at)[0]
        at += 4
        changes: list[tuple[int, Sample]] = []
        append, handle, decode = changes.append, _U32, decode_value
        for _ in range(max(0, count)):
            sample, end = decode(data, at + 4)
            append((handle(data, at)[0], sample))
            at = end
    except (struct.error, IndexError, ValueError, UaError) as exc:
        raise WireError(f"a change notification cannot be decoded: {exc}") from exc
    return changes, at


def decode_value(data: bytes, at: int) -> tuple[Sample, int]:
    """Read one DataValue (OPC 10000-6 5.2.2.17)."""
    mask = data[at]
    at += 1
    value: Any = None
    code = status = 0
    source_ms = server_ms = None
    if mask & 0x01:
        code = data[at]
        at += 1
        number = _NUMBERS.get(code)
        if number is not None:
            value = number[0](data, at)[0]
            at += number[1]
        else:
            value, code, at = _decode_variant(data, at, code)
    if mask & 0x02:
        status = _U32(data, at)[0]
        at += 4
    if mask & 0x04:
        source_ms = to_ms(_TICKS(data, at)[0])
        at += 8
    if mask & 0x10:
        at += 2
    if mask & 0x08:
        server_ms = to_ms(_TICKS(data, at)[0])
        at += 8
    if mask & 0x20:
        at += 2
    return Sample(value, code, status, source_ms, server_ms), at


def decode_variant(data: bytes, at: int) -> tuple[Any, int, int]:
    """Read a Variant (OPC 10000-6 5.2.2.16); return its value, its type and where it ends."""
    return _decode_variant(data, at + 1, data[at])


def _decode_variant(data: bytes, at: int, encoding: int) -> tuple[Any, int, int]:
    """Read what follows a Variant's first byte; return value, type and end."""
    code = encoding & 0x3F
    if not encoding & 0x80:
        value, at = decode_plain(data, at, code)
        return value, code, at
    count = _I32(data, at)[0]
    at += 4
    items: list[Any]
    if count <= 0:
        items = []
    elif (number := _NUMBERS.get(code)) is not None:
        items = list(struct.unpack_from(f"<{count}{number[2]}", data, at))
        at += count * number[1]
    else:
        items = []
        for _ in range(count):
            item, at = decode_plain(data, at, code)
            items.append(item)
    if encoding & 0x40:  # the dimensions: arrays of several are told row after row
        at += 4 + 4 * max(0, _I32(data, at)[0])
    return items, code, at


def decode_plain(data: bytes, at: int, code: int) -> tuple[Any, int]:
    """Read one value of a built-in type; return it and where it ends."""
    number = _NUMBERS.get(code)
    if number is not None:
        return number[0](data, at)[0], at + number[1]
    if code in {12, 15, 16}:  # String, ByteString, XmlElement
        size = _I32(data, at)[0]
        at += 4
        if size < 0:
            return (None if code == 15 else ""), at
        raw = data[at : at + size]
        if len(raw) != size:
            raise WireError(f"text of {size} bytes, found {len(raw)}")
        return (raw if code == 15 else raw.decode(errors="replace")), at + size
    if code == 13:
        return max(0, to_ms(_TICKS(data, at)[0])), at + 8
    if code == 0:
        return None, at
    return _decode_rare(data, at, code)


def _decode_rare(data: bytes, at: int, code: int) -> tuple[Any, int]:
    """Leave a value to the library."""
    buffer = Buffer(data, at)
    if code == EXTENSION_OBJECT:
        encoding = ua_binary.nodeid_from_binary(buffer)
        has_body = buffer.read(1)[0] & 0x03
        size = _I32(buffer.read(4))[0] if has_body else 0
        return Opaque(encoding, buffer.read(max(0, size))), buffer.cur_pos
    value = ua_binary.unpack_uatype(ua.VariantType(code), buffer)
    return _plain(value), buffer.cur_pos


def _plain(value: Any) -> Any:
    make = _PLAIN.get(type(value))
    return value if make is None else make(value)


_PLAIN: Final[Mapping[type, Callable[[Any], Any]]] = {
    UUID: str,
    ua.LocalizedText: lambda value: value.Text or "",
    ua.QualifiedName: lambda value: value.to_string(),
    ua.NodeId: lambda value: value.to_string(),
    ua.ExpandedNodeId: lambda value: value.to_string(),
    ua.Variant: lambda value: value.Value,
    ua.DataValue: lambda value: None if value.Value is None else value.Value.Value,
}
