"""A node whose configuration file changes while it runs, between real devices and a real broker."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from structlog.testing import capture_logs

from edge_node import node_link
from edge_node.app import EdgeNode
from edge_node.reload import ConfigurationFile
from proto.sparkplug.datatypes import DataType
from proto.sparkplug.metrics import Template, Value
from proto.uns.payload import TagDescription, encode_meta
from tests.integration.edge.bench import (
    Listener,
    Plc,
    node_document,
    press,
    running,
    toml_of,
    wait_until,
)
from tests.integration.edge.edge_broker import Broker, Watcher

pytestmark = pytest.mark.trio

UNS = "uns/acme"
SETPOINT, COUNT, DOOR = press(Plc())["tags"]
EXTRA = {"name": "extra", "address": "holding:5", "datatype": "uint16"}


class Plant:
    """A node with a file that a test rewrites."""

    def __init__(self, broker: Broker, folder: Path, **sections: Any) -> None:
        self.path = folder / "plant.toml"
        self.node: EdgeNode
        self.document = node_document(broker, folder / "state", **sections)
        self._sections: dict[str, Any] = {
            name: section.model_dump(mode="json", exclude_defaults=True)
            for name, section in self.document
            if name not in {"devices", "templates"}
        }

    def write(self, *devices: dict[str, Any], **more: Any) -> None:
        text = toml_of({**self._sections, **more, "devices": list(devices)})
        self.path.write_text(text, encoding="utf-8")

    @asynccontextmanager
    async def running(self, *devices: dict[str, Any], watch: bool = False) -> AsyncIterator[None]:
        self.write(*devices)
        file = ConfigurationFile(self.path, watch)
        async with running(self.document, file) as self.node:
            yield

    def reload(self, *devices: dict[str, Any], **more: Any) -> None:
        self.write(*devices, **more)
        self.node.reload()


@pytest.fixture
async def neighbour(nursery: trio.Nursery) -> Plc:
    made = Plc()
    await made.start(nursery)
    return made


async def test_a_device_is_changed_removed_and_added_and_its_neighbour_goes_on(  # noqa: PLR0917
    edge_broker: Broker,
    heard: Listener,
    plc: Plc,
    neighbour: Plc,
    tmp_path: Path,
    watch: Callable[..., Watcher],
) -> None:
    plant = Plant(edge_broker, tmp_path)
    other = press(neighbour, "neighbour")
    async with plant.running(press(plc), other):
        born = await heard.wait("DBIRTH", device="neighbour")
        await heard.wait("DBIRTH", device="press")
        await heard.wait_json(f"{UNS}/press/count")
        polls = plant.node.status().devices["press"].polls

        plant.reload(press(plc, tags=[SETPOINT, DOOR, EXTRA]), other)
        await heard.wait("DDEATH", device="press")
        changed = await heard.wait("DBIRTH", 2, device="press")
        assert set(changed.values()) == {"setpoint", "doors/open", "extra"}
        await heard.wait_json(f"{UNS}/press/_meta", lambda d: "extra" in d["tags"])
        await heard.wait_json(f"{UNS}/press/extra")
        assert plant.node.status().devices["press"].polls > polls
        assert (await _last(heard, f"{UNS}/press/count")) == b""

        plant.reload(other)
        await heard.wait("DDEATH", 2, device="press")
        await heard.watcher.wait_for(
            lambda seen: [m.payload for m in seen if m.topic == f"{UNS}/press/_status"][-1] == b""
        )
        await wait_until(lambda: "press" not in plant.node.status().devices)
        left = watch(edge_broker, f"{UNS}/#")
        await left.wait_for(lambda seen: any("neighbour/count" in m.topic for m in seen))
        assert not [m for m in left.messages if m.topic.startswith(f"{UNS}/press/")]

        plant.reload(other, press(plc))
        assert set((await heard.wait("DBIRTH", 3, device="press")).values()) == {
            "setpoint",
            "count",
            "doors/open",
        }
        neighbour.unit.registers[1] = 8
        data = await heard.wait_value("neighbour", "count", 8)
        assert data.payload.metrics[0].alias == born.metric("count").alias
        assert neighbour.connections == 1
        status = plant.node.status().devices["neighbour"]
        assert (status.reconnects, status.errors, status.skipped_polls) == (0, 0, 0)
    kinds = [said.kind.value for said in heard.said if said.topic.device == "neighbour"]
    assert [kind for kind in kinds if kind != "DDATA"] == ["DBIRTH", "DDEATH"]
    assert len([said for said in heard.said if said.kind == "NBIRTH"]) == 1


async def _last(heard: Listener, topic: str) -> bytes:
    await heard.watcher.wait_for(lambda seen: any(m.topic == topic and not m.payload for m in seen))
    return [m.payload for m in heard.watcher.messages if m.topic == topic][-1]


@pytest.mark.complaint("unchanged-push")
async def test_an_unchanged_configuration_push_restarts_no_connector(
    edge_broker: Broker, heard: Listener, plc: Plc, tmp_path: Path
) -> None:
    """What users of ThingsBoard's gateway complain of (#2102)."""
    plant = Plant(edge_broker, tmp_path)
    async with plant.running(press(plc)):
        await heard.wait("DBIRTH")
        text = plant.path.read_text(encoding="utf-8")
        for content, event in (
            (text, "configuration_applied"),
            (text, "configuration_unchanged"),
            (f"{text}\n# a comment and nothing else\n", "configuration_applied"),
        ):
            plant.path.write_text(content, encoding="utf-8")
            with capture_logs() as logs:
                plant.node.reload()
                await wait_until(lambda logs=logs, event=event: event in _events(logs))  # type: ignore[misc]
            assert _events(logs) <= {"configuration_applied", "configuration_unchanged"}
        plc.unit.registers[1] = 8
        await heard.wait_value("press", "count", 8)
        kinds = [m.kind.value for m in heard.said]
        assert [kind for kind in kinds if not kind.endswith("DATA")] == ["NBIRTH", "DBIRTH"]
        assert plc.connections == 1


