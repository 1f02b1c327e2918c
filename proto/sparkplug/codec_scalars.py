"""Reading one scalar or array off the wire, by its data type.

Metrics, properties, data set elements and template parameters share field names, so one reader
serves them all. The quick path of each reader is one field read; whatever is not plain (zero,
negative, another field than the usual, nothing at all) takes the careful one.
"""

from collections.abc import Callable
from typing import Any, Final, TypeAlias, cast

from proto.sparkplug import arrays
from proto.sparkplug.datatypes import ARRAY_ELEMENT, INTEGER_RANGE, DataType
from proto.sparkplug.errors import PayloadError
from proto.sparkplug.metrics import Value

Holder: TypeAlias = Any
"""A metric, property, data set element or template parameter of protobuf's making."""

Reader: TypeAlias = Callable[[Holder], Value]

_INTEGER_FIELDS: Final = frozenset({"int_value", "long_value"})


def checked_text(text: object, subject: str) -> str:
    """The text protobuf read; it gives text that is not UTF-8 as bytes.

    Raises:
        PayloadError: not UTF-8.
    """
    if not isinstance(text, str):
        raise PayloadError(f"{subject}: {text!r} is not UTF-8")
    return text


def mismatch(holder: Holder, datatype: DataType, expected: str) -> PayloadError:
    """The error of a value in a field that its data type never uses."""
    found = holder.WhichOneof("value")
    return PayloadError(f"{datatype.label} in {found}, expected {expected}")


def _integer_reader(datatype: DataType) -> Callable[[Holder], int | None]:
    """The careful way: every field and width an integer may come in."""
    low, high = INTEGER_RANGE[datatype]
    modulus = high - low + 1

    def read(holder: Holder) -> int | None:
        field = holder.WhichOneof("value")
        if field is None:
            return None
        if field not in _INTEGER_FIELDS:
            raise mismatch(holder, datatype, "int_value or long_value")
        found: int = getattr(holder, field)
        if found <= high:
            return found
        for span in (modulus, 2**32, 2**64):  # negative, in the width the sender gave it
            if low <= found - span < 0:
                return found - span
        raise PayloadError(f"{datatype.label}: {found} does not fit, expected {low} to {high}")

    return read


_CAREFUL: Final = {datatype: _integer_reader(datatype) for datatype in INTEGER_RANGE}


def _small_reader(datatype: DataType) -> Callable[[Holder], int | None]:
    careful = _CAREFUL[datatype]
    high = INTEGER_RANGE[datatype][1]

    def read(holder: Holder) -> int | None:
        found: int = holder.int_value
        return found if 0 < found <= high else careful(holder)

    return read


def _long_reader(datatype: DataType) -> Callable[[Holder], int | None]:
    careful = _CAREFUL[datatype]
    high = INTEGER_RANGE[datatype][1]

    def read(holder: Holder) -> int | None:
        found: int = holder.long_value
        return found if 0 < found <= high else careful(holder)

    return read


def _read_float(holder: Holder) -> float | None:
    found: float = holder.float_value
    if found or holder.HasField("float_value"):
        return found
    field = holder.WhichOneof("value")
    if field == "double_value":
        return cast("float", holder.double_value)
    if field is None:
        return None
    raise mismatch(holder, DataType.FLOAT, "float_value")


def _read_double(holder: Holder) -> float | None:
    found: float = holder.double_value
    if found or holder.HasField("double_value"):
        return found
    field = holder.WhichOneof("value")
    if field == "float_value":
        return cast("float", holder.float_value)
    if field is None:
        return None
    raise mismatch(holder, DataType.DOUBLE, "double_value")


def _read_boolean(holder: Holder) -> bool | None:
    found: bool = holder.boolean_value
    if found or holder.HasField("boolean_value"):
        return found
    field = holder.WhichOneof("value")
    if field is None:
        return None
    if field in _INTEGER_FIELDS and (number := getattr(holder, field)) in {0, 1}:
        return bool(number)
    raise mismatch(holder, DataType.BOOLEAN, "boolean_value")


def read_text(holder: Holder) -> str | None:
    """Text of any of the three kinds."""
    found = holder.string_value
    if found or holder.HasField("string_value"):
        return checked_text(found, "text")
    if holder.WhichOneof("value") is None:
        return None
    raise mismatch(holder, DataType.STRING, "string_value")


def _read_bytes(holder: Holder) -> bytes | None:
    found: bytes = holder.bytes_value
    if found or holder.HasField("bytes_value"):
        return found
    if holder.WhichOneof("value") is None:
        return None
    raise mismatch(holder, DataType.BYTES, "bytes_value")


def _array_reader(datatype: DataType) -> Reader:
    def read(holder: Holder) -> Value:
        packed = _read_bytes(holder)
        return None if packed is None else arrays.unpack_array(datatype, packed)

    return read


_SMALL: Final = (
    DataType.INT8,
    DataType.INT16,
    DataType.INT32,
    DataType.UINT8,
    DataType.UINT16,
    DataType.UINT32,
)
_LONG: Final = (DataType.INT64, DataType.UINT64, DataType.DATETIME)

READERS: Final[dict[int, Reader]] = {
    **{datatype: _small_reader(datatype) for datatype in _SMALL},
    **{datatype: _long_reader(datatype) for datatype in _LONG},
    DataType.FLOAT: _read_float,
    DataType.DOUBLE: _read_double,
    DataType.BOOLEAN: _read_boolean,
    DataType.STRING: read_text,
    DataType.TEXT: read_text,
    DataType.UUID: read_text,
    DataType.BYTES: _read_bytes,
    DataType.FILE: _read_bytes,
    **{datatype: _array_reader(datatype) for datatype in ARRAY_ELEMENT},
}
"""Every data type but DataSet and Template, which are made of others."""
