"""A SCADA application made of mqtt-spb-wrapper: births, data, deaths, commands.

Usage: ``host.py <host> <port> <group>``. Runs in mqtt-spb-wrapper's own environment and must not
import the suite. The library follows one group, and neither resolves aliases nor reads a value
whose datatype stands in the birth alone; what it hands out is told as it is.
"""

import json
import sys
from typing import Any

from mqtt_spb_wrapper import MqttSpbEntityScada


def tell(**event: Any) -> None:
    sys.stdout.write(json.dumps(event, default=str) + "\n")
    sys.stdout.flush()


class Teller:
    """Tells of every message in the words of the line protocol."""

    def __init__(self, group: str, event: str) -> None:
        self._group = group
        self._event = event

    def __call__(self, topic: Any, payload: dict[str, Any]) -> None:
        metrics = payload.get("metrics", [])
        tell(
            event=self._event,
            node=f"{self._group}/{topic.eon_name}",
            device=topic.eon_device_name,
            seq=payload.get("seq"),
            metrics={m.get("name", m.get("alias")): m.get("value") for m in metrics},
        )


def main() -> None:
    host, port, group = sys.argv[1:]
    scada = MqttSpbEntityScada(
        group,
        "wrapper-scada",
        callback_birth=Teller(group, "birth"),
        callback_data=Teller(group, "data"),
        callback_death=Teller(group, "death"),
    )

    def on_connect(_code: int) -> None:
        # the library has just subscribed and offers no word of when that is done
        scada._mqtt.on_subscribe = lambda *_: tell(event="ready")

    scada.on_connect = on_connect
    scada.connect(host, int(port))
    for line in sys.stdin:
        order = json.loads(line)
        if order["do"] == "stop":
            break
        edge = order["node"].split("/")[1]
        if order["do"] == "rebirth":
            scada.send_command("Node Control/Rebirth", True, edge)
        else:
            scada.send_command(order["metric"], order["value"], edge, order["device"])
    scada.disconnect()


if __name__ == "__main__":
    main()
