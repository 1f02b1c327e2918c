"""Packing: by columns gives what the careful way gives, and never a value that was not sent."""

import math
import struct
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from historian.exact import Columns, to_columns
from historian.packer import Packer, UnknownMetric
from historian.plain import POSTGRES_EPOCH_MS, PlainRows
from historian.rows import Batch, Rows, join_batches, read_time
from historian.tables import Table
from historian.values import Bounds, Live
from proto import sparkplug_b_pb2 as pb
from proto.sparkplug.codec import Metric, Payload, compress, encode_payload, open_envelope, parse
from proto.sparkplug.datatypes import DataType
from proto.sparkplug.errors import PayloadError
from proto.sparkplug.metrics import quality_property

AT = 1_790_000_000_000
NOW = AT + 1_000


class Row(NamedTuple):
    """What PostgreSQL reads out of the bytes."""

    metric_id: int
    time_ms: int
    value: float | None
    sent_ms: int | None
    quality: int
    historical: bool
    text: str | None
    json: str | None
    raw: bytes | None


def read_row(data: bytes) -> Row:
    (count,) = struct.unpack_from(">h", data)
    fields: list[bytes | None] = []
    at = 2
    for _ in range(count):
        (size,) = struct.unpack_from(">i", data, at)
        at += 4
        fields.append(None if size < 0 else data[at : at + size])
        at += max(size, 0)
    assert at == len(data)
    fields += [None] * (9 - count)

    def number(code: str, field: bytes | None) -> float | None:
        return None if field is None else struct.unpack(f">{code}", field)[0]

    time_ms = int(number("q", fields[1]) or 0) // 1000 + POSTGRES_EPOCH_MS
    delay_ms = number("q", fields[3])
    return Row(
        int(number("i", fields[0]) or 0),
        time_ms,
        number("d", fields[2]),
        None if delay_ms is None else time_ms + int(delay_ms),
        int(number("h", fields[4]) or 0) if fields[4] is not None else 192,
        bool(number("?", fields[5])),
        None if fields[6] is None else fields[6].decode(),
        None if fields[7] is None else fields[7][1:].decode(),
        fields[8],
    )


def plain_rows(rows: PlainRows) -> list[Row]:
    data = b"".join(rows.encode())
    found = []
    at = 0
    while at < len(data):
        size = 46 if data[at + 34 : at + 38] == bytes((0, 0, 0, 8)) else 38
        found.append(read_row(data[at : at + size]))
        at += size
    assert len(found) == len(rows)
    return found


def late_rows(rows: Rows) -> list[Row]:
    """Plain rows that may be there already."""
    return [
        row._replace(historical=historical)
        for lot, historical in rows.late
        for row in plain_rows(lot)
    ]


def table(*datatypes: DataType, first_alias: int = 1, step: int = 1) -> Table:
    metrics = [(100 + index, datatype) for index, datatype in enumerate(datatypes)]
    slots = range(1, len(metrics) + 1)
    by_alias = {first_alias + step * (slot - 1): slot for slot in slots}
    return Table(metrics, {f"m{slot}": slot for slot in slots}, by_alias)


def pack_bytes(tags: Table, *payloads: bytes, received_ms: int = NOW, oldest_ms: int = 0) -> Rows:
    rows = Rows()
    packer = Packer(Bounds(oldest_ms, 60_000))
    lives = [Live(tags, open_envelope(data), data, received_ms) for data in payloads]
    for fault in packer.pack_live(rows, lives).values():
        raise fault
    return rows


def pack(
    tags: Table, *metrics: Metric, sent_ms: int = AT, received_ms: int = NOW, oldest_ms: int = 0
) -> Rows:
    data = encode_payload(Payload(sent_ms, 0, metrics))
    return pack_bytes(tags, data, received_ms=received_ms, oldest_ms=oldest_ms)


def metric(alias: int, datatype: DataType, value: object, at: int = AT, **more: object) -> Metric:
    return Metric(None, datatype, value, at, alias=alias, **more)  # type: ignore[arg-type]