def _events(logs: Sequence[Mapping[str, Any]]) -> set[str]:
    return {entry["event"] for entry in logs}


async def test_a_file_with_mistakes_changes_nothing_and_tells_each(
    edge_broker: Broker, heard: Listener, plc: Plc, tmp_path: Path
) -> None:
    plant = Plant(edge_broker, tmp_path)
    async with plant.running(press(plc)):
        await heard.wait("DBIRTH")
        wrong = press(plc, tags=[{**SETPOINT, "address": "holding:70000"}])
        typo = press(plc, "second", tags=[{**COUNT, "low": "x"}])
        with capture_logs() as logs:
            plant.reload(wrong, typo)
            status = await heard.wait_json(
                "$nexus/status/plant/line-1", lambda d: bool(d["configuration"]["mistakes"])
            )
        mistakes = status["configuration"]["mistakes"]
        refused = [e["mistake"] for e in logs if e["event"] == "configuration_refused"]
        assert refused == mistakes
        assert any("address" in mistake and "70000" in mistake for mistake in mistakes)
        assert any("tags[count].low" in mistake for mistake in mistakes)
        assert set(status["devices"]) == {"press"}
        plc.unit.registers[1] = 8
        await heard.wait_value("press", "count", 8)
        plant.reload(press(plc), press(plc, "second"))
        await heard.wait("DBIRTH", device="second")
        await heard.wait_json(
            "$nexus/status/plant/line-1", lambda d: not d["configuration"]["mistakes"]
        )
    assert [m.kind for m in heard.said if m.topic.device == "press" and m.kind != "DDATA"] == [
        "DBIRTH",
        "DDEATH",
    ]


async def test_devices_that_come_and_go_leave_a_shared_connection_alone(
    edge_broker: Broker, heard: Listener, plc: Plc, tmp_path: Path
) -> None:
    plant = Plant(edge_broker, tmp_path)
    first, second = press(plc, "first"), press(plc, "second")
    async with plant.running(first, second):
        await heard.wait("DBIRTH", 2)
        plant.reload(first)
        await heard.wait("DDEATH", device="second")
        plant.reload(first, second, press(plc, "third"))
        await heard.wait("DBIRTH", device="third")
        assert plc.connections == 1


async def test_other_sections_count_from_the_next_start_on(
    edge_broker: Broker, heard: Listener, plc: Plc, tmp_path: Path
) -> None:
    plant = Plant(edge_broker, tmp_path)
    async with plant.running(press(plc)):
        await heard.wait("DBIRTH")
        plant.reload(press(plc), press(plc, "second"), uns={"location": ["elsewhere"]})
        status = await heard.wait_json(
            "$nexus/status/plant/line-1", lambda d: "second" in d["devices"]
        )
        assert status["configuration"]["restart_needed"] == ["uns"]
        await heard.wait_json(f"{UNS}/second/count")
        plant.reload(press(plc))
        await heard.wait_json(
            "$nexus/status/plant/line-1",
            lambda d: "second" not in d["devices"] and not d["configuration"]["restart_needed"],
        )


async def test_a_disabled_device_is_dead_and_comes_back(
    edge_broker: Broker, heard: Listener, plc: Plc, tmp_path: Path
) -> None:
    plant = Plant(edge_broker, tmp_path)
    async with plant.running(press(plc)):
        await heard.wait("DBIRTH")
        plant.reload(press(plc, enabled=False))
        await heard.wait("DDEATH")
        await wait_until(lambda: plant.node.status().devices["press"].state == "disabled")
        plant.reload(press(plc))
        await heard.wait("DBIRTH", 2)


async def test_a_watched_file_is_read_again_when_it_changes(
    edge_broker: Broker, heard: Listener, plc: Plc, tmp_path: Path
) -> None:
    plant = Plant(edge_broker, tmp_path)
    async with plant.running(press(plc), watch=True):
        await heard.wait("DBIRTH")
        plant.write(press(plc), press(plc, "second"))
        await heard.wait("DBIRTH", device="second", timeout_s=30)


