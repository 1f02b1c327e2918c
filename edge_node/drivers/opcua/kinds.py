"""OPC UA's built-in types (OPC 10000-6 5.1.2) as Sparkplug datatypes, and values between the two.

Pure. Structures are another module's business.
"""

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final
from uuid import UUID

from edge_node.drivers.base import RawValue
from proto.control.opcua import OpcUaScalar
from proto.sparkplug.datatypes import INTEGER_RANGE, DataType


@dataclass(frozen=True, slots=True)
class Kind:
    """A built-in type.

    Attributes:
        code: its number on the wire.
        datatype: of a single value.
        array: of an array; ``None`` where Sparkplug has no such arrays.
        name: as configured.
    """

    code: int
    datatype: DataType
    array: DataType | None
    name: OpcUaScalar


_D = DataType

KINDS: Final[Mapping[OpcUaScalar, Kind]] = {
    kind.name: kind
    for kind in (
        Kind(1, _D.BOOLEAN, _D.BOOLEAN_ARRAY, "bool"),
        Kind(2, _D.INT8, _D.INT8_ARRAY, "sbyte"),
        Kind(3, _D.UINT8, _D.UINT8_ARRAY, "byte"),
        Kind(4, _D.INT16, _D.INT16_ARRAY, "int16"),
        Kind(5, _D.UINT16, _D.UINT16_ARRAY, "uint16"),
        Kind(6, _D.INT32, _D.INT32_ARRAY, "int32"),
        Kind(7, _D.UINT32, _D.UINT32_ARRAY, "uint32"),
        Kind(8, _D.INT64, _D.INT64_ARRAY, "int64"),
        Kind(9, _D.UINT64, _D.UINT64_ARRAY, "uint64"),
        Kind(10, _D.FLOAT, _D.FLOAT_ARRAY, "float"),
        Kind(11, _D.DOUBLE, _D.DOUBLE_ARRAY, "double"),
        Kind(12, _D.STRING, _D.STRING_ARRAY, "string"),
        Kind(13, _D.DATETIME, _D.DATETIME_ARRAY, "datetime"),
        Kind(14, _D.UUID, _D.STRING_ARRAY, "guid"),
        Kind(15, _D.BYTES, None, "bytestring"),
        Kind(16, _D.STRING, _D.STRING_ARRAY, "xmlelement"),
        Kind(17, _D.STRING, _D.STRING_ARRAY, "nodeid"),
        Kind(19, _D.UINT32, _D.UINT32_ARRAY, "statuscode"),
        Kind(20, _D.STRING, _D.STRING_ARRAY, "qualifiedname"),
        Kind(21, _D.STRING, _D.STRING_ARRAY, "localizedtext"),
    )
}

BY_CODE: Final[Mapping[int, Kind]] = {kind.code: kind for kind in KINDS.values()} | {
    18: KINDS["nodeid"]  # ExpandedNodeId
}

EXTENSION_OBJECT: Final = 22

EPOCH_TICKS: Final = 116_444_736_000_000_000
"""1970 in OPC UA's time: 100 ns since 1601 (OPC 10000-6 5.2.2.5)."""

_FLOATS: Final = frozenset({"float", "double"})
_FLOAT_MAX: Final = 3.402_823_466_385_288_6e38


def to_ms(ticks: int) -> int:
    """Return a DateTime as milliseconds since 1970, floored; negative before."""
    return (ticks - EPOCH_TICKS) // 10_000


def to_ticks(milliseconds: int) -> int:
    """Return milliseconds since 1970 as a DateTime."""
    return milliseconds * 10_000 + EPOCH_TICKS


def describe_code(code: int) -> str:
    """Return the name of a wire type, for messages."""
    if code == EXTENSION_OBJECT:
        return "structure"
    return BY_CODE[code].name if code in BY_CODE else f"type {code}"


def convert(value: Any, code: int, wanted: Kind, *, array: bool) -> RawValue:
    """Return a server's value as what a tag was configured to be.

    A server may send another width of number than was configured, and many do after a change of
    their program: what fits is taken.

    Args:
        value: as decoded; a list for arrays.
        code: the wire type it came as.
        wanted: the tag's.
        array: whether the tag is an array.

    Raises:
        ValueError: it is something else; found and expected.
    """
    if isinstance(value, list) != array:
        found, expected = ("an array", "one value") if not array else ("one value", "an array")
        raise ValueError(f"found {found} of {describe_code(code)}, expected {expected}")
    if code == wanted.code:
        return value  # type: ignore[no-any-return]  # decoded as this type
    one = _converter(code, wanted)
    return [one(item) for item in value] if array else one(value)


def check_writable(value: RawValue, kind: Kind, *, array: bool) -> Any:
    """Return a value to be written as the built-in type's own Python value.

    Raises:
        ValueError: it does not fit; found and expected.
    """
    if isinstance(value, list) != array:
        raise ValueError(f"found {value!r}, expected {'a list' if array else 'one value'}")
    if isinstance(value, list):
        return [_check_one(item, kind) for item in value]
    return _check_one(value, kind)


def _converter(code: int, wanted: Kind) -> Callable[[Any], Any]:
    """Return what makes a tag's value of another type's, in the ways that lose nothing."""
    found = BY_CODE.get(code)
    if found is not None:
        if wanted.name in _FLOATS and (found.datatype in INTEGER_RANGE or found.name in _FLOATS):
            return float
        if wanted.datatype is DataType.STRING and found.datatype is DataType.STRING:
            return str
        is_time = wanted.name == "datetime"
        if wanted.datatype in INTEGER_RANGE and is_time == (found.name == "datetime"):
            if found.name == "bool":
                return int
            if found.datatype in INTEGER_RANGE:
                return partial(_fit_integer, wanted=wanted)
    raise ValueError(f"found {describe_code(code)}, expected {wanted.name}")


def _fit_integer(value: int, wanted: Kind) -> int:
    low, high = INTEGER_RANGE[wanted.datatype]
    if not low <= value <= high:
        raise ValueError(f"found {value}, expected {wanted.name}, {low} to {high}")
    return value


def _check_one(value: object, kind: Kind) -> Any:
    if kind.datatype in INTEGER_RANGE or kind.name in _FLOATS:
        return _check_number(value, kind)
    if kind.name == "bool":
        fits = isinstance(value, bool)
    elif kind.name == "bytestring":
        fits = isinstance(value, bytes)
    else:
        fits = isinstance(value, str)
    if not fits:
        raise ValueError(f"found {value!r}, expected {kind.name}")
    if kind.name == "guid" and isinstance(value, str):
        return UUID(value)
    return value


def _check_number(value: object, kind: Kind) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"found {value!r}, expected {kind.name}")  # noqa: TRY004  # does not fit
    if kind.datatype in INTEGER_RANGE:
        if isinstance(value, float) and not value.is_integer():
            raise ValueError(f"found {value!r}, expected {kind.name}")
        return _fit_integer(int(value), kind)
    if kind.name == "float":
        try:
            struct.pack("<f", value)
        except OverflowError as exc:
            raise ValueError(f"found {value!r}, expected float, within ±{_FLOAT_MAX:.7g}") from exc
    return float(value)