PLAIN = st.one_of(
    st.tuples(st.just(DataType.DOUBLE), st.floats(width=64)),
    st.tuples(st.just(DataType.FLOAT), st.floats(width=32)),
    st.tuples(st.just(DataType.BOOLEAN), st.booleans()),
    st.tuples(st.just(DataType.INT8), st.integers(-128, 127)),
    st.tuples(st.just(DataType.INT16), st.integers(-(2**15), 2**15 - 1)),
    st.tuples(st.just(DataType.INT32), st.integers(-(2**31), 2**31 - 1)),
    st.tuples(st.just(DataType.INT64), st.integers(-(2**63), 2**63 - 1)),
    st.tuples(st.just(DataType.UINT8), st.integers(0, 255)),
    st.tuples(st.just(DataType.UINT16), st.integers(0, 2**16 - 1)),
    st.tuples(st.just(DataType.UINT32), st.integers(0, 2**32 - 1)),
    st.tuples(st.just(DataType.UINT64), st.integers(0, 2**64 - 1)),
    st.tuples(st.just(DataType.DATETIME), st.integers(0, 2**64 - 1)),
    st.tuples(st.just(DataType.STRING), st.text(max_size=5)),
    st.tuples(st.sampled_from([DataType.DOUBLE, DataType.STRING]), st.none()),
)


@given(
    st.lists(PLAIN, min_size=1, max_size=8),
    st.booleans(),
    st.sampled_from([1, 0, 127, 128, 2**14, 2**35, 2**56 - 9, 2**56 - 4, 2**63]),
    st.sampled_from([1, 1_000_000]),
)
def test_every_value_comes_out_as_it_went_in(
    values: list[tuple[DataType, object]], uint32_as_long: bool, first_alias: int, step: int
) -> None:
    metrics = tuple(
        metric(first_alias + step * index, datatype, value)
        for index, (datatype, value) in enumerate(values)
    )
    data = encode_payload(Payload(AT + 7, 0, metrics), uint32_as_long=uint32_as_long)
    tags = table(*(datatype for datatype, _ in values), first_alias=first_alias, step=step)
    rows = pack_bytes(tags, data)
    assert not rows.staged
    full = list(map(read_row, rows.full))
    found = {row.metric_id: row for row in plain_rows(rows.plain) + full}
    assert len(found) == len(values)
    newest = {row.metric_id: row for row in plain_rows(rows.plain.newest())}
    newest |= {row.metric_id: row for row in map(read_row, rows.latest.values())}
    for index, (_, value) in enumerate(values):
        row = found[100 + index]
        expected: Columns = to_columns(value)  # type: ignore[arg-type]
        if expected.number is not None and math.isnan(expected.number):
            assert row.value is not None
            assert math.isnan(row.value)
        else:
            assert row.value == expected.number
            assert newest[100 + index] == row
        assert (row.text, row.raw) == (expected.text, expected.raw)
        assert (row.time_ms, row.sent_ms, row.quality) == (AT, AT + 7, 192)


WIRE_METRIC = st.fixed_dictionaries(
    {},
    optional={
        "name": st.sampled_from(["", "m1", "unheard-of"]),
        "alias": st.integers(0, 12),
        "timestamp": st.one_of(st.integers(AT - 5, AT + 5), st.sampled_from([0, 1, 2**63])),
        "datatype": st.sampled_from([3, 10, 300]),
        "is_historical": st.booleans(),
        "is_transient": st.booleans(),
        "is_null": st.booleans(),
        "int_value": st.one_of(
            st.sampled_from([0, 1, 127, 128, 200, 255, 256, 32767, 32768, 65535, 2**31, 2**32 - 1]),
            st.integers(0, 2**32 - 1),
        ),
    },
)
WIRE_VALUE = st.one_of(
    st.none(),
    st.tuples(st.just("long_value"), st.integers(0, 2**64 - 1)),
    st.tuples(st.just("long_value"), st.integers(0, 300)),
    st.tuples(st.just("float_value"), st.floats(width=32, allow_nan=False)),
    st.tuples(st.just("double_value"), st.floats(allow_nan=False)),
    st.tuples(st.just("boolean_value"), st.booleans()),
    st.tuples(st.just("string_value"), st.text(max_size=3)),
)
NUMBERS = [
    DataType.DOUBLE,
    DataType.FLOAT,
    DataType.BOOLEAN,
    DataType.INT8,
    DataType.INT16,
    DataType.INT32,
    DataType.INT64,
    DataType.UINT8,
    DataType.UINT16,
    DataType.UINT32,
    DataType.UINT64,
    DataType.STRING,
]


def serialize(metrics: list[tuple[dict[str, object], tuple[str, object] | None]]) -> bytes:
    payload = pb.Payload(timestamp=AT, seq=1)
    for fields, value in metrics:
        added = payload.metrics.add(**fields)
        if value is not None:
            setattr(added, *value)
    return payload.SerializeToString()


