"""A historian under test in this event loop, and a plain MQTT client that plays the edge nodes."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

import paho.mqtt.client as mqtt
import psycopg
from paho.mqtt.enums import CallbackAPIVersion
from psycopg.rows import dict_row

from deploy.local.broker import MqttBroker
from historian.app import Historian
from historian.rollups import Rollups
from historian.schema.migrate import normalize_url
from historian.settings import Settings
from proto.control.broker import BrokerDocument
from proto.sparkplug.codec import Metric, Payload, encode_payload
from proto.sparkplug.datatypes import DataType
from proto.sparkplug.topics import MessageType, NodeId, format_topic

NODE = NodeId("plant", "line-1")
WAIT_S = 40.0


def now_ms() -> int:
    return time.time_ns() // 1_000_000


@dataclass
class Node:
    """An edge node as the wire sees it: counts its messages, keeps nothing else."""

    broker: MqttBroker
    node: NodeId = NODE
    seq: int = 0
    bd_seq: int = 0
    commands: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.client = mqtt.Client(CallbackAPIVersion.VERSION2)
        self.client.on_message = lambda _c, _u, message: self.commands.append(message.topic)
        self.client.connect(self.broker.host, self.broker.port)
        self.client.subscribe(format_topic(MessageType.NCMD, self.node), 1)
        self.client.loop_start()

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()

    def send(self, topic: str, payload: bytes) -> None:
        self.client.publish(topic, payload).wait_for_publish(WAIT_S)

    def publish(
        self,
        message_type: MessageType,
        metrics: Sequence[Metric],
        device: str | None = None,
        *,
        timestamp_ms: int | None = None,
    ) -> None:
        at = timestamp_ms or now_ms()
        data = encode_payload(Payload(at, self.seq, tuple(metrics)))
        self.seq = (self.seq + 1) % 256
        self.send(format_topic(message_type, self.node, device), data)

    def birth(self, *metrics: Metric) -> None:
        self.seq = 0
        bd_seq = Metric("bdSeq", DataType.INT64, self.bd_seq, now_ms())
        self.publish(MessageType.NBIRTH, [bd_seq, *metrics])

    def death(self) -> None:
        bd_seq = Metric("bdSeq", DataType.INT64, self.bd_seq, now_ms())
        payload = encode_payload(Payload(now_ms(), None, (bd_seq,)))
        self.send(format_topic(MessageType.NDEATH, self.node), payload)


@contextlib.contextmanager
def edge_node(broker: MqttBroker, node: NodeId = NODE) -> Iterator[Node]:
    """Connect a node; it says nothing of itself."""
    edge = Node(broker, node)
    yield edge
    edge.close()


@contextlib.asynccontextmanager
async def running(
    broker: MqttBroker,
    url: str,
    *,
    expect_complete: bool = True,
    historian_id: str = "test",
    wait_for_database: bool = True,
    protocol: Literal["3.1.1", "5"] = "3.1.1",
    **settings: Any,
) -> AsyncIterator[Historian]:
    """A historian that is connected; stopped as SIGTERM would stop it."""
    stop = asyncio.Event()
    historian = Historian(
        Settings(
            broker=BrokerDocument(url=broker.url, protocol=protocol),
            database_url=normalize_url(url),
            historian_id=historian_id,
            **settings,
        )
    )
    task = asyncio.create_task(historian.run(stop))
    try:
        await until(
            lambda: (
                task.done()
                or (
                    historian.is_receiving
                    and (historian.server is not None or not wait_for_database)
                )
            )
        )
        yield historian
    finally:
        stop.set()
        async with asyncio.timeout(WAIT_S + 30):
            complete = await task
    assert complete is expect_complete


async def until(true: Any, what: str = "it") -> None:
    """Wait for something to be seen."""
    end = time.monotonic() + WAIT_S
    while not true():
        assert time.monotonic() < end, f"{what} did not happen within {WAIT_S} s"
        await asyncio.sleep(0.01)


async def settled(historian: Historian, points: int) -> None:
    """Wait until so many points are stored or known to be duplicates."""
    counters = historian.counters
    await until(
        lambda: counters.points_stored + counters.points_duplicate >= points,
        f"{points} points (now {counters})",
    )


def pause_policies(url: str) -> None:
    """Have continuous aggregates refreshed when the test says so, and not otherwise."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "DO $$ BEGIN IF to_regclass('historian.rollup_1m_parts') IS NOT NULL THEN"
            " PERFORM alter_job(job_id, scheduled => false) FROM timescaledb_information.jobs"
            " WHERE proc_name = 'policy_refresh_continuous_aggregate'; END IF; END $$"
        )


async def roll_up(url: str, rollups: Rollups, until_ms: int) -> None:
    """Have the buckets made that ended by then, whoever makes them on this server."""
    with psycopg.connect(url, autocommit=True) as connection:
        parts = [f"historian.rollup_{step}_parts" for step in ("1m", "15m", "1h", "1d")]
        found = connection.execute("SELECT to_regclass(%s)", [parts[0]]).fetchone()
        if found == (None,):
            await rollups.make(until_ms)
            return
        rollups.are_continuous = True
        for part in parts:
            refresh = f"CALL refresh_continuous_aggregate('{part}', NULL, %s::timestamptz)"
            connection.cursor().execute(refresh, [datetime.fromtimestamp(until_ms / 1000, UTC)])


def query(url: str, statement: str, *arguments: object) -> list[dict[str, Any]]:
    """Rows as dictionaries."""
    with psycopg.connect(url, autocommit=True, row_factory=dict_row) as connection:
        return connection.execute(statement.encode(), arguments).fetchall()
