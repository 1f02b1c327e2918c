"""The publisher of the ingest benchmark: an edge node that sends as fast as the historian stores.

Payloads are encoded once; only times and sequence numbers are written into them anew. It follows
the historian's status and keeps a window of points under way, so that it measures a rate that
can be kept up, with a backlog that does not grow.
"""

import json
import sys
import time
from dataclasses import asdict, dataclass

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from proto.sparkplug.codec import Metric, Payload, encode_payload, encode_samples
from proto.sparkplug.datatypes import DataType
from proto.sparkplug.samples import timestamp_field, varint
from proto.sparkplug.topics import MessageType, NodeId, format_topic

NODE = NodeId("bench", "ingest")
DEVICE = "device"
VARIANTS = 64
STATUS_S = 1.0
REBIRTHS = format_topic(MessageType.NCMD, NODE)
PATIENCE_S = 90.0
"""Longer than anything waits for a birth: what is lost is known to be so by then."""
SETTLED = ("points_stored", "points_duplicate", "points_dropped")
COUNTED = ("points_received", *SETTLED, "messages_missed", "backlog_points")
TYPES = (
    DataType.FLOAT,
    DataType.FLOAT,
    DataType.DOUBLE,
    DataType.INT16,
    DataType.INT32,
    DataType.UINT16,
    DataType.BOOLEAN,
    DataType.FLOAT,
    DataType.INT64,
    DataType.UINT32,
)
"""What a plant's tags are, roughly."""


@dataclass(slots=True)
class Order:
    """What to do, as JSON on standard input.

    Attributes:
        host: of the broker.
        port: of the broker.
        status_topic: where the historians count; a filter.
        metrics: in one payload.
        seconds: how long to send.
        window: points under way at most.
        processes: how many historians there are; each counts every birth.
    """

    host: str
    port: int
    status_topic: str
    metrics: int
    seconds: float
    window: int
    processes: int = 1


def make_value(datatype: DataType, number: int) -> bool | int | float:
    """A value that changes from payload to payload."""
    if datatype is DataType.BOOLEAN:
        return number % 2 == 1
    if datatype in {DataType.FLOAT, DataType.DOUBLE}:
        return 20 + (number * 37 % 1000) / 16
    if datatype in {DataType.INT16, DataType.INT32}:
        return number * 31 % 20_000 - 5_000
    return number * 17 % 60_000 + 1


def make_births(metrics: int, timestamp_ms: int) -> list[tuple[str, bytes]]:
    """NBIRTH and DBIRTH as topic and payload."""
    bd_seq = Metric("bdSeq", DataType.INT64, 0, timestamp_ms)
    device = tuple(
        Metric(
            f"area/tag-{index}",
            TYPES[index % len(TYPES)],
            make_value(TYPES[index % len(TYPES)], index),
            timestamp_ms,
            alias=index + 1,
        )
        for index in range(metrics)
    )
    return [
        (
            format_topic(MessageType.NBIRTH, NODE),
            encode_payload(Payload(timestamp_ms, 0, (bd_seq,))),
        ),
        (
            format_topic(MessageType.DBIRTH, NODE, DEVICE),
            encode_payload(Payload(timestamp_ms, 1, device)),
        ),
    ]


class Templates:
    """Encoded payloads whose time is exchanged byte by byte."""

    def __init__(self, metrics: int, timestamp_ms: int) -> None:
        self._time = timestamp_field(timestamp_ms)
        self._bodies = []
        for variant in range(VARIANTS):
            samples = [
                (
                    index + 1,
                    TYPES[index % len(TYPES)],
                    make_value(TYPES[index % len(TYPES)], index + variant),
                    timestamp_ms,
                )
                for index in range(metrics)
            ]
            encoded = encode_samples(samples, seq=0, timestamp_ms=timestamp_ms)
            assert encoded.count(self._time[1:]) == metrics + 1
            self._bodies.append(encoded)
        self._time_value = self._time[1:]

    def fill(self, number: int, seq: int, timestamp_ms: int) -> bytes:
        """One payload. Of a field that stands twice, the last counts: seq is set by appending."""
        body = self._bodies[number % VARIANTS]
        fresh = timestamp_field(timestamp_ms)[1:]
        return body.replace(self._time_value, fresh) + b"\x18" + varint(seq)


