"""The historian between a real broker and real databases: what is sent is what is stored."""

import json
import math
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from deploy.local.broker import MqttBroker
from proto.sparkplug.codec import Metric
from proto.sparkplug.datatypes import DataType
from proto.sparkplug.metrics import (
    DataSet,
    Property,
    Template,
    Value,
    quality_property,
)
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
UUID_TEXT = "6f1c3a52-3f0e-4a43-8f0c-0a1f8a1d7c11"

EXACT: list[tuple[DataType, Value, dict[str, Any]]] = [
    (DataType.INT8, -128, {"value": -128.0}),
    (DataType.INT16, -32_768, {"value": -32_768.0}),
    (DataType.INT32, -(2**31), {"value": float(-(2**31))}),
    (DataType.INT64, -(2**63), {"whole": -(2**63), "text": str(-(2**63))}),
    (DataType.INT64, 2**53 + 1, {"whole": 2**53 + 1}),
    (DataType.INT64, -5, {"whole": -5, "value": -5.0, "text": None}),
    (DataType.UINT8, 255, {"value": 255.0}),
    (DataType.UINT16, 65_535, {"value": 65_535.0}),
    (DataType.UINT32, 2**32 - 1, {"value": float(2**32 - 1)}),
    (DataType.UINT64, 2**64 - 1, {"whole": 2**64 - 1, "text": str(2**64 - 1)}),
    (DataType.FLOAT, 0.1, {"value": 0.10000000149011612}),
    (DataType.FLOAT, 0.0, {"value": 0.0}),
    (DataType.DOUBLE, 0.1, {"value": 0.1}),
    (DataType.DOUBLE, math.inf, {"value": math.inf}),
    (DataType.DOUBLE, -math.inf, {"value": -math.inf}),
    (DataType.DOUBLE, math.nan, {"value": "NaN"}),
    (DataType.BOOLEAN, True, {"value": 1.0}),
    (DataType.BOOLEAN, False, {"value": 0.0}),
    (DataType.STRING, "Füllstand ≥ 3 µm", {"text": "Füllstand ≥ 3 µm", "value": None}),
    (DataType.STRING, "", {"text": "", "value": None}),
    (DataType.STRING, "a\x00b", {"text": "a\u2400b", "bytes": b"a\x00b"}),
    (DataType.TEXT, "long", {"text": "long"}),
    (DataType.UUID, UUID_TEXT, {"text": UUID_TEXT}),
    (DataType.DATETIME, 1_700_000_000_123, {"whole": 1_700_000_000_123}),
    (DataType.BYTES, bytes(range(256)), {"bytes": bytes(range(256)), "text": None}),
    (DataType.FILE, b"\x89PNG", {"bytes": b"\x89PNG"}),
    (DataType.INT32_ARRAY, [1, -2, 3], {"json": [1, -2, 3]}),
    (DataType.DOUBLE_ARRAY, [0.5, math.nan], {"json": [0.5, "NaN"]}),
    (DataType.UINT64_ARRAY, [2**64 - 1], {"json": [2**64 - 1]}),
    (DataType.BOOLEAN_ARRAY, [True, False], {"json": [True, False]}),
    (DataType.STRING_ARRAY, ["a", "b"], {"json": ["a", "b"]}),
    (
        DataType.DATASET,
        DataSet(("n", "s"), (DataType.INT64, DataType.STRING), ((2**62, "x"), (None, "y"))),
        {
            "json": {
                "columns": ["n", "s"],
                "types": ["Int64", "String"],
                "rows": [[2**62, "x"], [None, "y"]],
            }
        },
    ),
    (
        DataType.TEMPLATE,
        Template((Metric("speed", DataType.DOUBLE, 1.5),), template_ref="Motor"),
        {
            "json": {
                "template": "Motor",
                "definition": False,
                "version": None,
                "parameters": {},
                "metrics": {"speed": {"type": "Double", "value": 1.5, "time_ms": None}},
            }
        },
    ),
    (DataType.DOUBLE, None, {"value": None, "text": None, "json": None, "bytes": None}),
    (DataType.STRING, None, {"value": None, "text": None}),
]


@pytest.fixture
def node(mqtt_broker: MqttBroker) -> Iterator[Node]:
    with edge_node(mqtt_broker) as edge:
        yield edge


def level(value: Value, at: int, **more: Any) -> Metric:
    return Metric("bowl/level", DataType.DOUBLE, value, at, alias=1, **more)


def change(value: Value, at: int, **more: Any) -> Metric:
    return Metric(None, DataType.DOUBLE, value, at, alias=1, **more)


