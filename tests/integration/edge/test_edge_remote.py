"""Devices that are configured over MQTT: a real broker, real devices, restarts."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.integration.edge.bench import (
    Listener,
    Plc,
    node_document,
    press,
    running,
    wait_until,
)
from tests.integration.edge.edge_broker import Broker

pytestmark = pytest.mark.trio

BASE = "$nexus/config/devices/plant/line-1"
STATUS = "$nexus/status/plant/line-1"
REMOTE = {"configuration": True}


def configure(heard: Listener, name: str, device: dict[str, Any] | None, revision: int = 1) -> None:
    document = json.dumps({"revision": revision, "device": device}).encode()
    heard.watcher.publish(f"{BASE}/{name}", document, retain=True)


async def device_status(
    heard: Listener, name: str, holds: Callable[[dict[str, Any]], bool]
) -> dict[str, Any]:
    document = await heard.wait_json(
        STATUS, lambda d: name in d["devices"] and holds(d["devices"][name])
    )
    return dict(document["devices"][name])


async def test_a_device_comes_changes_and_goes_by_documents(
    edge_broker: Broker, heard: Listener, plc: Plc, tmp_path: Path
) -> None:
    document = node_document(edge_broker, tmp_path, press(plc, "own"), remote=REMOTE)
    async with running(document):
        await heard.wait("DBIRTH", device="own")
        configure(heard, "remote", press(plc, "remote"), 7)
        await heard.wait("DBIRTH", device="remote")
        told = await device_status(heard, "remote", lambda d: d["state"] == "online")
        assert (told["source"], told["revision"], told["mistakes"]) == ("remote", 7, [])
        configure(heard, "remote", press(plc, "remote", tags=press(plc)["tags"][:1]), 8)
        await heard.wait("DBIRTH", 2, device="remote")
        configure(heard, "remote", press(plc, "remote", color="red"), 9)
        told = await device_status(heard, "remote", lambda d: d["refused_revision"] == 9)
        assert (told["state"], told["revision"]) == ("online", 8)
        assert told["mistakes"][0].startswith("devices[remote].color: ")
        configure(heard, "own", press(plc, "own"), 3)
        told = await device_status(heard, "own", lambda d: d["refused_revision"] == 3)
        assert told["source"] == "file"
        configure(heard, "stranger", press(plc, "strange"), 1)
        told = await device_status(heard, "stranger", lambda d: d["state"] == "refused")
        heard.watcher.publish(f"{BASE}/remote", b"", retain=True)
        await heard.wait("DDEATH", 2, device="remote")
        await heard.wait_json(STATUS, lambda d: "remote" not in d["devices"])
    kinds = [m.kind.value for m in heard.said if m.topic.device == "own"]
    assert [kind for kind in kinds if kind != "DDATA"] == ["DBIRTH", "DDEATH"]
    assert plc.connections == 1


async def test_a_node_starts_with_its_last_configuration_without_a_host(
    edge_broker: Broker, heard: Listener, plc: Plc, tmp_path: Path
) -> None:
    document = node_document(edge_broker, tmp_path, remote=REMOTE)
    async with running(document):
        configure(heard, "remote", press(plc, "remote"))
        await heard.wait("DBIRTH", device="remote")
    topic = f"{BASE}/remote"
    heard.watcher.publish(topic, b"", retain=True)  # while it is away: nobody tells it again
    await heard.watcher.wait_for(lambda seen: any(m.topic == topic and not m.payload for m in seen))
    async with running(document):
        birth = await heard.wait("DBIRTH", 2, device="remote")
        assert birth.values()["count"] == 7
        told = await device_status(heard, "remote", lambda d: d["state"] == "online")
        assert told["revision"] == 1


async def test_a_device_that_was_removed_while_the_node_was_away_is_gone_when_it_is_back(
    edge_broker: Broker, heard: Listener, plc: Plc, tmp_path: Path
) -> None:
    document = node_document(edge_broker, tmp_path, remote=REMOTE)
    async with running(document):
        configure(heard, "remote", press(plc, "remote"), 1)
        await heard.wait("DBIRTH", device="remote")
    configure(heard, "remote", None, 2)
    async with running(document) as node:
        await wait_until(lambda: "remote" not in node.status().devices)
    async with running(document) as node:
        assert node.status().devices == {}


async def test_what_a_broker_tells_again_restarts_nothing(
    edge_broker: Broker, heard: Listener, plc: Plc, tmp_path: Path
) -> None:
    document = node_document(edge_broker, tmp_path, remote=REMOTE)
    patient = {"host": "127.0.0.1", "port": plc.port, "timeout_s": 30}
    devices = [press(plc, f"d{number}", connection=patient) for number in range(20)]
    for device in devices:
        configure(heard, device["name"], device)
    async with running(document):
        await heard.wait("DBIRTH", 20, timeout_s=30)
    async with running(document):
        await heard.wait("DBIRTH", 40, timeout_s=30)
        for device in devices:
            configure(heard, device["name"], device, 2)
        for device in devices:
            await device_status(heard, device["name"], lambda d: d["revision"] == 2)
    assert len([m for m in heard.said if m.kind == "DBIRTH"]) == 40
    assert plc.connections == 2


async def test_remote_configuration_does_not_wipe_what_waits(
    edge_broker: Broker, heard: Listener, plc: Plc, nursery: trio.Nursery, tmp_path: Path
) -> None:
    """What users of ThingsBoard's gateway complain of (#2124).

    Counters, the session with its sequence, and values that changed but were not sent yet survive.
    """
    other = Plc()
    await other.start(nursery)
    document = node_document(
        edge_broker,
        tmp_path,
        press(plc, "own"),
        remote=REMOTE,
        sparkplug={"batch_window_s": 3.0},
    )
    async with running(document) as node:
        await heard.wait("DBIRTH", device="own")
        before = node.status()
        plc.unit.registers[1] = 8  # waits for the end of its window
        await wait_until(lambda: node.status().devices["own"].polls > before.devices["own"].polls)
        configure(heard, "remote", press(other, "remote"))
        await heard.wait("DBIRTH", device="remote")
        await heard.wait_value("own", "count", 8)
        after = node.status()
        assert after.started_ms == before.started_ms
        assert after.counters.points_unsent == 0
        assert after.counters.points_published > before.counters.points_published
        assert after.devices["own"].polls > before.devices["own"].polls
        assert after.devices["own"].reconnects == 0
    assert len({m.payload.metrics[0].value for m in heard.said if m.kind == "NDEATH"}) == 1


async def test_documents_are_not_taken_unless_that_is_allowed(
    edge_broker: Broker, heard: Listener, plc: Plc, tmp_path: Path
) -> None:
    configure(heard, "remote", press(plc, "remote"))
    async with running(node_document(edge_broker, tmp_path, press(plc, "own"))) as node:
        await heard.wait("DBIRTH", device="own")
        plc.unit.registers[1] = 8
        await heard.wait_value("own", "count", 8)
        assert set(node.status().devices) == {"own"}
