"""Packing: the fast loop gives what the careful way gives, and never a value that was not sent."""

import math
import struct
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from historian.exact import Columns, to_columns
from historian.rows import POSTGRES_EPOCH_MS, Packer, Rows, UnknownMetric
from historian.tables import Entry, Table
from proto import sparkplug_b_pb2 as pb
from proto.sparkplug.codec import Metric, Payload, encode_payload, parse
from proto.sparkplug.datatypes import DataType
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

    def time(field: bytes | None) -> int | None:
        microseconds = number("q", field)
        return None if microseconds is None else int(microseconds) // 1000 + POSTGRES_EPOCH_MS

    return Row(
        int(number("i", fields[0]) or 0),
        time(fields[1]) or 0,
        number("d", fields[2]),
        time(fields[3]),
        int(number("h", fields[4]) or 0) if fields[4] is not None else 192,
        bool(number("?", fields[5])),
        None if fields[6] is None else fields[6].decode(),
        None if fields[7] is None else fields[7][1:].decode(),
        fields[8],
    )


def table(*datatypes: DataType) -> Table:
    made = Table()
    for index, datatype in enumerate(datatypes):
        made.by_alias[index + 1] = made.by_name[f"m{index + 1}"] = Entry(100 + index, datatype)
    return made


def pack(
    tags: Table, *metrics: Metric, sent_ms: int = AT, received_ms: int = NOW, oldest_ms: int = 0
) -> Rows:
    rows = Rows()
    data = encode_payload(Payload(sent_ms, 0, metrics))
    packer = Packer(oldest_ms=oldest_ms, ahead_ms=60_000)
    packer.pack_live(rows, tags, parse(data), data, received_ms)
    return rows


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


@given(st.lists(PLAIN, min_size=1, max_size=8), st.booleans())
def test_every_value_comes_out_as_it_went_in(
    values: list[tuple[DataType, object]], uint32_as_long: bool
) -> None:
    metrics = tuple(
        metric(index + 1, datatype, value) for index, (datatype, value) in enumerate(values)
    )
    data = encode_payload(Payload(AT + 7, 0, metrics), uint32_as_long=uint32_as_long)
    rows = Rows()
    tags = table(*(datatype for datatype, _ in values))
    Packer(oldest_ms=0, ahead_ms=60_000).pack_live(rows, tags, parse(data), data, NOW)
    assert not rows.staged
    found = {row.metric_id: row for row in map(read_row, rows.plain + rows.full)}
    assert len(found) == len(values)
    for index, (_, value) in enumerate(values):
        row = found[100 + index]
        expected: Columns = to_columns(value)  # type: ignore[arg-type]
        if expected.number is not None and math.isnan(expected.number):
            assert row.value is not None
            assert math.isnan(row.value)
        else:
            assert row.value == expected.number
        assert (row.text, row.raw) == (expected.text, expected.raw)
        assert (row.time_ms, row.sent_ms, row.quality) == (AT, AT + 7, 192)
        assert rows.latest[100 + index] in rows.plain + rows.full


def test_numbers_of_good_quality_are_plain_rows() -> None:
    rows = pack(
        table(DataType.DOUBLE, DataType.INT32, DataType.BOOLEAN),
        metric(1, DataType.DOUBLE, 0.0),
        metric(2, DataType.INT32, -3),
        metric(3, DataType.BOOLEAN, False),
    )
    assert (len(rows.plain), len(rows.full), len(rows.staged)) == (3, 0, 0)
    assert [read_row(row).value for row in rows.plain] == [0.0, -3.0, 0.0]
    assert read_row(rows.plain[0]).sent_ms is None


def test_value_in_a_field_of_another_type_is_not_taken_for_zero() -> None:
    payload = pb.Payload(timestamp=AT)
    payload.metrics.add(alias=1, timestamp=AT, string_value="7")
    payload.metrics.add(alias=2, timestamp=AT, double_value=5.0)
    rows = Rows()
    data = payload.SerializeToString()
    tags = table(DataType.DOUBLE, DataType.DOUBLE)
    Packer(oldest_ms=0, ahead_ms=60_000).pack_live(rows, tags, payload, data, NOW)
    assert rows.refused == 1
    assert [read_row(row).value for row in rows.plain] == [5.0]


