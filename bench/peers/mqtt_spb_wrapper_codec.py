"""What the codec benchmark does, done by mqtt-spb-wrapper. Runs in its own environment.

Usage: ``mqtt_spb_wrapper_codec.py <metrics> <seconds>``; prints one JSON object.
"""

import json
import sys
import time
from collections.abc import Callable
from typing import Any

from mqtt_spb_wrapper import MqttSpbEntityDevice

NOW_MS = 1_700_000_000_000


def measure(work: Callable[[], object], metrics: int, seconds: float) -> float:
    """Metrics a second: the best of five rounds."""
    best = 0.0
    for _ in range(5):
        done, start = 0, time.perf_counter()
        while (elapsed := time.perf_counter() - start) < seconds / 5:
            work()
            done += metrics
        best = max(best, done / elapsed)
    return best


def main() -> None:
    """Set values and serialize them by name, as it does; parse them into another entity."""
    count, seconds = int(sys.argv[1]), float(sys.argv[2])
    sender = MqttSpbEntityDevice("bench", "edge", "press")
    receiver = MqttSpbEntityDevice("bench", "edge", "press")

    def build() -> Any:
        for i in range(count):
            sender.data.set_value(f"tag {i}", i * 0.5, timestamp=NOW_MS)
        return sender.serialize_payload_data(send_all=True)

    receiver.deserialize_payload_birth(sender.serialize_payload_birth())
    data = build()
    print(
        json.dumps(
            {
                "encode": measure(build, count, seconds),
                "read": measure(lambda: receiver.deserialize_payload_data(data), count, seconds),
            }
        )
    )


if __name__ == "__main__":
    main()
