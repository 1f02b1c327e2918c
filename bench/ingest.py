"""How many points a second the historian takes from MQTT into the database, and how soon they show.

A real broker, the real historian process, a publisher of payloads of 500 metrics; the rows are
counted afterwards. The baseline is raw COPY of ready-made bytes into the same kind of table, on one
and on two connections, in the same run.
"""

import asyncio
import contextlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import asyncpg
import click
import paho.mqtt.client as mqtt
import psutil
from paho.mqtt.enums import CallbackAPIVersion

from bench import ingest_baseline
from bench.ingest_publisher import DEVICE, NODE, Order, Templates, make_births
from deploy.local.broker import MqttBroker, find_mosquitto
from deploy.local.checkout import ROOT
from deploy.local.database import EmbeddedServer
from deploy.local.process import Process, ProcessError, wait_until
from historian.schema.migrate import migrate, normalize_url
from historian.schema.server import DatabaseServer
from proto.control.topics import historian_status_topic
from proto.sparkplug.topics import MessageType, format_topic

HISTORIAN_ID = "bench"
METRICS = 500
WINDOW = 1_500_000
IDLE_PAYLOADS = 200
IDLE_PAUSE_S = 0.05


@dataclass(frozen=True, slots=True)
class Sustained:
    """What the load phase gave."""

    points: int
    seconds: float
    rows: int
    cpu_s: float