@given(
    st.lists(
        st.lists(st.tuples(WIRE_METRIC, WIRE_VALUE), min_size=1, max_size=5),
        min_size=1,
        max_size=4,
    ),
    st.lists(st.sampled_from([0, AT - 1, AT, AT + 4, NOW + 59_000, NOW + 61_000]), min_size=12),
    st.booleans(),
)
def test_by_columns_stores_what_the_careful_way_stores(
    payloads: list[list[tuple[dict[str, object], tuple[str, object] | None]]],
    latest_ms: list[int],
    waited: bool,
) -> None:
    """However odd the payloads are: the same rows, refusals and faults, and nothing else."""
    by_columns, one_by_one = Rows(), Rows()
    quick, slow = table(*NUMBERS), table(*NUMBERS)
    for tags in (quick, slow):
        tags.latest_ms[1:] = latest_ms[: len(NUMBERS)]
    packer = Packer(Bounds(0, 60_000))
    wire = list(map(serialize, payloads))
    lives = [Live(quick, open_envelope(data), data, NOW) for data in wire]
    faults: Mapping[int, Exception] = {}
    if waited:
        for live in lives:
            packer.pack_waited(by_columns, live)
    else:
        faults = packer.pack_live(by_columns, lives)
    for number, data in enumerate(wire):
        parsed = parse(data)
        if number in faults:
            assert isinstance(faults[number], UnknownMetric)
            before = one_by_one.refused
            packer.pack_birth(Rows(), table(*NUMBERS), parsed, NOW)
            one_by_one.refused = before
            continue
        packer.pack_birth(one_by_one, slow, parsed, NOW)
    if waited:
        assert not len(by_columns.plain)
        assert not by_columns.full
    stored = plain_rows(by_columns.plain) + list(map(read_row, by_columns.full + by_columns.staged))
    stored += late_rows(by_columns)
    expected = list(map(read_row, one_by_one.staged))
    assert sorted(map(repr, stored)) == sorted(map(repr, expected))
    assert by_columns.refused == one_by_one.refused
    assert by_columns.transient == one_by_one.transient
    assert by_columns.days == one_by_one.days
    if waited:
        assert by_columns.latest == one_by_one.latest
        assert quick.latest_ms.tolist() == slow.latest_ms.tolist()


@given(st.lists(st.binary(max_size=24), min_size=1, max_size=6))
def test_broken_metrics_are_a_fault_of_the_payload(metrics: list[bytes]) -> None:
    """Whatever stands where a metric should: read as protobuf reads it, or refused as it does."""
    data = b"\x08" + bytes((1,)) + b"".join(b"\x12" + bytes((len(m),)) + m for m in metrics)
    rows = Rows()
    live = Live(table(*NUMBERS), open_envelope(data), data, NOW)
    faults = Packer(Bounds(0, 60_000)).pack_live(rows, [live])
    try:
        parse(data)
    except PayloadError:
        assert isinstance(faults[0], PayloadError)
        assert rows.points == 0
    else:
        assert not isinstance(faults.get(0), PayloadError)


def test_of_several_payloads_what_is_not_newer_is_checked() -> None:
    tags = table(DataType.DOUBLE, DataType.DOUBLE)
    times = ((AT, AT), (AT + 5, AT), (AT + 3, AT + 1), (AT + 5, AT + 2), (AT + 6, AT + 9))
    payloads = [
        encode_payload(
            Payload(
                AT, 0, tuple(metric(n + 1, DataType.DOUBLE, 1.0, at[n]) for n in range(len(at)))
            )
        )
        for at in times
    ]
    rows = pack_bytes(tags, *payloads)
    live = [(row.metric_id, row.time_ms - AT) for row in plain_rows(rows.plain)]
    assert live == [(100, 0), (100, 5), (100, 6), (101, 0), (101, 1), (101, 2), (101, 9)]
    staged = [(row.metric_id, row.time_ms - AT) for row in map(read_row, rows.staged)]
    assert staged == [(101, 0), (100, 5)]
    late = [(row.metric_id, row.time_ms - AT) for row in late_rows(rows)]
    assert late == [(100, 3)]
    assert tags.latest_ms.tolist() == [0, AT + 6, AT + 9]


def test_numbers_of_good_quality_are_plain_rows() -> None:
    rows = pack(
        table(DataType.DOUBLE, DataType.INT32, DataType.BOOLEAN),
        metric(1, DataType.DOUBLE, 0.0),
        metric(2, DataType.INT32, -3),
        metric(3, DataType.BOOLEAN, False),
    )
    assert (len(rows.plain), len(rows.full), len(rows.staged)) == (3, 0, 0)
    assert [row.value for row in plain_rows(rows.plain)] == [0.0, -3.0, 0.0]
    assert plain_rows(rows.plain)[0].sent_ms is None


