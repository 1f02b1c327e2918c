"""RTU frames against pymodbus's own servers: on a serial line made of two ptys, and through TCP."""

import asyncio
import os
import select
import threading
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import trio
from pymodbus.framer import FramerType
from pymodbus.server import ModbusSerialServer, ModbusTcpServer
from pymodbus.server.base import ModbusBaseServer
from pymodbus.simulator import DataType, SimData, SimDevice

from edge_node.drivers.base import DeviceUnreachable, Driver
from edge_node.drivers.modbus.driver import ModbusDriver
from edge_node.drivers.modbus.lines import Lines
from proto.control.modbus import ModbusDevice

pytestmark = pytest.mark.trio


class Cable:
    """Two serial ports joined to each other, and a tap on what passes."""

    def __init__(self) -> None:
        ends = [os.openpty() for _ in range(2)]
        for _, slave in ends:
            tty.setraw(slave)
        self.ports = [os.ttyname(slave) for _, slave in ends]
        self.noise = b""
        self._descriptors = [descriptor for end in ends for descriptor in end]
        self._masters = [master for master, _ in ends]
        self._stopped, self._stop = os.pipe()
        self._thread = threading.Thread(target=self._carry)
        self._thread.start()

    def _carry(self) -> None:
        left, right = self._masters
        while True:
            ready, _, _ = select.select([left, right, self._stopped], [], [])
            if self._stopped in ready:
                return
            for source, sink in ((left, right), (right, left)):
                if source in ready:
                    noise, self.noise = self.noise, b""
                    os.write(sink, noise + os.read(source, 4096))

    def cut(self) -> None:
        os.write(self._stop, b"x")
        self._thread.join()
        for descriptor in (*self._descriptors, self._stopped, self._stop):
            os.close(descriptor)


@pytest.fixture
def cable() -> Iterator[Cable]:
    cable = Cable()
    yield cable
    cable.cut()


def units() -> list[SimDevice]:
    return [
        SimDevice(
            unit_id,
            (
                [SimData(0, values=[True, False, True] + [False] * 13, datatype=DataType.BITS)],
                [SimData(0, values=[True] * 16, datatype=DataType.BITS)],
                [
                    SimData(
                        0,
                        values=[unit_id * 100 + i for i in range(150)],
                        datatype=DataType.REGISTERS,
                    )
                ],
                [SimData(0, values=[unit_id] * 10, datatype=DataType.REGISTERS)],
            ),
        )
        for unit_id in (1, 2)
    ]


@contextmanager
def serving(make: Callable[[], ModbusBaseServer]) -> Iterator[ModbusBaseServer]:
    """Run a pymodbus server in a thread."""
    started = threading.Event()
    running: list[Any] = []

    async def serve() -> None:
        server, stop = make(), asyncio.Event()
        assert await server.listen()
        running.extend([server, stop, asyncio.get_running_loop()])
        started.set()
        await stop.wait()
        await server.shutdown()  # type: ignore[no-untyped-call]

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    assert started.wait(10)
    server, stop, loop = running
    yield server
    loop.call_soon_threadsafe(stop.set)
    thread.join()


def driver(lines: Lines, **connection: Any) -> Driver:
    tags = [
        {"name": f"w{i}", "address": f"holding:{i}", "datatype": "uint16", "writable": True}
        for i in range(150)
    ]
    tags += [
        {"name": "in", "address": "input:3", "datatype": "uint16"},
        {"name": "c0", "address": "coil:0", "datatype": "bool", "writable": True},
        {"name": "c1", "address": "coil:1", "datatype": "bool", "writable": True},
    ]
    return ModbusDriver(
        ModbusDevice.model_validate(
            {"name": "D", "driver": "modbus", "connection": connection, "tags": tags}
        ),
        lines,
    )


async def check_all(device: Driver, unit_id: int) -> None:
    """Read and write everything that RTU frames are decoded differently for."""
    await device.open()
    names = [tag.name for tag in device.groups["default"]]
    result = await device.read("default")
    values = dict(zip(names, result.values, strict=True))
    assert result.bad == {}
    assert [values[f"w{i}"] for i in range(150)] == [unit_id * 100 + i for i in range(150)]
    assert (values["in"], values["c0"], values["c1"]) == (unit_id, True, False)
    await device.write("w7", 4711)
    await device.write("c1", True)
    result = await device.read("default")
    values = dict(zip(names, result.values, strict=True))
    assert (values["w7"], values["c1"]) == (4711, True)


def serial_server(cable: Cable) -> Callable[[], ModbusBaseServer]:
    return lambda: ModbusSerialServer(
        units(), port=cable.ports[0], baudrate=115_200, parity="N", timeout=1
    )


def on_cable(cable: Cable, lines: Lines, unit_id: int, **more: Any) -> Driver:
    return driver(
        lines,
        transport="rtu",
        serial_port=cable.ports[1],
        baud_rate=115_200,
        parity="none",  # ptys have none
        unit_id=unit_id,
        **more,
    )