class Followed:
    """What the historians say that they did since a moment.

    Args:
        client: connected; subscribed to here.
        order: names the topic.

    Attributes:
        settled: points of which they know what became of them.
        asked: whether births were asked for again.
    """

    def __init__(self, client: mqtt.Client, order: Order) -> None:
        self._by_historian: dict[str, dict[str, int]] = {}
        self._before = dict.fromkeys(COUNTED, 0)
        self._now = dict(self._before)
        self.settled = 0
        self.asked = False
        client.on_message = self._take
        client.message_callback_add(REBIRTHS, self._note_asked)
        client.subscribe([(order.status_topic, 1), (REBIRTHS, 0)])

    def begin(self) -> None:
        """Count from here on."""
        self._before = dict(self._now)
        self.settled = 0
        self.asked = False

    def counts(self) -> dict[str, int]:
        """Of all historians together."""
        return {name: self._now[name] - self._before[name] for name in COUNTED}

    def _take(self, _client: mqtt.Client, _userdata: object, message: mqtt.MQTTMessage) -> None:
        self._by_historian[message.topic] = json.loads(message.payload)
        told = self._by_historian.values()
        self._now = {name: sum(status[name] for status in told) for name in COUNTED}
        counts = self.counts()
        self.settled = sum(counts[name] for name in SETTLED)

    def _note_asked(self, *_: object) -> None:
        self.asked = True


def main() -> None:
    """Publish as ordered and print what was published, and what the historians counted of it."""
    order = Order(**json.load(sys.stdin))
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="bench-publisher")
    client.connect(order.host, order.port)
    client.loop_start()
    followed = Followed(client, order)
    # What the historian stored before is not ours: two reports at least come in this time.
    time.sleep(STATUS_S)
    followed.begin()
    base_ms = time.time_ns() // 1_000_000
    for birth_topic, payload in make_births(order.metrics, base_ms):
        client.publish(birth_topic, payload).wait_for_publish(10)
    templates = Templates(order.metrics, base_ms)
    topic = format_topic(MessageType.DDATA, NODE, DEVICE)
    points = order.metrics
    births_again = (order.processes - 1) * order.metrics
    number, seq, rebirths = 0, 2, 0
    timestamp_ms = base_ms
    under_way = [[0], [0], [0]]
    started = time.perf_counter()
    while (elapsed := time.perf_counter() - started) < order.seconds:
        waits = points + births_again - followed.settled
        under_way[min(2, int(3 * elapsed / order.seconds))].append(waits)
        if waits > order.window:
            time.sleep(0.002)
            continue
        # Every payload has a millisecond of its own, also where they come faster than that.
        timestamp_ms = max(timestamp_ms + 1, time.time_ns() // 1_000_000)
        if followed.asked:
            followed.asked = False
            for birth_topic, payload in make_births(order.metrics, timestamp_ms):
                client.publish(birth_topic, payload)
            seq, rebirths = 2, rebirths + 1
            births_again += (order.processes - 1) * order.metrics
        else:
            client.publish(topic, templates.fill(number, seq, timestamp_ms))
            number, seq = number + 1, (seq + 1) & 255
        points += order.metrics
    sent_s = time.perf_counter() - started
    deadline = time.perf_counter() + PATIENCE_S
    while followed.settled < points + births_again and time.perf_counter() < deadline:
        time.sleep(0.002)
    print(
        json.dumps(
            {
                "points": points,
                "births_again": births_again,
                "rebirths": rebirths,
                "sent_s": sent_s,
                "stored_s": time.perf_counter() - started,
                "under_way": [round(sum(part) / len(part)) for part in under_way],
                "counted": followed.counts(),
                "order": asdict(order),
            }
        )
    )
    client.disconnect()
    client.loop_stop()


if __name__ == "__main__":
    main()
