"""A Sparkplug host made of pysparkplug's low-level client: births, data, deaths, commands.

Usage: ``host.py <host> <port>``. Runs in pysparkplug's own environment and must not import the
suite.
"""

import json
import sys
import time
from datetime import datetime
from typing import Any

from pysparkplug import (
    Client,
    DataType,
    DCmd,
    Message,
    MessageType,
    Metric,
    NCmd,
    NDeath,
    QoS,
    Topic,
)

_EVENTS = {
    MessageType.NBIRTH: "birth",
    MessageType.DBIRTH: "birth",
    MessageType.NDATA: "data",
    MessageType.DDATA: "data",
    MessageType.NDEATH: "death",
    MessageType.DDEATH: "death",
}


def plain(value: object) -> object:
    if isinstance(value, datetime):
        return int(value.timestamp() * 1000)
    return value.hex() if isinstance(value, bytes) else str(value)


def tell(**event: Any) -> None:
    sys.stdout.write(json.dumps(event, default=plain) + "\n")
    sys.stdout.flush()


def now_ms() -> int:
    return int(time.time() * 1000)


def on_message(_client: Client, message: Message) -> None:
    topic, payload = message.topic, message.payload
    if topic.message_type not in _EVENTS:
        return
    metrics = () if isinstance(payload, NDeath) else getattr(payload, "metrics", ())
    tell(
        event=_EVENTS[topic.message_type],
        node=f"{topic.group_id}/{topic.edge_node_id}",
        device=topic.device_id,
        seq=getattr(payload, "seq", None),
        metrics={metric.name: metric.value for metric in metrics},
        types={metric.name: metric.datatype.name for metric in metrics},
    )


def main() -> None:
    client = Client("pysparkplug-host")
    client.subscribe(Topic(group_id="#"), QoS.AT_MOST_ONCE, on_message)
    client._client.on_subscribe = lambda *_: tell(event="ready")  # not offered
    client.connect(sys.argv[1], port=int(sys.argv[2]))
    for line in sys.stdin:
        order = json.loads(line)
        if order["do"] == "stop":
            break
        group, edge = order["node"].split("/")
        if order["do"] == "rebirth":
            topic = Topic(group, MessageType.NCMD, edge)
            metric = Metric(now_ms(), "Node Control/Rebirth", DataType.BOOLEAN, value=True)
            payload: NCmd | DCmd = NCmd(now_ms(), (metric,))
        else:
            topic = Topic(group, MessageType.DCMD, edge, order["device"])
            datatype = DataType[order["type"].upper()]
            metric = Metric(now_ms(), order["metric"], datatype, value=order["value"])
            payload = DCmd(now_ms(), (metric,))
        message = Message(topic, payload, QoS.AT_MOST_ONCE, retain=False)
        client.publish(message, include_dtypes=True)
    client.disconnect()


if __name__ == "__main__":
    main()
