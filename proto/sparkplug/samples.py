"""The hot path out: values of DATA messages straight to bytes, past protobuf's objects.

A DATA metric is a key (its alias or name), a timestamp, a few flags and one value; writing those
fields by hand costs half of what building protobuf objects does. The bytes are the same, and tests
hold them against protobuf's.
"""

import struct
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any, Final, TypeAlias

from proto import sparkplug_b_pb2
from proto.sparkplug import arrays
from proto.sparkplug.codec_encode import put_value
from proto.sparkplug.datatypes import ARRAY_ELEMENT, DataType
from proto.sparkplug.metrics import (
    QUALITY_BAD,
    QUALITY_GOOD,
    QUALITY_PROPERTY,
    QUALITY_STALE,
    Value,
)
from proto.sparkplug.values import check_value

Sample: TypeAlias = tuple[int, int, Value, int]
"""Alias, data type, value (``None`` is null), timestamp in milliseconds."""

ValueEncoder: TypeAlias = Callable[[Any], bytes]

NULL_FIELD: Final = b"\x38\x01"
HISTORICAL_FIELD: Final = b"\x28\x01"

_BYTE: Final = [bytes([number]) for number in range(256)]
_MORE: Final = [_BYTE[n & 0x7F | 0x80] + _BYTE[n >> 7 | 0x80] for n in range(0x4000)]
"""14 bits of a number that goes on."""
_SHORT: Final = _BYTE[:0x80] + [_BYTE[n & 0x7F | 0x80] + _BYTE[n >> 7] for n in range(0x80, 0x4000)]
"""Numbers of up to 14 bits, whole."""
_FLOAT: Final = struct.Struct("<Bf").pack
_DOUBLE: Final = struct.Struct("<Bd").pack
METRIC_HEADS: Final = [b"\x12" + _BYTE[size] for size in range(128)]
"""What stands before a metric of so many bytes, as ``wrap_metric`` writes it."""
_TRUE: Final = b"\x70\x01"
_FALSE: Final = b"\x70\x00"


def encode_samples(
    samples: Iterable[Sample],
    seq: int,
    timestamp_ms: int,
    *,
    historical: bool = False,
    uint32_as_long: bool = False,
) -> bytes:
    """The bytes of a DATA payload whose metrics go by alias.

    Samples stand in the order given; the specification wants those that are not historical in
    chronological order (5.16).

    Raises:
        WrongType: a value of another kind than its data type.
        ValueOutOfRange: a value that its data type cannot hold.
    """
    encoders = LONG_UINT32_ENCODERS if uint32_as_long else VALUE_ENCODERS
    flags = HISTORICAL_FIELD if historical else b""
    parts: list[bytes] = []
    timed_ms, timed = -1, b""
    for alias, datatype, value, sample_ms in samples:
        if sample_ms != timed_ms:
            timed_ms, timed = sample_ms, timestamp_field(sample_ms) + flags
        if value is None:
            parts.append(wrap_metric(alias_field(alias) + timed + NULL_FIELD))
            continue
        try:
            field = encoders[datatype](value)
        except REFUSED:
            subject = f"alias {alias}"
            field = encode_refused(DataType(datatype), value, subject, encoders[datatype])
        parts.append(wrap_metric(alias_field(alias) + timed + field))
    return close_payload(parts, seq, timestamp_ms)


def close_payload(metrics: list[bytes], seq: int, timestamp_ms: int) -> bytes:
    """A payload of wrapped metrics."""
    return b"".join((b"\x08", varint(timestamp_ms), *metrics, b"\x18", varint(seq)))


def wrap_metric(fields: bytes) -> bytes:
    """A metric as it stands in a payload: tag, length, fields."""
    size = len(fields)
    return METRIC_HEADS[size] + fields if size < 128 else b"\x12" + varint(size) + fields


@lru_cache(maxsize=65_536)  # the same aliases come with every message
def alias_field(alias: int) -> bytes:
    """The field that carries an alias."""
    return b"\x10" + varint(alias)


def name_field(name: str) -> bytes:
    """The field that carries a name."""
    text = name.encode()
    return b"\x0a" + varint(len(text)) + text


def timestamp_field(timestamp_ms: int) -> bytes:
    """The field that carries a metric's time."""
    return b"\x18" + varint(timestamp_ms)


def varint(number: int) -> bytes:
    """Protobuf's base-128 number, 0 to 2**64-1."""
    if number < 0x4000:
        return _SHORT[number]
    if number < 0x1000_0000:
        return _MORE[number & 0x3FFF] + _SHORT[number >> 14]
    more = _MORE[number & 0x3FFF] + _MORE[number >> 14 & 0x3FFF]
    return more + varint(number >> 28)


def quality_field(quality: int) -> bytes:
    """A property set of nothing but the quality: 0, 192 or 500 (6.4.9.1)."""
    return _QUALITY[quality]


