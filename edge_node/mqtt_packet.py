"""The one MQTT packet that is written often: PUBLISH at QoS 0. Pure; every other is paho's."""


def publish_packet(topic: str, payload: bytes, *, retain: bool, version_5: bool) -> bytes:
    """Return a PUBLISH of QoS 0 without properties (MQTT 3.1.1 and 5, section 3.3).

    Raises:
        OverflowError: the topic has more than 65,535 bytes.
    """
    name = topic.encode()
    remaining = 2 + len(name) + version_5 + len(payload)
    head = bytearray((0x31 if retain else 0x30,))
    while remaining > 0x7F:
        head.append(remaining & 0x7F | 0x80)
        remaining >>= 7
    head.append(remaining)
    head += len(name).to_bytes(2, "big")
    head += name
    if version_5:
        head.append(0)  # how long the properties are
    head += payload
    return bytes(head)
