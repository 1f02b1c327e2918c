"""Wire objects → values and payloads. Every fault of the bytes is a ``PayloadError``.

Lenient where the meaning is beyond doubt: integers are taken from either integer field and in
every two's-complement width implementations use, a metric without value is null. Never lenient
where it is not: a number that its data type cannot hold is refused, not wrapped.
"""

from typing import Final, TypeAlias, cast

from google.protobuf.message import DecodeError

from proto import sparkplug_b_pb2, sparkplug_envelope_pb2
from proto.sparkplug.codec_scalars import READERS, Holder, Reader, checked_text, mismatch, read_text
from proto.sparkplug.compression import COMPRESSED_UUID, inflate
from proto.sparkplug.datatypes import BASIC_TYPES, PROPERTY_TYPES, DataType
from proto.sparkplug.errors import PayloadError
from proto.sparkplug.metrics import (
    Basic,
    DataSet,
    MetaData,
    Metric,
    Payload,
    Property,
    PropertyContent,
    PropertySet,
    Template,
    TemplateParameter,
    Value,
)

PbPayload: TypeAlias = sparkplug_b_pb2.Payload
PbMetric: TypeAlias = sparkplug_b_pb2.Payload.Metric
Envelope: TypeAlias = sparkplug_envelope_pb2.Envelope


def parse(data: bytes) -> PbPayload:
    """The wire object of a payload, decompressed where it is compressed.

    Raises:
        PayloadError: the bytes are no payload.
    """
    try:
        payload = sparkplug_b_pb2.Payload.FromString(data)
    except DecodeError as error:
        raise PayloadError(f"payload of {len(data)} bytes: {error}") from error
    if payload.uuid == COMPRESSED_UUID:
        return inflate(payload)
    return payload


def open_envelope(data: bytes) -> Envelope:
    """A payload whose metrics stay bytes, decompressed where it is compressed.

    Raises:
        PayloadError: the bytes are no payload; those of its metrics are not looked at.
    """
    try:
        envelope = sparkplug_envelope_pb2.Envelope.FromString(data)
    except DecodeError as error:
        raise PayloadError(f"payload of {len(data)} bytes: {error}") from error
    if envelope.uuid == COMPRESSED_UUID:
        return sparkplug_envelope_pb2.Envelope.FromString(parse(data).SerializeToString())
    return envelope


def decode_payload(data: bytes) -> Payload:
    """The payload as plain objects.

    Raises:
        PayloadError: the bytes are no payload, or a value does not fit its data type.
    """
    payload = parse(data)
    return Payload(
        timestamp_ms=payload.timestamp if payload.HasField("timestamp") else None,
        seq=payload.seq if payload.HasField("seq") else None,
        metrics=tuple(map(decode_metric, payload.metrics)),
        uuid=_text(payload, "uuid"),
        body=payload.body if payload.HasField("body") else None,
    )


def decode_metric(metric: PbMetric) -> Metric:
    """One metric as a plain object.

    Raises:
        PayloadError: an unknown data type, or a value that does not fit.
    """
    has = metric.HasField
    datatype = None
    if has("datatype"):
        datatype = _datatype(metric.datatype, f"metric {metric.name!r}")
    value = metric_value(metric, datatype) if datatype is not None else raw_value(metric)
    return Metric(
        name=_text(metric, "name"),
        datatype=datatype,
        value=value,
        timestamp_ms=metric.timestamp if has("timestamp") else None,
        alias=metric.alias if has("alias") else None,
        is_historical=metric.is_historical,
        is_transient=metric.is_transient,
        properties=decode_property_set(metric.properties) if has("properties") else None,
        metadata=_decode_metadata(metric.metadata) if has("metadata") else None,
    )


def metric_value(metric: PbMetric, datatype: int) -> Value:
    """One value, as its data type means it; ``None`` when it is null or absent.

    Hot path: costs little more than reading the field.

    Raises:
        PayloadError: an unknown data type, or a value that does not fit.
    """
    if metric.is_null:
        return None
    read = _READERS.get(datatype)
    if read is None:
        raise PayloadError(
            f"metric {metric.name or metric.alias!r}: data type is {datatype}, expected 1 to 34"
        )
    return read(metric)


def raw_value(metric: PbMetric) -> Value:
    """The value of a metric that tells no data type: integers unsigned, arrays as bytes.

    Raises:
        PayloadError: text that is not UTF-8, or a broken data set or template.
    """
    field = metric.WhichOneof("value")
    if metric.is_null or field is None or field == "extension_value":
        return None
    if field == "dataset_value":
        return _read_dataset(metric)
    if field == "template_value":
        return _read_template(metric)
    if field == "string_value":
        return read_text(metric)
    return cast("Value", getattr(metric, field))


def decode_property_set(wire: sparkplug_b_pb2.Payload.PropertySet) -> dict[str, Property]:
    """Properties by name.

    Raises:
        PayloadError: keys and values differ in number, or a value does not fit.
    """
    if len(wire.keys) != len(wire.values):
        raise PayloadError(
            f"property set: {len(wire.keys)} keys and {len(wire.values)} values, "
            "expected as many values as keys"
        )
    return {
        checked_text(key, "property name"): _decode_property(key, value)
        for key, value in zip(wire.keys, wire.values, strict=True)
    }


