"""Does a value fit its data type: said before anything is encoded.

Nothing is repaired: a boolean is no integer, 300 is no UInt8. What is allowed beyond the exact kind
is an ``int`` where a float is wanted, and tuples where lists are.
"""

import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Final
from uuid import UUID

from proto.sparkplug.datatypes import (
    ARRAY_ELEMENT,
    BASIC_TYPES,
    INTEGER_RANGE,
    PROPERTY_TYPES,
    DataType,
)
from proto.sparkplug.errors import ValueOutOfRange, WrongType
from proto.sparkplug.metrics import (
    DataSet,
    Property,
    PropertyContent,
    PropertySet,
    Template,
    Value,
)

_FLOAT32: Final = struct.Struct("<f")
_SHOWN_CHARACTERS: Final = 60


def check_value(datatype: DataType, value: object, subject: str = "value") -> Value:
    """The value as the wire will give it back; ``None`` (null) fits every data type.

    Floats of type Float come back rounded to 32 bits, integers given for floats as floats, tuples
    given for arrays as lists. Members of templates are checked when they are encoded.

    Args:
        datatype: what it should be.
        value: what it is.
        subject: whom an error message names.

    Raises:
        WrongType: another kind of value.
        ValueOutOfRange: the right kind, but more than the data type holds.
    """
    if value is None:
        return None
    check = _CHECKS.get(datatype)
    if check is None:
        raise WrongType(f"{subject}: data type {datatype!r} is not for metrics")
    return check(datatype, value, subject)


def check_property(datatype: DataType, value: object, subject: str = "property") -> PropertyContent:
    """The same for a property: basic types, property sets and lists of them (6.4.9).

    Raises:
        WrongType: another kind of value, or a data type that properties cannot have.
        ValueOutOfRange: more than the data type holds.
    """
    if datatype not in PROPERTY_TYPES:
        raise WrongType(
            f"{subject}: data type is {_label(datatype)}, expected a basic type or a property set"
        )
    if value is None:
        return None
    if datatype is DataType.PROPERTY_SET:
        return _check_property_set(value, subject)
    if datatype is DataType.PROPERTY_SET_LIST:
        if isinstance(value, (str, bytes)) or not isinstance(value, Sequence):
            raise _wrong(subject, value, "a list of property sets")
        return [_check_property_set(item, f"{subject}[{i}]") for i, item in enumerate(value)]
    return _CHECKS[datatype](datatype, value, subject)  # type: ignore[return-value]  # basic types


def _check_property_set(value: object, subject: str) -> PropertySet:
    if not isinstance(value, Mapping):
        raise _wrong(subject, value, "a property set")
    checked: dict[str, Property] = {}
    for name, prop in value.items():
        if not isinstance(prop, Property):
            raise _wrong(f"{subject}.{name}", prop, "a Property")
        where = f"{subject}.{_check_text(DataType.STRING, name, subject)}"
        checked[name] = Property(prop.datatype, check_property(prop.datatype, prop.value, where))
    return checked


def _label(datatype: object) -> str:
    return datatype.label if isinstance(datatype, DataType) else repr(datatype)


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 1] + "…"


def _wrong(subject: str, value: object, expected: str) -> WrongType:
    found = f"{type(value).__name__} {_shown(value)}"
    return WrongType(f"{subject}: found {found}, expected {expected}")


