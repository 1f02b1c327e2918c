"""The plant on the wire: pymodbus's own Modbus TCP server over the units' images."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from pymodbus.constants import ExcCodes
from pymodbus.exceptions import NoSuchIdException
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice
from pymodbus.simulator.simcore import SimCore

from deploy.local.plant.image import UnitImage
from deploy.local.plant.layout import UNITS
from deploy.local.plant.physics import Plant

STEP_S = 0.1
"""How often the physics advance and the registers are refreshed."""

_READ_FUNCTION = {"coil": 1, "discrete": 2, "holding": 3, "input": 4}
_WRITES_BITS = frozenset({5, 15})
_WRITES_REGISTERS = frozenset({6, 16, 22, 23})

Action = Callable[
    [int, int, int, int, list[int], list[int] | list[bool] | None],
    Coroutine[Any, Any, ExcCodes | None],
]


class PlantServer:
    """Serves one plant until cancelled.

    Args:
        plant: whose physics to advance in real time.
    """

    def __init__(self, plant: Plant, bind: str, port: int) -> None:
        self._plant = plant
        self._images = [UnitImage(unit, plant) for unit in UNITS]
        self._address = (bind, port)
        self._server: ModbusTcpServer | None = None

    async def start(self) -> int:
        """Listen, and return the port.

        Raises:
            OSError: the address cannot be listened at.
        """
        devices = [_device(image) for image in self._images]
        self._server = ModbusTcpServer(devices, address=self._address)
        self._server.context = _Units(devices)
        if not await self._server.listen():
            host, port = self._address
            raise OSError(f"{host}:{port} cannot be listened at, is it taken?")
        listener = self._server.transport
        assert isinstance(listener, asyncio.Server)  # noqa: S101  # what listen() leaves there
        port = listener.sockets[0].getsockname()[1]
        return int(port)

    async def run(self) -> None:
        """Advance the plant in real time until cancelled, then close the server."""
        loop = asyncio.get_running_loop()
        last = loop.time()
        try:
            while True:
                await asyncio.sleep(STEP_S)
                now = loop.time()
                # a suspended machine must not make the plant leap
                self._plant.step(min(now - last, 1.0))
                last = now
                await self._refresh()
        finally:
            await self.stop()

    async def stop(self) -> None:
        """Close the server and its connections."""
        if self._server is not None:
            await self._server.shutdown()  # type: ignore[no-untyped-call]  # no annotation there
            self._server = None

    async def _refresh(self) -> None:
        server = self._server
        if server is None:
            return
        for image in self._images:
            unit = image.unit
            for register in unit.registers:
                function = _READ_FUNCTION[register.table]
                await server.async_setValues(
                    unit.unit_id, function, register.address, image.registers(register)
                )
            for bit in unit.bits:
                function = _READ_FUNCTION[bit.table]
                await server.async_setValues(
                    unit.unit_id, function, bit.address, [image.bit(bit.source)]
                )


class _Units(SimCore):
    """The units; absent ones are spoken for as by a gateway, not taken for a defect."""

    async def async_getValues(  # noqa: N802  # pymodbus's name
        self, device_id: int, func_code: int, address: int, count: int = 1
    ) -> list[int] | list[bool] | ExcCodes:
        """Read, or say that there is no such unit."""
        self._check(device_id)
        return await super().async_getValues(device_id, func_code, address, count)

    async def async_setValues(  # noqa: N802  # pymodbus's name
        self, device_id: int, func_code: int, address: int, values: list[int] | list[bool]
    ) -> ExcCodes | None:
        """Write, or say that there is no such unit."""
        self._check(device_id)
        return await super().async_setValues(device_id, func_code, address, values)

    def _check(self, device_id: int) -> None:
        if device_id not in self.devices:
            raise NoSuchIdException(f"unit {device_id}")


def _device(image: UnitImage) -> SimDevice:
    blocks: dict[str, list[SimData]] = {"coil": [], "discrete": [], "holding": [], "input": []}
    for register in image.unit.registers:
        blocks[register.table].append(
            SimData(register.address, values=image.registers(register), datatype=DataType.REGISTERS)
        )
    for bit in image.unit.bits:
        blocks[bit.table].append(
            SimData(bit.address, values=[image.bit(bit.source)], datatype=DataType.BITS)
        )
    return SimDevice(
        image.unit.unit_id,
        (blocks["coil"], blocks["discrete"], blocks["holding"], blocks["input"]),
        action=_action(image),
    )


def _action(image: UnitImage) -> Action:
    """Let writes from the wire reach the machine; the refresh uses the read functions' numbers."""

    async def act(
        function: int,
        _start: int,
        address: int,
        _count: int,
        _registers: list[int],
        values: list[int] | list[bool] | None,
    ) -> ExcCodes | None:
        if values is None:
            return None
        if function in _WRITES_BITS:
            code = image.write_coils(address, [bool(value) for value in values])
        elif function in _WRITES_REGISTERS:
            code = image.write_registers(address, [int(value) for value in values])
        else:
            return None
        return ExcCodes(code) if code else None

    return act
