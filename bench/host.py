"""How a host takes a plant: a birth storm, a steady stream, and a second storm that must not come.

The real host process follows a real broker. All nodes say something while nobody knows them, are
asked for their births, and are born at once, as after a power failure; then all their metrics
change as fast as the host takes it; then all are born again. Baselines of the same run: protobuf
parsing and reading of the same births, and mqtt-spb-wrapper's SCADA application on such values.
"""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click
import paho.mqtt.client as mqtt
import psutil
from paho.mqtt.enums import CallbackAPIVersion

from bench.host_plant import GROUP, Message, Plant, births, data, named_data
from bench.machine import describe_machine
from deploy.local.broker import MqttBroker, find_mosquitto
from deploy.local.checkout import ROOT
from deploy.local.ports import find_free_port
from deploy.local.process import Process, ProcessError, wait_until
from proto.sparkplug.codec import Payload, encode_payload, parse

MIB: Final = 2**20
POLL_S: Final = 0.25
TIMEOUT_S: Final = 300.0
CALM_S: Final = 8.0
"""Longer than the host's pause between two rebirth requests to one node."""
CLOCK_TICK_S: Final = 0.01
"""Resolution of the processes' CPU times."""
PEER_METRICS: Final = 200_000


@dataclass(frozen=True, slots=True)
class Spent:
    """What a phase took."""

    wall_s: float
    cpu_s: float


class HostUnderTest:
    """The host's process, asked through its own ``/metrics``."""

    def __init__(self, process: Process, url: str) -> None:
        self.process = psutil.Process(process.pid)
        self._url = url

    def read(self, name: str) -> float:
        """One number without labels, or the sum over its labels."""
        with urllib.request.urlopen(f"{self._url}/metrics", timeout=60) as answer:  # noqa: S310  # ours
            lines = answer.read().decode().splitlines()
        found = [line for line in lines if line.split("{")[0].split(" ")[0] == name]
        return sum(float(line.rsplit(" ", 1)[1]) for line in found)

    def wait(self, name: str, expected: float) -> Spent:
        """Wait until a number is reached; the time and the CPU time from now."""
        begun, cpu = time.perf_counter(), self.cpu_s
        while self.read(name) < expected:
            if time.perf_counter() - begun > TIMEOUT_S:
                raise ProcessError(
                    f"host: {name} is {self.read(name)} after {TIMEOUT_S:g} s, expected {expected}"
                )
            time.sleep(POLL_S)
        return Spent(time.perf_counter() - begun, self.cpu_s - cpu)

    @property
    def cpu_s(self) -> float:
        """CPU time of the process so far."""
        used = self.process.cpu_times()
        return used.user + used.system

    @property
    def rss_mib(self) -> int:
        """Resident memory."""
        return round(self.process.memory_info().rss / MIB)


class Publisher:
    """All edge nodes on one connection.

    Attributes:
        requests: rebirth requests that came, in all.
    """

    def __init__(self, broker: MqttBroker) -> None:
        self.requests = 0
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2)
        self._client.max_queued_messages_set(0)
        self._client.on_message = self._count
        self._client.connect(broker.host, broker.port)
        self._client.subscribe(f"spBv1.0/{GROUP}/NCMD/#")
        self._client.loop_start()

    def send(self, messages: Iterable[Message]) -> int:
        """Publish; give how many."""
        last = None
        count = 0
        for topic, payload in messages:
            last = self._client.publish(topic, payload)
            count += 1
            if count % 2_000 == 0:
                last.wait_for_publish(TIMEOUT_S)  # so that the queue stays small
        if last is not None:
            last.wait_for_publish(TIMEOUT_S)
        return count

    def close(self) -> None:
        """Leave."""
        self._client.disconnect()
        self._client.loop_stop()

    def _count(self, _client: mqtt.Client, _data: object, _message: mqtt.MQTTMessage) -> None:
        self.requests += 1


@click.command()
@click.option("--nodes", type=click.IntRange(1), default=1_000, show_default=True)
@click.option("--devices", type=click.IntRange(1), default=10, show_default=True)
@click.option(
    "--metrics", type=click.IntRange(1), default=100, show_default=True, help="Of each device."
)
@click.option(
    "--rounds",
    type=click.IntRange(1),
    default=4,
    show_default=True,
    help="How often every metric changes in the steady stream.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on the last line.")
