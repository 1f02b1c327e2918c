"""What the codec benchmark does, done by pysparkplug. Runs in pysparkplug's own environment.

Usage: ``pysparkplug_codec.py <metrics> <seconds>``; prints one JSON object.
"""

import json
import sys
import time
from collections.abc import Callable
from typing import Any

from pysparkplug import DataType, Metric, NBirth, NData

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
    """Build and serialize data by alias; parse it against its birth."""
    count, seconds = int(sys.argv[1]), float(sys.argv[2])
    born = tuple(
        Metric(NOW_MS, f"tag {i}", DataType.DOUBLE, value=0.0, alias=i) for i in range(count)
    )
    birth = NBirth(NOW_MS, 0, (*born, Metric(NOW_MS, "bdSeq", DataType.INT64, value=0)))

    def build() -> Any:
        metrics = tuple(
            Metric(NOW_MS, None, DataType.DOUBLE, value=i * 0.5, alias=i) for i in range(count)
        )
        return NData(NOW_MS, 7, metrics).encode()

    data = build()
    print(
        json.dumps(
            {
                "encode": measure(build, count, seconds),
                "read": measure(lambda: NData.decode(data, birth=birth), count, seconds),
            }
        )
    )


if __name__ == "__main__":
    main()
