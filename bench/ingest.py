"""How many points a second the historian takes from MQTT into the database, and how soon they show.

A real broker, the real historian process, a publisher of payloads of 500 metrics; the rows are
counted afterwards. The baseline is raw COPY of ready-made bytes into the same kind of table, on one
and on two connections, in the same run. With ``--processes`` several historians share the data, and
what one of them does alone is measured as well.
"""

import asyncio
import contextlib
import json
import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import asyncpg
import click
import paho.mqtt.client as mqtt
import psutil
from paho.mqtt.enums import CallbackAPIVersion

from bench import ingest_baseline
from bench.ingest_load import Load, Sustained, measure_sustained, status_topic
from bench.ingest_publisher import DEVICE, NODE, Templates, make_births
from deploy.local.broker import MqttBroker, find_mosquitto
from deploy.local.checkout import ROOT
from deploy.local.database import EmbeddedServer
from deploy.local.process import Process, ProcessError, wait_until
from historian.schema.migrate import migrate, normalize_url
from historian.schema.server import DatabaseServer
from proto.sparkplug.topics import MessageType, format_topic

HISTORIAN_ID = "bench"
IDLE_PAYLOADS = 200
IDLE_PAUSE_S = 0.05
OVERLOADED_MIB = 16
NOT_READY = frozenset({"connecting", "away"})


