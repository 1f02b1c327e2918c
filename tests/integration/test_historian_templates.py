"""Template instances in the history: what was sent, whole or in part."""

from collections.abc import Iterator

import pytest

from deploy.local.broker import MqttBroker
from proto.sparkplug.codec import Metric
from proto.sparkplug.datatypes import DataType
from proto.sparkplug.metrics import Template
from proto.sparkplug.topics import MessageType
from tests.integration.historian_rig import Node, edge_node, now_ms, query, running, settled

pytestmark = pytest.mark.asyncio

TYPES = (("Speed", DataType.INT16), ("On", DataType.BOOLEAN))


@pytest.fixture
def node(mqtt_broker: MqttBroker) -> Iterator[Node]:
    with edge_node(mqtt_broker) as edge:
        yield edge


async def test_an_instance_is_stored_as_it_was_sent(
    historian_databases: str, mqtt_broker: MqttBroker, node: Node
) -> None:
    at = now_ms() - 1000
    definition = Template(tuple(Metric(*each) for each in TYPES), is_definition=True)
    whole = Template(
        (Metric("Speed", DataType.INT16, -5, at), Metric("On", DataType.BOOLEAN, True, at)),
        "Motor",
    )
    part = Template((Metric("Speed", DataType.INT16, -6, at + 1),), "Motor")
    async with running(mqtt_broker, historian_databases) as historian:
        node.birth(Metric("Motor", DataType.TEMPLATE, definition, at, alias=1))
        node.publish(
            MessageType.DBIRTH, [Metric("M1", DataType.TEMPLATE, whole, at, alias=2)], "cell"
        )
        node.publish(MessageType.DDATA, [Metric(None, None, part, at + 1, alias=2)], "cell")
        await settled(historian, 3)

    rows = query(
        historian_databases,
        "SELECT json FROM historian.samples WHERE metric = %s ORDER BY time",
        "M1",
    )
    assert [
        {name: member["value"] for name, member in row["json"]["metrics"].items()} for row in rows
    ] == [{"Speed": -5, "On": True}, {"Speed": -6}]
    (row,) = query(
        historian_databases, "SELECT json FROM historian.samples WHERE metric = %s", "Motor"
    )
    assert row["json"]["definition"] is True
    assert {name: member["type"] for name, member in row["json"]["metrics"].items()} == {
        "Speed": "Int16",
        "On": "Boolean",
    }
