"""Payloads, properties, metadata, data sets and templates ⇄ bytes."""

import pytest

from proto import sparkplug_b_pb2 as pb
from proto.sparkplug.codec import (
    Metric,
    Payload,
    decode_payload,
    decode_property_set,
    encode_payload,
    parse,
)
from proto.sparkplug.datatypes import DataType
from proto.sparkplug.errors import PayloadError
from proto.sparkplug.metrics import (
    DataSet,
    MetaData,
    Property,
    Template,
    TemplateParameter,
    quality_property,
)

MOTOR = Template(
    metrics=(
        Metric("speed", DataType.DOUBLE, 0.0),
        Metric("name", DataType.STRING, None),
        Metric("count", DataType.UINT32, 7, is_transient=True),
    ),
    is_definition=True,
    version="1.2",
    parameters=(
        TemplateParameter("poles", DataType.INT32, -4),
        TemplateParameter("vendor", DataType.STRING, "ACME"),
        TemplateParameter("open", DataType.BOOLEAN, None),
    ),
)
PUMP = Template(
    metrics=(
        Metric("speed", DataType.DOUBLE, 1.5, 1_700_000_000_000),
        Metric("name", DataType.STRING, "P1"),
        Metric("count", DataType.UINT32, 2**32 - 1),
    ),
    template_ref="Motor",
    parameters=(TemplateParameter("poles", DataType.INT32, 2),),
)
TABLE = DataSet(
    ("i8", "u64", "text", "on", "at"),
    (
        DataType.INT8,
        DataType.UINT64,
        DataType.STRING,
        DataType.BOOLEAN,
        DataType.DATETIME,
    ),
    ((-128, 2**64 - 1, "ä", True, 0), (None, None, None, None, None), (127, 0, "", False, 5)),
)
PROPERTIES = {
    "Quality": quality_property(0),
    "engUnit": Property(DataType.STRING, "°C"),
    "engLow": Property(DataType.DOUBLE, -20.0),
    "readOnly": Property(DataType.BOOLEAN, True),
    "nothing": Property(DataType.INT64, None),
    "set": Property(DataType.PROPERTY_SET, {"x": Property(DataType.INT8, -1)}),
    "empty": Property(DataType.PROPERTY_SET, {}),
    "list": Property(DataType.PROPERTY_SET_LIST, [{}, {"y": Property(DataType.TEXT, "z")}]),
}
METADATA = MetaData(
    is_multi_part=False,
    content_type="text/plain",
    size=2**64 - 1,
    seq=0,
    file_name="a.txt",
    file_type="txt",
    md5="d41d8cd98f00b204e9800998ecf8427e",
    description="",
)


def wire_of(metric: Metric) -> pb.Payload.Metric:
    return parse(encode_payload(Payload(metrics=(metric,)))).metrics[0]


@pytest.mark.parametrize("uint32_as_long", [False, True])
@pytest.mark.parametrize(
    "payload",
    [
        Payload(),
        Payload(timestamp_ms=0, seq=0),
        Payload(timestamp_ms=2**64 - 1, seq=255, uuid="u", body=b"\x00"),
        Payload(metrics=(Metric(),)),
        Payload(metrics=(Metric("", DataType.STRING, "", 0, 0),)),
        Payload(metrics=(Metric("m", DataType.INT8, 5, 1, 2, True, True),)),
        Payload(metrics=(Metric("m", DataType.INT8, 5, properties={}, metadata=MetaData()),)),
        Payload(metrics=(Metric("m", DataType.INT8, 5, properties=PROPERTIES),)),
        Payload(metrics=(Metric("m", DataType.FILE, b"x", metadata=METADATA),)),
        Payload(metrics=(Metric("m", DataType.DATASET, TABLE),)),
        Payload(metrics=(Metric("m", DataType.DATASET, DataSet((), ())),)),
        Payload(metrics=(Metric("Motor", DataType.TEMPLATE, MOTOR),)),
        Payload(metrics=(Metric("P1", DataType.TEMPLATE, PUMP),)),
        Payload(
            metrics=(
                Metric(
                    "line",
                    DataType.TEMPLATE,
                    Template((Metric("P1", DataType.TEMPLATE, PUMP),), "Line"),
                ),
            )
        ),
    ],
)
def test_payloads_come_back_as_they_were(payload: Payload, uint32_as_long: bool) -> None:
    data = encode_payload(payload, uint32_as_long=uint32_as_long)

    assert decode_payload(data) == payload