async def test_every_type_is_stored_exactly_by_birth_and_by_data(
    historian_databases: str, mqtt_broker: MqttBroker, node: Node
) -> None:
    at = now_ms() - 1000
    async with running(mqtt_broker, historian_databases) as historian:
        node.birth()
        node.publish(
            MessageType.DBIRTH,
            [
                Metric(f"m{index}", datatype, value, at, alias=index)
                for index, (datatype, value, _) in enumerate(EXACT)
            ],
            DEVICE,
        )
        node.publish(
            MessageType.DDATA,
            [
                Metric(None, datatype, value, at + 1, alias=index)
                for index, (datatype, value, _) in enumerate(EXACT)
            ],
            DEVICE,
        )
        await settled(historian, 2 * len(EXACT))
    for index, (datatype, _, expected) in enumerate(EXACT):
        rows = query(
            historian_databases,
            "SELECT * FROM historian.samples WHERE metric = %s ORDER BY time",
            f"m{index}",
        )
        assert [int(row["time"].timestamp() * 1000 + 0.5) for row in rows] == [at, at + 1]
        for row in rows:
            assert row["datatype"] == datatype.label
            for column, value in expected.items():
                found = row[column]
                if value == "NaN":
                    assert math.isnan(found)
                else:
                    assert found == value, (datatype, column)


async def test_metrics_keep_what_their_birth_says_of_them(
    historian_databases: str, mqtt_broker: MqttBroker, node: Node
) -> None:
    properties = {
        "engUnit": Property(DataType.STRING, "hl"),
        "engLow": Property(DataType.DOUBLE, 0.0),
        "engHigh": Property(DataType.DOUBLE, 12.5),
        "Documentation": Property(DataType.STRING, "Level in the bowl"),
        "readOnly": Property(DataType.BOOLEAN, True),
        "unsPath": Property(DataType.STRING, "acme/berlin/filler/bowl/level"),
        "Quality": quality_property(192),
        "vendor": Property(DataType.INT32, -7),
    }
    async with running(mqtt_broker, historian_databases) as historian:
        node.birth()
        node.publish(MessageType.DBIRTH, [level(1.0, now_ms(), properties=properties)], DEVICE)
        await settled(historian, 1)
    (row,) = query(historian_databases, "SELECT * FROM historian.metric")
    assert (row["group_name"], row["edge"], row["device"]) == ("plant", "line-1", DEVICE)
    assert (row["unit"], row["low"], row["high"]) == ("hl", 0.0, 12.5)
    assert row["description"] == "Level in the bowl"
    assert row["writable"] is False
    assert row["uns_path"] == "acme/berlin/filler/bowl/level"
    assert row["properties"] == {"vendor": -7}


async def test_quality_sent_time_and_historical_are_kept(
    historian_databases: str, mqtt_broker: MqttBroker, node: Node
) -> None:
    at = now_ms() - 5000
    bad = {"Quality": quality_property(0)}
    async with running(mqtt_broker, historian_databases) as historian:
        node.birth()
        node.publish(MessageType.DBIRTH, [level(1.0, at)], DEVICE, timestamp_ms=at)
        node.publish(
            MessageType.DDATA, [change(None, at + 1, properties=bad)], DEVICE, timestamp_ms=at + 9
        )
        node.publish(MessageType.DDATA, [change(2.0, at - 60_000, is_historical=True)], DEVICE)
        await settled(historian, 3)
    rows = query(historian_databases, "SELECT * FROM historian.samples ORDER BY time")
    assert [row["historical"] for row in rows] == [True, False, False]
    assert [row["good"] for row in rows] == [True, True, False]
    assert rows[1]["sent"] == rows[1]["time"]
    assert rows[2]["sent"] == datetime.fromtimestamp((at + 9) / 1000, UTC)
    (latest,) = query(historian_databases, "SELECT * FROM historian.latest")
    assert latest["quality"] == 0
    assert latest["value"] is None


async def test_what_comes_twice_is_stored_once(
    historian_databases: str, mqtt_broker: MqttBroker, node: Node
) -> None:
    at = now_ms() - 1000
    async with running(mqtt_broker, historian_databases) as historian:
        for _ in range(3):
            node.birth()
            node.publish(MessageType.DBIRTH, [level(1.0, at)], DEVICE)
        for _ in range(2):
            node.publish(MessageType.DDATA, [change(2.0, at + 1)], DEVICE)
        for _ in range(2):
            node.publish(MessageType.DDATA, [change(3.0, at - 500, is_historical=True)], DEVICE)
        node.publish(MessageType.DDATA, [change(9.0, at + 1)], DEVICE)
        await settled(historian, 8)
        assert historian.counters.points_stored == 4
        assert historian.counters.points_duplicate == 4
        assert historian.counters.points_received == 8
    rows = query(historian_databases, "SELECT value FROM historian.sample ORDER BY time, value")
    assert [row["value"] for row in rows] == [3.0, 1.0, 2.0, 9.0]


async def test_births_and_deaths_are_events(
    historian_databases: str, mqtt_broker: MqttBroker, node: Node
) -> None:
    async with running(mqtt_broker, historian_databases):
        node.birth()
        node.publish(MessageType.DBIRTH, [level(1.0, now_ms())], DEVICE)
        node.publish(MessageType.DDEATH, [], DEVICE)
        node.death()
        await until(lambda: len(query(historian_databases, "SELECT FROM historian.event")) == 4)
    rows = query(historian_databases, "SELECT * FROM historian.event ORDER BY event_id")
    assert [(row["kind"], row["device"]) for row in rows] == [
        ("node_birth", None),
        ("device_birth", DEVICE),
        ("device_death", DEVICE),
        ("node_death", None),
    ]
    assert rows[0]["detail"] == {"bd_seq": 0}