def main(nodes: int, devices: int, metrics: int, rounds: int, as_json: bool) -> None:
    """Follow a birth storm of many edge nodes, then changes of their values."""
    if find_mosquitto() is None:
        raise click.ClickException("mosquitto is not installed, expected it on PATH")
    plant = Plant(nodes, devices, metrics)
    with tempfile.TemporaryDirectory(prefix="nexus-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        try:
            with MqttBroker(folder / "broker", kind="mosquitto") as broker:
                report = run(plant, rounds, broker, folder)
        except ProcessError as error:
            raise click.ClickException(str(error)) from error
    if not as_json:
        click.echo(json.dumps(report, indent=2), err=True)
    print(json.dumps(report))


def run(plant: Plant, rounds: int, broker: MqttBroker, folder: Path) -> dict[str, object]:
    """All phases, and the baselines after them."""
    with _host(broker, folder) as host:
        idle_mib = host.rss_mib
        publisher = Publisher(broker)
        hello = encode_payload(Payload(time.time_ns() // 1_000_000, 7))
        publisher.send((f"spBv1.0/{GROUP}/NDATA/node {n}", hello) for n in range(plant.nodes))
        _wait(lambda: publisher.requests >= plant.nodes, "a rebirth request for every node")

        begun, cpu = time.perf_counter(), host.cpu_s
        publisher.send(births(plant))
        host.wait("nexus_host_metrics_known", plant.values + 2 * plant.nodes)
        host.wait("nexus_host_devices_online", plant.nodes * plant.devices)
        tracked = Spent(time.perf_counter() - begun, host.cpu_s - cpu)
        rss_mib = host.rss_mib

        values = plant.values * rounds
        begun, cpu = time.perf_counter(), host.cpu_s
        publisher.send(data(plant, rounds))
        host.wait("nexus_host_node_metrics_total", values)
        steady = Spent(time.perf_counter() - begun, host.cpu_s - cpu)
        asked = publisher.requests

        publisher.send(births(plant))
        host.wait("nexus_host_node_births_total", 2 * plant.nodes)
        time.sleep(CALM_S)
        again = publisher.requests - asked
        publisher.close()
        rss_mib = max(rss_mib, host.rss_mib)
        gaps = host.read("nexus_host_node_gaps_total")
    parsed_s = max(_parse_all(plant), CLOCK_TICK_S)
    peer_us = _measure_peer(broker, plant.metrics)
    steady_cpu_s = max(steady.cpu_s, CLOCK_TICK_S)
    own_us = steady_cpu_s / values * 1e6
    return {
        "bench": "host",
        "figures": {
            "births_tracked_s": round(tracked.wall_s, 2),
            "births_cpu_s": round(tracked.cpu_s, 2),
            "rss_mib": rss_mib,
            "metrics_per_s": round(values / steady.wall_s),
            "metrics_per_cpu_s": round(values / steady_cpu_s),
            "cpu_us_per_metric": round(own_us, 3),
            "rebirths_asked": asked,
            "rebirths_asked_again": again,
            "gaps": round(gaps),
        },
        "baseline": {
            "births_parsed_cpu_s": round(parsed_s, 2),
            "rss_idle_mib": idle_mib,
            "mqtt_spb_wrapper_cpu_us_per_metric": None if peer_us is None else round(peer_us, 3),
        },
        "ratio": {
            "births_to_parse": round(tracked.cpu_s / parsed_s, 2),
            "cost_to_mqtt_spb_wrapper": None if peer_us is None else round(own_us / peer_us, 4),
        },
        "machine": describe_machine(),
    }


@contextlib.contextmanager
def _host(broker: MqttBroker, folder: Path) -> Iterator[HostUnderTest]:
    port = find_free_port()
    url = f"http://127.0.0.1:{port}"
    environment = {k: v for k, v in os.environ.items() if not k.startswith("NEXUS_")}
    environment |= {"NEXUS_MQTT_URL": broker.url, "PYTHONPATH": str(ROOT)}
    argv = [sys.executable, "-m", "deploy.local.cli", "--log-level", "error"]
    argv += ["host", "--port", str(port)]
    process = Process("host", argv, log=folder / "host.log", env=environment)

    def ready() -> bool:
        try:
            with urllib.request.urlopen(f"{url}/readyz", timeout=5) as answer:  # noqa: S310  # ours
                return bool(answer.status == 200)
        except OSError:
            return False

    try:
        wait_until(ready, process, timeout_s=30, what="answer that it is ready")
        yield HostUnderTest(process, url)
    finally:
        process.stop(grace_s=30)


def _wait(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while not condition():
        if time.monotonic() > deadline:
            raise ProcessError(f"host: no {what} within {TIMEOUT_S:g} s")
        time.sleep(0.05)


def _parse_all(plant: Plant) -> float:
    payloads = [payload for _, payload in births(plant)]
    begun = time.process_time()
    for payload in payloads:
        for metric in parse(payload).metrics:
            _ = metric.name, metric.datatype, metric.double_value
    return time.process_time() - begun


def _measure_peer(broker: MqttBroker, metrics: int) -> float | None:
    """CPU time of mqtt-spb-wrapper for one metric, microseconds; None where it is not to be had."""
    from tests.interop.installation import (  # noqa: PLC0415  # only where the tests are
        NotInstalledError,
        WithheldError,
        python_peer,
    )

    try:
        python = python_peer("mqtt-spb-wrapper")
    except (NotInstalledError, WithheldError) as error:
        click.echo(f"mqtt-spb-wrapper is left out: {error}", err=True)
        return None
    messages = max(1, PEER_METRICS // metrics)
    argv = [str(python), str(ROOT / "bench" / "host_peer.py"), broker.host, str(broker.port)]
    argv += [GROUP, str(messages * metrics)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as peer:
        assert peer.stdout is not None
        for line in peer.stdout:
            if line.strip() == "ready":
                break
        publisher = Publisher(broker)
        publisher.send(named_data(metrics, messages))
        lines = [line for line in peer.stdout if line.startswith("{")]
        publisher.close()
    if not lines:
        return None
    result = json.loads(lines[-1])
    taken = result["metrics"]
    return result["cpu_s"] / taken * 1e6 if taken else None


if __name__ == "__main__":
    main()
