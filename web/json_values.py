"""Metric values ⇄ the JSON of the API, losing nothing that a browser would lose.

Integers beyond 2⁵³ are strings, because JavaScript would round them; NaN and infinities are
strings, because JSON has none; bytes are base64; data sets are arrays of row objects.
"""

import math
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from typing import Any, Final, cast

from proto.sparkplug.datatypes import ARRAY_ELEMENT, INTEGER_RANGE, DataType
from proto.sparkplug.metrics import ArrayValue, DataSet, Template, Value

_EXACT: Final = 2**53
_FLOATS: Final = frozenset({DataType.FLOAT, DataType.DOUBLE})
_BYTES: Final = frozenset({DataType.BYTES, DataType.FILE})
NOT_WRITABLE: Final = frozenset({DataType.DATASET, DataType.TEMPLATE})
"""Data types of which the API takes no values."""
_NOT_FINITE: Final = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


class ValueNotUnderstood(ValueError):
    """JSON that no value of the metric's data type can be made of."""


def value_to_json(value: Value) -> Any:
    """Return a value as JSON's own kinds of thing."""
    if isinstance(value, float):
        return value if math.isfinite(value) else _name_float(value)
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return value
    if isinstance(value, int):
        return value if -_EXACT <= value <= _EXACT else str(value)
    return _composite_to_json(value)


def stored_to_json(value: Any) -> Any:
    """Return a value of the history the same way; what was stored as JSON stays as it is."""
    if isinstance(value, dict):
        return {key: stored_to_json(item) for key, item in value.items()}
    if isinstance(value, list):
        return [stored_to_json(item) for item in value]
    return value_to_json(value)


def _composite_to_json(value: bytes | DataSet | Template | ArrayValue) -> Any:
    if isinstance(value, bytes):
        return b64encode(value).decode("ascii")
    if isinstance(value, DataSet):
        return [
            {column: value_to_json(cell) for column, cell in zip(value.columns, row, strict=True)}
            for row in value.rows
        ]
    if isinstance(value, Template):
        return {metric.name or "": value_to_json(metric.value) for metric in value.metrics}
    return [value_to_json(item) for item in value]


def _name_float(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"


def value_from_json(datatype: DataType, told: Any) -> Value:
    """Return what a client meant; whether it fits the data type is judged later.

    Raises:
        ValueNotUnderstood: with what was found and what was expected.
    """
    if datatype in NOT_WRITABLE:
        raise ValueNotUnderstood(f"a {datatype.label} cannot be written, expected a simple value")
    if datatype in ARRAY_ELEMENT:
        if not isinstance(told, list):
            raise ValueNotUnderstood(f"value is {told!r}, expected a list for {datatype.label}")
        element = ARRAY_ELEMENT[datatype]
        return cast("ArrayValue", [value_from_json(element, item) for item in told])
    if datatype in _BYTES:
        return _bytes(datatype, told)
    if isinstance(told, str):
        if datatype in INTEGER_RANGE:
            return _integer(datatype, told)
        if datatype in _FLOATS:
            return _float(datatype, told)
    if isinstance(told, float) and datatype in INTEGER_RANGE and told.is_integer():
        return int(told)  # JavaScript knows one kind of number
    if isinstance(told, dict | list):
        raise ValueNotUnderstood(f"value is {told!r}, expected a {datatype.label}")
    found: Value = told
    return found


def _integer(datatype: DataType, told: str) -> int:
    digits = told.removeprefix("-")
    # No more digits than 64 bits have: converting very long ones takes very long.
    if not digits.isascii() or not digits.isdigit() or len(digits) > 20:
        raise ValueNotUnderstood(f"value is {told[:40]!r}, expected digits for {datatype.label}")
    return int(told)


def _float(datatype: DataType, told: str) -> float:
    if told not in _NOT_FINITE:
        raise ValueNotUnderstood(
            f"value is {told[:40]!r}, expected a number, NaN, Infinity or -Infinity "
            f"for {datatype.label}"
        )
    return _NOT_FINITE[told]


def _bytes(datatype: DataType, told: Any) -> bytes:
    try:
        return b64decode(told, validate=True)
    except (Base64Error, TypeError, ValueError) as exc:
        raise ValueNotUnderstood(f"value is no base64, expected it for {datatype.label}") from exc
