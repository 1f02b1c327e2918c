"""Any number of generic devices on one process, for benchmarks: int16 waves that never rest.

Device ``i`` (from 0) is unit ``1 + i % 247`` on the port of index ``i // 247``; tag ``j`` is
holding register ``j``. Each tag is a sine of its own phase, so that neighbours differ and every
step changes nearly all of them.
"""

import math
import struct
import time
from collections.abc import Callable
from functools import partial

import trio

from deploy.local.plant.faults import Faults
from deploy.local.plant.slave import ILLEGAL_ADDRESS, Slave

UNITS_PER_PORT = 247
"""Unit ids 248 to 255 are reserved (Modbus over serial line V1.02 2.2)."""

_PERIOD = 4096
_AMPLITUDE = 10_000
_MOST = 2000
_WAVE = struct.pack(
    f">{_PERIOD + _MOST}h",
    *(round(_AMPLITUDE * math.sin(2 * math.pi * i / _PERIOD)) for i in range(_PERIOD + _MOST)),
)
_RECEIVE_SIZE = 16_384


def place_of(index: int) -> tuple[int, int]:
    """Return the index of the port and the unit id of a device's index, all but the id from 0."""
    return index // UNITS_PER_PORT, 1 + index % UNITS_PER_PORT


class WaveUnit:
    """One device: ``tags`` holding registers and as many coils; what is written stays."""

    def __init__(self, index: int, tags: int, step_of: Callable[[], int]) -> None:
        self._shift = 37 * index
        self._tags = tags
        self._step_of = step_of
        self._written: dict[int, bytes] = {}

    def read(self, function: int, start: int, count: int) -> bytes | int:
        """Read registers as the waves are now, or coils as their signs."""
        if start + count > self._tags:
            return ILLEGAL_ADDRESS
        at = 2 * ((start + self._shift + self._step_of()) % _PERIOD)
        data = _WAVE[at : at + 2 * count]
        if self._written:
            data = self._with_written(data, start, count)
        if function > 2:
            return data
        bits = sum(1 << i for i in range(count) if data[2 * i] & 0x80)
        return bits.to_bytes((count + 7) // 8, "little")

    def write(self, function: int, start: int, data: bytes) -> int:
        """Remember written registers; a coil is the sign of its register."""
        if function == 5:
            data = b"".join(b"\x80\0" if on else b"\0\0" for on in data)
        if start + len(data) // 2 > self._tags:
            return ILLEGAL_ADDRESS
        for i in range(0, len(data), 2):
            self._written[start + i // 2] = data[i : i + 2]
        return 0

    def _with_written(self, data: bytes, start: int, count: int) -> bytes:
        changed = bytearray(data)
        for address, word in self._written.items():
            if start <= address < start + count:
                changed[2 * (address - start) : 2 * (address - start) + 2] = word
        return bytes(changed)


async def listen(bind: str, port: int, devices: int) -> list[trio.SocketListener]:
    """Open a listener for every 247 devices, at ``port`` and the following, or any if it is 0.

    Raises:
        OSError: a port cannot be listened at.
    """
    listeners = []
    for index in range(-(-devices // UNITS_PER_PORT)):
        opened = await trio.open_tcp_listeners(port + index if port else 0, host=bind)
        listeners += opened[:1]
    return listeners


async def serve_generic(
    listeners: list[trio.SocketListener],
    devices: int,
    tags: int,
    *,
    change_s: float = 1.0,
    faults: Faults | None = None,
) -> None:
    """Serve until cancelled.

    Args:
        listeners: from ``listen``.
        devices: how many.
        tags: registers of each.
        change_s: seconds between two steps of the waves.
        faults: what devices do instead of answering.
    """
    began = time.monotonic()

    def step_of() -> int:
        return int((time.monotonic() - began) / change_s)

    units = [WaveUnit(index, tags, step_of) for index in range(devices)]
    async with trio.open_nursery() as nursery:
        for index, listener in enumerate(listeners):
            first = index * UNITS_PER_PORT
            on_port = dict(enumerate(units[first : first + UNITS_PER_PORT], 1))
            answer = partial(_answer, on_port)
            if faults is not None:
                answer = partial(_misbehave, on_port, faults, first)
            nursery.start_soon(trio.serve_listeners, answer, [listener])


async def _answer(units: dict[int, WaveUnit], stream: trio.SocketStream) -> None:
    slave = Slave(units)
    try:
        async with stream:
            async for data in stream:
                if answers := slave.receive(bytes(data)):
                    await stream.send_all(answers)
    except (trio.BrokenResourceError, ValueError):
        return  # the client left, or does not speak Modbus: nobody to tell


async def _misbehave(
    units: dict[int, WaveUnit], faults: Faults, first: int, stream: trio.SocketStream
) -> None:
    """Answer one request after the other, as a gateway does, faults included."""
    slave = Slave(units)
    try:
        async with stream:
            async for data in stream:
                for unit_id, answer in slave.receive_each(bytes(data)):
                    behaviour = faults.behaviour(first + unit_id, answer)
                    await trio.sleep(behaviour.wait_s)
                    for piece in behaviour.pieces:
                        await stream.send_all(piece)
                        await trio.sleep(behaviour.apart_s)
                    if behaviour.hang_up:
                        return
    except (trio.BrokenResourceError, ValueError):
        return
