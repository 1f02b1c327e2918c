"""What late data costs live data: how soon live rows show while history is sent again.

One node sends live payloads at a steady rate. Then the same while another node resends a day that
is stored already: every second payload is new, the others are there. The day lies in compressed
chunks where the server has a columnstore. The baseline is the live data alone, in the same run.
"""

import asyncio
import contextlib
import json
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import click
import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from bench import ingest, ingest_load
from bench.ingest_publisher import TYPES, make_value
from deploy.local.broker import MqttBroker, find_mosquitto
from deploy.local.process import ProcessError
from historian.schema.migrate import migrate, normalize_url
from proto.sparkplug.codec import Metric, Payload, encode_payload, encode_samples
from proto.sparkplug.datatypes import DataType
from proto.sparkplug.topics import MessageType, NodeId, format_topic

METRICS = 500
STEP_MS = 1_000
DAY_MS = 86_400_000
UNDER_WAY = 100
"""Late payloads wait while so many payloads of both kinds are not stored yet."""


@dataclass(slots=True)
class Node:
    """An edge node of the benchmark: numbers its messages, knows what it has sent."""

    client: mqtt.Client
    node: NodeId
    seq: int = 0
    points: int = 0
    latest_ms: int = 0

    def birth(self, at_ms: int) -> None:
        """NBIRTH with everything in it; its values are bad, so that they count among no other."""
        self.seq = 0
        metrics = (
            Metric("bdSeq", DataType.INT64, 0, at_ms),
            *(
                Metric(f"tag-{index}", TYPES[index % len(TYPES)], None, at_ms, alias=index + 1)
                for index in range(METRICS)
            ),
        )
        self.send(MessageType.NBIRTH, encode_payload(Payload(at_ms, 0, metrics)))

    def data_now(self) -> int:
        """NDATA of this moment, a millisecond that no other has; returns it."""
        self.latest_ms = max(self.latest_ms + 1, time.time_ns() // 1_000_000)
        self.data(self.latest_ms, sent_ms=self.latest_ms)
        return self.latest_ms

    def data(self, at_ms: int, *, sent_ms: int, historical: bool = False) -> None:
        """NDATA with a sample of every metric."""
        samples = [
            (
                index + 1,
                TYPES[index % len(TYPES)],
                make_value(TYPES[index % len(TYPES)], index + at_ms // STEP_MS % 4_000),
                at_ms,
            )
            for index in range(METRICS)
        ]
        self.send(
            MessageType.NDATA, encode_samples(samples, self.seq, sent_ms, historical=historical)
        )

    def send(self, message_type: MessageType, data: bytes) -> None:
        """Publish a message of this node."""
        self.client.publish(format_topic(message_type, self.node), data)
        self.seq = (self.seq + 1) % 256
        self.points += METRICS


@dataclass(frozen=True, slots=True)
class Live:
    """What a phase gave."""

    points_per_s: float
    visible_p50_ms: float
    visible_p99_ms: float


@click.command()
@click.option("--seconds", type=click.FloatRange(min=5), default=20.0, show_default=True)
@click.option(
    "--payloads-per-s",
    type=click.IntRange(1, 500),
    default=100,
    show_default=True,
    help="Of 500 live metrics each.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on the last line.")
@click.option(
    "--database-url",
    envvar=["NEXUS_DATABASE_URL", "NEXUS_TEST_TIMESCALE_URL"],
    help="Where to write: an empty database. An embedded PostgreSQL when absent.",
)
def main(seconds: float, payloads_per_s: int, as_json: bool, database_url: str | None) -> None:
    """Measure how late data, into compressed chunks too, holds up live data."""
    if find_mosquitto() is None:
        raise click.ClickException("mosquitto is not installed, expected it on PATH")
    folder = Path(tempfile.mkdtemp(prefix="nexus-bench-"))
    folder.chmod(0o755)
    try:
        with contextlib.ExitStack() as stack:
            url = normalize_url(database_url or stack.enter_context(ingest.embedded(folder)))
            broker = stack.enter_context(MqttBroker(folder / "broker", kind="mosquitto"))
            report = _run(url, broker, folder, seconds, payloads_per_s)
    except ProcessError as error:
        raise click.ClickException(f"{error}; logs are in {folder}") from error
    shutil.rmtree(folder, ignore_errors=True)
    if not as_json:
        click.echo(json.dumps(report, indent=2), err=True)
    print(json.dumps(report))
    sys.exit(0 if report["figures"]["lost"] == 0 else 1)  # type: ignore[index]


def _run(
    url: str, broker: MqttBroker, folder: Path, seconds: float, payloads_per_s: int
) -> dict[str, object]:
    server = migrate(url)
    with ingest.historians(url, broker, folder, 1), _client(broker) as client:
        counts = _follow(client, ingest_load.status_topic(broker))
        live = Node(client, NodeId("bench", "live"))
        late = Node(client, NodeId("bench", "late"))
        now_ms = time.time_ns() // 1_000_000
        for node in (live, late):
            node.birth(now_ms)
        day_ms = now_ms // DAY_MS * DAY_MS - DAY_MS
        payloads = round(seconds * 20)
        # The day as it was: every second payload of what comes late is there.
        for number in range(0, payloads, 2):
            late.data(day_ms + number * STEP_MS, sent_ms=day_ms, historical=True)
        _settle(counts, live, late)
        compressed = asyncio.run(_compress(url))
        alone = asyncio.run(_measure(url, live, seconds, payloads_per_s))
        _settle(counts, live, late)
        before, resent = counts["points_duplicate"], late.points
        stop = threading.Event()
        resending = threading.Thread(target=_resend, args=(late, counts, live, day_ms, stop))
        started = time.perf_counter()
        resending.start()
        beside = asyncio.run(_measure(url, live, seconds, payloads_per_s))
        stop.set()
        resending.join()
        _settle(counts, live, late)
        took_s = time.perf_counter() - started
        rows = asyncio.run(ingest_load.count(url))
    resent = late.points - resent
    return {
        "bench": "late",
        "figures": {
            "live_visible_p99_ms": beside.visible_p99_ms,
            "live_visible_p50_ms": beside.visible_p50_ms,
            "live_points_per_s": round(beside.points_per_s),
            "late_points_per_s": round(resent / took_s),
            "late_points": resent,
            "late_duplicates": counts["points_duplicate"] - before,
            "compressed_chunks": compressed,
            "lost": counts["points_stored"] - rows + counts["points_dropped"],
        },
        "baseline": {
            "live_visible_p99_ms": alone.visible_p99_ms,
            "live_visible_p50_ms": alone.visible_p50_ms,
            "live_points_per_s": round(alone.points_per_s),
        },
        "ratio": {
            "live_points_per_s": round(beside.points_per_s / alone.points_per_s, 3),
            "live_visible_p50": round(beside.visible_p50_ms / alone.visible_p50_ms, 2),
            "live_visible_p99": round(beside.visible_p99_ms / alone.visible_p99_ms, 2),
        },
        "machine": ingest.describe_machine(server),
    }


@contextlib.contextmanager
def _client(broker: MqttBroker) -> Iterator[mqtt.Client]:
    client = mqtt.Client(CallbackAPIVersion.VERSION2)
    client.connect(broker.host, broker.port)
    client.loop_start()
    yield client
    client.disconnect()
    client.loop_stop()


def _follow(client: mqtt.Client, topic: str) -> dict[str, int]:
    counts = dict.fromkeys(("points_stored", "points_duplicate", "points_dropped"), 0)

    def note(_client: mqtt.Client, _userdata: object, message: mqtt.MQTTMessage) -> None:
        status = json.loads(message.payload)
        counts.update({name: status[name] for name in counts})

    client.on_message = note
    client.subscribe(topic, 1)
    return counts


def _pending(counts: dict[str, int], *nodes: Node) -> int:
    return sum(node.points for node in nodes) - sum(counts.values())


def _settle(counts: dict[str, int], *nodes: Node) -> None:
    deadline = time.monotonic() + 120
    while _pending(counts, *nodes) > 0:
        if time.monotonic() > deadline:
            raise ProcessError(f"historian: {_pending(counts, *nodes)} points are not stored")
        time.sleep(0.05)


def _resend(
    late: Node, counts: dict[str, int], live: Node, day_ms: int, stop: threading.Event
) -> None:
    number = 0
    while not stop.is_set():
        if _pending(counts, live, late) > UNDER_WAY * METRICS:
            time.sleep(0.005)
            continue
        sent_ms = time.time_ns() // 1_000_000
        late.data(day_ms + number * STEP_MS, sent_ms=sent_ms, historical=True)
        number += 1


async def _measure(url: str, live: Node, seconds: float, payloads_per_s: int) -> Live:
    """Send live payloads at their rate, and look now and then until the latest row is there."""
    connection = await asyncpg.connect(url)
    metric_id = await connection.fetchval(
        "SELECT metric_id FROM historian.metric WHERE edge = 'live' AND name = 'tag-0'"
    )
    look = await connection.prepare(
        "SELECT EXISTS (SELECT FROM historian.sample"
        " WHERE metric_id = $1 AND time = to_timestamp($2 / 1000.0))"
    )
    sending = asyncio.create_task(_send(live, seconds, payloads_per_s))
    took: list[float] = []
    started, before = time.perf_counter(), live.points
    while not sending.done():
        await asyncio.sleep(0.05)
        published = time.perf_counter()
        now_ms = live.data_now()
        while not await look.fetchval(metric_id, now_ms):
            if time.perf_counter() - published > 60:
                raise ProcessError("historian: a row did not show within 60 s")
            await asyncio.sleep(0.002)
        took.append((time.perf_counter() - published) * 1000)
    rate = (live.points - before) / (time.perf_counter() - started)
    await connection.close()
    took.sort()
    return Live(rate, round(took[len(took) // 2], 1), round(took[int(0.99 * len(took))], 1))


async def _send(live: Node, seconds: float, payloads_per_s: int) -> None:
    started = time.perf_counter()
    for number in range(round(seconds * payloads_per_s)):
        live.data_now()
        await asyncio.sleep(max(0.0, started + (number + 1) / payloads_per_s - time.perf_counter()))


async def _compress(url: str) -> int:
    """Move what is there into the columnstore, where there is one; how many chunks that made."""
    connection = await asyncpg.connect(url)
    try:
        if not await connection.fetchval(
            "SELECT coalesce(current_setting('timescaledb.license', true) = 'timescale', false)"
        ):
            return 0
        done = await connection.fetch(
            "SELECT compress_chunk(c, if_not_compressed => true)"
            " FROM show_chunks('historian.sample', older_than => date_trunc('day', now())) AS c"
        )
        return len(done)
    finally:
        await connection.close()


if __name__ == "__main__":
    main()
