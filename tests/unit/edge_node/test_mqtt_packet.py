"""PUBLISH as the edge node writes it is PUBLISH as paho writes it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from edge_node.mqtt_packet import publish_packet

TOPICS = st.text(st.characters(exclude_characters="+#\0", exclude_categories=["Cs"]), min_size=1)


def paho_packet(topic: str, payload: bytes, *, retain: bool, version_5: bool) -> bytes:
    """Return what paho queues for its socket."""
    version = MQTTProtocolVersion.MQTTv5 if version_5 else MQTTProtocolVersion.MQTTv311
    client = Client(CallbackAPIVersion.VERSION2, protocol=version)
    client.on_socket_register_write = lambda *_: None  # nothing is written at once
    client._sock = object()  # type: ignore[assignment]  # connected, as far as paho looks
    client.publish(topic, payload, 0, retain)
    (queued,) = client._out_packet
    client._sock = None
    return bytes(queued["packet"])


@given(topic=TOPICS, payload=st.binary(), retain=st.booleans(), version_5=st.booleans())
def test_packet_is_paho_s(topic: str, payload: bytes, retain: bool, version_5: bool) -> None:
    packet = publish_packet(topic, payload, retain=retain, version_5=version_5)
    assert packet == paho_packet(topic, payload, retain=retain, version_5=version_5)


@pytest.mark.parametrize("version_5", [False, True])
@pytest.mark.parametrize("size", [0, 1, 120, 121, 16_376, 16_377, 2_097_144, 2_097_145])
def test_every_length_of_the_length(size: int, version_5: bool) -> None:
    packet = publish_packet("a/b", bytes(size), retain=False, version_5=version_5)
    assert packet == paho_packet("a/b", bytes(size), retain=False, version_5=version_5)


def test_topic_too_long_is_refused() -> None:
    with pytest.raises(OverflowError):
        publish_packet("t" * 65_536, b"", retain=False, version_5=False)
