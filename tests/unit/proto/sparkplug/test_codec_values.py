"""Values ⇄ the bytes they travel as, every data type at its limits."""

import math
import struct

import pytest

from proto import sparkplug_b_pb2 as pb
from proto.sparkplug.codec import (
    Metric,
    Payload,
    decode_payload,
    encode_payload,
    metric_value,
    parse,
)
from proto.sparkplug.datatypes import DataType
from proto.sparkplug.errors import PayloadError, ValueOutOfRange, WrongType
from proto.sparkplug.metrics import Value

MAX32, MAX64 = 2**32 - 1, 2**64 - 1
UUID = "550e8400-e29b-41d4-a716-446655440000"

TABLE: list[tuple[DataType, Value, str, object]] = [
    (DataType.INT8, -128, "int_value", MAX32 - 127),
    (DataType.INT8, -1, "int_value", MAX32),
    (DataType.INT8, 0, "int_value", 0),
    (DataType.INT8, 127, "int_value", 127),
    (DataType.INT16, -(2**15), "int_value", 2**32 - 2**15),
    (DataType.INT16, 2**15 - 1, "int_value", 2**15 - 1),
    (DataType.INT32, -(2**31), "int_value", 2**31),
    (DataType.INT32, -1, "int_value", MAX32),
    (DataType.INT32, 2**31 - 1, "int_value", 2**31 - 1),
    (DataType.INT64, -(2**63), "long_value", 2**63),
    (DataType.INT64, -1, "long_value", MAX64),
    (DataType.INT64, 2**63 - 1, "long_value", 2**63 - 1),
    (DataType.UINT8, 0, "int_value", 0),
    (DataType.UINT8, 255, "int_value", 255),
    (DataType.UINT16, 65_535, "int_value", 65_535),
    (DataType.UINT32, MAX32, "int_value", MAX32),
    (DataType.UINT64, 2**53 + 1, "long_value", 2**53 + 1),
    (DataType.UINT64, MAX64, "long_value", MAX64),
    (DataType.FLOAT, 1.5, "float_value", 1.5),
    (DataType.FLOAT, 3.4028234663852886e38, "float_value", 3.4028234663852886e38),
    (DataType.FLOAT, math.inf, "float_value", math.inf),
    (DataType.DOUBLE, 0.1, "double_value", 0.1),
    (DataType.DOUBLE, 5e-324, "double_value", 5e-324),
    (DataType.DOUBLE, -math.inf, "double_value", -math.inf),
    (DataType.BOOLEAN, True, "boolean_value", True),
    (DataType.BOOLEAN, False, "boolean_value", False),
    (DataType.STRING, "", "string_value", ""),
    (DataType.STRING, "Ünï 第\x00", "string_value", "Ünï 第\x00"),
    (DataType.DATETIME, 0, "long_value", 0),
    (DataType.DATETIME, MAX64, "long_value", MAX64),
    (DataType.TEXT, "long text", "string_value", "long text"),
    (DataType.UUID, UUID, "string_value", UUID),
    (DataType.BYTES, b"", "bytes_value", b""),
    (DataType.BYTES, b"\x00\xff", "bytes_value", b"\x00\xff"),
    (DataType.FILE, b"%PDF", "bytes_value", b"%PDF"),
    # The specification's own examples (6.4.17); its floats are printed in the wrong byte order
    (DataType.INT8_ARRAY, [-23, 123], "bytes_value", bytes.fromhex("E97B")),
    (DataType.INT16_ARRAY, [-30000, 30000], "bytes_value", bytes.fromhex("D08A3075")),
    (DataType.INT32_ARRAY, [-1, 315338746], "bytes_value", bytes.fromhex("FFFFFFFFFAAFCB12")),
    (
        DataType.INT64_ARRAY,
        [-4270929666821191986, -3601064768563266876],
        "bytes_value",
        bytes.fromhex("CE0672AC189CBAC4C4BA9C18AC7206CE"),
    ),
    (DataType.UINT8_ARRAY, [23, 250], "bytes_value", bytes.fromhex("17FA")),
    (DataType.UINT16_ARRAY, [30, 52360], "bytes_value", bytes.fromhex("1E0088CC")),
    (DataType.UINT32_ARRAY, [52, 3293969225], "bytes_value", bytes.fromhex("3400000049FB55C4")),
    (
        DataType.UINT64_ARRAY,
        [52, 16444743074749521625],
        "bytes_value",
        bytes.fromhex("3400000000000000D99E02D1B27637E4"),
    ),
    (
        DataType.FLOAT_ARRAY,
        [1.2300000190734863, 89.34100341796875],
        "bytes_value",
        bytes.fromhex("3F9D70A4")[::-1] + bytes.fromhex("42B2AE98")[::-1],
    ),
    (
        DataType.DOUBLE_ARRAY,
        [12.354213, 1022.9123213],
        "bytes_value",
        bytes.fromhex("4028B55B6805A2D7")[::-1] + bytes.fromhex("408FF74C6F1C178E")[::-1],
    ),
    (
        DataType.BOOLEAN_ARRAY,
        [False, False, True, True, False, True, False, False, True, True, False, True],
        "bytes_value",
        bytes.fromhex("0C00000034D0"),
    ),
    (DataType.BOOLEAN_ARRAY, [], "bytes_value", bytes(4)),
    (DataType.STRING_ARRAY, ["ABC", "hello"], "bytes_value", b"ABC\x00hello\x00"),
    (DataType.STRING_ARRAY, [""], "bytes_value", b"\x00"),
    (
        DataType.DATETIME_ARRAY,
        [1256102875335, 1656107875000],
        "bytes_value",
        bytes.fromhex("C7D0907524010000B8BAB89781010000"),
    ),
]


