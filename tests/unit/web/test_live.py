import asyncio
import json
from typing import Any

import pytest

from host_app.audit import Audit
from host_app.commands import Target, WriteResult
from host_app.database import Database
from host_app.notices import Notice
from host_app.service import HostService
from proto.sparkplug.datatypes import DataType
from proto.sparkplug.node_view import MetricView, NodeView
from proto.sparkplug.topics import NodeId
from web.live import MAX_LINES, LiveClient, LiveHub

NODE = NodeId("plant", "line-1")


class Plant(HostService):
    """A host without brokers that knows the nodes it is given."""

    def __init__(self) -> None:
        database = Database(None)
        super().__init__("nexus", [], Audit(database))
        self.views: dict[NodeId, NodeView] = {}
        self.hub = LiveHub(self, database)

    def nodes(self) -> Any:
        yield from self.views.values()

    def node(self, node: NodeId) -> NodeView | None:
        return self.views.get(node)

    def add(self, node: NodeId, metrics: int = 1) -> NodeView:
        view = self.views[node] = NodeView(node)
        for number in range(metrics):
            view.metrics[f"m{number}"] = MetricView(f"m{number}", DataType.INT32)
        return view

    def change(self, view: MetricView, value: int, node: NodeId = NODE) -> None:
        view.value = value
        self.hub.values_changed(node, None, [view])


async def started(plant: Plant) -> LiveClient:
    client = plant.hub.join()
    client.is_idle = True
    return client


async def taken(client: LiveClient) -> list[dict[str, Any]]:
    async with asyncio.timeout(1):
        messages = await client.take()
    assert messages is not None
    return [json.loads(text) for text in messages]


def values(messages: list[dict[str, Any]]) -> list[tuple[str, Any]]:
    return [(row[2], row[3]) for m in messages if m["type"] == "values" for row in m["values"]]


@pytest.mark.asyncio
async def test_only_the_latest_value_of_a_batch_is_told() -> None:
    plant = Plant()
    metric = plant.add(NODE).metrics["m0"]
    client = await started(plant)
    for value in range(10):
        plant.change(metric, value)
    plant.hub.flush()
    assert values(await taken(client)) == [("m0", 9)]


@pytest.mark.asyncio
async def test_slow_client_gets_the_latest_later_and_slows_nobody() -> None:
    plant = Plant()
    metrics = list(plant.add(NODE, 3).metrics.values())
    slow, quick = await started(plant), await started(plant)
    plant.change(metrics[0], 1)
    plant.hub.flush()
    assert values(await taken(quick)) == [("m0", 1)]
    for value in range(50):  # slow has not come back for more
        plant.change(metrics[1], value)
        quick.is_idle = True
        plant.hub.flush()
        assert values(await taken(quick)) == [("m1", value)]
    assert values(await taken(slow)) == [("m0", 1)]
    assert len(slow.marks.values) == 1
    slow.is_idle = True
    plant.hub.flush()
    assert values(await taken(slow)) == [("m1", 49)]


@pytest.mark.asyncio
async def test_big_batches_are_told_in_parts_and_nothing_is_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("web.live.MAX_VALUES", 4)
    plant = Plant()
    for number, metric in enumerate(plant.add(NODE, 10).metrics.values()):
        plant.change(metric, number)
    client = await started(plant)
    for number, metric in enumerate(plant.views[NODE].metrics.values()):
        plant.change(metric, number)
    told = []
    for _ in range(3):
        plant.hub.flush()
        told.append(values(await taken(client)))
        client.is_idle = True
    assert [len(part) for part in told] == [4, 4, 2]
    assert sorted(name for part in told for name, _ in part) == sorted(plant.views[NODE].metrics)


@pytest.mark.asyncio
async def test_birth_storm_is_told_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("web.live.MAX_METRICS", 20)
    plant = Plant()
    client = await started(plant)
    for number in range(5):
        node = NodeId("plant", str(number))
        plant.add(node, 10)
        plant.hub.node_changed(node)
        plant.change(plant.views[node].metrics["m0"], 1, node)
    told = []
    for _ in range(3):
        plant.hub.flush()
        messages = await taken(client)
        assert {m["type"] for m in messages} == {"node"}, "a value was told before its node"
        told.append([m["node"]["id"] for m in messages])
        client.is_idle = True
    assert told == [["plant/0", "plant/1"], ["plant/2", "plant/3"], ["plant/4"]]


@pytest.mark.asyncio
async def test_snapshot_of_a_big_plant_comes_in_several_messages(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("web.live.MAX_METRICS", 20)
    plant = Plant()
    for number in range(4):
        plant.add(NodeId("plant", str(number)), 10)
    messages = [json.loads(text) for text in plant.hub.snapshot()]
    assert [m["type"] for m in messages] == ["snapshot", "node", "node"]
    assert [n["id"] for n in messages[0]["nodes"]] == ["plant/0", "plant/1"]
    assert messages[0]["host"]["problems"][0].startswith("database: no database is configured")


@pytest.mark.asyncio
async def test_notices_and_results_are_told_and_bounded() -> None:
    plant = Plant()
    client = await started(plant)
    plant.hub.write_ended(WriteResult("1", Target(NODE, None, "m0"), "ada", ok=False, reason="no"))
    plant.hub.noticed(Notice("warning", "look", 5))
    plant.hub.flush()
    assert await taken(client) == [
        {"type": "write_result", "id": "1", "ok": False, "reason": "no"},
        {"type": "notice", "level": "warning", "text": "look", "at_ms": 5},
    ]
    for number in range(MAX_LINES + 5):
        plant.hub.noticed(Notice("info", str(number), 5))
        plant.hub.flush()
    assert len(client.marks.lines) <= MAX_LINES


@pytest.mark.asyncio
async def test_nothing_piles_up_while_nobody_watches() -> None:
    plant = Plant()
    metric = plant.add(NODE).metrics["m0"]
    plant.change(metric, 1)
    plant.hub.node_changed(NODE)
    plant.hub.flush()
    client = await started(plant)
    plant.hub.flush()
    assert not client.marks
    plant.hub.close()
    assert await client.take() is None
    assert await plant.hub.join().take() is None
