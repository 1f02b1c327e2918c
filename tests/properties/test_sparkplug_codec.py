"""Every payload comes back as it was, and no bytes do more than raise ``PayloadError``."""

import os
import struct
from typing import Any, Final

from hypothesis import given, settings
from hypothesis import strategies as st

from proto.sparkplug.codec import (
    Compression,
    Metric,
    Payload,
    Sample,
    compress,
    decode_payload,
    encode_payload,
    encode_samples,
    metric_value,
    parse,
)
from proto.sparkplug.datatypes import (
    ARRAY_ELEMENT,
    BASIC_TYPES,
    INTEGER_RANGE,
    METRIC_TYPES,
    DataType,
)
from proto.sparkplug.errors import PayloadError
from proto.sparkplug.host_tracker import HostTracker
from proto.sparkplug.metrics import DataSet, MetaData, Property, Template, TemplateParameter
from proto.sparkplug.state import parse_state

EXAMPLES: Final = int(os.environ.get("NEXUS_TEST_CODEC_EXAMPLES", "60"))
FUZZ: Final = int(os.environ.get("NEXUS_TEST_FUZZ_EXAMPLES", "50"))

UINT64 = st.integers(0, 2**64 - 1)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
TEXT_WITHOUT_NUL = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=10
)
BASIC: Final[dict[DataType, st.SearchStrategy[Any]]] = {
    **{datatype: st.integers(*limits) for datatype, limits in INTEGER_RANGE.items()},
    DataType.FLOAT: st.floats(width=32, allow_nan=False),
    DataType.DOUBLE: st.floats(allow_nan=False),
    DataType.BOOLEAN: st.booleans(),
    DataType.STRING: TEXT,
    DataType.TEXT: TEXT,
}


@st.composite
def datasets(draw: st.DrawFn) -> DataSet:
    types = draw(st.lists(st.sampled_from(sorted(BASIC_TYPES)), max_size=4))
    columns = tuple(draw(TEXT) for _ in types)
    rows = draw(st.lists(st.tuples(*(st.none() | BASIC[t] for t in types)), max_size=3))
    return DataSet(columns, tuple(types), tuple(rows))


def properties() -> st.SearchStrategy[dict[str, Property]]:
    basic = st.sampled_from(sorted(BASIC)).flatmap(
        lambda datatype: st.builds(Property, st.just(datatype), st.none() | BASIC[datatype])
    )
    nested = st.recursive(
        basic,
        lambda inner: st.one_of(
            st.builds(
                Property, st.just(DataType.PROPERTY_SET), st.dictionaries(TEXT, inner, max_size=2)
            ),
            st.builds(
                Property,
                st.just(DataType.PROPERTY_SET_LIST),
                st.lists(st.dictionaries(TEXT, inner, max_size=2), max_size=2),
            ),
        ),
        max_leaves=4,
    )
    return st.dictionaries(TEXT, nested, max_size=3)


def parameters() -> st.SearchStrategy[TemplateParameter]:
    return st.sampled_from(sorted(BASIC)).flatmap(
        lambda datatype: st.builds(
            TemplateParameter,
            TEXT.filter(bool),
            st.just(datatype),
            st.none() | BASIC[datatype],
        )
    )


FLAT: Final[dict[DataType, st.SearchStrategy[Any]]] = {
    **BASIC,
    DataType.UUID: st.uuids().map(str),
    DataType.BYTES: st.binary(max_size=200),
    DataType.FILE: st.binary(max_size=200),
    DataType.DATASET: datasets(),
    **{
        array: st.lists(
            TEXT_WITHOUT_NUL if element is DataType.STRING else BASIC[element], max_size=9
        )
        for array, element in ARRAY_ELEMENT.items()
    },
}


def templates(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Template]:
    members = metrics_of(FLAT | {DataType.TEMPLATE: inner}, names=TEXT.filter(bool))
    bodies = {
        "metrics": st.lists(members, max_size=3).map(tuple),
        "version": st.none() | TEXT,
        "parameters": st.lists(parameters(), max_size=2).map(tuple),
    }
    return st.builds(Template, is_definition=st.just(True), **bodies) | st.builds(
        Template, template_ref=TEXT.filter(bool), **bodies
    )


def metrics_of(
    values: dict[DataType, st.SearchStrategy[Any]], names: st.SearchStrategy[str | None]
) -> st.SearchStrategy[Metric]:
    return st.sampled_from(sorted(values)).flatmap(
        lambda datatype: st.builds(
            Metric,
            name=names,
            datatype=st.just(datatype),
            value=st.none() | values[datatype],
            timestamp_ms=st.none() | UINT64,
            alias=st.none() | UINT64,
            is_historical=st.booleans(),
            is_transient=st.booleans(),
            properties=st.none() | properties(),
            metadata=st.none() | METADATA,
        )
    )


