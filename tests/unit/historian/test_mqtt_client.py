"""The client reads what paho reads, in whatever pieces it arrives."""

import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion

from historian.mqtt_client import Client

USER_PROPERTY = b"\x26\x00\x01k\x00\x01v"


def packet(topic: bytes, payload: bytes, properties: bytes | None, qos: int = 0) -> bytes:
    body = len(topic).to_bytes(2, "big") + topic + (b"\x00\x07" if qos else b"")
    if properties is not None:
        body += varint(len(properties)) + properties
    body += payload
    return bytes((0x30 | qos << 1,)) + varint(len(body)) + body


def varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes((*out, number))


class Wire:
    """A client whose socket is one end of a pair."""

    def __init__(self, protocol: MQTTProtocolVersion) -> None:
        self.arrived: list[tuple[bytes, bytes]] = []
        self.client = Client(
            on_arrival=lambda topic, payload: self.arrived.append((topic, payload)),
            callback_api_version=CallbackAPIVersion.VERSION2,
            protocol=protocol,
        )
        self.client.on_message = lambda _c, _u, m: self.arrived.append(
            (m.topic.encode(), bytes(m.payload))
        )
        self.far, near = socket.socketpair()
        near.setblocking(False)
        self.client._sock = near

    def feed(self, data: bytes) -> MQTTErrorCode:
        self.far.sendall(data)
        code = self.client.loop_read()
        while code == MQTTErrorCode.MQTT_ERR_SUCCESS and self.client.has_read_ahead:
            code = self.client.loop_read()
        return code

    def close(self) -> None:
        self.far.close()
        near, self.client._sock = self.client._sock, None
        if near is not None:
            near.close()


MESSAGES = st.lists(
    st.tuples(
        st.binary(min_size=1, max_size=4).map(lambda raw: b"spBv1.0/" + raw.hex().encode()),
        st.one_of(st.binary(max_size=300), st.just(bytes(70_000))),
        st.sampled_from([b"", USER_PROPERTY, USER_PROPERTY * 20]),
        st.sampled_from([0, 0, 1]),
    ),
    max_size=5,
)


@given(MESSAGES, st.booleans(), st.lists(st.integers(1, 400), max_size=6))
def test_messages_arrive_as_they_were_sent_however_they_are_cut(
    messages: list[tuple[bytes, bytes, bytes, int]], five: bool, cuts: list[int]
) -> None:
    wire = Wire(MQTTProtocolVersion.MQTTv5 if five else MQTTProtocolVersion.MQTTv311)
    data = b"".join(
        packet(topic, payload, properties if five else None, qos)
        for topic, payload, properties, qos in messages
    )
    at = 0
    for size in (*cuts, *[50_000] * 8):
        assert wire.feed(data[at : at + size]) == MQTTErrorCode.MQTT_ERR_SUCCESS
        at += size
    wire.close()
    assert wire.arrived == [(topic, payload) for topic, payload, _, _ in messages]


@pytest.mark.parametrize(
    "body", [b"", b"\x00", b"\x00\x05abc", b"\x00\x01a", b"\x00\x01a\x05b", b"\x00\x01a\xff\xff"]
)
def test_broken_messages_end_the_connection(body: bytes) -> None:
    wire = Wire(MQTTProtocolVersion.MQTTv5)
    code = wire.feed(bytes((0x30, len(body))) + body)
    assert code == MQTTErrorCode.MQTT_ERR_PROTOCOL
    assert wire.arrived == []
    wire.close()
