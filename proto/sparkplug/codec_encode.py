"""Payloads and values → wire objects. Values are checked first; what does not fit is our mistake.

Small integers travel two's-complement in ``int_value``. For UInt32 the specification's table says
``int_value`` and the official compatibility kit wants ``long_value``, as the reference
implementation writes it: ``uint32_as_long`` chooses.
"""

from typing import Final, cast

from proto import sparkplug_b_pb2
from proto.sparkplug import arrays
from proto.sparkplug.codec_scalars import Holder
from proto.sparkplug.datatypes import ARRAY_ELEMENT, DataType
from proto.sparkplug.errors import ValueOutOfRange, WrongType
from proto.sparkplug.metrics import (
    ArrayValue,
    DataSet,
    MetaData,
    Metric,
    Payload,
    PropertyContent,
    PropertySet,
    Template,
    Value,
)
from proto.sparkplug.values import check_property, check_value

_FIELDS: Final[dict[DataType, str]] = {
    DataType.INT8: "int_value",
    DataType.INT16: "int_value",
    DataType.INT32: "int_value",
    DataType.INT64: "long_value",
    DataType.UINT8: "int_value",
    DataType.UINT16: "int_value",
    DataType.UINT32: "int_value",
    DataType.UINT64: "long_value",
    DataType.FLOAT: "float_value",
    DataType.DOUBLE: "double_value",
    DataType.BOOLEAN: "boolean_value",
    DataType.STRING: "string_value",
    DataType.DATETIME: "long_value",
    DataType.TEXT: "string_value",
    DataType.UUID: "string_value",
    DataType.BYTES: "bytes_value",
    DataType.FILE: "bytes_value",
    **dict.fromkeys(ARRAY_ELEMENT, "bytes_value"),
}
_MODULUS: Final = {"int_value": 2**32, "long_value": 2**64}
_UINT64_MAX: Final = 2**64 - 1


def encode_payload(payload: Payload, *, uint32_as_long: bool = False) -> bytes:
    """The bytes of a payload.

    A metric without data type is written as its Python value says; integers must not be negative
    then, and floats travel as doubles.

    Raises:
        WrongType: a value of another kind than its data type.
        ValueOutOfRange: a value, timestamp, alias or seq that does not fit.
    """
    return build_payload(payload, uint32_as_long=uint32_as_long).SerializeToString()


def build_payload(payload: Payload, *, uint32_as_long: bool = False) -> sparkplug_b_pb2.Payload:
    """The wire object of a payload; raises as ``encode_payload``."""
    wire = sparkplug_b_pb2.Payload()
    _set_unsigned(wire, "timestamp", payload.timestamp_ms, "payload timestamp")
    _set_unsigned(wire, "seq", payload.seq, "payload seq")
    for metric in payload.metrics:
        put_metric(wire.metrics.add(), metric, uint32_as_long=uint32_as_long)
    _set_text(wire, "uuid", payload.uuid)
    if payload.body is not None:
        wire.body = payload.body
    return wire


def put_metric(
    wire: sparkplug_b_pb2.Payload.Metric, metric: Metric, *, uint32_as_long: bool
) -> None:
    """Fill an empty wire metric; raises as ``encode_payload``."""
    subject = f"metric {metric.name!r}" if metric.name is not None else f"alias {metric.alias}"
    _set_text(wire, "name", metric.name)
    _set_unsigned(wire, "alias", metric.alias, f"{subject}: alias")
    _set_unsigned(wire, "timestamp", metric.timestamp_ms, f"{subject}: timestamp")
    if metric.is_historical:
        wire.is_historical = True
    if metric.is_transient:
        wire.is_transient = True
    if metric.metadata is not None:
        _put_metadata(wire.metadata, metric.metadata)
    if metric.properties is not None:
        checked = cast(
            "PropertySet", check_property(DataType.PROPERTY_SET, metric.properties, subject)
        )
        wire.properties.SetInParent()  # an empty set is told apart from none
        _put_property_set(wire.properties, checked, uint32_as_long)
    if metric.datatype is not None:
        wire.datatype = metric.datatype
        value = check_value(metric.datatype, metric.value, subject)
    else:
        value = metric.value
    if value is None:
        wire.is_null = True
    elif metric.datatype is None:
        _put_untyped(wire, value, subject, uint32_as_long)
    else:
        put_value(wire, metric.datatype, value, uint32_as_long=uint32_as_long)


def put_value(holder: Holder, datatype: DataType, value: Value, *, uint32_as_long: bool) -> None:
    """Write a checked value that is not null into its field."""
    if datatype is DataType.DATASET:
        _put_dataset(holder.dataset_value, cast("DataSet", value), uint32_as_long)
    elif datatype is DataType.TEMPLATE:
        _put_template(holder.template_value, cast("Template", value), uint32_as_long)
    elif datatype in ARRAY_ELEMENT:
        holder.bytes_value = arrays.pack_array(datatype, cast("ArrayValue", value))
    else:
        field = _FIELDS[datatype]
        if uint32_as_long and datatype is DataType.UINT32:
            field = "long_value"
        if (modulus := _MODULUS.get(field)) is not None:
            value = cast("int", value) % modulus
        setattr(holder, field, value)