@click.command()
@click.option("--seconds", type=click.FloatRange(min=1), default=60.0, show_default=True)
@click.option(
    "--metrics",
    type=click.IntRange(1, 100_000),
    default=500,
    show_default=True,
    help="In one payload.",
)
@click.option(
    "--processes",
    type=click.IntRange(1, 16),
    default=1,
    show_default=True,
    help="Historians that share the data; more than one are compared with one.",
)
@click.option(
    "--overload",
    is_flag=True,
    help="Send without regard to what is stored, to historians with little room: who loses what?",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on the last line.")
@click.option(
    "--database-url",
    envvar=["NEXUS_DATABASE_URL", "NEXUS_TEST_TIMESCALE_URL"],
    help="Where to write: an empty database. An embedded PostgreSQL when absent.",
)
def main(
    *,
    seconds: float,
    metrics: int,
    processes: int,
    overload: bool,
    as_json: bool,
    database_url: str | None,
) -> None:
    """Measure the historian's ingest: points a second, loss, time until visible."""
    if find_mosquitto() is None:
        raise click.ClickException("mosquitto is not installed, expected it on PATH")
    folder = Path(tempfile.mkdtemp(prefix="nexus-bench-"))
    folder.chmod(0o755)
    try:
        with contextlib.ExitStack() as stack:
            url = database_url or stack.enter_context(embedded(folder))
            broker = stack.enter_context(MqttBroker(folder / "broker", kind="mosquitto"))
            load = Load(seconds, metrics, processes, overload)
            report = _run(normalize_url(url), broker, folder, load)
    except ProcessError as error:
        raise click.ClickException(f"{error}; logs are in {folder}") from error
    if not as_json:
        click.echo(json.dumps(report, indent=2), err=True)
    if report["figures"]["lost"]:
        click.echo(f"points were lost; logs are in {folder}", err=True)
    else:
        shutil.rmtree(folder, ignore_errors=True)
    print(json.dumps(report))
    sys.exit(0 if report["figures"]["lost"] == 0 else 1)


@contextlib.contextmanager
def embedded(folder: Path) -> Iterator[str]:
    """A database of the embedded server."""
    with EmbeddedServer(folder / "database").start() as server:
        yield server.create_database("bench")


def _run(url: str, broker: MqttBroker, folder: Path, load: Load) -> dict[str, dict[str, object]]:
    server = migrate(url)
    alone: Sustained | None = None
    if load.processes > 1:
        with historians(url, broker, folder, 1) as processes:
            alone = measure_sustained(url, broker, processes, replace(load, processes=1))
        # Times run ahead of the clock under load: those of both would be the same.
        asyncio.run(_empty(url))

    def measure_ceiling() -> ingest_baseline.Ceiling:
        seconds, direct = max(3.0, load.seconds / 8), server.direct_compress
        return asyncio.run(
            ingest_baseline.measure(url, load.metrics, seconds, direct_compress=direct)
        )

    # Before and after: a machine that others use is not the same all the time.
    before = measure_ceiling()
    options = ("--buffer-mib", str(OVERLOADED_MIB)) if load.overload else ()
    with historians(url, broker, folder, load.processes, options) as processes:
        visible_ms = asyncio.run(_measure_visible(url, broker, load.metrics))
        sustained = measure_sustained(url, broker, processes, load)
    ceiling = before.mean(measure_ceiling())
    rate = sustained.rows / sustained.seconds
    baseline: dict[str, object] = {
        "raw_copy_rows_per_s_one_connection": round(ceiling.one_connection),
        "raw_copy_rows_per_s_two_connections": round(ceiling.two_connections),
    }
    ratio: dict[str, object] = {
        "points_per_s_to_raw_copy": round(rate / ceiling.two_connections, 3),
        "points_per_s_to_raw_copy_one_connection": round(rate / ceiling.one_connection, 3),
    }
    if alone is not None:
        baseline["points_per_s_one_process"] = round(alone.points / alone.seconds)
        ratio["points_per_s_to_one_process"] = round(rate * alone.seconds / alone.points, 3)
    return {
        "bench": "ingest",  # type: ignore[dict-item]  # the name stands beside the objects
        "figures": {
            "points_per_s": round(rate),
            "raw_copy_rows_per_s": round(ceiling.two_connections),
            "lost": sustained.lost,
            "visible_p99_ms": round(visible_ms, 1),
            "points": sustained.points,
            "historian_cpu_percent": round(100 * sustained.cpu_s / sustained.seconds),
            "under_way_points": sustained.under_way,
            **({"lost_by": sustained.explain_loss()} if sustained.lost else {}),
        },
        "baseline": baseline,
        "ratio": ratio,
        "machine": describe_machine(server),
    }


@contextlib.contextmanager
def historians(
    url: str, broker: MqttBroker, folder: Path, processes: int, options: Sequence[str] = ()
) -> Iterator[list[Process]]:
    """Historians that are connected; several share the data."""
    environment = {
        **os.environ,
        "NEXUS_DATABASE_URL": url,
        "NEXUS_MQTT_URL": broker.url,
        "PYTHONPATH": str(ROOT),
    }
    share = ["--share", "bench"] if processes > 1 else []
    ready: set[str] = set()

    def note_ready(_client: mqtt.Client, _userdata: object, message: mqtt.MQTTMessage) -> None:
        # What an earlier one left behind is retained.
        if not message.retain and json.loads(message.payload)["database"] not in NOT_READY:
            ready.add(message.topic)

    client = mqtt.Client(CallbackAPIVersion.VERSION2)
    client.on_message = note_ready
    client.connect(broker.host, broker.port)
    client.subscribe(status_topic(broker), 1)
    client.loop_start()
    with contextlib.ExitStack() as stack:
        started = []
        for number in range(processes):
            argv = [sys.executable, "-m", "deploy.local.cli", "historian", *share, *options]
            argv += ["--id", f"{HISTORIAN_ID}-{number}", "--status-interval", "0.1"]
            log = folder / f"historian-{number}.log"
            process = Process("historian", argv, log=log, env=environment)
            stack.callback(process.stop, grace_s=30)
            started.append(process)
        what = "report that its database is ready"
        wait_until(lambda: len(ready) == processes, started[0], timeout_s=60, what=what)
        client.disconnect()
        client.loop_stop()
        yield started


async def _empty(url: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("TRUNCATE historian.sample, historian.current_value")
    finally:
        await connection.close()


async def _measure_visible(url: str, broker: MqttBroker, metrics: int) -> float:
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
    for birth_topic, payload in make_births(metrics, base_ms):
        client.publish(birth_topic, payload)
    templates = Templates(metrics, base_ms)
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
    births = (
        "SELECT count(*) FROM historian.sample AS s JOIN historian.metric USING (metric_id)"
        " WHERE name LIKE 'area/tag-%' AND s.time = to_timestamp($1 / 1000.0)"
    )
    async with asyncio.timeout(30):  # births are looked up first, and take longer
        while await connection.fetchval(births, base_ms) < metrics:  # noqa: ASYNC110  # nothing tells
            await asyncio.sleep(0.1)
    client.disconnect()
    client.loop_stop()
    await connection.close()
    return sorted(took)[int(0.99 * len(took))]


def describe_machine(server: DatabaseServer) -> dict[str, object]:
    """What the figures were measured on."""
    return {
        "cores": os.cpu_count(),
        "memory_mib": psutil.virtual_memory().total // 2**20,
        "python": platform.python_version(),
        "system": platform.platform(),
        "database": asdict(server),
    }


if __name__ == "__main__":
    main()
