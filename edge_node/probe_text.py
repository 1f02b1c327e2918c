"""A test read's values and bytes as people read them. Pure."""

import json
import struct
from datetime import UTC, datetime, timedelta
from typing import Final

from edge_node.drivers.base import RawValue
from proto.sparkplug.datatypes import DataType
from proto.sparkplug.metrics import DataSet, Template
from proto.uns.payload import to_json

LONGEST_SHOWN: Final = 300
"""Bytes of a frame; a Modbus frame has at most 260."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_FLOAT32_DIGITS: Final = range(6, 9)
_FLOAT32_MOST_DIGITS: Final = 9
_ELEMENTS: Final = {
    DataType.FLOAT_ARRAY: DataType.FLOAT,
    DataType.DATETIME_ARRAY: DataType.DATETIME,
}


def format_value(value: RawValue, datatype: DataType) -> str:
    """Return a value in text.

    Floats of 32 bits have the fewest digits that name them, times are in UTC, tables and instances
    of templates are JSON, bytes hexadecimal. A tag that calls a method has no value.
    """
    if isinstance(value, list):
        element = _ELEMENTS.get(datatype, datatype)
        return f"[{', '.join(format_value(one, element) for one in value)}]"
    if isinstance(value, DataSet | Template):
        return json.dumps(to_json(value), ensure_ascii=False)
    return _format_scalar(value, datatype)


def _format_scalar(value: RawValue, datatype: DataType) -> str:
    if value is None:
        return "no value"
    if isinstance(value, bytes):
        return value.hex(" ") or "no bytes"
    if datatype is DataType.FLOAT and isinstance(value, float):
        return repr(_shortest(value))
    if datatype is DataType.DATETIME and isinstance(value, int):
        return _format_time(value)
    return repr(value)


def format_bytes(data: bytes) -> str:
    """Return a frame in hexadecimal digits, the end of a long one left out."""
    shown = data[:LONGEST_SHOWN].hex(" ")
    return shown if len(data) <= LONGEST_SHOWN else f"{shown} … {len(data)} bytes"


def _shortest(value: float) -> float:
    """Return the float of fewest digits that is the same with 32 bits."""
    for digits in _FLOAT32_DIGITS:
        short = float(f"{value:.{digits}g}")
        try:
            same = struct.unpack("f", struct.pack("f", short)) == (value,)
        except OverflowError:  # rounded up beyond the largest
            continue
        if same:
            return short
    return float(f"{value:.{_FLOAT32_MOST_DIGITS}g}")


def _format_time(timestamp_ms: int) -> str:
    try:
        moment = _EPOCH + timedelta(milliseconds=timestamp_ms)
    except OverflowError:  # beyond year 9999, as a bad clock may say
        return f"{timestamp_ms} ms"
    return f"{moment:%Y-%m-%d %H:%M:%S}.{moment.microsecond // 1000:03} UTC"
