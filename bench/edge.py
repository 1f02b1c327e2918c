"""``nexus bench edge``: what polling many Modbus devices costs a real edge node process.

Starts the generic simulator, mosquitto and the edge node as their users start them, and measures
the edge from outside: its CPU time by the system's account, lateness and skipped beats by its own
status. The baseline polls the same registers on the same beats without pipeline and publishing,
once as bare bytes and once through the driver. Every tag changes at every poll: the worst case.
"""

import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import paho.mqtt.client as mqtt
import psutil
from paho.mqtt.enums import CallbackAPIVersion

from deploy.local.broker import MqttBroker, find_mosquitto
from deploy.local.plant.generic import place_of
from deploy.local.plant_document import format_toml
from deploy.local.process import Process, ProcessError
from proto.control.node import NodeDocument
from proto.control.status import NodeStatus
from proto.control.topics import node_status_topic
from proto.sparkplug.topics import NodeId

ROOT = Path(__file__).resolve().parents[1]
NODE = NodeId("bench", "edge")
STATUS_INTERVAL_S = 2.0
WARM_UP_S = 5.0
START_TIMEOUT_S = 300.0


@dataclass(frozen=True, slots=True)
class Load:
    """What is polled.

    Attributes:
        shared: whether the devices of one port are units behind one gateway, on one connection.
        dead: how many of the devices never answer.
    """

    devices: int
    tags: int
    interval_s: float
    in_flight: int
    uns: bool
    shared: bool
    dead: int


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


def describe(load: Load, ports: list[int], broker: MqttBroker, folder: Path) -> NodeDocument:
    """Return the edge node's configuration."""
    tags = [
        {"name": f"t{i}", "address": f"holding:{i}", "datatype": "int16"} for i in range(load.tags)
    ]
    devices = []
    for index in range(load.devices):
        port, unit_id = place_of(index)
        connection = {
            "host": "127.0.0.1",
            "port": ports[port],
            "unit_id": unit_id,
            "max_in_flight": load.in_flight,
            "shared": load.shared,
        }
        groups = [{"name": "all", "interval_s": load.interval_s}]
        devices.append(
            {
                "name": f"D{index}",
                "driver": "modbus",
                "connection": connection,
                "poll_groups": groups,
                "tags": tags,
            }
        )
    return NodeDocument.model_validate(
        {
            "node": {
                "group": NODE.group,
                "edge": NODE.edge,
                "state_dir": str(folder / "state"),
                "status_interval_s": STATUS_INTERVAL_S,
                "topic_prefix": broker.topic_prefix,
            },
            "mqtt": {"url": broker.url},
            "uns": {"enabled": load.uns},
            "devices": devices,
        }
    )