def _put_untyped(
    wire: sparkplug_b_pb2.Payload.Metric, value: Value, subject: str, uint32_as_long: bool
) -> None:
    if isinstance(value, bool):
        wire.boolean_value = value
    elif isinstance(value, int):
        if not 0 <= value <= _UINT64_MAX:
            raise ValueOutOfRange(f"{subject}: {value} without data type, expected 0 to 2**64-1")
        if value < _MODULUS["int_value"]:
            wire.int_value = value
        else:
            wire.long_value = value
    elif isinstance(value, float):
        wire.double_value = value
    elif isinstance(value, str):
        wire.string_value = cast("str", check_value(DataType.STRING, value, subject))
    elif isinstance(value, bytes):
        wire.bytes_value = value
    elif isinstance(value, DataSet):
        checked = cast("DataSet", check_value(DataType.DATASET, value, subject))
        _put_dataset(wire.dataset_value, checked, uint32_as_long)
    elif isinstance(value, Template):
        check_value(DataType.TEMPLATE, value, subject)
        _put_template(wire.template_value, value, uint32_as_long)
    else:
        raise WrongType(f"{subject}: {type(value).__name__} without data type, expected one")


def _put_dataset(
    wire: sparkplug_b_pb2.Payload.DataSet, dataset: DataSet, uint32_as_long: bool
) -> None:
    wire.num_of_columns = len(dataset.columns)
    wire.columns.extend(dataset.columns)
    wire.types.extend(dataset.types)
    for row in dataset.rows:
        elements = wire.rows.add().elements
        for datatype, value in zip(dataset.types, row, strict=True):
            element = elements.add()
            if value is not None:  # an element without value is the only null there is
                put_value(element, datatype, value, uint32_as_long=uint32_as_long)


def _put_template(
    wire: sparkplug_b_pb2.Payload.Template, template: Template, uint32_as_long: bool
) -> None:
    wire.is_definition = template.is_definition  # explicit in both cases (6.4.14)
    _set_text(wire, "version", template.version)
    _set_text(wire, "template_ref", template.template_ref)
    for member in template.metrics:
        put_metric(wire.metrics.add(), member, uint32_as_long=uint32_as_long)
    for parameter in template.parameters:
        subject = f"template parameter {parameter.name!r}"
        held = wire.parameters.add(name=parameter.name, type=parameter.datatype)
        value = check_value(parameter.datatype, parameter.value, subject)
        if value is not None:
            put_value(held, parameter.datatype, value, uint32_as_long=uint32_as_long)


def _put_metadata(wire: sparkplug_b_pb2.Payload.MetaData, metadata: MetaData) -> None:
    wire.SetInParent()
    if metadata.is_multi_part is not None:
        wire.is_multi_part = metadata.is_multi_part
    _set_unsigned(wire, "size", metadata.size, "metadata size")
    _set_unsigned(wire, "seq", metadata.seq, "metadata seq")
    for field in ("content_type", "file_name", "file_type", "md5", "description"):
        _set_text(wire, field, getattr(metadata, field))


def _put_property_set(
    wire: sparkplug_b_pb2.Payload.PropertySet, properties: PropertySet, uint32_as_long: bool
) -> None:
    for name, prop in properties.items():
        wire.keys.append(name)
        held = wire.values.add(type=prop.datatype)
        if prop.value is None:
            held.is_null = True
        else:
            _put_property(held, prop.datatype, prop.value, uint32_as_long)


def _put_property(
    held: sparkplug_b_pb2.Payload.PropertyValue,
    datatype: DataType,
    value: PropertyContent,
    uint32_as_long: bool,
) -> None:
    if datatype is DataType.PROPERTY_SET:
        held.propertyset_value.SetInParent()
        _put_property_set(held.propertyset_value, cast("PropertySet", value), uint32_as_long)
    elif datatype is DataType.PROPERTY_SET_LIST:
        held.propertysets_value.SetInParent()
        for each in cast("list[PropertySet]", value):
            _put_property_set(held.propertysets_value.propertyset.add(), each, uint32_as_long)
    else:
        put_value(held, datatype, cast("Value", value), uint32_as_long=uint32_as_long)


def _set_unsigned(wire: Holder, field: str, value: object, subject: str) -> None:
    if value is None:
        return
    if not isinstance(value, int) or isinstance(value, bool):
        raise WrongType(f"{subject}: found {value!r}, expected an integer")
    if not 0 <= value <= _UINT64_MAX:
        raise ValueOutOfRange(f"{subject}: {value} does not fit, expected 0 to 2**64-1")
    setattr(wire, field, value)


def _set_text(wire: Holder, field: str, value: str | None) -> None:
    if value is not None:
        setattr(wire, field, check_value(DataType.STRING, value, field))
