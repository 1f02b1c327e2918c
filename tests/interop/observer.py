"""A client of the test's own on a broker: sees all Sparkplug messages, and sends some."""

import threading
import time
from collections.abc import Callable
from typing import Any, Self

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from proto.sparkplug.codec import Metric, Payload, decode_payload, encode_payload
from proto.sparkplug.datatypes import DataType
from proto.sparkplug.metrics import REBIRTH
from proto.sparkplug.topics import MessageType, NodeId, Topic, format_topic, parse_topic

_STATE = "spBv1.0/STATE/"


class Observer:
    """Everything that was published under ``spBv1.0/`` since it connected, in order.

    Args:
        port: Of the broker.
        topics: What to look at alone.
    """

    def __init__(self, port: int, topics: str = "spBv1.0/#") -> None:
        self._topics = topics
        self._messages: list[tuple[Topic, Payload]] = []
        self._next = 0
        self._news = threading.Condition()
        self._subscribed = threading.Event()
        self._client = paho.Client(CallbackAPIVersion.VERSION2, client_id="observer")
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = self._on_subscribe
        self._client.on_message = self._on_message
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        assert self._subscribed.wait(10), "the broker accepted no subscription"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def wait(self, message_type: MessageType, node: NodeId, device: str | None = None) -> Payload:
        """Return the next message of this type from this node and device, skipping others."""
        topic = Topic(message_type, node, device)
        return self.wait_where(f"{topic}", lambda found, _: found == topic)[1]

    def wait_where(
        self, what: str, is_it: Callable[[Topic, Payload], bool], timeout_s: float = 20
    ) -> tuple[Topic, Payload]:
        """Return the next message that is asked for, skipping others.

        Raises:
            AssertionError: none came in time.
        """
        deadline = time.monotonic() + timeout_s
        with self._news:
            while True:
                while self._next < len(self._messages):
                    found = self._messages[self._next]
                    self._next += 1
                    if is_it(*found):
                        return found
                left = deadline - time.monotonic()
                if left <= 0 or not self._news.wait(left):
                    topics = [str(topic) for topic, _ in self._messages[-20:]]
                    raise AssertionError(f"found no {what} within {timeout_s} s, but {topics}")

    def publish(
        self, message_type: MessageType, node: NodeId, device: str | None, payload: Payload
    ) -> None:
        """Publish one Sparkplug message at QoS 0."""
        topic = format_topic(message_type, node, device)
        self._client.publish(topic, encode_payload(payload)).wait_for_publish(10)

    def command(
        self, node: NodeId, device: str | None, name: str, datatype: DataType, value: Any
    ) -> None:
        """Send a command as a host does."""
        now_ms = time.time_ns() // 1_000_000
        message_type = MessageType.NCMD if device is None else MessageType.DCMD
        payload = Payload(now_ms, None, (Metric(name, datatype, value, now_ms),))
        self.publish(message_type, node, device, payload)

    def ask_rebirth(self, node: NodeId) -> None:
        """Ask a node for its births."""
        self.command(node, None, REBIRTH, DataType.BOOLEAN, value=True)

    def _on_connect(self, client: paho.Client, *_: object) -> None:
        client.subscribe(self._topics, qos=0)

    def _on_subscribe(self, *_: object) -> None:
        self._subscribed.set()

    def _on_message(self, _client: paho.Client, _data: object, message: paho.MQTTMessage) -> None:
        if message.topic.startswith(_STATE):
            return
        found = (parse_topic(message.topic), decode_payload(bytes(message.payload)))
        with self._news:
            self._messages.append(found)
            self._news.notify_all()