def without_dead(load: Load, ports: list[int], broker: MqttBroker, folder: Path) -> NodeDocument:
    """Return the configuration without the devices that never answer."""
    document = describe(load, ports, broker, folder)
    dead = {number * load.devices // load.dead for number in range(load.dead)}
    living = [device for index, device in enumerate(document.devices) if index not in dead]
    return document.model_copy(update={"devices": tuple(living)})


def start_simulator(load: Load, folder: Path, stack: ExitStack) -> tuple[Process, list[int]]:
    """Start the generic simulator and return it with its ports."""
    argv = nexus("simulate", "modbus", "--port", "0", "--json")
    argv += ["--devices", str(load.devices), "--tags", str(load.tags)]
    argv += ["--change", str(load.interval_s / 2)]
    for number in range(load.dead):
        # spread over the devices, so that every gateway has some
        argv += ["--fault", f"{1 + number * load.devices // load.dead}:drop"]
    log = folder / "simulator.log"
    simulator = stack.enter_context(Process("simulator", argv, log=log, env=environment()))

    def ports() -> list[int]:
        told = [line for line in log.read_text().splitlines() if line.startswith("{")]
        return list(json.loads(told[0])["ports"]) if told else []

    wait_for(lambda: bool(ports()), simulator, "tell its ports")
    return simulator, ports()


def run_baseline(kind: str, config: Path, seconds: float) -> dict[str, float]:
    """Poll without an edge node, in a process of its own."""
    argv = [sys.executable, str(ROOT / "bench" / "edge_baseline.py"), kind, str(config)]
    done = subprocess.run(
        [*argv, str(seconds)], env=environment(), check=False, text=True, capture_output=True
    )
    if done.returncode:
        raise click.ClickException(f"baseline {kind} failed: {done.stderr.strip()[-500:]}")
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


def measure(
    edge: Process, others: Mapping[str, Process], feed: StatusFeed, load: Load, seconds: float
) -> dict[str, float]:
    """Measure a running edge node and, beside it, what the others use."""

    def all_online() -> bool:
        states = feed.last.devices.values() if feed.last else []
        return sum(device.state == "online" for device in states) == load.devices - load.dead

    wait_for(all_online, edge, f"bring {load.devices - load.dead} devices online")
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
    polls = total(last, "polls") - total(first, "polls")
    points = last.counters.points_published - first.counters.points_published
    return {
        "cpu_percent": percent["edge"],
        "lateness_p99_ms": max(s.counters.lateness_p99_ms for s in feed.received[windows:]),
        "skipped_polls": total(last, "skipped_polls") - total(first, "skipped_polls"),
        "tags_per_s": round(polls * load.tags / took, 1),
        "points_per_s": round(points / took, 1),
        "seconds": round(took, 2),
        "cpu_wait_percent": round(100 * waited / took, 2),
        "rss_mib": round(handles["edge"].memory_info().rss / 2**20, 1),
        **{f"{name}_cpu_percent": percent[name] for name in others},
    }


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


def nexus(*arguments: str) -> list[str]:
    """Return the command line of a role."""
    return [sys.executable, "-m", "deploy.local.cli", "--log-level", "warning", *arguments]


def environment() -> dict[str, str]:
    """Return the children's environment."""
    mine = {name: value for name, value in os.environ.items() if not name.startswith("NEXUS_")}
    return mine | {"PYTHONPATH": str(ROOT)}


def run(load: Load, seconds: float, say: Callable[[str], None]) -> dict[str, Any]:
    """Run the benchmark and return its result."""
    if find_mosquitto() is None:
        raise click.ClickException(
            "mosquitto is not installed, expected it on PATH: this benchmark publishes to a real"
            " broker (Debian: apt install mosquitto)"
        )
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="nexus-bench-")))
        simulator, ports = start_simulator(load, folder, stack)
        broker = stack.enter_context(MqttBroker(folder / "broker", kind="mosquitto"))
        config = folder / "edge.toml"
        config.write_text(format_toml(describe(load, ports, broker, folder)))
        healthy = config
        if load.dead:
            # the baselines have no notion of a dead device
            healthy = folder / "healthy.toml"
            healthy.write_text(format_toml(without_dead(load, ports, broker, folder)))
        baseline_s = min(seconds, 15.0)
        say(f"baselines, {baseline_s:g} s each")
        bare = run_baseline("bare", healthy, baseline_s)
        driver = run_baseline("driver", healthy, baseline_s)
        say(f"edge node: {load.devices} devices x {load.tags} tags / {load.interval_s:g} s")
        feed = StatusFeed(broker)
        stack.callback(feed.close)
        argv = nexus("edge", "--config", str(config))
        edge = stack.enter_context(
            Process("edge", argv, log=folder / "edge.log", env=environment())
        )
        others = {"simulator": simulator, "broker": broker.process}
        figures = measure(edge, others, feed, load, seconds)
        if not edge.stop(grace_s=20):
            raise ProcessError(f"edge did not stop within 20 s{edge.last_words()}")
    return {
        "bench": "edge",
        "figures": figures,
        "baseline": {
            "cpu_percent": bare["cpu_percent"],
            "lateness_p99_ms": bare["lateness_p99_ms"],
            "driver_cpu_percent": driver["cpu_percent"],
            "driver_lateness_p99_ms": driver["lateness_p99_ms"],
        },
        "ratio": {
            "cpu_to_bare_loop": round(figures["cpu_percent"] / bare["cpu_percent"], 2),
            "cpu_to_driver_loop": round(figures["cpu_percent"] / driver["cpu_percent"], 2),
            "tags_to_asked": round(
                figures["tags_per_s"] * load.interval_s / ((load.devices - load.dead) * load.tags),
                4,
            ),
        },
        "machine": {
            "cpus": os.cpu_count(),
            "python": platform.python_version(),
            "system": f"{platform.system()} {platform.release()}",
            "load_average": os.getloadavg()[0],
        },
    }


@click.command()
@click.option("--devices", type=click.IntRange(1), default=500, show_default=True)
@click.option("--tags", type=click.IntRange(1, 65_536), default=100, show_default=True)
@click.option("--interval", type=click.FloatRange(0.05), default=1.0, show_default=True)
@click.option("--seconds", type=click.FloatRange(2), default=30.0, show_default=True)
@click.option("--in-flight", type=click.IntRange(1, 16), default=1, show_default=True)
@click.option("--uns/--no-uns", default=True, show_default=True, help="Mirror values as JSON too.")
@click.option("--shared", is_flag=True, help="Devices are units behind gateways, 247 each.")
@click.option("--dead", type=click.IntRange(0), default=0, help="How many never answer.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON line alone on stdout.")
def main(
    *,
    devices: int,
    tags: int,
    interval: float,
    seconds: float,
    in_flight: int,
    uns: bool,
    shared: bool,
    dead: int,
    as_json: bool,
) -> None:
    """Poll simulated Modbus devices with a real edge node and measure what it costs."""
    if dead >= devices:
        raise click.BadParameter(
            f"{dead} of {devices} are dead, expected fewer", param_hint="--dead"
        )
    load = Load(devices, tags, interval, in_flight, uns, shared, dead)
    try:
        result = run(load, seconds, lambda line: click.echo(line, err=True))
    except ProcessError as exc:
        raise click.ClickException(str(exc)) from exc
    if not as_json:
        for part in ("figures", "baseline", "ratio"):
            for name, value in result[part].items():
                click.echo(f"{part:9} {name:24} {value}")
    click.echo(json.dumps(result))


if __name__ == "__main__":
    main()
