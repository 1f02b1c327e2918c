"""Every data type as we encode it, read by decoders that others wrote."""

from collections.abc import Iterator
from typing import Any

import pytest
from paho.mqtt import publish

from deploy.local.broker import MqttBroker
from proto.sparkplug.codec import encode_payload
from proto.sparkplug.datatypes import DataType
from proto.sparkplug.metrics import (
    BD_SEQ,
    REBIRTH,
    Metric,
    Payload,
    Template,
    TemplateParameter,
    Value,
    quality_property,
)
from proto.sparkplug.topics import MessageType, NodeId, format_topic
from tests.interop.peer import Peer

NOW_MS = 1_700_000_000_123
_NODE = NodeId("interop", "types")

INTEGERS: dict[DataType, int] = {
    DataType.INT8: -(2**7),
    DataType.INT16: -(2**15),
    DataType.INT32: -(2**31),
    DataType.INT64: -(2**63),
    DataType.UINT8: 2**8 - 1,
    DataType.UINT16: 2**16 - 1,
    DataType.UINT32: 2**32 - 1,
    DataType.UINT64: 2**64 - 1,
    DataType.DATETIME: NOW_MS,
}
OTHERS: dict[DataType, Value] = {
    DataType.FLOAT: -0.15625,
    DataType.DOUBLE: 2.2250738585072014e-308,
    DataType.BOOLEAN: True,
    DataType.STRING: "Füllhöhe ✓",
    DataType.TEXT: "",
    DataType.UUID: "123e4567-e89b-12d3-a456-426614174000",
    DataType.BYTES: b"\x00\xff",
    DataType.FILE: b"%PDF",
}
ARRAYS: dict[DataType, Value] = {
    DataType.INT8_ARRAY: [-128, 127],
    DataType.INT16_ARRAY: [-32768, 32767],
    DataType.INT32_ARRAY: [-(2**31), 2**31 - 1],
    DataType.INT64_ARRAY: [-(2**63), 2**63 - 1],
    DataType.UINT8_ARRAY: [0, 255],
    DataType.UINT16_ARRAY: [0, 65535],
    DataType.UINT32_ARRAY: [0, 2**32 - 1],
    DataType.UINT64_ARRAY: [0, 2**63 - 1],
    DataType.FLOAT_ARRAY: [0.5, -1.5],
    DataType.DOUBLE_ARRAY: [0.1, 1e300],
    DataType.BOOLEAN_ARRAY: [True, False, False, True, True, False, True, True, True],
    DataType.STRING_ARRAY: ["ab", "c"],
    DataType.DATETIME_ARRAY: [NOW_MS, 0],
}


@pytest.fixture
def broker(peer_host: Peer, module_mqtt_broker: MqttBroker) -> Iterator[MqttBroker]:
    """Give the broker once the node's births may be sent, and end the node afterwards."""
    node_metrics = (
        Metric(BD_SEQ, DataType.INT64, 0, NOW_MS),
        Metric(REBIRTH, DataType.BOOLEAN, value=False, timestamp_ms=NOW_MS),
    )
    _publish(module_mqtt_broker, MessageType.NBIRTH, Payload(NOW_MS, 0, node_metrics))
    peer_host.wait("birth", node="interop/types", device=None)
    yield module_mqtt_broker
    death = Payload(NOW_MS, None, node_metrics[:1])
    _publish(module_mqtt_broker, MessageType.NDEATH, death)
    peer_host.wait("death", node="interop/types", device=None)


def _publish(
    broker: MqttBroker,
    message_type: MessageType,
    payload: Payload,
    device: str | None = None,
    *,
    uint32_as_long: bool = False,
) -> None:
    body = encode_payload(payload, uint32_as_long=uint32_as_long)
    topic = format_topic(message_type, _NODE, device)
    publish.single(topic, body, hostname=broker.host, port=broker.port)


