"""mqtt-spb-wrapper's SCADA application, counting what it takes and what that costs.

Usage: ``host_peer.py <host> <port> <group> <metrics>``. Runs in that library's own environment and
must not import the suite. Prints ``ready``, then one JSON line when so many metrics have come.
"""

import json
import sys
import threading
import time
from typing import Any

from mqtt_spb_wrapper import MqttSpbEntityScada


def main() -> None:
    """Count until everything has come."""
    host, port, group, expected = sys.argv[1:]
    taken = 0
    begun: float | None = None
    done = threading.Event()

    def take(_topic: Any, payload: dict[str, Any]) -> None:
        nonlocal taken, begun
        if begun is None:
            begun = time.process_time()
        taken += len(payload.get("metrics", []))
        if taken >= int(expected):
            done.set()

    scada = MqttSpbEntityScada(group, "bench", callback_data=take)

    def on_connect(_code: int) -> None:
        scada._mqtt.on_subscribe = lambda *_: print("ready", flush=True)  # noqa: SLF001

    scada.on_connect = on_connect
    scada.connect(host, int(port))
    done.wait(120)
    spent = time.process_time() - (begun or 0)
    print(json.dumps({"metrics": taken, "cpu_s": spent}), flush=True)
    scada.disconnect()


if __name__ == "__main__":
    main()
