"""DATA metrics of many payloads → columns, thousands in one go. Pure, and the historian's hot path.

The metrics of DATA messages are nearly all alike: an alias, a time, maybe a data type, maybe that
it is historical, one number, in this order and nothing else. Those are read by NumPy, one operation
for all of them. Everything else is marked, and is the business of protobuf's own objects. What a
number means is not known here: that takes the birth.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

Bools: TypeAlias = npt.NDArray[np.bool_]
Bytes: TypeAlias = npt.NDArray[np.uint8]
Doubles: TypeAlias = npt.NDArray[np.float64]
Longs: TypeAlias = npt.NDArray[np.int64]
Words: TypeAlias = npt.NDArray[np.uint64]

# Field number and wire type of protobuf, as sparkplug_b.proto has them.
_ALIAS: Final = 0x10
_TIMESTAMP: Final = 0x18
_DATATYPE: Final = 0x20
_IS_HISTORICAL: Final = 0x28
_INT_VALUE: Final = 0x50
_LONG_VALUE: Final = 0x58
_FLOAT_VALUE: Final = 0x65
_DOUBLE_VALUE: Final = 0x69
_BOOLEAN_VALUE: Final = 0x70

OTHER: Final = 0
"""No metric of the simple form."""
INTEGER: Final = 1
FLOAT: Final = 2
DOUBLE: Final = 3
BOOLEAN: Final = 4

_FORMS: Final = np.zeros(256, np.uint8)
_FORMS[[_INT_VALUE, _LONG_VALUE, _FLOAT_VALUE, _DOUBLE_VALUE, _BOOLEAN_VALUE]] = (
    INTEGER,
    INTEGER,
    FLOAT,
    DOUBLE,
    BOOLEAN,
)

_PADDING: Final = bytes(40)
"""Reading goes so far beyond the end of a metric at most."""
_STOP_BITS: Final = np.uint64(0x8080_8080_8080_8080)
_ONE: Final = np.uint64(1)
_UINT32: Final = 2**32


@dataclass(frozen=True, slots=True)
class Fields:
    """What metrics say; one element a metric in every array.

    Attributes:
        form: INTEGER, FLOAT, DOUBLE or BOOLEAN; OTHER where the rest means nothing.
        alias: of the metric.
        time_ms: its time, 0 where it has none of its own.
        historical: whether it is sent afterwards.
        whole: the value of an INTEGER or BOOLEAN, unsigned as on the wire.
        real: the value of a FLOAT or DOUBLE.
    """

    form: Bytes
    alias: Longs
    time_ms: Longs
    historical: Bools
    whole: Longs
    real: Doubles


def read_fields(metrics: Sequence[bytes]) -> Fields:
    """Take metrics apart.

    Args:
        metrics: each the bytes of one metric of a DATA payload.
    """
    sizes = np.fromiter(map(len, metrics), np.int64, len(metrics))
    joined = b"".join((*metrics, _PADDING))
    data = np.frombuffer(joined, np.uint8)
    # The eight bytes from every place on, as a number.
    words: Words = np.ndarray((len(joined) - 7,), "<u8", joined, strides=(1,))
    ends = np.cumsum(sizes)
    at = ends - sizes

    simple = data[at] == _ALIAS
    alias, at, fits = _read_varints(words, at + 1)
    simple &= fits

    timed = data[at] == _TIMESTAMP
    time, after, fits = _read_varints(words, at + 1)
    simple &= fits | ~timed
    at = np.where(timed, after, at)
    time_ms = np.where(timed, time, 0)

    typed = (data[at] == _DATATYPE) & (data[at + 1] < 0x80)
    at += 2 * typed

    flagged = (data[at] == _IS_HISTORICAL) & (data[at + 1] <= 1)
    historical = flagged & (data[at + 1] == 1)
    at += 2 * flagged

    tag = data[at]
    form = _FORMS[tag]
    word = words[at + 1]
    whole, after, fits = _read_varints(words, at + 1)
    flat = form == FLOAT
    wide = form == DOUBLE
    after = np.where(flat, at + 5, np.where(wide, at + 9, after))
    simple &= after == ends
    simple &= fits | flat | wide
    simple &= (tag != _INT_VALUE) | (whole < _UINT32)
    simple &= (form != BOOLEAN) | (whole <= 1)
    with np.errstate(invalid="ignore"):  # a signalling NaN
        single = word.astype("<u4").view("<f4").astype(np.float64)
    real: Doubles = np.where(flat, single, word.view("<f8"))
    return Fields(np.where(simple, form, np.uint8(OTHER)), alias, time_ms, historical, whole, real)


def _read_varints(words: Words, at: Longs) -> tuple[Longs, Longs, Bools]:
    """Base-128 numbers of up to eight bytes.

    Returns:
        The numbers, the places after them, and which of them were not longer.
    """
    word = words[at]
    stops = ~word & _STOP_BITS
    lowest = stops & (~stops + _ONE)
    # Everything up to the first byte that has no continuation bit.
    mask = lowest ^ (lowest - _ONE)
    number = word & mask & ~_STOP_BITS
    number = (number & np.uint64(0x007F_007F_007F_007F)) | (
        (number & np.uint64(0x7F00_7F00_7F00_7F00)) >> _ONE
    )
    number = (number & np.uint64(0x0000_3FFF_0000_3FFF)) | (
        (number & np.uint64(0x3FFF_0000_3FFF_0000)) >> np.uint64(2)
    )
    number = (number & np.uint64(0x0000_0000_0FFF_FFFF)) | (
        (number & np.uint64(0x0FFF_FFFF_0000_0000)) >> np.uint64(4)
    )
    sizes = np.bitwise_count(mask).astype(np.int64) >> 3
    return number.view(np.int64), at + sizes, stops != 0
