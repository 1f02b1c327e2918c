"""The load phase of the ingest benchmark: what was published, what is there, who lost the rest.

The publisher is a process of its own. What it published, what the historians counted and what the
broker says it dropped are put beside the rows that are there.
"""

import asyncio
import json
import subprocess
import sys
import time
from dataclasses import asdict, dataclass

import asyncpg
import paho.mqtt.client as mqtt
import psutil
from paho.mqtt.enums import CallbackAPIVersion

from bench.ingest_publisher import Order
from deploy.local.broker import MqttBroker
from deploy.local.checkout import ROOT
from deploy.local.process import Process, ProcessError
from proto.control.topics import historian_status_topic

WINDOW_PAYLOADS = 15_000
WINDOW_POINTS = 1_500_000
SYS_INTERVAL_S = 12.0
"""mosquitto tells what it counts every ten seconds, unless it is configured otherwise."""


@dataclass(frozen=True, slots=True)
class Load:
    """What is to be measured.

    Attributes:
        seconds: how long.
        metrics: in a payload.
        processes: historians.
        overload: whether to send without regard to what is stored.
    """

    seconds: float
    metrics: int
    processes: int
    overload: bool = False

    @property
    def window(self) -> int:
        """Points under way at most."""
        if self.overload:
            return sys.maxsize
        return min(WINDOW_POINTS, WINDOW_PAYLOADS * self.metrics)


@dataclass(frozen=True, slots=True)
class Sustained:
    """What the load phase gave.

    Attributes:
        points: published.
        seconds: until the last of them was stored.
        rows: that many more are in the table.
        cpu_s: of the historians.
        under_way: points published and not stored, in the mean of each third of the time.
        counted: by the historians.
        births_again: points of births that further historians count once more.
        rebirths: how often births were asked for.
        broker_dropped: messages that the broker says it dropped.
    """

    points: int
    seconds: float
    rows: int
    cpu_s: float
    under_way: list[int]
    counted: dict[str, int]
    births_again: int
    rebirths: int
    broker_dropped: int

    @property
    def lost(self) -> int:
        """Points that were published and are not in the table."""
        return self.points - self.rows

    def explain_loss(self) -> dict[str, int]:
        """Who lost what, in points where nothing else is said."""
        counted = self.counted
        stored, dropped = counted["points_stored"], counted["points_dropped"]
        received = counted["points_received"] - self.births_again
        known = stored + counted["points_duplicate"] + dropped
        return {
            "messages_dropped_by_broker": self.broker_dropped,
            "messages_missed": counted["messages_missed"],
            "not_received": self.points - received,
            "dropped_by_historian": dropped,
            "not_stored_in_time": counted["points_received"] - known,
            "stored_and_not_in_table": stored - self.rows,
        }


def status_topic(broker: MqttBroker) -> str:
    """Where all historians tell what they count: a filter."""
    return historian_status_topic(broker.topic_prefix, "+")


def measure_sustained(
    url: str, broker: MqttBroker, processes: list[Process], load: Load
) -> Sustained:
    """Publish as fast as the historians store, and count the rows afterwards.

    Raises:
        ProcessError: the publisher failed.
    """
    before = asyncio.run(count(url))
    order = Order(
        broker.host,
        broker.port,
        status_topic(broker),
        load.metrics,
        load.seconds,
        load.window,
        len(processes),
    )
    historians = [psutil.Process(process.pid) for process in processes]
    used_s = sum(map(_read_cpu_s, historians))
    dropped_before = _read_broker_dropped(broker)
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
    result = json.loads(run.stdout)
    cpu_s = sum(map(_read_cpu_s, historians)) - used_s
    rows = asyncio.run(count(url)) - before
    return Sustained(
        points=result["points"],
        seconds=result["stored_s"],
        rows=rows,
        cpu_s=cpu_s,
        under_way=result["under_way"],
        counted=result["counted"],
        births_again=result["births_again"],
        rebirths=result["rebirths"],
        broker_dropped=0
        if rows == result["points"]
        else _read_broker_dropped(broker, wait_s=SYS_INTERVAL_S) - dropped_before,
    )


def _read_broker_dropped(broker: MqttBroker, *, wait_s: float = 1.0) -> int:
    """Messages that mosquitto has dropped since its start, as it told last."""
    told = [0]
    client = mqtt.Client(CallbackAPIVersion.VERSION2)
    client.on_message = lambda _client, _userdata, message: told.append(int(message.payload))
    client.connect(broker.host, broker.port)
    client.subscribe("$SYS/broker/publish/messages/dropped")
    client.loop_start()
    time.sleep(wait_s)
    client.disconnect()
    client.loop_stop()
    return told[-1]


def _read_cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


async def count(url: str) -> int:
    """Samples in the database."""
    connection = await asyncpg.connect(url)
    try:
        return int(await connection.fetchval("SELECT count(*) FROM historian.sample"))
    finally:
        await connection.close()
