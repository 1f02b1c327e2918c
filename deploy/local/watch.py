"""What the running stack says of itself on MQTT: the edge node's and the historian's status.

It only listens. paho's own thread receives; the latest report of each is kept.
"""

import threading
import time
from collections.abc import Callable
from urllib.parse import urlsplit

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from pydantic import ValidationError

from proto.control.status import HistorianStatus, NodeStatus
from proto.control.topics import historian_status_topic, node_status_topic
from proto.sparkplug.topics import NodeId


class WatchError(Exception):
    """The broker does not let the demo listen."""


def wait_for(wanted: Callable[[], bool], timeout_s: float) -> bool:
    """Wait at most ``timeout_s`` until ``wanted()`` is true; was it?"""
    deadline = time.monotonic() + timeout_s
    while not wanted():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


class Watch:
    """Listens to one edge node and to the historians below a topic prefix.

    Args:
        url: ``mqtt://host:port``.
        since_ms: reports older than this are retained ones of an earlier run.

    Attributes:
        node: the latest report of the edge node.
        historian: the latest report of the historian.
    """

    def __init__(
        self,
        url: str,
        *,
        username: str | None,
        password: str | None,
        prefix: str,
        node: NodeId,
        since_ms: int,
    ) -> None:
        self.node: NodeStatus | None = None
        self.historian: HistorianStatus | None = None
        self._since_ms = since_ms
        self._node_topic = node_status_topic(prefix, node)
        self._historian_filter = historian_status_topic(prefix, "+")
        self._subscribed = threading.Event()
        self._refusal = ""
        parts = urlsplit(url)
        self._host = parts.hostname or ""
        self._port = parts.port or (8883 if parts.scheme == "mqtts" else 1883)
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2)
        if parts.scheme == "mqtts":
            self._client.tls_set()
        if username is not None:
            self._client.username_pw_set(username, password)
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.on_message = self._on_message

    def start(self) -> None:
        """Connect and subscribe.

        Raises:
            WatchError: the broker cannot be reached or refuses.
        """
        where = f"{self._host}:{self._port}"
        try:
            self._client.connect(self._host, self._port, keepalive=30)
        except OSError as exc:
            raise WatchError(f"the broker at {where} cannot be reached: {exc}") from exc
        self._client.loop_start()
        if not self._subscribed.wait(10):
            self.stop()
            raise WatchError(f"the broker at {where} {self._refusal or 'did not answer in 10 s'}")

    def stop(self) -> None:
        """Disconnect."""
        self._client.disconnect()
        self._client.loop_stop()

    def _on_connect(
        self,
        client: mqtt.Client,
        _userdata: object,
        _flags: mqtt.ConnectFlags,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        if reason.is_failure:
            self._refusal = f"refused the connection: {reason}"
            return
        client.subscribe([(self._node_topic, 1), (self._historian_filter, 1)])

    def _on_message(
        self, _client: mqtt.Client, _userdata: object, message: mqtt.MQTTMessage
    ) -> None:
        try:
            if message.topic == self._node_topic:
                node = NodeStatus.model_validate_json(message.payload)
                if node.timestamp_ms >= self._since_ms:
                    self.node = node
            else:
                historian = HistorianStatus.model_validate_json(message.payload)
                if historian.timestamp_ms >= self._since_ms:
                    self.historian = historian
        except ValidationError:
            # An empty payload clears a retained report; anything else is not from our suite.
            return
