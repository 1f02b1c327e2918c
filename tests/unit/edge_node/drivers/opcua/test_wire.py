"""What is read from the bytes is what the library writes into them."""

import struct
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua.ua_binary import struct_to_binary
from hypothesis import given
from hypothesis import strategies as st

from edge_node.drivers.opcua.kinds import to_ticks
from edge_node.drivers.opcua.notifications import parse_publish
from edge_node.drivers.opcua.session import ServiceRefused
from edge_node.drivers.opcua.wire import (
    Opaque,
    Sample,
    WireError,
    decode_changes,
    decode_value,
    decode_values,
)

V = ua.VariantType
NOON = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)
NOON_MS = 1_795_694_400_000

scalars: list[tuple[Any, Any, Any]] = [
    (V.Boolean, st.booleans(), None),
    (V.SByte, st.integers(-128, 127), None),
    (V.Byte, st.integers(0, 255), None),
    (V.Int16, st.integers(-(2**15), 2**15 - 1), None),
    (V.UInt16, st.integers(0, 2**16 - 1), None),
    (V.Int32, st.integers(-(2**31), 2**31 - 1), None),
    (V.UInt32, st.integers(0, 2**32 - 1), None),
    (V.Int64, st.integers(-(2**63), 2**63 - 1), None),
    (V.UInt64, st.integers(0, 2**64 - 1), None),
    (V.Float, st.floats(width=32, allow_nan=False), None),
    (V.Double, st.floats(allow_nan=False), None),
    (V.String, st.text(), None),
    (V.ByteString, st.binary(), None),
    (V.Guid, st.uuids(), str),
    (V.LocalizedText, st.text(min_size=1).map(ua.LocalizedText), lambda text: text.Text),
    (V.NodeId, st.text(min_size=1).map(lambda text: ua.NodeId(text, 2)), ua.NodeId.to_string),
]


@pytest.mark.parametrize(
    ("kind", "values", "expected"), scalars, ids=[kind.name for kind, _, _ in scalars]
)
def test_every_type_is_read_alone_and_in_arrays(kind: Any, values: Any, expected: Any) -> None:
    plain = expected or (lambda value: value)

    @given(values, st.lists(values, max_size=5))
    def check(value: Any, items: list[Any]) -> None:
        one = struct_to_binary(ua.DataValue(ua.Variant(value, kind)))
        sample, end = decode_value(one, 0)
        assert (sample.value, sample.code, end) == (plain(value), kind.value, len(one))
        many = struct_to_binary(ua.DataValue(ua.Variant(items, kind, is_array=True)))
        sample, end = decode_value(many, 0)
        assert (sample.value, end) == ([plain(item) for item in items], len(many))

    check()


@given(st.booleans(), st.booleans(), st.sampled_from([0, 0x808C0000, 0x40900000]))
def test_status_and_times_are_read_whichever_are_there(
    with_source: bool, with_server: bool, status: int
) -> None:
    value = ua.DataValue(ua.Variant(1.5, V.Double), ua.StatusCode(status))
    if with_source:
        value.SourceTimestamp = NOON
    if with_server:
        value.ServerTimestamp = NOON
    wire = struct_to_binary(value)
    sample, end = decode_value(wire, 0)
    source_ms, server_ms = (NOON_MS if there else None for there in (with_source, with_server))
    assert sample == Sample(1.5, 11, status, source_ms, server_ms)
    assert end == len(wire)


def test_picoseconds_stand_behind_their_own_time() -> None:
    """OPC 10000-6 5.2.2.17; the library writes both behind both."""
    ticks = struct.pack("<q", to_ticks(NOON_MS))
    wire = b"\x3d\x01\x01" + ticks + b"\x07\x00" + ticks + b"\x08\x00"
    assert decode_value(wire, 0) == (Sample(True, 1, 0, NOON_MS, NOON_MS), len(wire))


def test_a_structure_is_kept_for_later_and_its_end_is_known() -> None:
    body = ua.ExtensionObject(TypeId=ua.NodeId(5001, 2), Body=b"\x01\x02\x03")
    wire = struct_to_binary(ua.DataValue(ua.Variant(body, V.ExtensionObject), SourceTimestamp=NOON))
    sample, end = decode_value(wire, 0)
    assert sample.value == Opaque(ua.NodeId(5001, 2), b"\x01\x02\x03")
    assert (sample.source_ms, end) == (NOON_MS, len(wire))


def test_a_node_without_a_value_has_type_0() -> None:
    wire = struct_to_binary(ua.DataValue(ua.Variant()))
    assert decode_value(wire, 0)[0].code == 0
    assert decode_value(b"\x00", 0) == (Sample(None, 0, 0, None, None), 1)


@given(st.binary(max_size=60))
def test_any_bytes_are_values_or_are_refused(data: bytes) -> None:
    for decode in (decode_values, decode_changes):
        try:
            decode(data, 0)
        except WireError:
            continue


def publish(*parts: Any) -> bytes:
    response = ua.PublishResponse()
    response.Parameters.SubscriptionId = 7
    response.Parameters.AvailableSequenceNumbers = [3, 4]
    response.Parameters.NotificationMessage.SequenceNumber = 4
    response.Parameters.NotificationMessage.NotificationData = list(parts)
    wire: bytes = struct_to_binary(response)
    return wire


def test_a_publish_response_tells_its_changes_and_what_to_acknowledge() -> None:
    changes = ua.DataChangeNotification()
    for handle in range(3):
        item = ua.MonitoredItemNotification()
        item.ClientHandle = handle
        item.Value = ua.DataValue(ua.Variant(UUID(int=handle), V.Guid))
        changes.MonitoredItems.append(item)
    told = parse_publish(Buffer(publish(changes)))
    assert (told.subscription, told.sequence, told.has_data, told.ended) == (7, 4, True, 0)
    assert [(handle, sample.value) for handle, sample in told.changes] == [
        (handle, str(UUID(int=handle))) for handle in range(3)
    ]


def test_a_keep_alive_has_nothing_to_acknowledge() -> None:
    assert not parse_publish(Buffer(publish())).has_data


def test_the_end_of_a_subscription_is_told() -> None:
    ended = ua.StatusChangeNotification(Status=ua.StatusCode(ua.StatusCodes.BadTimeout))
    assert parse_publish(Buffer(publish(ended))).ended == ua.StatusCodes.BadTimeout


def test_a_refused_publish_request_tells_its_status() -> None:
    response = ua.PublishResponse()
    response.ResponseHeader.ServiceResult = ua.StatusCode(ua.StatusCodes.BadNoSubscription)
    with pytest.raises(ServiceRefused, match="BadNoSubscription"):
        parse_publish(Buffer(struct_to_binary(response)))