@click.command()
@click.option("--seconds", type=click.FloatRange(min=1), default=60.0, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on the last line.")
@click.option(
    "--database-url",
    envvar=["NEXUS_DATABASE_URL", "NEXUS_TEST_TIMESCALE_URL"],
    help="Where to write: an empty database. An embedded PostgreSQL when absent.",
)
def main(seconds: float, as_json: bool, database_url: str | None) -> None:
    """Measure the historian's ingest: points a second, loss, time until visible."""
    if find_mosquitto() is None:
        raise click.ClickException("mosquitto is not installed, expected it on PATH")
    folder = Path(tempfile.mkdtemp(prefix="nexus-bench-"))
    folder.chmod(0o755)
    try:
        with contextlib.ExitStack() as stack:
            url = database_url or stack.enter_context(_embedded(folder))
            broker = stack.enter_context(MqttBroker(folder / "broker", kind="mosquitto"))
            report = _run(normalize_url(url), broker, folder, seconds)
    except ProcessError as error:
        raise click.ClickException(f"{error}; logs are in {folder}") from error
    shutil.rmtree(folder, ignore_errors=True)
    if not as_json:
        click.echo(json.dumps(report, indent=2), err=True)
    print(json.dumps(report))
    sys.exit(0 if report["figures"]["lost"] == 0 else 1)


@contextlib.contextmanager
def _embedded(folder: Path) -> Iterator[str]:
    with EmbeddedServer(folder / "database").start() as server:
        yield server.create_database("bench")


def _run(
    url: str, broker: MqttBroker, folder: Path, seconds: float
) -> dict[str, dict[str, object]]:
    server = migrate(url)
    with _historian(url, broker, folder) as process:
        visible_ms = asyncio.run(_measure_visible(url, broker))
        before = asyncio.run(_count(url))
        sustained = _measure_sustained(url, broker, process.pid, seconds, before)
    ceiling = asyncio.run(
        ingest_baseline.measure(
            url, METRICS, max(3.0, seconds / 4), direct_compress=server.direct_compress
        )
    )
    rate = sustained.points / sustained.seconds
    return {
        "bench": "ingest",  # type: ignore[dict-item]  # the name stands beside the objects
        "figures": {
            "points_per_s": round(rate),
            "raw_copy_rows_per_s": round(ceiling.two_connections),
            "lost": sustained.points - sustained.rows,
            "visible_p99_ms": round(visible_ms, 1),
            "points": sustained.points,
            "historian_cpu_percent": round(100 * sustained.cpu_s / sustained.seconds),
        },
        "baseline": {
            "raw_copy_rows_per_s_one_connection": round(ceiling.one_connection),
            "raw_copy_rows_per_s_two_connections": round(ceiling.two_connections),
        },
        "ratio": {
            "points_per_s_to_raw_copy": round(rate / ceiling.two_connections, 3),
            "points_per_s_to_raw_copy_one_connection": round(rate / ceiling.one_connection, 3),
        },
        "machine": _describe_machine(server),
    }


@contextlib.contextmanager
def _historian(url: str, broker: MqttBroker, folder: Path) -> Iterator[Process]:
    environment = {
        **os.environ,
        "NEXUS_DATABASE_URL": url,
        "NEXUS_MQTT_URL": broker.url,
        "PYTHONPATH": str(ROOT),
    }
    argv = [sys.executable, "-m", "deploy.local.cli", "historian", "--id", HISTORIAN_ID]
    argv += ["--status-interval", "0.1"]
    process = Process("historian", argv, log=folder / "historian.log", env=environment)
    ready = False

    def note_ready(_client: mqtt.Client, _userdata: object, message: mqtt.MQTTMessage) -> None:
        nonlocal ready
        ready = json.loads(message.payload)["database"] not in {"connecting", "away"}

    client = mqtt.Client(CallbackAPIVersion.VERSION2)
    client.on_message = note_ready
    client.connect(broker.host, broker.port)
    client.subscribe(_status_topic(broker), 1)
    client.loop_start()
    try:
        wait_until(lambda: ready, process, timeout_s=30, what="report that its database is ready")
        client.disconnect()
        client.loop_stop()
        yield process
    finally:
        process.stop(grace_s=30)


def _status_topic(broker: MqttBroker) -> str:
    return historian_status_topic(broker.topic_prefix, HISTORIAN_ID)


def _measure_sustained(
    url: str, broker: MqttBroker, pid: int, seconds: float, before: int
) -> Sustained:
    order = Order(broker.host, broker.port, _status_topic(broker), METRICS, seconds, WINDOW)
    historian = psutil.Process(pid)
    used = historian.cpu_times()
    run = subprocess.run(
        [sys.executable, "-m", "bench.ingest_publisher"],
        input=json.dumps(asdict(order)),
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    if run.returncode:
        raise ProcessError(f"publisher: ended with status {run.returncode}: {run.stderr.strip()}")
    now = historian.cpu_times()
    result = json.loads(run.stdout)
    return Sustained(
        points=result["points"],
        seconds=result["stored_s"],
        rows=asyncio.run(_count(url)) - before,
        cpu_s=now.user + now.system - used.user - used.system,
    )


async def _count(url: str) -> int:
    connection = await asyncpg.connect(url)
    try:
        return int(await connection.fetchval("SELECT count(*) FROM historian.sample"))
    finally:
        await connection.close()


async def _measure_visible(url: str, broker: MqttBroker) -> float:
    """Publish now and then, and look until the row is there: the 99th percentile, milliseconds."""
    connection = await asyncpg.connect(url)
    client = mqtt.Client(CallbackAPIVersion.VERSION2)
    client.connect(broker.host, broker.port)
    client.loop_start()
    look = await connection.prepare(
        "SELECT EXISTS (SELECT FROM historian.sample AS s JOIN historian.metric USING (metric_id)"
        " WHERE name = 'area/tag-0' AND s.time = to_timestamp($1 / 1000.0))"
    )
    base_ms = time.time_ns() // 1_000_000
    for birth_topic, payload in make_births(METRICS, base_ms):
        client.publish(birth_topic, payload)
    templates = Templates(METRICS, base_ms)
    topic = format_topic(MessageType.DDATA, NODE, DEVICE)
    took: list[float] = []
    for number in range(IDLE_PAYLOADS):
        await asyncio.sleep(IDLE_PAUSE_S)
        now_ms = time.time_ns() // 1_000_000
        client.publish(topic, templates.fill(number, (number + 2) & 255, now_ms))
        published = time.perf_counter()
        while not await look.fetchval(now_ms):
            if time.perf_counter() - published > 10:
                raise ProcessError("historian: a row did not show within 10 s")
            await asyncio.sleep(0.002)
        took.append((time.perf_counter() - published) * 1000)
    client.disconnect()
    client.loop_stop()
    await connection.close()
    return sorted(took)[int(0.99 * len(took))]


def _describe_machine(server: DatabaseServer) -> dict[str, object]:
    return {
        "cores": os.cpu_count(),
        "memory_mib": psutil.virtual_memory().total // 2**20,
        "python": platform.python_version(),
        "system": platform.platform(),
        "database": asdict(server),
    }


if __name__ == "__main__":
    main()