def test_metric_without_alias_is_not_taken_for_alias_0() -> None:
    payload = pb.Payload(timestamp=AT)
    payload.metrics.add(name="m1", timestamp=AT, double_value=5.0)
    tags = table(DataType.DOUBLE)
    tags.by_alias[0] = Entry(999, DataType.DOUBLE)
    rows = Rows()
    data = payload.SerializeToString()
    Packer(oldest_ms=0, ahead_ms=60_000).pack_live(rows, tags, payload, data, NOW)
    assert [read_row(row).metric_id for row in rows.full] == [100]


def test_control_metrics_are_not_stored() -> None:
    rows = pack(
        table(DataType.DOUBLE),
        Metric("Node Control/Rebirth", DataType.BOOLEAN, False, AT),
        metric(1, DataType.DOUBLE, 1.0),
    )
    assert rows.points == 1


def test_unknown_alias_packs_nothing_of_the_payload() -> None:
    rows = Rows()
    data = encode_payload(
        Payload(AT, 0, (metric(1, DataType.DOUBLE, 1.0), metric(9, DataType.DOUBLE, 1.0)))
    )
    packer = Packer(oldest_ms=0, ahead_ms=60_000)
    with pytest.raises(UnknownMetric, match="9 is in no birth"):
        packer.pack_live(rows, table(DataType.DOUBLE), parse(data), data, NOW)
    assert rows.points == 0


def test_birth_packs_what_it_knows_and_counts_the_rest() -> None:
    rows = Rows()
    data = encode_payload(
        Payload(AT, 0, (metric(1, DataType.DOUBLE, 1.0), metric(9, DataType.DOUBLE, 1.0)))
    )
    packer = Packer(oldest_ms=0, ahead_ms=60_000)
    packer.pack_known(rows, table(DataType.DOUBLE), parse(data), NOW)
    assert (len(rows.staged), rows.refused) == (1, 1)


def test_value_that_is_not_newer_is_checked_for_duplicates() -> None:
    tags = table(DataType.DOUBLE)
    assert len(pack(tags, metric(1, DataType.DOUBLE, 1.0)).plain) == 1
    again = pack(tags, metric(1, DataType.DOUBLE, 1.0))
    assert (len(again.plain), len(again.staged)) == (0, 1)
    older = pack(tags, metric(1, DataType.DOUBLE, 1.0, AT - 1))
    assert (len(older.plain), len(older.staged)) == (0, 1)
    assert older.latest == {}


def test_historical_values_are_checked_and_never_current() -> None:
    rows = pack(table(DataType.DOUBLE), metric(1, DataType.DOUBLE, 1.0, is_historical=True))
    assert (len(rows.staged), rows.latest) == (1, {100: rows.staged[0]})
    assert read_row(rows.staged[0]).historical
    newer = table(DataType.DOUBLE)
    newer.by_alias[1].latest_ms = AT + 1
    rows = pack(newer, metric(1, DataType.DOUBLE, 1.0, is_historical=True))
    assert rows.latest == {}


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
    )
    assert (rows.points, rows.refused) == (1, 1)
    assert "time is" in rows.fault


def test_time_of_publishing_that_cannot_be_is_replaced_by_that_of_receipt() -> None:
    rows = pack(table(DataType.DOUBLE), metric(1, DataType.DOUBLE, 1.0), sent_ms=2**64 - 1)
    assert read_row(rows.plain[0]).sent_ms == NOW


def test_sorted_rows_are_in_order_of_metric_and_time() -> None:
    tags = table(DataType.DOUBLE, DataType.DOUBLE)
    rows = Rows()
    packer = Packer(oldest_ms=0, ahead_ms=60_000)
    for at in (AT, AT + 300, AT + 70_000):
        metrics = (metric(2, DataType.DOUBLE, -1.0, at), metric(1, DataType.DOUBLE, 1.0, at))
        data = encode_payload(Payload(at, 0, metrics))
        packer.pack_live(rows, tags, parse(data), data, at)
    rows.plain.sort()
    order = [read_row(row)[:2] for row in rows.plain]
    assert order == sorted(order)
    assert rows.days == {AT // 86_400_000}
