"""What each S7 datatype is on the wire: its layout, its Sparkplug type, and how it reads.

Pure, both directions but for text, whose bytes depend on the tag (see ``encode``). A PLC's dates
carry no time zone; they are taken as UTC.
"""

import datetime as dt
from collections.abc import Callable
from struct import Struct, error
from typing import Any, Final

from edge_node.drivers.base import RawValue
from proto.control.s7 import S7Datatype
from proto.sparkplug.datatypes import DataType

LAYOUTS: Final[dict[S7Datatype, tuple[str, DataType]]] = {
    "byte": ("B", DataType.UINT8),
    "word": ("H", DataType.UINT16),
    "dword": ("I", DataType.UINT32),
    "lword": ("Q", DataType.UINT64),
    "sint": ("b", DataType.INT8),
    "usint": ("B", DataType.UINT8),
    "int": ("h", DataType.INT16),
    "uint": ("H", DataType.UINT16),
    "dint": ("i", DataType.INT32),
    "udint": ("I", DataType.UINT32),
    "lint": ("q", DataType.INT64),
    "ulint": ("Q", DataType.UINT64),
    "real": ("f", DataType.FLOAT),
    "lreal": ("d", DataType.DOUBLE),
    "time": ("i", DataType.INT32),
    "ltime": ("q", DataType.INT64),
    "tod": ("I", DataType.UINT32),
    "ltod": ("Q", DataType.UINT64),
    "s5time": ("H", DataType.INT32),
    "counter": ("H", DataType.INT16),
    "date": ("H", DataType.DATETIME),
    "dt": ("8s", DataType.DATETIME),
    "dtl": ("12s", DataType.DATETIME),
    "ldt": ("Q", DataType.DATETIME),
    "char": ("1s", DataType.STRING),
    "wchar": ("2s", DataType.STRING),
}
"""Struct code and Sparkplug type; ``bool`` and strings have layouts of their own."""

SIZES: Final[dict[S7Datatype, int]] = {
    name: Struct(f">{code}").size for name, (code, _) in LAYOUTS.items()
}

_UTC: Final = dt.UTC
_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=_UTC)
_DATE_ZERO: Final = dt.datetime(1990, 1, 1, tzinfo=_UTC)
_MS: Final = dt.timedelta(milliseconds=1)
_DAY_MS: Final = 86_400_000
_DATE_ZERO_MS: Final = (_DATE_ZERO - _EPOCH) // _MS
_LAST_DT: Final = dt.datetime(2089, 12, 31, 23, 59, 59, 999_000, _UTC)
_DTL: Final = Struct(">HBBBBBBI")
_S5_STEPS_MS: Final = (10, 100, 1_000, 10_000)
_LONGEST_S5_MS: Final = 9_990_000


def decode_s5time(word: int) -> int | None:
    """Return milliseconds: three decimal digits times one of four steps."""
    digits = f"{word & 0xFFF:x}"
    return int(digits) * _S5_STEPS_MS[word >> 12 & 3] if digits.isdecimal() else None


def decode_counter(word: int) -> int | None:
    """Return a counter's value: three decimal digits."""
    digits = f"{word & 0xFFF:x}"
    return int(digits) if digits.isdecimal() else None


def decode_date(days: int) -> int:
    """Return milliseconds since 1970 of days since 1990."""
    return _DATE_ZERO_MS + days * _DAY_MS


def decode_dt(data: bytes) -> int | None:
    """Return milliseconds since 1970 of a DATE_AND_TIME: decimal digits, years 1990 to 2089."""
    digits = data.hex()[:15]  # the last half byte is the day of the week
    if not digits.isdecimal():
        return None
    year, month, day, hour, minute, second = (int(digits[i : i + 2]) for i in range(0, 12, 2))
    century = 1900 if year >= 90 else 2000  # DT#1990 to DT#2089
    return _to_ms(century + year, month, day, hour, minute, second, int(digits[12:15]) * 1000)


