"""The hot path out writes what protobuf would have written."""

import pytest

from proto import sparkplug_b_pb2 as pb
from proto.sparkplug.codec import (
    Metric,
    Payload,
    Sample,
    decode_payload,
    encode_payload,
    encode_samples,
    metric_value,
    parse,
)
from proto.sparkplug.datatypes import METRIC_TYPES, DataType
from proto.sparkplug.errors import ValueOutOfRange, WrongType
from proto.sparkplug.metrics import DataSet, Template, Value
from proto.sparkplug.samples import name_field, quality_field, varint

VALUES: dict[DataType, tuple[Value, ...]] = {
    DataType.INT8: (-128, -1, 0, 127),
    DataType.INT16: (-(2**15), 0, 2**15 - 1),
    DataType.INT32: (-(2**31), -1, 0, 2**31 - 1),
    DataType.INT64: (-(2**63), -1, 0, 2**63 - 1),
    DataType.UINT8: (0, 127, 128, 255),
    DataType.UINT16: (0, 2**16 - 1),
    DataType.UINT32: (0, 2**32 - 1),
    DataType.UINT64: (0, 2**64 - 1),
    DataType.FLOAT: (0.0, 1.5, float("inf")),
    DataType.DOUBLE: (0.0, 0.1, float("-inf")),
    DataType.BOOLEAN: (True, False),
    DataType.STRING: ("", "ä" * 200),
    DataType.DATETIME: (0, 2**64 - 1),
    DataType.TEXT: ("x",),
    DataType.UUID: ("550e8400-e29b-41d4-a716-446655440000",),
    DataType.DATASET: (DataSet(("a",), (DataType.UINT32,), ((5,),)),),
    DataType.BYTES: (b"", b"x" * 20_000),
    DataType.FILE: (b"f",),
    DataType.TEMPLATE: (Template((Metric("m", DataType.UINT32, 5),), "T"),),
    DataType.INT8_ARRAY: ([-1, 1],),
    DataType.INT16_ARRAY: ([-1],),
    DataType.INT32_ARRAY: ([],),
    DataType.INT64_ARRAY: ([-(2**63)],),
    DataType.UINT8_ARRAY: ([255],),
    DataType.UINT16_ARRAY: ([1],),
    DataType.UINT32_ARRAY: ([2**32 - 1],),
    DataType.UINT64_ARRAY: ([2**64 - 1],),
    DataType.FLOAT_ARRAY: ([1.5],),
    DataType.DOUBLE_ARRAY: ([0.1],),
    DataType.BOOLEAN_ARRAY: ([True] * 9,),
    DataType.STRING_ARRAY: (["a", ""],),
    DataType.DATETIME_ARRAY: ([0],),
}
ALIASES = (0, 1, 127, 128, 16_383, 16_384, 2**64 - 1)
SAMPLES: list[Sample] = [
    (alias, datatype, value, 1_700_000_000_000 + i)
    for datatype, values in VALUES.items()
    for i, value in enumerate((*values, None))
    for alias in ALIASES
]


def test_every_data_type_is_among_the_values() -> None:
    assert VALUES.keys() == METRIC_TYPES


@pytest.mark.parametrize("uint32_as_long", [False, True])
@pytest.mark.parametrize("historical", [False, True])
def test_samples_are_what_protobuf_writes(historical: bool, uint32_as_long: bool) -> None:
    typed = Payload(
        2**40,
        255,
        tuple(
            Metric(None, DataType(d), v, t, a, is_historical=historical) for a, d, v, t in SAMPLES
        ),
    )
    expected = pb.Payload.FromString(encode_payload(typed, uint32_as_long=uint32_as_long))
    for metric in expected.metrics:
        metric.ClearField("datatype")

    data = encode_samples(SAMPLES, 255, 2**40, historical=historical, uint32_as_long=uint32_as_long)

    assert data == expected.SerializeToString()


def test_samples_are_read_back_exactly() -> None:
    metrics = parse(encode_samples(SAMPLES, 0, 0)).metrics

    for metric, (alias, datatype, value, timestamp_ms) in zip(metrics, SAMPLES, strict=True):
        assert (metric.alias, metric.timestamp) == (alias, timestamp_ms)
        assert metric_value(metric, datatype) == value


@pytest.mark.tck("payloads-metric-datatype-not-req", "payloads-alias-data-cmd-requirement")
def test_samples_carry_alias_and_time_but_neither_name_nor_data_type() -> None:
    metric = decode_payload(encode_samples([(7, DataType.UINT8, 5, 9)], 3, 11)).metrics[0]

    assert metric == Metric(alias=7, value=5, timestamp_ms=9)


def test_no_samples_are_an_empty_payload() -> None:
    assert decode_payload(encode_samples([], 3, 11)) == Payload(11, 3)


@pytest.mark.parametrize(
    ("datatype", "value", "error"),
    [
        (DataType.INT8, 128, ValueOutOfRange),
        (DataType.INT8, -129, ValueOutOfRange),
        (DataType.UINT8, -1, ValueOutOfRange),
        (DataType.INT64, 2**63, ValueOutOfRange),
        (DataType.UINT64, 2**64, ValueOutOfRange),
        (DataType.FLOAT, 1e39, ValueOutOfRange),
        (DataType.INT32, 1.5, WrongType),
        (DataType.INT32, "1", WrongType),
        (DataType.DOUBLE, "1", WrongType),
        (DataType.BOOLEAN, 1, WrongType),
        (DataType.STRING, 5, WrongType),
        (DataType.STRING, "\ud800", WrongType),
        (DataType.BYTES, "x", WrongType),
        (DataType.INT8_ARRAY, [300], ValueOutOfRange),
    ],
)
def test_samples_that_do_not_fit_are_refused(
    datatype: DataType, value: Value, error: type[Exception]
) -> None:
    with pytest.raises(error):
        encode_samples([(7, datatype, value, 0)], 0, 0)


def test_refusal_names_the_alias() -> None:
    with pytest.raises(ValueOutOfRange, match="alias 7: 300 does not fit Int8"):
        encode_samples([(7, DataType.INT8, 300, 0)], 0, 0)


@pytest.mark.parametrize("number", [0, 1, 127, 128, 255, 256, 16_383, 16_384, 2**32, 2**64 - 1])
def test_varints_are_protobufs(number: int) -> None:
    assert pb.Payload(seq=number).SerializeToString() == b"\x18" + varint(number)


def test_names_are_protobufs() -> None:
    wire = pb.Payload.Metric(name="ä" * 100)

    assert wire.SerializeToString() == name_field("ä" * 100)


@pytest.mark.tck("payloads-propertyset-quality-value-value")
@pytest.mark.parametrize("quality", [0, 192, 500])
def test_quality_alone_is_a_property_set(quality: int) -> None:
    wire = pb.Payload.Metric.FromString(quality_field(quality))

    assert list(wire.properties.keys) == ["Quality"]
    assert (wire.properties.values[0].type, wire.properties.values[0].int_value) == (3, quality)