def wire_metric(datatype: DataType, field: str, value: object) -> pb.Payload.Metric:
    metric = pb.Payload.Metric(datatype=datatype)
    setattr(metric, field, value)
    return metric


@pytest.mark.tck("payloads-metric-datatype-req", "payloads-name-requirement")
@pytest.mark.parametrize(("datatype", "value", "field", "wire"), TABLE)
def test_values_travel_in_their_field_and_come_back(
    datatype: DataType, value: Value, field: str, wire: object
) -> None:
    data = encode_payload(Payload(metrics=(Metric("m", datatype, value),)))

    metric = parse(data).metrics[0]
    assert metric.WhichOneof("value") == field
    assert getattr(metric, field) == wire
    assert metric_value(metric, datatype) == value
    assert type(metric_value(metric, int(datatype))) is type(value)
    assert decode_payload(data).metrics[0].value == value


def test_nan_comes_back_as_nan() -> None:
    for datatype in (DataType.FLOAT, DataType.DOUBLE):
        data = encode_payload(Payload(metrics=(Metric("m", datatype, math.nan),)))
        value = decode_payload(data).metrics[0].value
        assert isinstance(value, float)
        assert math.isnan(value)


def test_negative_zero_keeps_its_sign() -> None:
    data = encode_payload(Payload(metrics=(Metric("m", DataType.DOUBLE, -0.0),)))

    value = metric_value(parse(data).metrics[0], DataType.DOUBLE)
    assert struct.pack("<d", value) == struct.pack("<d", -0.0)


def test_uint32_travels_in_either_field_by_choice_and_is_read_from_both() -> None:
    payload = Payload(metrics=(Metric("m", DataType.UINT32, MAX32),))

    short = encode_payload(payload)
    long = encode_payload(payload, uint32_as_long=True)

    assert parse(short).metrics[0].WhichOneof("value") == "int_value"
    assert parse(long).metrics[0].WhichOneof("value") == "long_value"
    assert decode_payload(short) == decode_payload(long) == payload


@pytest.mark.tck(
    "operational-behavior-data-publish-nbirth-values",
    "operational-behavior-data-publish-dbirth-values",
)
def test_null_is_flagged_and_has_no_value() -> None:
    data = encode_payload(Payload(metrics=(Metric("m", DataType.INT8, None),)))

    metric = parse(data).metrics[0]
    assert metric.is_null
    assert metric.WhichOneof("value") is None
    assert decode_payload(data).metrics[0].value is None


@pytest.mark.parametrize("datatype", sorted(DataType))
def test_a_metric_without_value_is_null(datatype: DataType) -> None:
    if datatype in {DataType.PROPERTY_SET, DataType.PROPERTY_SET_LIST}:
        with pytest.raises(PayloadError, match="data type is 2"):
            metric_value(pb.Payload.Metric(), datatype)
    else:
        assert metric_value(pb.Payload.Metric(), datatype) is None


def test_the_null_flag_outweighs_a_value() -> None:
    metric = pb.Payload.Metric(is_null=True, int_value=5)

    assert metric_value(metric, DataType.INT8) is None


