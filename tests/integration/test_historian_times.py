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
    assert "expected one from 2000-01-01T00:00:00.000+00:00 to " in said["reason"]


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


async def test_times_before_2000_are_stored_where_the_setting_says_so(
    historian_databases: str, mqtt_broker: MqttBroker, node: Node
) -> None:
    async with running(mqtt_broker, historian_databases, oldest_ms=0) as historian:
        born(node, 5)
        tell(node, 1.0, 6)
        tell(node, 2.0, 20 * 365 * DAY_MS)
        historical = Metric(None, DataType.DOUBLE, 3.0, 4, alias=1, is_historical=True)
        node.publish(MessageType.DDATA, [historical], "filler")
        await settled(historian, 4)
    rows = query(
        historian_databases,
        "SELECT round(extract(epoch FROM time) * 1000)::bigint AS at, value FROM historian.sample"
        " ORDER BY time",
    )
    assert [(row["at"], row["value"]) for row in rows] == [
        (4, 3.0),
        (5, 0.0),
        (6, 1.0),
        (20 * 365 * DAY_MS, 2.0),
    ]
    (row,) = query(historian_databases, "SELECT value FROM historian.latest")
    assert row["value"] == 2.0


async def test_point_from_the_future_is_the_latest_only_until_the_next(
    historian_databases: str, mqtt_broker: MqttBroker, node: Node
) -> None:
    latest = "SELECT value FROM historian.latest"
    at = now_ms()
    async with running(mqtt_broker, historian_databases) as historian:
        born(node, at)
        tell(node, 5.0, at + DAY_MS // 2)
        await until(lambda: query(historian_databases, latest) == [{"value": 5.0}], "the future")
        tell(node, 6.0, at + 1_000)
        await until(lambda: query(historian_databases, latest) == [{"value": 6.0}], "the present")
        await settled(historian, 3)


async def test_session_that_ended_while_no_historian_ran_is_told(
    historian_databases: str, mqtt_broker: MqttBroker, node: Node
) -> None:
    at = now_ms()
    async with running(mqtt_broker, historian_databases) as historian:
        born(node, at)
        tell(node, 1.0, at + 10)
        await settled(historian, 2)
    node.death()
    node.bd_seq = 1
    async with running(mqtt_broker, historian_databases) as historian:
        born(node, now_ms())
        await settled(historian, 1)
    rows = query(
        historian_databases,
        "SELECT kind, detail, time FROM historian.event WHERE device IS NULL ORDER BY event_id",
    )
    assert [row["kind"] for row in rows] == ["node_birth", "node_lost", "node_birth"]
    assert rows[1]["detail"] == {"bd_seq": 0, "found": 1}
    assert int(rows[1]["time"].timestamp() * 1000) >= at + 10
    assert rows[1]["time"] < rows[2]["time"]
    (outage,) = query(
        historian_databases,
        "SELECT * FROM historian.outages('plant', 'line-1', now() - interval '1 hour', now())",
    )
    assert (outage["since"], outage["reason"]) == (rows[1]["time"], "node_lost")
