import asyncio
from typing import Any

import pytest

from host_app.commands import PendingWrites, Target, WriteResult, values_match
from proto.sparkplug.datatypes import DataType
from proto.sparkplug.metrics import Value
from proto.sparkplug.node_view import MetricView
from proto.sparkplug.topics import NodeId

NODE = NodeId("plant", "line-1")
TARGET = Target(NODE, "press", "setpoint")


def view(value: Value, name: str = "setpoint") -> MetricView:
    metric = MetricView(name, DataType.DOUBLE)
    metric.value = value
    return metric


class Table:
    def __init__(self, timeout_s: float = 60.0) -> None:
        self.results: list[WriteResult] = []
        self.writes = PendingWrites(timeout_s=timeout_s)
        self.ended = asyncio.Event()
        self.writes.on_result = self._take

    def _take(self, result: WriteResult) -> None:
        self.results.append(result)
        self.ended.set()

    @property
    def outcome(self) -> tuple[bool, str | None]:
        [result] = self.results
        return result.ok, result.reason


@pytest.mark.asyncio
async def test_value_that_comes_back_confirms_the_write() -> None:
    table = Table()
    write_id = table.writes.add(TARGET, "ada", 5.0, 1.0)
    table.writes.metrics_changed(NODE, "press", [view(1.0, "other"), view(5.0)])
    assert table.outcome == (True, None)
    assert (table.results[0].id, table.results[0].actor) == (write_id, "ada")
    assert len(table.writes) == 0


@pytest.mark.asyncio
async def test_value_of_another_device_or_node_confirms_nothing() -> None:
    table = Table()
    table.writes.add(TARGET, "ada", 5.0, 1.0)
    table.writes.metrics_changed(NODE, None, [view(5.0)])
    table.writes.metrics_changed(NodeId("plant", "line-2"), "press", [view(5.0)])
    assert table.results == []
    table.writes.cancel_all("the host stops")
    assert table.outcome == (False, "the host stops")


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("before", "heard", "outcome"),
    [
        (1.0, [], (False, "the value did not come back within 0.01 s")),
        (1.0, [2.0, 3.0], (False, "the value came back as 3.0 within 0.01 s")),
        (5.0, [], (True, "the value was the same before; the node reported no other")),
    ],
)
async def test_write_that_nobody_confirms_ends_with_the_reason(
    before: float, heard: list[float], outcome: tuple[bool, str]
) -> None:
    table = Table(timeout_s=0.01)
    table.writes.add(TARGET, "ada", 5.0, before)
    for value in heard:
        table.writes.metrics_changed(NODE, "press", [view(value)])
    await table.ended.wait()
    assert table.outcome == outcome


@pytest.mark.asyncio
async def test_write_ends_when_its_device_or_node_dies() -> None:
    for died, reason in (
        ("press", "the device 'press' went offline"),
        (None, "the node went offline"),
    ):
        table = Table()
        table.writes.add(TARGET, "ada", 5.0, 1.0)
        table.writes.branch_died(NODE, "other")
        assert table.results == []
        table.writes.branch_died(NODE, died)
        assert table.outcome == (False, reason)


@pytest.mark.asyncio
async def test_writes_under_way_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("host_app.commands.MAX_PENDING", 2)
    table = Table()
    for _ in range(2):
        assert not table.writes.is_full
        table.writes.add(TARGET, "ada", 5.0, 1.0)
    assert table.writes.is_full
    table.writes.metrics_changed(NODE, "press", [view(5.0)])
    assert len(table.results) == 2
    assert not table.writes.is_full


@pytest.mark.parametrize(
    ("expected", "found", "match"),
    [
        (1, 1, True),
        (1, True, False),
        (True, True, True),
        (False, 0, False),
        (2**63 + 1, 2**63 + 2, False),
        (0.1, 0.10000000149011612, True),
        (0.1, 0.1001, False),
        (float("nan"), float("nan"), True),
        (1.0, float("nan"), False),
        (float("inf"), float("inf"), True),
        (5.0, 5, True),
        ("a", "a", True),
        (b"a", b"b", False),
        ([1, 2], [1, 2], True),
        (1.0, None, False),
    ],
)
def test_written_and_returned_values_match_as_far_as_the_wire_allows(
    expected: Any, found: Any, match: bool
) -> None:
    assert values_match(expected, found) is match


def test_target_reads_like_a_path() -> None:
    assert str(TARGET) == "plant/line-1/press/setpoint"
    assert str(Target(NODE, None, "uptime")) == "plant/line-1/uptime"


@pytest.mark.asyncio
async def test_what_a_node_did_not_do_ends_the_first_write_of_that_metric_with_its_reason() -> None:
    table = Table()
    other = Target(NODE, "press", "speed")
    first = table.writes.add(TARGET, "ada", 500.0, 1.0)
    table.writes.add(TARGET, "ada", 5.0, 1.0)
    table.writes.add(other, "ada", 5.0, 1.0)
    table.writes.refused(NODE, "pump", "setpoint", "not mine")
    table.writes.refused(NodeId("plant", "line-2"), "press", "setpoint", "not mine")
    table.writes.refused(NODE, "press", "setpoint/more", "a member")
    assert [(r.id, r.ok, r.reason) for r in table.results] == [(first, False, "a member")]
    table.writes.refused(NODE, "press", "setpoint", "500.0 is above high, 100")
    table.writes.refused(NODE, "press", "setpoint", "nobody waits any more")
    assert [r.reason for r in table.results] == ["a member", "500.0 is above high, 100"]
    assert len(table.writes) == 1
    table.writes.cancel_all("the host stops")