@pytest.mark.parametrize(
    ("datatype", "field", "wire", "value"),
    [
        (DataType.INT8, "int_value", 0xFF, -1),  # sign in 8 bits
        (DataType.INT8, "long_value", MAX64, -1),  # sign in 64 bits
        (DataType.INT16, "int_value", 0x8000, -(2**15)),
        (DataType.INT32, "long_value", MAX32, -1),
        (DataType.INT32, "long_value", MAX64 - 4, -5),
        (DataType.INT64, "int_value", 5, 5),
        (DataType.UINT16, "long_value", 65_535, 65_535),
        (DataType.UINT64, "int_value", MAX32, MAX32),
        (DataType.DATETIME, "int_value", 0, 0),
        (DataType.BOOLEAN, "int_value", 1, True),
        (DataType.BOOLEAN, "long_value", 0, False),
        (DataType.FLOAT, "double_value", 1.5, 1.5),
        (DataType.DOUBLE, "float_value", 0.0, 0.0),
    ],
)
def test_what_other_implementations_write_is_read(
    datatype: DataType, field: str, wire: object, value: Value
) -> None:
    assert metric_value(wire_metric(datatype, field, wire), datatype) == value


@pytest.mark.parametrize(
    ("datatype", "field", "wire"),
    [
        (DataType.INT8, "int_value", 300),
        (DataType.INT8, "int_value", 2**31),
        (DataType.INT16, "int_value", 2**16),
        (DataType.UINT8, "int_value", 256),
        (DataType.UINT32, "long_value", 2**32),
        (DataType.INT32, "string_value", "5"),
        (DataType.FLOAT, "string_value", "1.5"),
        (DataType.DOUBLE, "int_value", 5),
        (DataType.BOOLEAN, "int_value", 2),
        (DataType.BOOLEAN, "string_value", "true"),
        (DataType.STRING, "int_value", 5),
        (DataType.BYTES, "string_value", "x"),
        (DataType.DATASET, "string_value", "x"),
        (DataType.TEMPLATE, "string_value", "x"),
        (DataType.INT16_ARRAY, "bytes_value", b"\x00"),
        (DataType.DOUBLE_ARRAY, "bytes_value", bytes(9)),
        (DataType.BOOLEAN_ARRAY, "bytes_value", b"\x00"),
        (DataType.BOOLEAN_ARRAY, "bytes_value", b"\xff\xff\xff\xff\x00"),
        (DataType.BOOLEAN_ARRAY, "bytes_value", bytes(5)),
        (DataType.STRING_ARRAY, "bytes_value", b"no end"),
        (DataType.STRING_ARRAY, "bytes_value", b"\xff\x00"),
    ],
)
def test_what_a_data_type_cannot_have_is_a_payload_error(
    datatype: DataType, field: str, wire: object
) -> None:
    with pytest.raises(PayloadError):
        metric_value(wire_metric(datatype, field, wire), datatype)


@pytest.mark.parametrize("number", [0, 20, 21, 35, MAX32])
def test_unknown_data_types_are_payload_errors(number: int) -> None:
    metric = pb.Payload.Metric(name="m", int_value=5)

    with pytest.raises(PayloadError, match=f"data type is {number}"):
        metric_value(metric, number)


def test_a_metric_without_data_type_is_as_it_lay_on_the_wire() -> None:
    values: tuple[Value, ...] = (5, 2**40, 1.5, True, "x", b"y", None)
    payload = Payload(metrics=tuple(Metric(alias=i, value=v) for i, v in enumerate(values)))

    decoded = decode_payload(encode_payload(payload))

    assert decoded == payload
    assert parse(encode_payload(payload)).metrics[0].HasField("datatype") is False


def test_values_without_data_type_that_say_too_little_are_refused() -> None:
    with pytest.raises(ValueOutOfRange, match="without data type"):
        encode_payload(Payload(metrics=(Metric(alias=1, value=-1),)))
    with pytest.raises(WrongType, match="list without data type"):
        encode_payload(Payload(metrics=(Metric(alias=1, value=[1]),)))


@pytest.mark.parametrize(
    ("payload", "subject"),
    [
        (Payload(timestamp_ms=-1), "payload timestamp: -1"),
        (Payload(seq=2**64), "payload seq"),
        (Payload(metrics=(Metric("m", DataType.INT8, 1, alias=-5),)), "metric 'm': alias: -5"),
        (Payload(metrics=(Metric("m", DataType.INT8, 300),)), "metric 'm': 300"),
        (Payload(metrics=(Metric(alias=7, datatype=DataType.INT8, value="x"),)), "alias 7"),
        (Payload(timestamp_ms=True), "payload timestamp"),
    ],
)
def test_what_does_not_fit_is_our_mistake_and_named(payload: Payload, subject: str) -> None:
    with pytest.raises((ValueOutOfRange, WrongType), match=subject):
        encode_payload(payload)
