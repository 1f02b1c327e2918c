"""Writes as JSON commands and as Sparkplug commands, through a real broker to a real device."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from proto.sparkplug.codec import Payload, encode_payload
from proto.sparkplug.datatypes import DataType
from proto.sparkplug.metrics import Metric
from tests.integration.edge.bench import (
    Listener,
    Plc,
    node_document,
    press,
    running,
    wait_until,
)
from tests.integration.edge.edge_broker import Broker, Watcher

pytestmark = pytest.mark.trio

BASE = "$nexus/cmd/plant/line-1"
STATUS = "$nexus/status/plant/line-1"
REMOTE = {"commands": True}


def command(heard: Listener, tag: str, value: Any, command_id: str, **options: Any) -> None:
    document = json.dumps({"id": command_id, "value": value}).encode()
    heard.watcher.publish(f"{BASE}/press/{tag}", document, **options)


async def result(heard: Listener, tag: str, command_id: str | None) -> dict[str, Any]:
    topic = f"{BASE}/press/{tag}/result"
    return await heard.wait_json(topic, lambda d: d["id"] == command_id)


async def test_a_command_reaches_the_register_and_its_result_the_requester(
    edge_broker: Broker, heard: Listener, plc: Plc, tmp_path: Path
) -> None:
    tags = press(plc)["tags"]
    tags[0]["read_back"] = True
    document = node_document(edge_broker, tmp_path, press(plc, tags=tags), remote=REMOTE)
    async with running(document):
        await heard.wait("DBIRTH")
        command(heard, "setpoint", 42.5, "w-1")
        told = await result(heard, "setpoint", "w-1")
        assert (told["ok"], told["outcome"], told["value"]) == (True, "verified", 42.5)
        assert plc.unit.registers[0] == 425
        await heard.wait_value("press", "setpoint", 42.5)
        command(heard, "setpoint", 43.0, "w-1")
        command(heard, "setpoint", 101, "w-2")
        told = await result(heard, "setpoint", "w-2")
        assert (told["outcome"], told["reason"]) == ("refused", "101 is above high, 100")
        assert plc.unit.registers[0] == 425
        command(heard, "doors/open", False, "w-3")
        assert (await result(heard, "doors/open", "w-3"))["reason"] == "the tag is not writable"
        status = await heard.wait_json(STATUS, lambda d: len(d["refused_writes"]) == 2)
        assert status["refused_writes"][0]["metric"] == "setpoint"
    answers = [m for m in heard.watcher.messages if m.topic.endswith("/result")]
    assert [json.loads(m.payload)["id"] for m in answers] == ["w-1", "w-2", "w-3"]
    assert not [m for m in answers if m.retain]


async def test_a_sparkplug_command_that_is_refused_is_told_to_whoever_listens(
    edge_broker: Broker, heard: Listener, plc: Plc, tmp_path: Path
) -> None:
    async with running(node_document(edge_broker, tmp_path, press(plc))) as node:
        await heard.wait("DBIRTH")
        heard.command("DCMD", [Metric("setpoint", DataType.DOUBLE, 500.0)], "press")
        told = await result(heard, "setpoint", None)
        assert (told["ok"], told["reason"]) == (False, "500.0 is above high, 100")
        heard.command("DCMD", [Metric("count", DataType.UINT16, 5)], "press")
        assert "read only" in (await result(heard, "count", None))["reason"]
        heard.command("DCMD", [Metric("setpoint", DataType.DOUBLE, 50.0)], "press")
        await heard.wait_json(f"{BASE}/press/setpoint/result", lambda d: d["ok"])
        assert [one.metric for one in node.status().refused_writes] == ["setpoint", "count"]


async def test_commands_are_not_taken_unless_they_are_allowed(
    edge_broker: Broker, heard: Listener, plc: Plc, tmp_path: Path
) -> None:
    async with running(node_document(edge_broker, tmp_path, press(plc))):
        await heard.wait("DBIRTH")
        command(heard, "setpoint", 42.5, "w-1")
        heard.command("DCMD", [Metric("setpoint", DataType.DOUBLE, 50.0)], "press")
        await heard.wait_value("press", "setpoint", 50.0)
        assert plc.unit.registers[0] == 500
    assert not [m for m in heard.watcher.messages if b'"w-1", "ok"' in m.payload]


async def test_what_a_broker_kept_is_not_done_when_a_node_connects(
    edge_broker: Broker, heard: Listener, plc: Plc, tmp_path: Path
) -> None:
    command(heard, "setpoint", 90.0, "old", retain=True)
    dcmd = Payload(1, None, (Metric("setpoint", DataType.DOUBLE, 80.0),))
    heard.watcher.publish(
        "spBv1.0/plant/DCMD/line-1/press", encode_payload(dcmd), qos=1, retain=True
    )
    document = node_document(edge_broker, tmp_path, press(plc), remote=REMOTE)
    async with running(document) as node:
        await heard.wait("DBIRTH")
        told = await result(heard, "setpoint", None)
        assert told["reason"] == "retained, expected a plain message"
        await wait_until(lambda: node.status().counters.commands_rejected == 1)
        assert plc.unit.registers[0] == 235


async def test_a_broker_that_refuses_the_commands_topic_keeps_nothing_else_from_working(
    make_edge_broker: Callable[..., Broker],
    listen: Callable[[Broker], Listener],
    plc: Plc,
    tmp_path: Path,
) -> None:
    rules = tmp_path / "rules"
    rules.write_text(
        "topic readwrite spBv1.0/#\ntopic readwrite uns/#\ntopic readwrite $nexus/status/#\n",
        encoding="utf-8",
    )
    rules.chmod(0o600)
    broker = make_edge_broker(settings=f"acl_file {rules}")
    heard = listen(broker)
    async with running(node_document(broker, tmp_path, press(plc), remote=REMOTE)):
        await heard.wait("DBIRTH")
        plc.unit.registers[1] = 8
        await heard.wait_value("press", "count", 8)


def acl_of_the_guide() -> str:
    """The rules that the reference recommends, as they stand there."""
    page = Path(__file__).parents[3] / "docs/reference/system-topics.md"
    text = page.read_text(encoding="utf-8")
    return text.partition("```text\n# mosquitto")[2].partition("\n")[2].partition("```")[0]


async def test_the_recommended_access_rules_let_only_operators_write(
    make_edge_broker: Callable[..., Broker], plc: Plc, tmp_path: Path
) -> None:
    rules = tmp_path / "rules"
    rules.write_text(acl_of_the_guide(), encoding="utf-8")
    rules.chmod(0o600)
    users = {"edge-line-1": "e", "operator": "o", "viewer": "v"}
    broker = make_edge_broker(users=users, settings=f"acl_file {rules}")
    operator = Watcher(broker, "$nexus/#", "spBv1.0/#", username="operator", password="o")
    viewer = Watcher(broker, "spBv1.0/#", username="viewer", password="v")
    password = tmp_path / "password"
    password.write_text("e\n", encoding="utf-8")
    mqtt = {"username": "edge-line-1", "password_file": password}
    document = node_document(broker, tmp_path, press(plc), remote=REMOTE, mqtt=mqtt)
    try:
        async with running(document):
            heard = Listener(operator)
            await heard.wait("DBIRTH")
            command(Listener(viewer), "setpoint", 10.0, "no")
            command(heard, "setpoint", 20.0, "yes")
            assert (await result(heard, "setpoint", "yes"))["ok"]
            assert plc.unit.registers[0] == 200
    finally:
        operator.close()
        viewer.close()
    assert [
        json.loads(m.payload)["id"] for m in operator.messages if m.topic.endswith("/result")
    ] == ["yes"]
