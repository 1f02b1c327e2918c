"""The historian when broker, database or edge nodes fail: nothing is lost or mistaken."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import psycopg
import pytest

from deploy.local.broker import MqttBroker
from deploy.local.checkout import ROOT
from deploy.local.database import EmbeddedServer
from deploy.local.process import Process
from proto.sparkplug.codec import Metric, Payload, encode_payload
from proto.sparkplug.datatypes import DataType
from proto.sparkplug.topics import MessageType
from tests.integration.historian_rig import (
    Node,
    edge_node,
    now_ms,
    query,
    running,
    settled,
    until,
)

pytestmark = pytest.mark.asyncio

DEVICE = "filler"
METRICS = 20


@pytest.fixture
def node(mqtt_broker: MqttBroker) -> Iterator[Node]:
    with edge_node(mqtt_broker) as edge:
        yield edge


@pytest.fixture
def server(make_open_folder: Callable[[str], Path]) -> Iterator[EmbeddedServer]:
    """A database that the test may kill."""
    with EmbeddedServer(make_open_folder("killed")).start() as running_server:
        yield running_server


def metrics(at: int, *, value: float = 1.0, named: bool = False) -> list[Metric]:
    return [
        Metric(f"m{index}" if named else None, DataType.DOUBLE, value + index, at, alias=index + 1)
        for index in range(METRICS)
    ]


def kill(server: EmbeddedServer) -> None:
    """End the server without warning, with everything that it started."""
    root = psutil.Process(server.process.pid)
    family = [root, *root.children(recursive=True)]
    for process in family:
        if process.is_running():
            process.send_signal(signal.SIGKILL)
    psutil.wait_procs(family, timeout=10)
    server.stop()


async def test_killed_database_that_comes_back_lacks_nothing(
    server: EmbeddedServer, mqtt_broker: MqttBroker, node: Node
) -> None:
    url = server.create_database("history")
    payloads = 600
    async with running(mqtt_broker, url, lanes=2) as historian:
        at = now_ms() - payloads
        node.birth()
        node.publish(MessageType.DBIRTH, metrics(at, named=True), DEVICE)
        await settled(historian, METRICS)
        for number in range(1, payloads + 1):
            node.publish(MessageType.DDATA, metrics(at + number, value=number), DEVICE)
            if number == payloads // 3:
                kill(server)
                await until(lambda: historian.status().database == "away")
            if number % 10 == 0:
                await asyncio.sleep(0)
        assert historian.counters.points_stored < (payloads + 1) * METRICS
        server.start()
        await settled(historian, (payloads + 1) * METRICS)
        assert historian.counters.points_dropped == 0
    (row,) = query(
        url,
        "SELECT count(*) AS n, count(DISTINCT (metric_id, time)) AS different"
        " FROM historian.sample",
    )
    assert row == {"n": (payloads + 1) * METRICS, "different": (payloads + 1) * METRICS}


async def test_database_that_is_away_at_the_start_is_waited_for(
    server: EmbeddedServer, mqtt_broker: MqttBroker, node: Node
) -> None:
    url = server.create_database("history")
    kill(server)
    async with running(mqtt_broker, url, wait_for_database=False) as historian:
        node.birth()
        node.publish(MessageType.DBIRTH, metrics(now_ms(), named=True), DEVICE)
        await until(lambda: historian.counters.messages_received == 2)
        assert historian.status().database == "connecting"
        server.start()
        await settled(historian, METRICS)


async def test_full_buffer_drops_the_oldest_and_says_how_much(
    server: EmbeddedServer, mqtt_broker: MqttBroker, node: Node
) -> None:
    url = server.create_database("history")
    payloads = 300
    async with running(mqtt_broker, url, buffer_bytes=40_000) as historian:
        at = now_ms() - 10_000
        node.birth()
        node.publish(MessageType.DBIRTH, metrics(at, named=True), DEVICE)
        await settled(historian, METRICS)
        kill(server)
        # A birth of another node needs the database, so that everything behind it waits.
        node.send("spBv1.0/plant/NBIRTH/other", birth_of_other())
        for number in range(1, payloads + 1):
            node.publish(MessageType.DDATA, metrics(at + number, value=number), DEVICE)
        await until(lambda: historian.counters.points_dropped > 0)
        server.start()
        total = (payloads + 1) * METRICS + 1
        counters = historian.counters
        await until(lambda: counters.points_stored + counters.points_dropped >= total)
        assert counters.points_received == total
        assert counters.points_stored + counters.points_dropped == total
    rows = query(url, "SELECT max(time) AS newest, count(*) AS n FROM historian.sample")
    assert rows[0]["n"] == counters.points_stored
    assert int(rows[0]["newest"].timestamp() * 1000 + 0.5) >= at + payloads


def birth_of_other() -> bytes:
    at = now_ms()
    return encode_payload(
        Payload(
            at,
            0,
            (
                Metric("bdSeq", DataType.INT64, 0, at),
                Metric("uptime", DataType.INT64, 1, at, alias=1),
            ),
        )
    )


async def test_aliases_that_changed_while_the_historian_was_down_mislead_nobody(
    historian_databases: str, mqtt_broker: MqttBroker, node: Node
) -> None:
    def birth(first: str, second: str, at: int) -> None:
        node.birth()
        tags = [
            Metric(first, DataType.DOUBLE, 0.0, at, alias=1),
            Metric(second, DataType.DOUBLE, 0.0, at, alias=2),
        ]
        node.publish(MessageType.DBIRTH, tags, DEVICE)

    def data(level: float, speed: float, at: int, *, swapped: bool) -> None:
        one, two = (speed, level) if swapped else (level, speed)
        tags = [
            Metric(None, DataType.DOUBLE, one, at, alias=1),
            Metric(None, DataType.DOUBLE, two, at, alias=2),
        ]
        node.publish(MessageType.DDATA, tags, DEVICE)

    at = now_ms() - 1000
    async with running(mqtt_broker, historian_databases) as historian:
        birth("level", "speed", at)
        data(10, 20, at + 1, swapped=False)
        await settled(historian, 4)
    birth("speed", "level", at + 2)  # nobody hears it
    async with running(mqtt_broker, historian_databases) as historian:
        data(11, 21, at + 3, swapped=True)
        await until(lambda: "spBv1.0/plant/NCMD/line-1" in node.commands)
        data(12, 22, at + 4, swapped=True)
        assert historian.counters.points_stored == 0
        birth("speed", "level", at + 5)
        data(13, 23, at + 6, swapped=True)
        await settled(historian, 8)
        assert historian.counters.points_dropped == 0
    rows = query(
        historian_databases,
        "SELECT metric, array_agg(value ORDER BY time) AS values FROM historian.samples"
        " WHERE value <> 0 GROUP BY metric ORDER BY metric",
    )
    assert rows == [
        {"metric": "level", "values": [10.0, 11.0, 12.0, 13.0]},
        {"metric": "speed", "values": [20.0, 21.0, 22.0, 23.0]},
    ]


async def test_data_of_a_session_that_ended_before_its_birth_was_seen_is_not_attributed(
    postgres_url: str, mqtt_broker: MqttBroker, node: Node
) -> None:
    at = now_ms()
    async with running(mqtt_broker, postgres_url) as historian:
        node.publish(MessageType.DDATA, metrics(at), DEVICE)
        node.death()
        node.bd_seq = 1
        node.birth()
        node.publish(MessageType.DBIRTH, metrics(at + 1, named=True, value=100), DEVICE)
        await settled(historian, METRICS)
        assert historian.counters.points_dropped == METRICS
    rows = query(postgres_url, "SELECT min(value) AS least FROM historian.sample")
    assert rows == [{"least": 100.0}]


async def test_restarted_broker_makes_old_births_void(
    postgres_url: str, mqtt_broker: MqttBroker, node: Node
) -> None:
    at = now_ms()
    async with running(mqtt_broker, postgres_url) as historian:
        node.birth()
        node.publish(MessageType.DBIRTH, metrics(at, named=True), DEVICE)
        await settled(historian, METRICS)
        mqtt_broker.stop()
        await until(lambda: not historian.is_receiving)
        mqtt_broker.start()
        await until(lambda: historian.is_receiving)
        await until(node.client.is_connected)
        node.commands.clear()
        node.client.subscribe("spBv1.0/plant/NCMD/line-1", 1)
        node.publish(MessageType.DDATA, metrics(at + 1, value=7), DEVICE)
        await until(lambda: bool(node.commands))
        assert historian.counters.points_stored == METRICS
        node.birth()
        node.publish(MessageType.DBIRTH, metrics(at + 2, named=True), DEVICE)
        await settled(historian, 3 * METRICS)


async def test_sigterm_stores_what_was_received_and_exits_with_0(
    postgres_url: str, mqtt_broker: MqttBroker, node: Node, tmp_path: Path
) -> None:
    environment = {
        **os.environ,
        "NEXUS_DATABASE_URL": postgres_url,
        "NEXUS_MQTT_URL": mqtt_broker.url,
        "PYTHONPATH": str(ROOT),
    }
    argv = [sys.executable, "-m", "deploy.local.cli", "historian", "--id", "test"]
    argv += ["--status-interval", "0.2"]
    process = Process("historian", argv, log=tmp_path / "log", env=environment)
    try:
        statuses = follow_status(node)
        await until(lambda: "postgresql" in statuses)
        at, payloads = now_ms(), 200
        node.birth()
        node.publish(MessageType.DBIRTH, metrics(at, named=True), DEVICE)
        for number in range(1, payloads + 1):
            node.publish(MessageType.DDATA, metrics(at + number), DEVICE)
        await until(lambda: bool(query(postgres_url, "SELECT FROM historian.metric")))
        os.kill(process.pid, signal.SIGTERM)
        await until(lambda: process.poll() is not None)
        assert process.poll() == 0, (tmp_path / "log").read_text()
    finally:
        process.stop(grace_s=5)
    (row,) = query(postgres_url, "SELECT count(*) AS n FROM historian.sample")
    assert row["n"] == (payloads + 1) * METRICS


def follow_status(node: Node) -> list[str]:
    seen: list[str] = []
    node.client.message_callback_add(
        "$nexus/historian/test/status",
        lambda _c, _u, message: seen.append(json.loads(message.payload)["database"]),
    )
    node.client.subscribe("$nexus/historian/test/status", 1)
    return seen


async def test_newer_schema_is_refused(
    postgres_url: str, mqtt_broker: MqttBroker, tmp_path: Path
) -> None:
    async with running(mqtt_broker, postgres_url):
        pass
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO historian._yoyo_migration (migration_hash, migration_id)"
            " VALUES ('x', '9999.from-the-future')"
        )
    environment = {
        **os.environ,
        "NEXUS_DATABASE_URL": postgres_url,
        "NEXUS_MQTT_URL": mqtt_broker.url,
        "PYTHONPATH": str(ROOT),
    }
    argv = [sys.executable, "-m", "deploy.local.cli", "historian"]
    process = Process("historian", argv, log=tmp_path / "log", env=environment)
    await until(lambda: process.poll() is not None)
    assert process.poll() == 1
    assert "9999.from-the-future is applied" in (tmp_path / "log").read_text()
