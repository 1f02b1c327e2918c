"""An edge node and its device made of mqtt-spb-wrapper, each with a connection of its own.

Usage: ``edge.py <host> <port> <group> <edge node> <device>``. Runs in mqtt-spb-wrapper's own
environment and must not import the suite.
"""

import json
import sys
from typing import Any

from mqtt_spb_wrapper import MqttSpbEntityDevice, MqttSpbEntityEdgeNode


def tell(**event: Any) -> None:
    sys.stdout.write(json.dumps(event, default=str) + "\n")
    sys.stdout.flush()


def main() -> None:
    host, port, group, edge, device_id = sys.argv[1:]
    node = MqttSpbEntityEdgeNode(group, edge)
    device = MqttSpbEntityDevice(group, edge, device_id)

    def on_write(value: float) -> None:
        tell(event="command", metric="setpoint", value=value)
        device.data.set_value("setpoint", value)
        device.publish_data()

    node.data.set_value("uptime", 1)
    device.data.set_value("temperature", 21.5)
    device.data.set_value("setpoint", 40.0)
    device.commands.set_value("setpoint", 40.0, callback_on_change=on_write)

    node.connect(host, int(port))
    node.publish_birth()
    device.connect(host, int(port))
    device.publish_birth()
    tell(event="born")
    for line in sys.stdin:
        order = json.loads(line)
        if order["do"] == "update":
            device.data.set_value(order["metric"], order["value"])
            device.publish_data()
        elif order["do"] == "device_gone":
            device.disconnect()
        elif order["do"] == "stop":
            break
    if device.is_connected():
        device.disconnect()
    node.disconnect()


if __name__ == "__main__":
    main()
