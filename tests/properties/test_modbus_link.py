"""On a link that loses, delays, doubles and refuses, a value is right or bad, never another's."""

import itertools
from collections.abc import Sequence
from typing import Any

import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from deploy.local.plant.loopback import Loopback, MemoryUnit, Outcome
from edge_node.drivers.base import DeviceUnreachable
from edge_node.drivers.modbus.driver import ModbusDriver
from edge_node.drivers.modbus.lines import Lines
from proto.control.modbus import ModbusDevice

ADDRESSES = [0, 1, 2, 50, 51, 120, 121, 300]
behaviours = st.lists(
    st.sampled_from(["answer"] * 4 + ["drop", "late", "double", "busy", "hang up", "stale"]),
    min_size=1,
    max_size=40,
)


def driver(lines: Lines, unit_id: int, max_in_flight: int) -> ModbusDriver:
    tags = [{"name": str(at), "address": f"holding:{at}", "datatype": "uint16"} for at in ADDRESSES]
    connection: dict[str, Any] = {"host": "plc", "unit_id": unit_id, "timeout_s": 1}
    return ModbusDriver(
        ModbusDevice.model_validate(
            {
                "name": f"D{unit_id}",
                "driver": "modbus",
                "connection": connection | {"max_in_flight": max_in_flight},
                "tags": tags,
            }
        ),
        lines,
    )


class Mischief:
    """Plays a script, one behaviour a request, over and over."""

    def __init__(self, script: Sequence[str]) -> None:
        self._script = itertools.cycle(script)
        self._last = b""

    def __call__(self, _unit: int, _pdu: bytes, answer: bytes) -> Outcome:
        stale, self._last = self._last or answer, answer
        outcomes: dict[str, Outcome] = {
            "answer": [(0.0, answer)],
            "drop": [],
            "late": [(1.5, answer)],
            "stale": [(0.0, stale), (0.2, answer)],
            "double": [(0.0, answer), (0.1, answer)],
            "busy": [(0.0, answer[:4] + b"\0\x03" + answer[6:7] + b"\x83\x06")],
            "hang up": [(0.0, b"")],
        }
        return outcomes[next(self._script)]


async def poll_on(device: ModbusDriver, unit_id: int) -> None:
    """Poll, and connect again when the device is lost."""
    for _ in range(8):
        try:
            await device.open()
            result = await device.read("default")
        except DeviceUnreachable:
            await device.aclose()
            continue
        names = [int(tag.name) for tag in device.groups["default"]]
        for index, (at, value) in enumerate(zip(names, result.values, strict=True)):
            assert value == 1000 * unit_id + at or (value is None and index in result.bad)
    await device.aclose()


@settings(max_examples=100, deadline=None)
@given(behaviours, st.integers(1, 4))
def test_no_value_is_ever_taken_for_another(script: Sequence[str], max_in_flight: int) -> None:
    units = {unit_id: MemoryUnit() for unit_id in (1, 2)}
    for unit_id, unit in units.items():
        unit.registers = [1000 * unit_id + at for at in range(1000)]
    server = Loopback({**units})
    server.outcome = Mischief(script)

    async def run() -> None:
        lines = Lines(server.connect)
        async with trio.open_nursery() as nursery:
            for unit_id in units:
                nursery.start_soon(poll_on, driver(lines, unit_id, max_in_flight), unit_id)

    trio.run(run, clock=trio.testing.MockClock(autojump_threshold=0))
    assert all(wire.closed for wire in server.wires)