def test_structures_without_data_type_come_back_as_they_were() -> None:
    payload = Payload(metrics=(Metric(alias=1, value=TABLE), Metric(alias=2, value=PUMP)))

    assert decode_payload(encode_payload(payload)) == payload


@pytest.mark.tck(
    "payloads-propertyset-keys-array-size",
    "payloads-propertyset-values-array-size",
    "payloads-metric-propertyvalue-type-type",
    "payloads-metric-propertyvalue-type-req",
)
def test_property_set_has_a_typed_value_for_each_key() -> None:
    properties = wire_of(Metric("m", DataType.INT8, 5, properties=PROPERTIES)).properties

    assert list(properties.keys) == list(PROPERTIES)
    assert [value.type for value in properties.values] == [
        prop.datatype for prop in PROPERTIES.values()
    ]


@pytest.mark.tck(
    "payloads-propertyset-quality-value-type", "payloads-propertyset-quality-value-value"
)
def test_quality_travels_as_int32_in_int_value() -> None:
    quality = wire_of(Metric("m", DataType.INT8, 5, properties=PROPERTIES)).properties.values[0]

    assert (quality.type, quality.WhichOneof("value"), quality.int_value) == (3, "int_value", 0)


def test_property_set_of_unequal_lengths_is_refused() -> None:
    wire = pb.Payload.PropertySet(keys=["a"])

    with pytest.raises(PayloadError, match="1 keys and 0 values"):
        decode_property_set(wire)


def test_property_without_type_is_typed_by_its_field() -> None:
    wire = pb.Payload.PropertySet(keys=["a", "b"])
    wire.values.add(int_value=2**32 - 1)
    wire.values.add(string_value="x")

    assert decode_property_set(wire) == {
        "a": Property(DataType.INT32, -1),
        "b": Property(DataType.STRING, "x"),
    }


@pytest.mark.parametrize(
    "value",
    [
        pb.Payload.PropertyValue(),
        pb.Payload.PropertyValue(type=99, int_value=5),
        pb.Payload.PropertyValue(type=DataType.BYTES, int_value=5),
        pb.Payload.PropertyValue(type=DataType.INT8, int_value=300),
    ],
)
def test_property_that_says_nothing_sensible_is_refused(value: pb.Payload.PropertyValue) -> None:
    wire = pb.Payload.PropertySet(keys=["a"], values=[value])

    with pytest.raises(PayloadError):
        decode_property_set(wire)


@pytest.mark.tck(
    "payloads-dataset-column-size",
    "payloads-dataset-column-num-headers",
    "payloads-dataset-types-def",
    "payloads-dataset-types-num",
    "payloads-dataset-types-type",
    "payloads-dataset-parameter-type-req",
    "payloads-template-dataset-value",
)
def test_data_set_tells_its_columns_and_their_types() -> None:
    wire = wire_of(Metric("m", DataType.DATASET, TABLE)).dataset_value

    assert wire.num_of_columns == 5
    assert list(wire.columns) == list(TABLE.columns)
    assert list(wire.types) == [1, 8, 12, 11, 13]
    assert [element.WhichOneof("value") for element in wire.rows[0].elements] == [
        "int_value",
        "long_value",
        "string_value",
        "boolean_value",
        "long_value",
    ]
    assert all(element.WhichOneof("value") is None for element in wire.rows[1].elements)