METADATA = st.builds(
    MetaData,
    is_multi_part=st.none() | st.booleans(),
    content_type=st.none() | TEXT,
    size=st.none() | UINT64,
    seq=st.none() | UINT64,
    file_name=st.none() | TEXT,
    file_type=st.none() | TEXT,
    md5=st.none() | TEXT,
    description=st.none() | TEXT,
)
TEMPLATES = templates(templates(st.none()))
METRICS = metrics_of(FLAT | {DataType.TEMPLATE: TEMPLATES}, names=st.none() | TEXT)
PAYLOADS = st.builds(
    Payload,
    timestamp_ms=st.none() | UINT64,
    seq=st.none() | UINT64,
    metrics=st.lists(METRICS, max_size=3).map(tuple),
    uuid=st.none() | TEXT.filter(lambda text: not text.startswith("SPBV1.0")),
    body=st.none() | st.binary(max_size=50),
)


def test_strategies_cover_every_data_type() -> None:
    assert FLAT.keys() | {DataType.TEMPLATE} == METRIC_TYPES


@settings(max_examples=EXAMPLES, deadline=None)
@given(PAYLOADS, st.booleans(), st.sampled_from([None, *Compression]))
def test_payloads_come_back_as_they_were(
    payload: Payload, uint32_as_long: bool, compression: Compression | None
) -> None:
    data = encode_payload(payload, uint32_as_long=uint32_as_long)
    if compression is not None:
        data = compress(data, compression)

    assert decode_payload(data) == payload


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.data(), st.booleans())
def test_samples_come_back_as_they_were(data: st.DataObject, uint32_as_long: bool) -> None:
    kinds = data.draw(st.lists(st.sampled_from(sorted(FLAT)), max_size=5))
    samples: list[Sample] = [
        (data.draw(UINT64), kind, data.draw(st.none() | FLAT[kind]), data.draw(UINT64))
        for kind in kinds
    ]

    wire = parse(encode_samples(samples, 7, 9, uint32_as_long=uint32_as_long))

    assert (wire.seq, wire.timestamp) == (7, 9)
    assert [
        (m.alias, kind, metric_value(m, kind), m.timestamp)
        for m, kind in zip(wire.metrics, kinds, strict=True)
    ] == samples


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_every_bit_pattern_of_a_float_comes_back(bits: int) -> None:
    (value,) = struct.unpack("<f", struct.pack("<I", bits))
    data = encode_samples([(1, DataType.FLOAT, value, 0)], 0, 0)

    back = metric_value(parse(data).metrics[0], DataType.FLOAT)

    assert back == value or (value != value and back != back)  # noqa: PLR0124  # NaN


def broken(data: bytes, cuts: list[tuple[int, int]]) -> bytes:
    """Bytes with some of them replaced, and perhaps cut off."""
    damaged = bytearray(data)
    for at, byte in cuts:
        if at % 7 == 0:
            del damaged[at % (len(damaged) + 1) :]
        elif damaged:
            damaged[at % len(damaged)] = byte
    return bytes(damaged)


DAMAGE = st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), max_size=6)


@settings(max_examples=FUZZ, deadline=None)
@given(PAYLOADS, DAMAGE, st.booleans())
def test_damaged_payloads_decode_or_are_payload_errors(
    payload: Payload, damage: list[tuple[int, int]], compressed: bool
) -> None:
    data = encode_payload(payload)
    try:
        decode_payload(broken(compress(data) if compressed else data, damage))
    except PayloadError:
        return


@settings(max_examples=FUZZ, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_decode_or_are_payload_errors(data: bytes) -> None:
    for decode in (decode_payload, parse_state):
        try:
            decode(data)
        except PayloadError:
            continue


@settings(max_examples=FUZZ, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["NBIRTH", "NDATA", "NDEATH", "DBIRTH", "DDATA", "DDEATH"]),
            PAYLOADS,
            DAMAGE,
            st.integers(0, 2**42),
        ),
        max_size=3,
    )
)
def test_a_host_survives_any_payloads(
    messages: list[tuple[str, Payload, list[tuple[int, int]], int]],
) -> None:
    tracker = HostTracker(host_id="nexus")
    for kind, payload, damage, now_ms in messages:
        device = "/d" if kind[0] == "D" else ""
        data = broken(encode_payload(payload), damage)
        tracker.receive(f"spBv1.0/g/{kind}/e{device}", data, now_ms)
        tracker.tick(now_ms + 5_000)