def _read(
    broker: MqttBroker, host: Peer, values: dict[DataType, Value], **options: bool
) -> dict[str, Any]:
    """Send a birth with one metric a data type; return what the host makes of it."""
    metrics = tuple(
        Metric(datatype.label, datatype, value, NOW_MS, alias=number)
        for number, (datatype, value) in enumerate(values.items())
    )
    _publish(broker, MessageType.DBIRTH, Payload(NOW_MS, 1, metrics), "d", **options)
    read: dict[str, Any] = host.wait("birth", device="d")["metrics"]
    return read


def _by_label(values: dict[DataType, Value]) -> dict[str, Any]:
    return {
        datatype.label: value.hex() if isinstance(value, bytes) else value
        for datatype, value in values.items()
    }


def _exact(value: object) -> object:
    # What a peer cannot write as a JSON number exactly, it writes as text.
    return int(value) if isinstance(value, str) else value


every_decoder = pytest.mark.parametrize(
    "peer_host", ["sparkplug-payload", "tahu-host", "pysparkplug"], indirect=True
)
array_decoders = pytest.mark.parametrize("peer_host", ["tahu-host", "pysparkplug"], indirect=True)


@every_decoder
def test_integers_are_read_exactly_at_their_limits(peer_host: Peer, broker: MqttBroker) -> None:
    integers = dict(INTEGERS)
    if peer_host.name == "pysparkplug":
        # It reads small negative integers from their low bits alone and ends at the others; the
        # reference project sends and wants them sign-extended.
        integers |= {DataType.INT8: 2**7 - 1, DataType.INT16: 2**15 - 1}
    # sparkplug-payload reads a UInt32 from long_value alone, where the reference project puts it;
    # the text puts it into int_value.
    long_uint32 = peer_host.name == "sparkplug-payload"

    read = _read(broker, peer_host, {**integers}, uint32_as_long=long_uint32)

    assert {name: _exact(value) for name, value in read.items()} == _by_label({**integers})


@every_decoder
def test_other_scalars_are_read_exactly(peer_host: Peer, broker: MqttBroker) -> None:
    assert _read(broker, peer_host, OTHERS) == _by_label(OTHERS)


@every_decoder
def test_null_is_read_as_null(peer_host: Peer, broker: MqttBroker) -> None:
    nulls: dict[DataType, Value] = dict.fromkeys([*INTEGERS, *OTHERS], None)

    assert _read(broker, peer_host, nulls) == _by_label(nulls)


@array_decoders
def test_arrays_are_read_exactly(peer_host: Peer, broker: MqttBroker) -> None:
    read = _read(broker, peer_host, ARRAYS)

    if peer_host.name == "tahu-host":
        # it hands out the elements of a UInt8Array as Java's signed bytes
        read["UInt8Array"] = [element % 256 for element in read["UInt8Array"]]
    assert read == _by_label(ARRAYS)


@pytest.mark.parametrize("peer_host", ["sparkplug-payload", "tahu-host"], indirect=True)
def test_template_instances_are_read_with_members_and_parameters(
    peer_host: Peer, broker: MqttBroker
) -> None:
    bad = {"Quality": quality_property(0)}
    instance = Template(
        (
            Metric("Speed", DataType.INT16, 5, NOW_MS),
            Metric("On", DataType.BOOLEAN, None, NOW_MS, properties=bad),
        ),
        "Motor",
        version="1.2",
        parameters=(TemplateParameter("base", DataType.INT64, 100),),
    )

    read = _read(broker, peer_host, {DataType.TEMPLATE: instance})["Template"]

    if peer_host.name == "tahu-host":  # it tells the whole of it in words
        for words in (
            "version=1.2, templateRef=Motor, isDefinition=false",
            "name=Speed, alias=null, timestamp=1700000000123, dataType=Int16",
            "Quality=PropertyValue [type=Int32, value=0",
            "value=null, isNull=true",
            "Parameter [name=base, type=Int64, value=100]",
        ):
            assert words in read
        return
    assert {**read, "metrics": None} == {
        "version": "1.2",
        "templateRef": "Motor",
        "isDefinition": False,
        "metrics": None,
        "parameters": [{"name": "base", "type": "Int64", "value": 100}],
    }
    assert [(m["name"], m["type"], m["value"]) for m in read["metrics"]] == [
        ("Speed", "Int16", 5),
        ("On", "Boolean", None),
    ]
