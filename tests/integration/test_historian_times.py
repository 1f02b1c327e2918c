"""Times that cannot be, and whether they are stored: as the settings say, counted and said."""

from collections.abc import Iterator

import pytest
import structlog

from deploy.local.broker import MqttBroker
from proto.sparkplug.codec import Metric
from proto.sparkplug.datatypes import DataType
from proto.sparkplug.topics import MessageType
from tests.integration.historian_rig import Node, edge_node, now_ms, query, running, settled, until

pytestmark = pytest.mark.asyncio

DAY_MS = 86_400_000
Y2K_MS = 946_684_800_000


@pytest.fixture
def node(mqtt_broker: MqttBroker) -> Iterator[Node]:
    with edge_node(mqtt_broker) as edge:
        yield edge


def born(node: Node, at: int) -> None:
    node.birth()
    tag = Metric("level", DataType.DOUBLE, 0.0, at, alias=1)
    node.publish(MessageType.DBIRTH, [tag], "filler")


def tell(node: Node, value: float, at: int) -> None:
    node.publish(MessageType.DDATA, [Metric(None, DataType.DOUBLE, value, at, alias=1)], "filler")


def values(url: str) -> list[float]:
    rows = query(url, "SELECT value FROM historian.sample ORDER BY time")
    return [row["value"] for row in rows]


async def test_impossible_times_are_refused_counted_and_said(
    historian_databases: str, mqtt_broker: MqttBroker, node: Node
) -> None:
    at = now_ms()
    with structlog.testing.capture_logs() as logs:
        async with running(mqtt_broker, historian_databases) as historian:
            born(node, at)
            tell(node, 1.0, 1_000)  # a clock that was never set
            tell(node, 2.0, at + 2 * DAY_MS)
            tell(node, 3.0, at + 1)
            await settled(historian, 2)
            await until(lambda: historian.counters.points_dropped == 2, "the refusals")
            assert historian.status().points_dropped == 2
            assert historian.counters.points_received == 4
    assert values(historian_databases) == [0.0, 3.0]
    (said, *_) = [entry for entry in logs if entry["event"] == "points_refused"]
    assert "filler" in said["topic"]
    assert said["reason"].startswith("time is ")
    assert "expected one between the oldest accepted and now" in said["reason"]


async def test_what_is_accepted_is_a_setting(
    historian_databases: str, mqtt_broker: MqttBroker, node: Node
) -> None:
    at = now_ms()
    async with running(
        mqtt_broker, historian_databases, oldest_ms=at - DAY_MS, ahead_ms=40 * DAY_MS
    ) as historian:
        born(node, at)
        tell(node, 1.0, at + 30 * DAY_MS)
        tell(node, 2.0, at - 2 * DAY_MS)
        await settled(historian, 2)
        await until(lambda: historian.counters.points_dropped == 1, "the refusal")
    assert values(historian_databases) == [0.0, 1.0]


async def test_very_old_times_are_stored_like_all_others(
    historian_databases: str, mqtt_broker: MqttBroker, node: Node
) -> None:
    at = now_ms()
    async with running(mqtt_broker, historian_databases) as historian:
        born(node, at)
        tell(node, 1.0, Y2K_MS)
        tell(node, 2.0, Y2K_MS + 20 * 365 * DAY_MS)
        await settled(historian, 3)
    assert values(historian_databases) == [1.0, 2.0, 0.0]
    (row,) = query(historian_databases, "SELECT value FROM historian.latest")
    assert row["value"] == 0.0
