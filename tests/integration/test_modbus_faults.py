"""What each fault of the simulator looks like to the driver, over a real socket."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest
import trio

from deploy.local.plant.faults import Faults, parse_fault
from deploy.local.plant.generic import listen, serve_generic
from edge_node.drivers.base import DeviceUnreachable, Driver
from edge_node.drivers.modbus.driver import ModbusDriver
from edge_node.drivers.modbus.lines import Lines
from edge_node.drivers.traffic import ErrorKind
from proto.control.modbus import ModbusDevice

pytestmark = pytest.mark.trio


@asynccontextmanager
async def simulator(faults: Sequence[str]) -> AsyncIterator[int]:
    listeners = await listen("127.0.0.1", 0, 3)
    async with trio.open_nursery() as nursery:

        async def serve() -> None:
            parsed = Faults([parse_fault(text) for text in faults])
            await serve_generic(listeners, 3, 20, faults=parsed)

        nursery.start_soon(serve)
        yield listeners[0].socket.getsockname()[1]
        nursery.cancel_scope.cancel()


async def make(lines: Lines, port: int, unit_id: int, **connection: Any) -> Driver:
    tags = [{"name": f"w{i}", "address": f"holding:{i}", "datatype": "int16"} for i in range(20)]
    driver = ModbusDriver(
        ModbusDevice.model_validate(
            {
                "name": f"D{unit_id}",
                "driver": "modbus",
                "connection": {
                    "host": "127.0.0.1",
                    "port": port,
                    "unit_id": unit_id,
                    "timeout_s": 0.15,
                    "retries": 0,
                }
                | connection,
                "tags": tags,
            }
        ),
        lines,
    )
    await driver.open()
    return driver


@pytest.mark.parametrize(
    ("fault", "message", "kind"),
    [
        ("1:drop", "unit 1 did not answer within 0.15 s", "timeout"),
        ("1:delay=0.4", "unit 1 did not answer within 0.15 s", "timeout"),
        ("1:slow=0.05", "unit 1 did not answer within 0.15 s", "timeout"),
        ("1:disconnect", "closed the connection", "lost"),
        ("1:garbage", "does not speak Modbus", "protocol"),
        ("1:exception=11", "gateway target device failed to respond", "timeout"),
    ],
)
async def test_a_fault_makes_its_device_unreachable_and_spares_the_others(
    fault: str, message: str, kind: ErrorKind
) -> None:
    async with simulator([fault]) as port:
        lines = Lines()
        broken = await make(lines, port, 1, shared=False)
        healthy = await make(lines, port, 2)
        with pytest.raises(DeviceUnreachable, match=f"^D1: .*{message}"):
            await broken.read("default")
        assert (await healthy.read("default")).bad == {}
        assert dict(broken.traffic.errors) == {kind: 1}
        assert healthy.traffic.errors.total() == 0
        await broken.aclose()
        await healthy.aclose()


async def test_an_exception_makes_the_values_bad_and_keeps_the_connection() -> None:
    async with simulator(["1:exception=6"]) as port:
        driver = await make(Lines(), port, 1)
        for _ in range(2):
            result = await driver.read("default")
            assert set(result.bad.values()) == {"holding:0..19: server device busy (exception 6)"}
        assert dict(driver.traffic.errors) == {"refused": 2}
        await driver.aclose()


async def test_what_goes_over_the_wire_is_counted_to_the_byte() -> None:
    async with simulator(["1:delay=0.03"]) as port:
        driver = await make(Lines(), port, 1, timeout_s=5)
        for _ in range(3):
            await driver.read("default")
        traffic = driver.traffic
        assert traffic.requests == 3
        assert traffic.bytes_sent == 3 * (7 + 5)  # MBAP header; function, start, count
        assert traffic.bytes_received == 3 * (7 + 2 + 40)  # function, byte count, 20 registers
        assert traffic.latency.count == 3
        assert 3 * 0.03 <= traffic.latency.sum_s < 5
        assert traffic.errors.total() == 0
        await driver.aclose()


async def test_short_delays_and_slow_bytes_are_waited_for() -> None:
    async with simulator(["1:delay=0.05", "2:slow=0.001"]) as port:
        lines = Lines()
        for unit_id in (1, 2):
            driver = await make(lines, port, unit_id, timeout_s=2)
            assert (await driver.read("default")).bad == {}
            await driver.aclose()


async def test_a_lossy_link_is_read_by_asking_again() -> None:
    async with simulator(["drop=0.2"]) as port:
        driver = await make(Lines(), port, 1, timeout_s=0.02, retries=8)
        for _ in range(30):
            assert (await driver.read("default")).bad == {}
        traffic = driver.traffic
        assert traffic.requests == 30 + traffic.errors["timeout"]
        assert traffic.latency.count == 30
        await driver.aclose()


async def test_no_more_connections_are_opened_than_the_device_allows() -> None:
    async with simulator(["3:drop"]) as port:
        lines = Lines()
        own = partial(make, lines, port, shared=False, max_connections=2)
        first, second = await own(1), await own(3)
        with pytest.raises(
            DeviceUnreachable,
            match=r"^D2: .* has 2 connections .* max_connections, 2",
        ):
            await own(2)
        with pytest.raises(DeviceUnreachable):
            await second.read("default")
        await second.aclose()  # as the supervisor does when a device is lost
        third = await own(2)
        assert (await third.read("default")).bad == {}
        assert (await first.read("default")).bad == {}
        await first.aclose()
        await third.aclose()