def decode_dtl(data: bytes) -> int | None:
    """Return milliseconds since 1970 of a DTL; its nanoseconds are cut off."""
    year, month, day, _, hour, minute, second, nanosecond = _DTL.unpack(data)
    return _to_ms(year, month, day, hour, minute, second, nanosecond // 1000)


def decode_ldt(nanoseconds: int) -> int:
    """Return milliseconds since 1970."""
    return nanoseconds // 1_000_000


def decode_string(data: bytes) -> str | None:
    """Return a STRING's characters, or nothing when its length bytes cannot be."""
    if data[1] > data[0]:
        return None
    return data[2 : 2 + data[1]].decode("latin-1")


def decode_wstring(data: bytes) -> str | None:
    """Return a WSTRING's characters, or nothing when its lengths cannot be."""
    most, count = int.from_bytes(data[0:2]), int.from_bytes(data[2:4])
    if count > most:
        return None
    try:
        return data[4 : 4 + 2 * count].decode("utf-16-be")
    except UnicodeDecodeError:
        return None


def decode_char(data: bytes) -> str:
    """Return one character; nothing for NUL."""
    return data.decode("latin-1").rstrip("\0")


def decode_wchar(data: bytes) -> str | None:
    """Return one character; nothing for NUL, and no value for half of one."""
    try:
        return data.decode("utf-16-be").rstrip("\0")
    except UnicodeDecodeError:
        return None


DECODERS: Final[dict[S7Datatype, Callable[[Any], RawValue]]] = {
    "s5time": decode_s5time,
    "counter": decode_counter,
    "date": decode_date,
    "dt": decode_dt,
    "dtl": decode_dtl,
    "ldt": decode_ldt,
    "char": decode_char,
    "wchar": decode_wchar,
    "string": decode_string,
    "wstring": decode_wstring,
}
"""What makes a value of what ``struct`` unpacks, where that is not the value yet."""


def encode_s5time(milliseconds: int) -> int:
    """Return the word of a duration, in the finest step that holds it.

    Raises:
        ValueError: what is expected.
    """
    for code, step in enumerate(_S5_STEPS_MS):
        if 0 <= milliseconds <= 999 * step:
            if milliseconds % step:
                raise ValueError(f"a multiple of {step} ms")
            return code << 12 | int(str(milliseconds // step), 16)
    raise ValueError(f"0 to {_LONGEST_S5_MS} ms")


def encode_date(milliseconds: int) -> int:
    """Return days since 1990.

    Raises:
        ValueError: what is expected.
    """
    days, rest = divmod(milliseconds - _DATE_ZERO_MS, _DAY_MS)
    if rest or not 0 <= days <= 0xFFFF:
        raise ValueError("midnight of a day from 1990-01-01 to 2169-06-06")
    return days


def encode_dt(milliseconds: int) -> bytes:
    """Return the eight bytes of a DATE_AND_TIME.

    Raises:
        ValueError: what is expected.
    """
    when = _from_ms(milliseconds)
    if not _DATE_ZERO <= when <= _LAST_DT:
        raise ValueError("a time from 1990 to 2089")
    weekday = when.isoweekday() % 7 + 1  # 1 is Sunday
    return bytes.fromhex(f"{when:%y%m%d%H%M%S}{when.microsecond // 1000:03}{weekday}")


def encode_dtl(milliseconds: int) -> bytes:
    """Return the twelve bytes of a DTL.

    Raises:
        ValueError: what is expected.
    """
    when = _from_ms(milliseconds)
    if not 1970 <= when.year <= 2262:  # DTL's own range
        raise ValueError("a time from 1970 to 2262")
    weekday = when.isoweekday() % 7 + 1
    return _DTL.pack(
        when.year,
        when.month,
        when.day,
        weekday,
        when.hour,
        when.minute,
        when.second,
        when.microsecond * 1000,
    )


def encode_ldt(milliseconds: int) -> int:
    """Return nanoseconds since 1970."""
    return milliseconds * 1_000_000


def encode_counter(value: int) -> int:
    """Return a counter's word.

    Raises:
        ValueError: what is expected.
    """
    if not 0 <= value <= 999:
        raise ValueError("0 to 999")
    return int(str(value), 16)


ENCODERS: Final[dict[S7Datatype, Callable[[int], int | bytes]]] = {
    "s5time": encode_s5time,
    "counter": encode_counter,
    "date": encode_date,
    "dt": encode_dt,
    "dtl": encode_dtl,
    "ldt": encode_ldt,
}


def pack(datatype: S7Datatype, value: float | bytes) -> bytes:
    """Return the bytes of what ``LAYOUTS`` unpacks.

    Raises:
        ValueError: it does not fit, with what is expected.
    """
    code = LAYOUTS[datatype][0]
    try:
        return Struct(f">{code}").pack(value)
    except OverflowError as exc:
        raise ValueError(f"a number within the range of {datatype}") from exc
    except error as exc:
        bits = 8 * SIZES[datatype]
        low, high = (
            (0, 2**bits - 1) if code.isupper() else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
        )
        raise ValueError(f"{low} to {high} for {datatype}") from exc


def _to_ms(*parts: int) -> int | None:
    """Return milliseconds since 1970 of year, month, day, hour, minute, second, microsecond.

    Nothing before 1970, which no PLC means and Sparkplug has no value for.
    """
    year, month, day, hour, minute, second, microsecond = parts
    try:
        when = dt.datetime(year, month, day, hour, minute, second, microsecond, _UTC)
    except ValueError:
        return None
    return (when - _EPOCH) // _MS if when >= _EPOCH else None


def _from_ms(milliseconds: int) -> dt.datetime:
    try:
        return _EPOCH + dt.timedelta(milliseconds=milliseconds)
    except OverflowError as exc:
        raise ValueError("milliseconds since 1970 of a time that the PLC has") from exc
