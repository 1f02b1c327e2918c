"""An edge node made of pysparkplug: two metrics on one device, one of them writable.

Usage: ``edge.py <host> <port> <group> <edge node> <device>``. Runs in pysparkplug's own environment
and must not import the suite. pysparkplug leaves rebirths to the application and offers it no way
to send one within a connection, so a rebirth is a reconnect here.
"""

import json
import sys
import threading
import time
from typing import Any

from pysparkplug import Client, DataType, Device, EdgeNode, Message, Metric


def tell(**event: Any) -> None:
    sys.stdout.write(json.dumps(event, default=str) + "\n")
    sys.stdout.flush()


def metric(name: str, value: float) -> Metric:
    return Metric(int(time.time() * 1000), name, DataType.DOUBLE, value=value)


def main() -> None:
    host, port, group, edge, device_id = sys.argv[1:]

    def on_node_command(_node: EdgeNode, _message: Message) -> None:
        tell(event="rebirth")
        threading.Thread(target=reconnect).start()

    def on_device_command(node: EdgeNode, message: Message) -> None:
        for written in message.payload.metrics:
            tell(event="command", metric=written.name, value=written.value)
            node.update_device(device_id, [metric(written.name, written.value)])

    control = Metric(int(time.time() * 1000), "Node Control/Rebirth", DataType.BOOLEAN, value=False)
    node = EdgeNode(group, edge, [control], Client(f"{group}-{edge}"), on_node_command)
    values = [metric("temperature", 21.5), metric("setpoint", 40.0)]
    node.register(Device(device_id, values, on_device_command))

    def connect() -> None:
        node.connect(host, port=int(port))
        tell(event="born")

    def reconnect() -> None:
        node.disconnect()
        connect()

    connect()
    for line in sys.stdin:
        order = json.loads(line)
        if order["do"] == "update":
            node.update_device(device_id, [metric(order["metric"], order["value"])])
        elif order["do"] == "device_gone":
            node.deregister(device_id)
        elif order["do"] == "stop":
            break
    node.disconnect()


if __name__ == "__main__":
    main()
