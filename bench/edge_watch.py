"""A running edge node seen from outside: its status documents, its CPU time, its memory."""

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import paho.mqtt.client as mqtt
import psutil
from paho.mqtt.enums import CallbackAPIVersion

from deploy.local.broker import MqttBroker
from deploy.local.process import Process, ProcessError
from proto.control.status import NodeStatus
from proto.control.topics import node_status_topic
from proto.sparkplug.topics import NodeId

ROOT = Path(__file__).resolve().parents[1]
NODE = NodeId("bench", "edge")
STATUS_INTERVAL_S = 2.0
WARM_UP_S = 5.0
START_TIMEOUT_S = 300.0


class StatusFeed:
    """The node's status documents, as they come."""

    def __init__(self, broker: MqttBroker) -> None:
        self.received: list[NodeStatus] = []
        self._topic = node_status_topic(broker.topic_prefix, NODE)
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2)
        self._client.on_connect = lambda client, *_: client.subscribe(self._topic, qos=1)
        self._client.on_message = self._take
        self._client.connect(broker.host, broker.port)
        self._client.loop_start()

    def _take(self, _client: mqtt.Client, _data: object, message: mqtt.MQTTMessage) -> None:
        self.received.append(NodeStatus.model_validate_json(message.payload))

    @property
    def last(self) -> NodeStatus | None:
        """The newest document."""
        return self.received[-1] if self.received else None

    def close(self) -> None:
        """Disconnect."""
        self._client.disconnect()
        self._client.loop_stop()


def measure(
    edge: Process,
    others: Mapping[str, Process],
    feed: StatusFeed,
    tags: int,
    seconds: float,
) -> dict[str, float]:
    """Measure a running edge node and, beside it, what the others use.

    Args:
        edge: the node.
        others: name → process.
        feed: the node's status.
        tags: that one poll of a device brings.
        seconds: for how long.
    """
    time.sleep(min(WARM_UP_S, seconds))
    processes = {"edge": edge, **others}
    handles = {name: psutil.Process(process.pid) for name, process in processes.items()}
    first, cpu = next_status(feed, edge), {name: cpu_s(p) for name, p in handles.items()}
    waited = cpu_wait_s(edge.pid)
    windows = len(feed.received)
    time.sleep(seconds)
    last, cpu_end = next_status(feed, edge), {name: cpu_s(p) for name, p in handles.items()}
    waited = cpu_wait_s(edge.pid) - waited
    took = (last.timestamp_ms - first.timestamp_ms) / 1000
    percent = {name: round(100 * (cpu_end[name] - cpu[name]) / took, 2) for name in cpu}

    def grew(counter: str) -> int:
        return total(last, counter) - total(first, counter)

    tags_per_s = (grew("polls") * tags + grew("changes")) / took
    points = last.counters.points_published - first.counters.points_published
    return {
        "cpu_percent": percent["edge"],
        "lateness_p99_ms": max(s.counters.lateness_p99_ms for s in feed.received[windows:]),
        "skipped_polls": grew("skipped_polls"),
        "tags_per_s": round(tags_per_s, 1),
        "cpu_percent_per_1000_tags": per_1000(percent["edge"], tags_per_s),
        "points_per_s": round(points / took, 1),
        "dropped_samples": grew("dropped_samples"),
        "seconds": round(took, 2),
        "cpu_wait_percent": round(100 * waited / took, 2),
        "rss_mib": round(handles["edge"].memory_info().rss / 2**20, 1),
        **{f"{name}_cpu_percent": percent[name] for name in others},
    }


def wait_online(feed: StatusFeed, edge: Process, devices: int) -> None:
    """Wait until so many devices answer.

    Raises:
        ProcessError: the edge node ended, or took too long.
    """

    def all_online() -> bool:
        states = feed.last.devices.values() if feed.last else []
        return sum(device.state == "online" for device in states) == devices

    wait_for(all_online, edge, f"bring {devices} devices online")


def per_1000(cpu_percent: float, tags_per_s: float) -> float:
    """Return the CPU that 1,000 tags a second take, in percent of a core."""
    return round(1000 * cpu_percent / tags_per_s, 3) if tags_per_s else 0.0


def next_status(feed: StatusFeed, edge: Process) -> NodeStatus:
    """Wait for the next status document, so that counters and clock belong together."""
    seen = len(feed.received)
    wait_for(lambda: len(feed.received) > seen, edge, "report its status")
    return feed.received[-1]


def total(status: NodeStatus, counter: str) -> int:
    """Return a device counter's sum."""
    return sum(getattr(device, counter) for device in status.devices.values())


def cpu_s(process: psutil.Process) -> float:
    """Return the CPU seconds a process has used."""
    times = process.cpu_times()
    return float(times.user + times.system)


def cpu_wait_s(pid: int) -> float:
    """Return how long a process's main thread was ready and had no CPU: others' load, not its own.

    0 where the system does not tell.
    """
    try:
        return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9
    except (OSError, IndexError):
        return 0.0


def wait_for(ready: Callable[[], bool], process: Process, what: str) -> None:
    """Wait until a process has done something.

    Raises:
        ProcessError: it ended, or took too long.
    """
    deadline = time.monotonic() + START_TIMEOUT_S
    while not ready():
        process.check()
        if time.monotonic() > deadline:
            raise ProcessError(
                f"{process.name} did not {what} within {START_TIMEOUT_S:g} s{process.last_words()}"
            )
        time.sleep(0.02)


def environment() -> dict[str, str]:
    """Return the children's environment."""
    mine = {name: value for name, value in os.environ.items() if not name.startswith("NEXUS_")}
    return mine | {"PYTHONPATH": str(ROOT)}
