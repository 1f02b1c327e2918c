"""paho's client over a socket that somebody else opened, and what brokers say in words.

Knows the packets' contents and no loop: when bytes travel is the connection's business.
"""

from typing import Final

from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from edge_node.mqtt_socket import Endpoint, LinkSocket

_DISCONNECT_WITH_WILL: Final = 0x04
_CONNACK_ADVICE: Final = {
    "Not authorized": "check mqtt.username, its password and the broker's access rules",
    "Bad user name or password": "check mqtt.username and its password",
    "Bad authentication method": "check mqtt.username and its password",
    "Client identifier not valid": "check mqtt.client_id",
    "Unsupported protocol version": "check mqtt.protocol",
}


class MqttWill:
    """What the broker publishes when the connection ends without a DISCONNECT."""

    __slots__ = ("payload", "qos", "retain", "topic")

    def __init__(self, topic: str, payload: bytes, qos: int, retain: bool) -> None:
        self.topic = topic
        self.payload = payload
        self.qos = qos
        self.retain = retain


class MqttClient(mqtt.Client):
    """One connection's packets.

    Args:
        endpoint: the broker, with who connects.
        sock: open.
        will: what the broker publishes when the connection ends without a DISCONNECT.
    """

    def __init__(self, endpoint: Endpoint, sock: LinkSocket, will: MqttWill | None) -> None:
        self._endpoint = endpoint
        self._is_five = endpoint.protocol == "5"
        super().__init__(
            CallbackAPIVersion.VERSION2,
            client_id=endpoint.client_id,
            clean_session=None if self._is_five else True,
            protocol=MQTTProtocolVersion.MQTTv5 if self._is_five else MQTTProtocolVersion.MQTTv311,
            reconnect_on_failure=False,
        )
        self._opened = sock
        if endpoint.username is not None:
            self.username_pw_set(endpoint.username, endpoint.password)
        if will is not None:
            self.will_set(will.topic, will.payload, will.qos, will.retain)

    def _create_socket(self) -> LinkSocket:
        return self._opened

    def open(self) -> None:
        """Queue CONNECT."""
        endpoint = self._endpoint
        if not self._is_five:
            self.connect(endpoint.host, endpoint.port, endpoint.keep_alive_s)
            return
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = 0
        self.connect(
            endpoint.host,
            endpoint.port,
            endpoint.keep_alive_s,
            clean_start=True,
            properties=properties,
        )

    def say_goodbye(self, *, with_will: bool = False) -> None:
        """Queue DISCONNECT, which with MQTT 5 may have the broker publish the will."""
        reason = None
        if self._is_five and with_will:
            reason = ReasonCode(PacketTypes.DISCONNECT, identifier=_DISCONNECT_WITH_WILL)
        self.disconnect(reason)


def explain_refusal(reason: str) -> str:
    """Return why a broker refuses a connection, with what can be done."""
    advice = _CONNACK_ADVICE.get(reason)
    return f"{reason}; {advice}" if advice else reason


def explain_end(reason: ReasonCode, properties: Properties | None, *, told: bool) -> str:
    """Return why a connection ended; ``told`` when the broker said so itself."""
    if not told:
        return f"connection lost: {reason.getName()}"
    words = getattr(properties, "ReasonString", None)
    return f"broker disconnected: {reason.getName()}" + (f", {words}" if words else "")