@pytest.mark.parametrize(
    "dataset",
    [
        pb.Payload.DataSet(num_of_columns=2, columns=["a"], types=[1]),
        pb.Payload.DataSet(num_of_columns=1, columns=["a"]),
        pb.Payload.DataSet(columns=["a"], types=[17]),
        pb.Payload.DataSet(columns=["a"], types=[99]),
        pb.Payload.DataSet(columns=["a"], types=[1], rows=[pb.Payload.DataSet.Row()]),
    ],
)
def test_data_set_at_odds_with_itself_is_refused(dataset: pb.Payload.DataSet) -> None:
    wire = pb.Payload(metrics=[pb.Payload.Metric(datatype=16, dataset_value=dataset)])

    with pytest.raises(PayloadError):
        decode_payload(wire.SerializeToString())


@pytest.mark.tck(
    "payloads-template-definition-is-definition",
    "payloads-template-definition-ref",
    "payloads-template-is-definition",
    "payloads-template-is-definition-definition",
    "payloads-template-ref-definition",
    "payloads-template-version",
    "payloads-template-definition-parameters-default",
    "payloads-template-parameter-name-type",
    "payloads-template-parameter-value-type",
    "payloads-template-parameter-value",
)
def test_template_definition_on_the_wire() -> None:
    wire = wire_of(Metric("Motor", DataType.TEMPLATE, MOTOR)).template_value

    assert wire.HasField("is_definition")
    assert wire.is_definition
    assert not wire.HasField("template_ref")
    assert wire.version == "1.2"
    assert [(p.name, p.type, p.WhichOneof("value")) for p in wire.parameters] == [
        ("poles", 3, "int_value"),
        ("vendor", 12, "string_value"),
        ("open", 11, None),
    ]


@pytest.mark.tck(
    "payloads-template-instance-is-definition",
    "payloads-template-instance-ref",
    "payloads-template-instance-parameters",
    "payloads-template-is-definition",
    "payloads-template-is-definition-instance",
    "payloads-template-ref-instance",
)
def test_template_instance_on_the_wire() -> None:
    wire = wire_of(Metric("P1", DataType.TEMPLATE, PUMP)).template_value

    assert wire.HasField("is_definition")
    assert not wire.is_definition
    assert wire.template_ref == "Motor"
    assert [member.name for member in wire.metrics] == ["speed", "name", "count"]
    assert wire.parameters[0].int_value == 2


@pytest.mark.parametrize("datatype", [0, 17, 99])
def test_template_parameter_of_no_basic_type_is_refused(datatype: int) -> None:
    template = pb.Payload.Template(is_definition=True)
    template.parameters.add(name="p", type=datatype)
    wire = pb.Payload(metrics=[pb.Payload.Metric(datatype=19, template_value=template)])

    with pytest.raises(PayloadError):
        decode_payload(wire.SerializeToString())


@pytest.mark.parametrize(
    "data",
    [
        b"\xff",
        b"\x12\x05\x0a",  # cut off
        b"\x12\x04\x0a\x02\xff\xfe",  # a name that is not UTF-8
        b"\x12\x04\x7a\x02\xff\xfe",  # text that is not UTF-8, without data type
        b"\x12\x06\x20\x0c\x7a\x02\xff\xfe",  # the same as String
        b"\x12\x04\x20\x63\x50\x01",  # data type 99
        b"\x22\x01\xff",  # uuid that is not UTF-8
        b"not a payload at all",
    ],
)
def test_bytes_that_are_no_payload_are_payload_errors(data: bytes) -> None:
    with pytest.raises(PayloadError):
        decode_payload(data)


def test_templates_nested_without_end_are_a_payload_error() -> None:
    inner = b""
    for _ in range(500):
        template = b"\x12" + pb_length(inner) + inner
        inner = b"\x92\x01" + pb_length(template) + template
    data = b"\x12" + pb_length(inner) + inner

    with pytest.raises(PayloadError):
        decode_payload(data)


def pb_length(data: bytes) -> bytes:
    size, out = len(data), bytearray()
    while size > 0x7F:
        out.append(size & 0x7F | 0x80)
        size >>= 7
    return bytes([*out, size])


def test_unknown_fields_are_passed_over() -> None:
    payload = Payload(5, 6, (Metric("m", DataType.INT8, 5),))

    assert decode_payload(encode_payload(payload) + b"\x9a\x06\x01x") == payload
