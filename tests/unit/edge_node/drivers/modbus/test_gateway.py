"""What a dead unit costs its neighbours behind one gateway, measured on whole devices."""

from dataclasses import dataclass

import pytest
import trio
import trio.testing

from deploy.local.plant.loopback import Loopback, MemoryUnit
from edge_node.device_state import DeviceState
from edge_node.drivers.modbus.driver import ModbusDriver
from edge_node.drivers.modbus.lines import Lines
from edge_node.pipeline.tags import DeviceTags
from edge_node.scheduler import Lateness
from edge_node.supervisor import DeviceSupervisor
from proto.control.modbus import ModbusDevice
from tests.unit.edge_node.fakes import RecordingSink, wall_ms

pytestmark = pytest.mark.trio

UNITS = 10
DEAD = 7
RUN_S = 600
ANSWERS_S = 0.01


@dataclass(frozen=True)
class Cost:
    """Of the neighbours in ten minutes."""

    requests: int
    skipped: int
    lateness_max_s: float
    latency_max_s: float
    errors: int


def unit_document(unit_id: int) -> ModbusDevice:
    return ModbusDevice.model_validate(
        {
            "name": f"D{unit_id}",
            "driver": "modbus",
            "connection": {"host": "gateway", "unit_id": unit_id},
            "tags": [{"name": "w", "address": "holding:0", "datatype": "uint16"}],
        }
    )


async def run(*, dead: bool) -> tuple[Cost, DeviceState]:
    """Poll units each second; return the neighbours' cost, and the state of the one in question."""
    server = Loopback({unit_id: MemoryUnit() for unit_id in range(1, UNITS + 1)})
    if dead:
        del server.units[DEAD]
    server.outcome = lambda _unit, _pdu, answer: [(ANSWERS_S, answer)]
    lines = Lines(server.connect)
    supervisors = {}
    for unit_id in range(1, UNITS + 1):
        document = unit_document(unit_id)
        driver = ModbusDriver(document, lines)
        supervisors[unit_id] = DeviceSupervisor(
            document,
            driver,
            DeviceTags(document.tags, driver.groups),
            RecordingSink(),
            lateness=Lateness(),
            now_ms=wall_ms,
            start_spread_s=0.2,
        )
    async with trio.open_nursery() as nursery:
        for supervisor in supervisors.values():
            nursery.start_soon(supervisor.run)
        await trio.sleep(RUN_S)
        nursery.cancel_scope.cancel()
    neighbours = [s.state for unit_id, s in supervisors.items() if unit_id != DEAD]
    cost = Cost(
        requests=sum(state.traffic.requests for state in neighbours),
        skipped=sum(state.skipped_polls for state in neighbours),
        lateness_max_s=max(state.lateness.maximum_s for state in neighbours),
        latency_max_s=max(state.traffic.latency.maximum_s for state in neighbours),
        errors=sum(state.traffic.errors.total() for state in neighbours),
    )
    return cost, supervisors[DEAD].state


@pytest.mark.complaint("dead-unit")
async def test_one_dead_unit_costs_its_neighbours_nothing(
    autojump_clock: trio.testing.MockClock,
) -> None:
    without, alive = await run(dead=False)
    with_dead, lost = await run(dead=True)
    assert alive.document().state == "online"
    assert alive.document().breaker == "closed"
    # the same requests, none lost; when it dies, each waits for one time-out at most
    assert with_dead.requests == pytest.approx(without.requests, abs=2 * UNITS)
    assert without.requests == pytest.approx(RUN_S * (UNITS - 1), rel=0.01)
    assert with_dead.errors == without.errors == 0
    assert with_dead.skipped <= UNITS
    assert without.skipped == 0
    assert with_dead.latency_max_s == pytest.approx(ANSWERS_S)
    assert with_dead.lateness_max_s <= without.lateness_max_s + 1e-6
    told = lost.document()
    assert told.state == "offline"
    assert told.breaker in {"open", "half-open"}
    assert told.failures >= 12
    assert told.errors_by_kind["timeout"] >= told.failures
    assert told.reason == "D7: gateway:502 unit 7 did not answer within 1 s"