def test_value_in_a_field_of_another_type_is_not_taken_for_zero() -> None:
    payload = pb.Payload(timestamp=AT)
    payload.metrics.add(alias=1, timestamp=AT, string_value="7")
    payload.metrics.add(alias=2, timestamp=AT, double_value=5.0)
    rows = pack_bytes(table(DataType.DOUBLE, DataType.DOUBLE), payload.SerializeToString())
    assert rows.refused == 1
    assert [row.value for row in plain_rows(rows.plain)] == [5.0]


def test_metric_without_alias_is_not_taken_for_alias_0() -> None:
    payload = pb.Payload(timestamp=AT)
    payload.metrics.add(name="m2", timestamp=AT, double_value=5.0)
    tags = table(DataType.DOUBLE, DataType.DOUBLE, first_alias=0)
    rows = pack_bytes(tags, payload.SerializeToString())
    assert [read_row(row).metric_id for row in rows.full] == [101]


def test_control_metrics_are_not_stored() -> None:
    rows = pack(
        table(DataType.DOUBLE),
        Metric("Node Control/Rebirth", DataType.BOOLEAN, False, AT),
        metric(1, DataType.DOUBLE, 1.0),
    )
    assert rows.points == 1


def test_unknown_alias_packs_nothing_of_the_payload() -> None:
    rows = Rows()
    payloads = [
        encode_payload(Payload(AT, 0, tuple(metric(n, DataType.DOUBLE, 1.0) for n in aliases)))
        for aliases in ((1, 9), (1, 2))
    ]
    tags = table(DataType.DOUBLE, DataType.DOUBLE)
    packer = Packer(Bounds(0, 60_000))
    lives = [Live(tags, open_envelope(data), data, NOW) for data in payloads]
    faults = packer.pack_live(rows, lives)
    assert list(faults) == [0]
    with pytest.raises(UnknownMetric, match="9 is in no birth"):
        raise faults[0]
    stored = plain_rows(rows.plain) + list(map(read_row, rows.full))
    assert sorted(row.metric_id for row in stored) == [100, 101]
    assert not rows.staged


def test_compressed_payloads_are_packed() -> None:
    data = encode_payload(Payload(AT, 0, (metric(1, DataType.DOUBLE, 1.5),)))
    rows = pack_bytes(table(DataType.DOUBLE), compress(data))
    assert [row.value for row in plain_rows(rows.plain)] == [1.5]


def test_birth_packs_what_it_knows_and_counts_the_rest() -> None:
    rows = Rows()
    data = encode_payload(
        Payload(AT, 0, (metric(1, DataType.DOUBLE, 1.0), metric(9, DataType.DOUBLE, 1.0)))
    )
    packer = Packer(Bounds(0, 60_000))
    packer.pack_birth(rows, table(DataType.DOUBLE), parse(data), NOW)
    assert (len(rows.staged), rows.refused) == (1, 1)


def test_value_that_is_not_newer_is_checked_for_duplicates() -> None:
    tags = table(DataType.DOUBLE)
    assert len(pack(tags, metric(1, DataType.DOUBLE, 1.0)).plain) == 1
    again = pack(tags, metric(1, DataType.DOUBLE, 1.0))
    assert (len(again.plain), len(again.staged)) == (0, 1)
    older = pack(tags, metric(1, DataType.DOUBLE, 1.0, AT - 1))
    assert (len(older.plain), len(older.staged), len(late_rows(older))) == (0, 0, 1)
    assert older.latest == {}
    assert older.points == 1
    assert older.size == older.staged_bytes > 0


def test_historical_values_are_checked_and_never_current() -> None:
    rows = pack(table(DataType.DOUBLE), metric(1, DataType.DOUBLE, 1.0, is_historical=True))
    assert (len(rows.staged), rows.latest) == (1, {100: rows.staged[0]})
    assert read_row(rows.staged[0]).historical
    newer = table(DataType.DOUBLE)
    newer.latest_ms[1] = AT + 1
    rows = pack(newer, metric(1, DataType.DOUBLE, 1.0, is_historical=True))
    assert rows.latest == {}
    assert [(row.time_ms, row.historical) for row in late_rows(rows)] == [(AT, True)]


def test_transient_values_are_none_of_our_business() -> None:
    rows = pack(table(DataType.DOUBLE), metric(1, DataType.DOUBLE, 1.0, is_transient=True))
    assert (rows.points, rows.transient, rows.refused) == (0, 1, 0)


