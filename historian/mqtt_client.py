"""paho's client, made for many small messages: read from a buffer, without an object for each.

paho asks the socket four times a message, and with MQTT 5 makes an object of properties that nobody
asks for; together that costs more than everything else that the historian does with a message.
"""

from collections.abc import Callable
from typing import Any, Final

from paho.mqtt import client as mqtt
from paho.mqtt.enums import MQTTErrorCode, MQTTProtocolVersion

_READ_BYTES: Final = 65_536
_QOS: Final = 0x06


class Client(mqtt.Client):
    """paho's client.

    Args:
        on_arrival: called with the topic's bytes and the payload of each message of QoS 0; those of
            other qualities go the way of paho.
        more: as paho has them.
    """

    def __init__(self, *, on_arrival: Callable[[bytes, bytes], None], **more: Any) -> None:
        super().__init__(**more)
        self._on_arrival = on_arrival
        self._ahead = b""
        self._taken = 0

    @property
    def has_read_ahead(self) -> bool:
        """Whether bytes wait here that no selector tells of."""
        return self._taken < len(self._ahead)

    def _sock_recv(self, bufsize: int) -> bytes:
        if not self.has_read_ahead:
            self._ahead, self._taken = super()._sock_recv(max(bufsize, _READ_BYTES)), 0
        start = self._taken
        self._taken = min(start + bufsize, len(self._ahead))
        return self._ahead[start : self._taken]

    def _handle_publish(self) -> MQTTErrorCode:
        if self._in_packet["command"] & _QOS:
            return super()._handle_publish()
        packet = bytes(self._in_packet["packet"])
        at = 2 + int.from_bytes(packet[:2], "big")
        topic = packet[2:at]
        if self._protocol == MQTTProtocolVersion.MQTTv5:
            # The length of the properties, and what is in them (MQTT 5.0, 3.3.2.3).
            size, shift = 0, 0
            while at < len(packet):
                byte = packet[at]
                at += 1
                size |= (byte & 0x7F) << shift
                shift += 7
                if byte < 0x80:
                    break
            else:
                return MQTTErrorCode.MQTT_ERR_PROTOCOL
            at += size
        if at > len(packet):
            return MQTTErrorCode.MQTT_ERR_PROTOCOL
        self._on_arrival(topic, packet[at:])
        return MQTTErrorCode.MQTT_ERR_SUCCESS
