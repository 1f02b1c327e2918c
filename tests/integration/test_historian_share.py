"""Several historians that share the data of one plant through MQTT 5 shared subscriptions."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from deploy.local.broker import MqttBroker
from deploy.local.checkout import ROOT
from deploy.local.process import Process
from proto.sparkplug.codec import Metric
from proto.sparkplug.datatypes import DataType
from proto.sparkplug.topics import MessageType
from tests.integration.historian_rig import Node, edge_node, now_ms, query, running, until

pytestmark = pytest.mark.asyncio

DEVICE = "filler"
METRICS = 10


def birth(node: Node, at: int, first: str = "a") -> None:
    node.birth()
    metrics = [
        Metric(f"{first}{index}", DataType.DOUBLE, -1.0, at, alias=index + 1)
        for index in range(METRICS)
    ]
    node.publish(MessageType.DBIRTH, metrics, DEVICE)


def data(node: Node, at: int) -> None:
    metrics = [
        Metric(None, DataType.DOUBLE, float(index), at, alias=index + 1) for index in range(METRICS)
    ]
    node.publish(MessageType.DDATA, metrics, DEVICE)


def count(url: str) -> int:
    return int(query(url, "SELECT count(*) AS n FROM historian.sample")[0]["n"])


async def test_two_members_share_the_data_and_store_each_value_once(
    historian_databases: str, mqtt_broker: MqttBroker
) -> None:
    url, payloads = historian_databases, 200
    with edge_node(mqtt_broker) as node:
        async with (
            running(mqtt_broker, url, historian_id="a", share="h", protocol="5") as one,
            running(mqtt_broker, url, historian_id="b", share="h", protocol="5") as two,
        ):
            at = now_ms() - payloads - 10
            birth(node, at)
            for number in range(1, payloads + 1):
                data(node, at + number)
            total = (payloads + 1) * METRICS
            await until(lambda: count(url) >= total)
            shares = [one.counters.points_stored, two.counters.points_stored]
            assert min(shares) > payloads * METRICS // 4
            await until(
                lambda: one.counters.points_duplicate + two.counters.points_duplicate == METRICS
            )
    assert count(url) == total
    wrong = query(
        url, "SELECT FROM historian.samples WHERE value >= 0 AND metric <> 'a' || value::integer"
    )
    assert wrong == []


async def test_member_that_joins_learns_the_births_before_it_stores(
    postgres_url: str, mqtt_broker: MqttBroker
) -> None:
    with edge_node(mqtt_broker) as node:
        async with running(mqtt_broker, postgres_url, historian_id="a", share="h", protocol="5"):
            at = now_ms() - 1_000
            birth(node, at)
            async with running(
                mqtt_broker, postgres_url, historian_id="b", share="h", protocol="5"
            ) as late:
                node.commands.clear()
                for number in range(1, 21):
                    data(node, at + number)
                await until(lambda: bool(node.commands))
                birth(node, at + 21)
                await until(lambda: late.counters.points_stored > 0)
                await until(lambda: count(postgres_url) == 22 * METRICS)


async def test_member_that_leaves_takes_nothing_with_it(
    historian_databases: str, mqtt_broker: MqttBroker
) -> None:
    url, payloads = historian_databases, 600
    with edge_node(mqtt_broker) as node:
        async with running(mqtt_broker, url, historian_id="a", share="h", protocol="5") as stays:
            async with running(mqtt_broker, url, historian_id="b", share="h", protocol="5") as goes:
                at = now_ms() - payloads - 10
                birth(node, at)
                await until(lambda: goes.counters.points_received > 0, "the birth")
                for number in range(1, payloads + 1):
                    data(node, at + number)
                    if number == payloads // 3:
                        await until(lambda: goes.counters.points_stored > 0, "a share")
                    elif number > payloads // 3 and number % 10 == 0:
                        await asyncio.sleep(0)  # it is told to stop with data under way to it
                        if number == payloads // 2:
                            break
            for number in range(payloads // 2 + 1, payloads + 1):
                data(node, at + number)
            total = (payloads + 1) * METRICS
            await until(lambda: count(url) >= total)
            assert goes.counters.points_dropped == stays.counters.points_dropped == 0
    assert count(url) == total


async def test_killed_member_leaves_the_others_to_go_on(
    postgres_url: str, mqtt_broker: MqttBroker, tmp_path: Path
) -> None:
    environment = {
        **os.environ,
        "NEXUS_DATABASE_URL": postgres_url,
        "NEXUS_MQTT_URL": mqtt_broker.url,
        "PYTHONPATH": str(ROOT),
    }
    argv = [sys.executable, "-m", "deploy.local.cli", "historian", "--id", "b", "--share", "h"]
    with edge_node(mqtt_broker) as node:
        async with running(
            mqtt_broker, postgres_url, historian_id="a", share="h", protocol="5"
        ) as one:
            process = Process("historian", argv, log=tmp_path / "log", env=environment)
            seen: list[str] = []
            node.client.message_callback_add(
                "$nexus/historian/b/status", lambda _c, _u, message: seen.append(message.topic)
            )
            node.client.subscribe("$nexus/historian/b/status", 1)
            await until(lambda: bool(seen), "status of the other member")
            at = now_ms() - 1_000
            birth(node, at)
            for number in range(1, 51):
                data(node, at + number)
            os.kill(process.pid, signal.SIGKILL)
            process.stop(grace_s=1)
            await asyncio.sleep(0)
            before = one.counters.points_stored
            for number in range(51, 101):
                data(node, at + number)
            await until(lambda: one.counters.points_stored >= before + 25 * METRICS)
    last = query(postgres_url, "SELECT max(time) AS newest FROM historian.sample")[0]["newest"]
    assert int(last.timestamp() * 1000 + 0.5) >= at + 99
    wrong = query(
        postgres_url,
        "SELECT FROM historian.samples WHERE value >= 0 AND metric <> 'a' || value::integer",
    )
    assert wrong == []