def test_quality_is_kept() -> None:
    bad = {"Quality": quality_property(0)}
    rows = pack(table(DataType.DOUBLE), metric(1, DataType.DOUBLE, 1.0, properties=bad))
    assert read_row(rows.full[0]).quality == 0


@pytest.mark.parametrize("at", [1, POSTGRES_EPOCH_MS - 1, NOW + 60_001, 2**63, 2**64 - 1])
def test_times_that_cannot_be_are_refused_and_neighbours_stored(at: int) -> None:
    rows = pack(
        table(DataType.DOUBLE, DataType.DOUBLE),
        metric(1, DataType.DOUBLE, 1.0),
        metric(2, DataType.DOUBLE, 2.0, at),
        oldest_ms=POSTGRES_EPOCH_MS,
    )
    assert (rows.points, rows.refused) == (1, 1)
    assert "time is" in rows.fault


def test_rows_of_before_2000_are_in_their_order() -> None:
    rows = [pack(table(DataType.STRING), metric(1, DataType.STRING, "x", at)) for at in (1, AT)]
    old, new = (read_time(packed.full[0]) for packed in rows)
    assert old == (1 - POSTGRES_EPOCH_MS) * 1000 < 0 < new


def test_time_of_publishing_that_cannot_be_is_replaced_by_that_of_receipt() -> None:
    rows = pack(table(DataType.DOUBLE), metric(1, DataType.DOUBLE, 1.0), sent_ms=2**64 - 1)
    assert plain_rows(rows.plain)[0].sent_ms == NOW


def test_rows_of_several_slices_are_in_order_of_metric_and_time() -> None:
    tags = table(DataType.DOUBLE, DataType.DOUBLE)
    rows = Rows()
    packer = Packer(Bounds(0, 60_000))
    for at in (AT, AT + 300, AT + 70_000):
        metrics = (metric(2, DataType.DOUBLE, -1.0, at), metric(1, DataType.DOUBLE, 1.0, at))
        data = encode_payload(Payload(at, 0, metrics))
        packer.pack_live(rows, [Live(tags, open_envelope(data), data, at)])
    order = [row[:2] for row in plain_rows(rows.plain)]
    assert len(order) == 6
    assert order == sorted(order)
    assert rows.days == {AT // 86_400_000}
    assert [row.time_ms for row in plain_rows(rows.plain.oldest())] == [AT, AT]
    assert [row.time_ms for row in plain_rows(rows.plain.newest())] == [AT + 70_000] * 2


def test_rows_whose_times_go_back_between_slices_are_put_in_order() -> None:
    rows = Rows()
    packer = Packer(Bounds(0, 60_000))
    for at in (AT + 9, AT):  # two sessions of one metric, between which a clock was set back
        data = encode_payload(Payload(at, 0, (metric(1, DataType.DOUBLE, 1.0, at),)))
        packer.pack_live(rows, [Live(table(DataType.DOUBLE), open_envelope(data), data, NOW)])
    assert [row.time_ms for row in plain_rows(rows.plain)] == [AT, AT + 9]


def test_rows_with_and_without_a_time_of_their_own_are_encoded_in_order() -> None:
    rows = pack(
        table(*[DataType.DOUBLE] * 3),
        *(metric(n + 1, DataType.DOUBLE, n, at) for n, at in enumerate((AT, AT - 5, AT))),
    )
    assert [(row.value, row.sent_ms) for row in plain_rows(rows.plain)] == [
        (0.0, None),
        (1.0, AT),
        (2.0, None),
    ]


@pytest.mark.parametrize(
    "sizes", [(1, 1, 0), (0, 1, 1), (1, 0, 1), (1, 1, 1), (5, 0, 0), (0, 0, 3)]
)
def test_batch_splits_until_each_row_stands_alone(sizes: tuple[int, int, int]) -> None:
    def plain(count: int) -> PlainRows:
        ones = np.ones(count, np.int64)
        return PlainRows(ones.astype(np.int32), ones, ones.astype(np.float64), ones)

    def take_apart(batch: Batch) -> list[Batch]:
        if len(batch) == 1:
            return [batch]
        one, two = batch.split()
        assert 0 < len(one) < len(batch)
        return take_apart(one) + take_apart(two)

    batch = Batch(plain(sizes[0]), plain(sizes[1]), [b"row"] * sizes[2])
    alone = take_apart(batch)
    parts = join_batches(alone)
    assert (len(parts.plain), len(parts.historical), len(parts.full)) == sizes
