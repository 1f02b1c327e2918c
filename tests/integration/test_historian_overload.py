"""More than can be taken, for real: who loses what is counted, and nothing is mistaken."""

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local.broker import MqttBroker
from deploy.local.checkout import ROOT
from deploy.local.process import Process
from proto.control.status import HistorianStatus
from proto.control.topics import historian_status_topic
from proto.sparkplug.codec import Metric
from proto.sparkplug.datatypes import DataType
from proto.sparkplug.topics import MessageType
from tests.integration.historian_rig import Node, edge_node, now_ms, query, until

pytestmark = [pytest.mark.asyncio, pytest.mark.timeout(240)]

DEVICE = "filler"
TEXT = "x" * 60_000
"""Of so many bytes a few dozen messages fill what the sockets of both sides hold."""


@pytest.fixture
def forgetful_broker(mosquitto_path: str, tmp_path: Path) -> Iterator[MqttBroker]:
    """A mosquitto that keeps ten messages for a client that does not keep up."""
    assert mosquitto_path
    with MqttBroker(tmp_path / "broker", kind="mosquitto", queue=10) as broker:
        yield broker


def birth(node: Node, at: int) -> None:
    node.birth()
    tags = [
        Metric("number", DataType.INT64, -1, at, alias=1),
        Metric("text", DataType.STRING, "", at, alias=2),
    ]
    node.publish(MessageType.DBIRTH, tags, DEVICE)


def data(node: Node, number: int, at: int) -> None:
    tags = [
        Metric(None, DataType.INT64, number, at, alias=1),
        Metric(None, DataType.STRING, TEXT, at, alias=2),
    ]
    node.publish(MessageType.DDATA, tags, DEVICE)


async def test_messages_that_the_broker_dropped_are_counted_and_nothing_is_mistaken(
    postgres_url: str, forgetful_broker: MqttBroker, tmp_path: Path
) -> None:
    environment = {
        **os.environ,
        "NEXUS_DATABASE_URL": postgres_url,
        "NEXUS_MQTT_URL": forgetful_broker.url,
        "PYTHONPATH": str(ROOT),
    }
    argv = [sys.executable, "-m", "deploy.local.cli", "historian", "--id", "slow"]
    argv += ["--status-interval", "0.1"]
    told: list[HistorianStatus] = []
    with edge_node(forgetful_broker) as node:
        topic = historian_status_topic(forgetful_broker.topic_prefix, "slow")
        node.client.message_callback_add(
            topic,
            lambda _c, _u, message: told.append(
                HistorianStatus.model_validate_json(message.payload)
            ),
        )
        node.client.subscribe(topic, 1)
        process = Process("historian", argv, log=tmp_path / "log", env=environment)
        try:
            await until(lambda: told and told[-1].database == "postgresql", "the start")
            at = now_ms() - 10_000
            birth(node, at)
            await until(lambda: told[-1].points_stored == 2, "the birth")
            # It gets no time, so that the broker has to drop: fewer than a round of numbers.
            os.kill(process.pid, signal.SIGSTOP)
            flood = 240
            for number in range(1, flood + 1):
                data(node, number, at + number)
            os.kill(process.pid, signal.SIGCONT)
            await until(lambda: told[-1].points_stored > 2, "what the broker had kept")
            data(node, flood + 1, at + flood + 1)
            await until(lambda: told[-1].messages_missed > 0, "the gap")
            await until(lambda: bool(node.commands), "the request for a rebirth")
            birth(node, at + flood + 2)
            missed = told[-1].messages_missed
            points = 2 * (flood + 1 + 2 - missed)
            await until(lambda: told[-1].points_stored >= points, "what did arrive")
            assert told[-1].points_dropped == 0
            assert told[-1].messages_missed == missed
            os.kill(process.pid, signal.SIGTERM)
            await until(lambda: process.poll() is not None)
        finally:
            process.stop(grace_s=5)
    rows = query(
        postgres_url,
        "SELECT round(extract(epoch FROM time) * 1000)::bigint AS at, value"
        " FROM historian.samples WHERE metric = 'number' AND value > 0 ORDER BY time",
    )
    assert len(rows) == flood + 1 - missed
    assert all(row["value"] == row["at"] - at for row in rows)
    (gap,) = query(postgres_url, "SELECT detail FROM historian.event WHERE kind = 'gap'")
    assert gap["detail"]["missing"] == missed
    assert query(postgres_url, "SELECT FROM historian.event WHERE kind = 'rebirth_requested'")