def encode_refused(datatype: DataType, value: Value, subject: str, encoder: ValueEncoder) -> bytes:
    """Second try of a value an encoder refused, with the words of ``check_value``.

    Raises:
        WrongType, ValueOutOfRange: as ``check_value``.
    """
    return encoder(check_value(datatype, value, subject))


def _signed(low: int, high: int) -> ValueEncoder:
    def encode(value: int) -> bytes:  # what varint does, without a call of it
        if 0 <= value <= high:
            return b"\x50" + (_SHORT[value] if value < 0x4000 else varint(value))
        if low <= value < 0:
            wrapped = value + 0x1_0000_0000
            low_bits = _MORE[wrapped & 0x3FFF] + _MORE[wrapped >> 14 & 0x3FFF]
            return b"\x50" + low_bits + _SHORT[wrapped >> 28]
        raise OverflowError

    return encode


def _unsigned(tag: bytes, high: int) -> ValueEncoder:
    def encode(value: int) -> bytes:
        if 0 <= value <= high:
            return tag + (_SHORT[value] if value < 0x4000 else varint(value))
        raise OverflowError

    return encode


def _int64(value: int) -> bytes:
    if not -(2**63) <= value < 2**63:
        raise OverflowError
    return b"\x58" + varint(value if value >= 0 else value + 2**64)


def _float(value: float) -> bytes:
    return _FLOAT(0x65, value)


def _double(value: float) -> bytes:
    return _DOUBLE(0x69, value)


def _boolean(value: bool) -> bytes:
    if value is True:
        return _TRUE
    if value is False:
        return _FALSE
    raise TypeError


def _text(value: str) -> bytes:
    text = value.encode()
    return b"\x7a" + varint(len(text)) + text


def _bytes(value: bytes) -> bytes:
    return b"\x82\x01" + varint(len(value)) + value


def _array(datatype: DataType) -> ValueEncoder:
    def encode(value: Any) -> bytes:
        return _bytes(arrays.pack_array(datatype, check_value(datatype, value)))  # type: ignore[arg-type]  # checked for an array type

    return encode


def _structure(datatype: DataType, *, uint32_as_long: bool) -> ValueEncoder:
    def encode(value: Any) -> bytes:
        wire = sparkplug_b_pb2.Payload.Metric()
        checked = check_value(datatype, value)
        put_value(wire, datatype, checked, uint32_as_long=uint32_as_long)
        return wire.SerializeToString()

    return encode


def _quality_property_set(quality: int) -> bytes:
    wire = sparkplug_b_pb2.Payload.Metric()
    wire.properties.keys.append(QUALITY_PROPERTY)
    wire.properties.values.add(type=DataType.INT32, int_value=quality)
    return wire.SerializeToString()


REFUSED: Final = (TypeError, AttributeError, OverflowError, IndexError, struct.error, UnicodeError)

_QUALITY: Final = {
    quality: _quality_property_set(quality)
    for quality in (QUALITY_BAD, QUALITY_GOOD, QUALITY_STALE)
}

VALUE_ENCODERS: Final[dict[int, ValueEncoder]] = {
    DataType.INT8: _signed(-(2**7), 2**7 - 1),
    DataType.INT16: _signed(-(2**15), 2**15 - 1),
    DataType.INT32: _signed(-(2**31), 2**31 - 1),
    DataType.INT64: _int64,
    DataType.UINT8: _unsigned(b"\x50", 2**8 - 1),
    DataType.UINT16: _unsigned(b"\x50", 2**16 - 1),
    DataType.UINT32: _unsigned(b"\x50", 2**32 - 1),
    DataType.UINT64: _unsigned(b"\x58", 2**64 - 1),
    DataType.FLOAT: _float,
    DataType.DOUBLE: _double,
    DataType.BOOLEAN: _boolean,
    DataType.STRING: _text,
    DataType.DATETIME: _unsigned(b"\x58", 2**64 - 1),
    DataType.TEXT: _text,
    DataType.UUID: _text,
    DataType.BYTES: _bytes,
    DataType.FILE: _bytes,
    **{datatype: _array(datatype) for datatype in ARRAY_ELEMENT},
    DataType.DATASET: _structure(DataType.DATASET, uint32_as_long=False),
    DataType.TEMPLATE: _structure(DataType.TEMPLATE, uint32_as_long=False),
}

LONG_UINT32_ENCODERS: Final[dict[int, ValueEncoder]] = {
    **VALUE_ENCODERS,
    DataType.UINT32: _unsigned(b"\x58", 2**32 - 1),
    DataType.DATASET: _structure(DataType.DATASET, uint32_as_long=True),
    DataType.TEMPLATE: _structure(DataType.TEMPLATE, uint32_as_long=True),
}