def _decode_property(key: str, wire: sparkplug_b_pb2.Payload.PropertyValue) -> Property:
    field = wire.WhichOneof("value")
    if wire.HasField("type"):
        datatype = _datatype(wire.type, f"property {key!r}")
        if datatype not in PROPERTY_TYPES:
            raise PayloadError(
                f"property {key!r}: data type is {datatype.label}, "
                "expected a basic type or a property set"
            )
    elif field in _INFERRED:  # data messages may leave the type out (6.4.9)
        datatype = _INFERRED[field]
    else:
        raise PayloadError(f"property {key!r}: neither type nor value, expected a type")
    value: PropertyContent
    if wire.is_null or field is None:
        value = None
    elif datatype is DataType.PROPERTY_SET:
        value = decode_property_set(wire.propertyset_value)
    elif datatype is DataType.PROPERTY_SET_LIST:
        sets: list[PropertySet] = [
            decode_property_set(each) for each in wire.propertysets_value.propertyset
        ]
        value = sets
    else:
        value = _basic(wire, datatype)
    return Property(datatype, value)


_INFERRED: Final = {
    "int_value": DataType.INT32,
    "long_value": DataType.INT64,
    "float_value": DataType.FLOAT,
    "double_value": DataType.DOUBLE,
    "boolean_value": DataType.BOOLEAN,
    "string_value": DataType.STRING,
    "propertyset_value": DataType.PROPERTY_SET,
    "propertysets_value": DataType.PROPERTY_SET_LIST,
}


def _decode_metadata(wire: sparkplug_b_pb2.Payload.MetaData) -> MetaData:
    has = wire.HasField
    return MetaData(
        is_multi_part=wire.is_multi_part if has("is_multi_part") else None,
        content_type=_text(wire, "content_type"),
        size=wire.size if has("size") else None,
        seq=wire.seq if has("seq") else None,
        file_name=_text(wire, "file_name"),
        file_type=_text(wire, "file_type"),
        md5=_text(wire, "md5"),
        description=_text(wire, "description"),
    )


def _datatype(number: int, subject: str) -> DataType:
    try:
        return DataType(number)
    except ValueError as error:
        raise PayloadError(f"{subject}: data type is {number}, expected 1 to 34") from error


def _text(wire: Holder, field: str) -> str | None:
    return checked_text(getattr(wire, field), field) if wire.HasField(field) else None


def _basic(holder: Holder, datatype: DataType) -> Basic:
    return cast("Basic", _READERS[datatype](holder))


def _read_dataset(holder: Holder) -> DataSet | None:
    if not holder.HasField("dataset_value"):
        if holder.WhichOneof("value") is None:
            return None
        raise mismatch(holder, DataType.DATASET, "dataset_value")
    wire: sparkplug_b_pb2.Payload.DataSet = holder.dataset_value
    width = len(wire.columns)
    if len(wire.types) != width or (
        wire.HasField("num_of_columns") and wire.num_of_columns != width
    ):
        raise PayloadError(
            f"DataSet: {width} columns, {len(wire.types)} types, num_of_columns "
            f"{wire.num_of_columns}, expected as many of each"
        )
    types = tuple(_datatype(number, "DataSet column") for number in wire.types)
    if not BASIC_TYPES.issuperset(types):
        raise PayloadError(f"DataSet: column types are {list(wire.types)}, expected 1 to 14")
    rows = []
    for row in wire.rows:
        if len(row.elements) != width:
            raise PayloadError(f"DataSet: row of {len(row.elements)} elements, expected {width}")
        rows.append(tuple(map(_basic, row.elements, types)))
    columns = tuple(checked_text(column, "DataSet column") for column in wire.columns)
    return DataSet(columns, types, tuple(rows))


def _read_template(holder: Holder) -> Template | None:
    if not holder.HasField("template_value"):
        if holder.WhichOneof("value") is None:
            return None
        raise mismatch(holder, DataType.TEMPLATE, "template_value")
    wire: sparkplug_b_pb2.Payload.Template = holder.template_value
    return Template(
        metrics=tuple(map(decode_metric, wire.metrics)),
        template_ref=_text(wire, "template_ref") or None,
        is_definition=wire.is_definition,
        version=_text(wire, "version"),
        parameters=tuple(map(_decode_parameter, wire.parameters)),
    )


def _decode_parameter(wire: sparkplug_b_pb2.Payload.Template.Parameter) -> TemplateParameter:
    name = checked_text(wire.name, "template parameter")
    datatype = _datatype(wire.type, f"template parameter {name!r}")
    if datatype not in BASIC_TYPES:
        raise PayloadError(
            f"template parameter {name!r}: data type is {datatype.label}, expected a basic type"
        )
    return TemplateParameter(name, datatype, _basic(wire, datatype))


_READERS: Final[dict[int, Reader]] = {
    **READERS,
    DataType.DATASET: _read_dataset,
    DataType.TEMPLATE: _read_template,
}