async def test_devices_change_while_the_broker_is_away(
    edge_broker: Broker, plc: Plc, tmp_path: Path, listen: Callable[[Broker], Listener]
) -> None:
    plant = Plant(edge_broker, tmp_path)
    async with plant.running(press(plc), press(plc, "second")):
        before = listen(edge_broker)
        await before.wait_json(f"{UNS}/second/count")
        edge_broker.stop()
        plant.reload(press(plc, tags=[SETPOINT]))
        await wait_until(lambda: set(plant.node.status().devices) == {"press"})
        edge_broker.start()
        later = listen(edge_broker)
        await later.wait_json(f"{UNS}/press/setpoint")
        later.rebirth()
        birth = await later.wait("DBIRTH", device="press", timeout_s=30)
        assert set(birth.values()) == {"setpoint"}
        assert plant.node.status().counters.reconnects == 1
    assert not [m for m in later.said if m.topic.device == "second"]


def motor_type(*members: str) -> dict[str, Any]:
    return {
        "name": "Motor",
        "members": [
            {"name": name, "address": f"holding:{10 + number}", "datatype": "uint16"}
            for number, name in enumerate(members)
        ],
    }


async def test_a_node_is_born_again_when_a_templates_definition_is_another(
    edge_broker: Broker, heard: Listener, plc: Plc, neighbour: Plc, tmp_path: Path
) -> None:
    plant = Plant(edge_broker, tmp_path, sparkplug={"templates": "instances"})
    with_motor = press(plc, tags=[COUNT], instances=[{"template": "Motor", "name": "M1"}])
    other = press(neighbour, "neighbour")
    plant.write(with_motor, other, templates=[motor_type("speed")])
    async with running(plant.document, ConfigurationFile(plant.path)) as plant.node:
        await heard.wait("DBIRTH", 2)
        first = await heard.wait("NBIRTH")
        plant.reload(with_motor, other, templates=[motor_type("speed", "torque")])
        again = await heard.wait("NBIRTH", 2)
        await heard.wait("DBIRTH", 2, device="neighbour")
        birth = await heard.wait("DBIRTH", 2, device="press")
        assert again.metric("bdSeq").value == first.metric("bdSeq").value
        assert member_names(again.metric("Motor").value) == ["speed", "torque"]
        assert member_names(birth.metric("M1").value) == ["speed", "torque"]
        neighbour.unit.registers[1] = 8
        await heard.wait_value("neighbour", "count", 8)
        assert neighbour.connections == 1
        # without instances the definition goes, and the node is born without it
        plant.reload(press(plc, tags=[COUNT]), other)
        last = await heard.wait("NBIRTH", 3)
        assert "Motor" not in {metric.name for metric in last.payload.metrics}


def member_names(value: Value) -> list[str | None]:
    assert isinstance(value, Template)
    return [metric.name for metric in value.metrics]


async def test_what_was_removed_while_the_node_was_down_is_cleared_at_its_next_start(  # noqa: PLR0917
    edge_broker: Broker,
    heard: Listener,
    plc: Plc,
    neighbour: Plc,
    tmp_path: Path,
    watch: Callable[..., Watcher],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(node_link, "LOOK_S", 0.3)
    plant = Plant(edge_broker, tmp_path)
    deep = press(neighbour, "neighbour", uns_path="hall/cell/n")
    async with plant.running(press(plc), deep):
        for path in ("press", "hall/cell/n"):
            await heard.wait_json(f"{UNS}/{path}/count")
            await heard.wait_json(f"{UNS}/{path}/setpoint")
            await heard.wait_json(f"{UNS}/{path}/doors/open")
    # of another node, and of nobody
    meta = encode_meta("plant", "line-2", "other", [TagDescription("count", DataType.INT16)])
    heard.watcher.publish(f"{UNS}/other/_meta", meta, retain=True)
    heard.watcher.publish(f"{UNS}/other/count", b"1", retain=True)
    heard.watcher.publish(f"{UNS}/strange/_meta", b"no JSON", retain=True)
    with capture_logs() as logs:
        async with plant.running(press(plc, tags=[SETPOINT, EXTRA])):
            await wait_until(lambda: any(log["event"] == "leftovers_cleared" for log in logs))
            await heard.wait_json(f"{UNS}/press/extra")
    (cleared,) = (log for log in logs if log["event"] == "leftovers_cleared")
    assert cleared["topics"] == 7, "two tags, and all five topics of the device that is gone"
    left = watch(edge_broker, f"{UNS}/#")
    retained = await left.wait_payloads(7)
    assert sorted(retained) == [
        f"{UNS}/other/_meta",
        f"{UNS}/other/count",
        f"{UNS}/press/_meta",
        f"{UNS}/press/_status",
        f"{UNS}/press/extra",
        f"{UNS}/press/setpoint",
        f"{UNS}/strange/_meta",
    ]