@pytest.mark.complaint("rtu-collision")
async def test_two_requests_are_never_at_once_on_one_rtu_bus(cable: Cable) -> None:
    lines = Lines()
    with serving(serial_server(cable)):
        first, second = on_cable(cable, lines, 1), on_cable(cable, lines, 2)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(check_all, first, 1)
            nursery.start_soon(check_all, second, 2)
        await first.aclose()
        await second.aclose()


async def test_an_absent_unit_on_a_serial_line_is_unreachable_and_its_neighbour_is_read(
    cable: Cable,
) -> None:
    lines = Lines()
    with serving(serial_server(cable)):
        absent = on_cable(cable, lines, 2, timeout_s=0.15, retries=0)
        present = on_cable(cable, lines, 1)
        await absent.open()
        await present.open()
        cable.noise = b"\xff\x00\x55"  # a burst that spoils the request
        with pytest.raises(DeviceUnreachable, match=r"D: /dev/pts/\d+ unit 2 did not answer"):
            await absent.read("default")
        assert (await present.read("default")).bad == {}
        await absent.aclose()
        await present.aclose()


async def test_a_broadcast_reaches_every_unit_of_a_serial_line_and_waits_for_no_answer(
    cable: Cable,
) -> None:
    def make() -> ModbusBaseServer:
        return ModbusSerialServer(
            units(),
            port=cable.ports[0],
            baudrate=115_200,
            parity="N",
            timeout=1,
            broadcast_enable=True,
        )

    lines = Lines()
    with serving(make):
        first, second = (on_cable(cable, lines, unit_id) for unit_id in (1, 2))
        everyone = ModbusDriver(
            ModbusDevice.model_validate(
                {
                    "name": "All",
                    "driver": "modbus",
                    "connection": {
                        "transport": "rtu",
                        "serial_port": cable.ports[1],
                        "baud_rate": 115_200,
                        "parity": "none",
                        "unit_id": 0,
                        "timeout_s": 0.05,  # which must not matter
                    },
                    "tags": [
                        {
                            "name": "setpoint",
                            "address": "holding:5",
                            "datatype": "uint32",
                            "writable": True,
                        },
                        {
                            "name": "on",
                            "address": "coil:1",
                            "datatype": "bool",
                            "writable": True,
                        },
                    ],
                }
            ),
            lines,
        )
        for device in (first, second, everyone):
            await device.open()
        assert set((await everyone.read("default")).bad) == {0, 1}
        await everyone.write("setpoint", 0x0007_0008)
        await everyone.write("on", True)
        for device in (first, second):
            result = await device.read("default")
            names = [tag.name for tag in device.groups["default"]]
            values = dict(zip(names, result.values, strict=True))
            assert (values["w5"], values["w6"], values["c1"]) == (7, 8, True)
        told = await everyone.read("default")
        assert told.values == [0x0007_0008, True]
        assert set(told.uncertain) == {0, 1}
        assert everyone.traffic.errors.total() == 0
        assert everyone.traffic.bytes_received == 0
        for device in (first, second, everyone):
            await device.aclose()


async def test_a_serial_port_is_used_by_one_process_at_one_setting(cable: Cable) -> None:
    lines = Lines()
    device = on_cable(cable, lines, 1)
    await device.open()
    other = driver(lines, transport="rtu", serial_port=cable.ports[1], unit_id=2)
    with pytest.raises(
        DeviceUnreachable, match=r"in use at 115200 8N1, expected the same as 19200 8E1 here"
    ):
        await other.open()
    stranger = on_cable(cable, Lines(), 1)
    with pytest.raises(
        DeviceUnreachable, match=r"/dev/pts/\d+ cannot be reached: in use by another"
    ):
        await stranger.open()
    await stranger.aclose()
    await device.aclose()
    await stranger.open()
    await stranger.aclose()


async def test_a_serial_port_that_is_not_there_is_unreachable() -> None:
    device = driver(Lines(), transport="rtu", serial_port="/dev/ttyNoSuch")
    with pytest.raises(
        DeviceUnreachable, match="D: /dev/ttyNoSuch cannot be reached: No such file or directory"
    ):
        await device.open()


async def test_rtu_frames_pass_through_tcp() -> None:
    with serving(
        lambda: ModbusTcpServer(units(), framer=FramerType.RTU, address=("127.0.0.1", 0))
    ) as server:
        assert isinstance(server.transport, asyncio.Server)
        port = server.transport.sockets[0].getsockname()[1]
        lines = Lines()
        devices = [
            driver(lines, transport="rtu-over-tcp", host="127.0.0.1", port=port, unit_id=unit_id)
            for unit_id in (1, 2)
        ]
        for unit_id, device in enumerate(devices, 1):
            await check_all(device, unit_id)
        for device in devices:
            await device.aclose()
