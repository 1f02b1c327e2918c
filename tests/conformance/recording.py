"""Everything that clients put on a broker, as a subscriber with MQTT 5 sees it.

MQTT 5 lets a subscriber see the publisher's own retain flag. What the messages mean is the tests'
business.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.subscribeoptions import SubscribeOptions

FILTERS = ("#", "$nexus/#")


@dataclass(frozen=True, slots=True)
class Message:
    """One publish, with the time at which it arrived."""

    topic: str
    payload: bytes
    qos: int
    retain: bool
    arrived_ms: float


class Recording:
    """The messages of a broker since this began, in order."""

    def __init__(self, port: int) -> None:
        self.messages: list[Message] = []
        self._news = threading.Condition()
        self._subscribed = threading.Event()
        self._client = paho.Client(
            CallbackAPIVersion.VERSION2, client_id="recording", protocol=paho.MQTTv5
        )
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

    def publish(self, topic: str, payload: bytes) -> None:
        """Publish at QoS 0."""
        self._client.publish(topic, payload).wait_for_publish(10)

    def wait(self, what: str, is_there: Callable[[list[Message]], bool]) -> None:
        """Wait until the messages so far are as asked for.

        Raises:
            AssertionError: they are not, after 20 s.
        """
        deadline = time.monotonic() + 20
        with self._news:
            while not is_there(self.messages):
                left = deadline - time.monotonic()
                if left <= 0 or not self._news.wait(left):
                    topics = [message.topic for message in self.messages]
                    raise AssertionError(f"found no {what} within 20 s, but {topics}")

    def _on_connect(self, client: paho.Client, *_: object) -> None:
        options = SubscribeOptions(qos=2, retainAsPublished=True)
        client.subscribe([(each, options) for each in FILTERS])

    def _on_subscribe(self, *_: object) -> None:
        self._subscribed.set()

    def _on_message(self, _client: paho.Client, _data: object, message: paho.MQTTMessage) -> None:
        found = Message(
            message.topic,
            bytes(message.payload),
            message.qos,
            message.retain,
            time.time_ns() / 1_000_000,
        )
        with self._news:
            self.messages.append(found)
            self._news.notify_all()