def _check_integer(datatype: DataType, value: object, subject: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise _wrong(subject, value, f"an integer for {datatype.label}")
    low, high = INTEGER_RANGE[datatype]
    if not low <= value <= high:
        raise ValueOutOfRange(
            f"{subject}: {value} does not fit {datatype.label}, expected {low} to {high}"
        )
    return int(value)


def _check_float(datatype: DataType, value: object, subject: str) -> float:
    if not isinstance(value, (float, int)) or isinstance(value, bool):
        raise _wrong(subject, value, f"a number for {datatype.label}")
    try:
        if datatype is DataType.DOUBLE:
            return float(value)
        rounded: float = _FLOAT32.unpack(_FLOAT32.pack(value))[0]
    except OverflowError as error:
        limit = "±3.4028235e38" if datatype is DataType.FLOAT else "±1.797e308"
        raise ValueOutOfRange(
            f"{subject}: {_shown(value)} does not fit {datatype.label}, expected within {limit}"
        ) from error
    return rounded


def _check_boolean(datatype: DataType, value: object, subject: str) -> bool:
    if not isinstance(value, bool):
        raise _wrong(subject, value, f"true or false for {datatype.label}")
    return value


def _check_text(datatype: DataType, value: object, subject: str) -> str:
    if not isinstance(value, str):
        raise _wrong(subject, value, f"text for {datatype.label}")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise _wrong(subject, value, "text that UTF-8 can carry, no lone surrogates") from error
    return value


def _check_uuid(datatype: DataType, value: object, subject: str) -> str:
    text = _check_text(datatype, value, subject)
    try:
        UUID(text)
    except ValueError as error:
        raise _wrong(subject, value, "32 hexadecimal digits for UUID") from error
    return text


def _check_bytes(datatype: DataType, value: object, subject: str) -> bytes:
    if not isinstance(value, (bytes, bytearray, memoryview)):
        raise _wrong(subject, value, f"bytes for {datatype.label}")
    return bytes(value)


def _check_array(datatype: DataType, value: object, subject: str) -> Value:
    if not isinstance(value, (list, tuple)):
        raise _wrong(subject, value, f"a list for {datatype.label}")
    element = ARRAY_ELEMENT[datatype]
    check = _CHECKS[element]
    checked = [check(element, item, f"{subject}[{i}]") for i, item in enumerate(value)]
    if datatype is DataType.STRING_ARRAY:
        for i, text in enumerate(value):
            if "\x00" in text:  # strings of an array are NUL-terminated (6.4.17)
                raise _wrong(f"{subject}[{i}]", text, "text without NUL")
    return checked  # type: ignore[return-value]  # the element check gave each its kind


def _check_dataset(_datatype: DataType, value: object, subject: str) -> DataSet:
    if not isinstance(value, DataSet):
        raise _wrong(subject, value, "a DataSet")
    if len(value.columns) != len(value.types):
        raise WrongType(
            f"{subject}: {len(value.columns)} columns and {len(value.types)} types, "
            "expected as many types as columns"
        )
    for column, kind in zip(value.columns, value.types, strict=True):
        _check_text(DataType.STRING, column, subject)
        if kind not in BASIC_TYPES:
            raise WrongType(f"{subject}.{column}: column is {_label(kind)}, expected a basic type")
    rows = []
    for number, row in enumerate(value.rows):
        if len(row) != len(value.columns):
            raise WrongType(
                f"{subject} row {number}: {len(row)} elements, expected {len(value.columns)}"
            )
        rows.append(
            tuple(
                None if item is None else _CHECKS[kind](kind, item, f"{subject}[{number}].{column}")
                for item, kind, column in zip(row, value.types, value.columns, strict=True)
            )
        )
    return DataSet(value.columns, value.types, tuple(rows))  # type: ignore[arg-type]  # basic types


def _check_template(_datatype: DataType, value: object, subject: str) -> Template:
    if not isinstance(value, Template):
        raise _wrong(subject, value, "a Template")
    if value.is_definition and value.template_ref is not None:
        raise WrongType(
            f"{subject}: template definition refers to {value.template_ref!r}, "
            "expected no reference"
        )
    if not value.is_definition and not value.template_ref:
        raise WrongType(f"{subject}: template instance without reference, expected a definition's")
    for parameter in value.parameters:
        where = f"{subject}.{parameter.name}"
        if not parameter.name or parameter.datatype not in BASIC_TYPES:
            raise WrongType(
                f"{where}: parameter is {_label(parameter.datatype)}, "
                "expected a name and a basic type"
            )
        check_value(parameter.datatype, parameter.value, where)
    for member in value.metrics:
        if not member.name or member.datatype is None:
            raise WrongType(f"{subject}: member {member.name!r} needs a name and a data type")
        check_value(member.datatype, member.value, f"{subject}.{member.name}")
    return value


_CHECKS: Final[dict[DataType, Callable[[DataType, object, str], Value]]] = {
    **dict.fromkeys(INTEGER_RANGE, _check_integer),
    DataType.FLOAT: _check_float,
    DataType.DOUBLE: _check_float,
    DataType.BOOLEAN: _check_boolean,
    DataType.STRING: _check_text,
    DataType.TEXT: _check_text,
    DataType.UUID: _check_uuid,
    DataType.BYTES: _check_bytes,
    DataType.FILE: _check_bytes,
    **dict.fromkeys(ARRAY_ELEMENT, _check_array),
    DataType.DATASET: _check_dataset,
    DataType.TEMPLATE: _check_template,
}