async def test_garbage_is_counted_and_neighbours_go_on(
    historian_databases: str, mqtt_broker: MqttBroker, node: Node
) -> None:
    at = now_ms()
    async with running(mqtt_broker, historian_databases) as historian:
        for topic in (
            "spBv1.0/plant/NBIRTH/line-1",
            "spBv1.0/plant/DDATA/line-1/filler",
            "spBv1.0/plant/NDEATH/line-1",
        ):
            node.send(topic, b"\xff\xfe garbage")
        node.send("spBv1.0/nonsense", b"x")
        node.send("spBv1.0/STATE/host", b"not json")
        node.send("spBv1.0/plant/DDATA/line-1/filler", b"")
        node.birth()
        node.publish(MessageType.DBIRTH, [level(1.0, at)], DEVICE)
        far = [change(1.0, 2**63), change(5.0, at + 1), change(1.0, 1000)]
        node.publish(MessageType.DDATA, far, DEVICE)
        await settled(historian, 2)
        counters = historian.counters
        assert counters.payloads_rejected == 3
        assert (counters.points_stored, counters.points_dropped) == (2, 2)
    rows = query(historian_databases, "SELECT value FROM historian.sample ORDER BY time")
    assert [row["value"] for row in rows] == [1.0, 5.0]


async def test_datatype_change_keeps_older_rows_readable(
    historian_databases: str, mqtt_broker: MqttBroker, node: Node
) -> None:
    at = now_ms() - 100
    async with running(mqtt_broker, historian_databases) as historian:
        node.birth()
        node.publish(MessageType.DBIRTH, [level(1.5, at)], DEVICE)
        node.birth()
        text = Metric("bowl/level", DataType.STRING, "full", at + 1, alias=1)
        node.publish(MessageType.DBIRTH, [text], DEVICE)
        await settled(historian, 2)
    rows = query(
        historian_databases,
        "SELECT datatype, value, text FROM historian.samples"
        " WHERE device = 'filler' AND metric = 'bowl/level' ORDER BY time",
    )
    assert [tuple(row.values()) for row in rows] == [
        ("Double", 1.5, None),
        ("String", None, "full"),
    ]
    latest = query(historian_databases, "SELECT text FROM historian.latest")
    assert [row["text"] for row in latest] == ["full"]


async def test_status_tells_the_counts_at_the_end(
    historian_databases: str, mqtt_broker: MqttBroker, node: Node
) -> None:
    statuses: list[dict[str, Any]] = []
    node.client.on_message = lambda _c, _u, message: statuses.append(json.loads(message.payload))
    node.client.subscribe("$nexus/historian/test/status", 1)
    async with running(mqtt_broker, historian_databases) as historian:
        node.birth()
        node.publish(MessageType.DBIRTH, [level(1.5, now_ms())], DEVICE)
        await settled(historian, 1)
    await until(lambda: bool(statuses) and statuses[-1]["points_stored"] == 1)
    assert statuses[-1]["points_received"] == 1
    assert statuses[-1]["backlog_points"] == 0
    assert statuses[-1]["database"] in {"postgresql", "timescaledb", "timescaledb-apache"}


async def test_late_value_does_not_replace_the_current_one(
    historian_databases: str, mqtt_broker: MqttBroker, node: Node
) -> None:
    at = now_ms()
    async with running(mqtt_broker, historian_databases) as historian:
        node.birth()
        node.publish(MessageType.DBIRTH, [level(1.0, at)], DEVICE)
        node.publish(MessageType.DDATA, [change(0.5, at - 86_400_000 * 3)], DEVICE)
        await settled(historian, 2)
    (latest,) = query(historian_databases, "SELECT value FROM historian.latest")
    assert latest["value"] == 1.0
    assert len(query(historian_databases, "SELECT FROM historian.samples")) == 2


async def test_committed_payloads_are_acknowledged_and_no_others(
    historian_databases: str, mqtt_broker: MqttBroker, node: Node
) -> None:
    named: list[list[int]] = []

    def note(_client: object, _userdata: object, message: Any) -> None:
        document = json.loads(message.payload)
        assert document["historian"] == "test"
        named.extend(document["payloads"])

    node.client.message_callback_add("$nexus/ack/plant/line-1", note)
    node.client.subscribe("$nexus/ack/#", 1)
    at = now_ms() - 100
    async with running(mqtt_broker, historian_databases) as historian:
        node.birth()
        node.publish(MessageType.DBIRTH, [level(0.0, at)], DEVICE)
        for number in range(1, 4):
            node.publish(
                MessageType.DDATA, [change(1.0, at + number)], DEVICE, timestamp_ms=at + number
            )
        late = [change(9.0, at - 5_000, is_historical=True)]
        node.publish(MessageType.DDATA, late, DEVICE, timestamp_ms=at + 4)
        node.publish(MessageType.DDATA, [change(1.0, at)], "unknown", timestamp_ms=at + 5)
        await settled(historian, 5)
        await until(lambda: len(named) >= 4)
    assert sorted(named) == [[at + number, number + 1] for number in range(1, 5)]
