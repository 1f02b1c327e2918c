"""Any number of generic S7 CPUs on one process, each at a port of its own: waves that never rest.

Tag ``j`` of a device is ``DB1.DBW{2 * j}``, an INT; the waves are those of the generic Modbus
devices.
"""

import time
from collections.abc import Callable
from functools import partial

import trio

from deploy.local.plant.faults import Faults
from deploy.local.plant.generic import WaveUnit
from deploy.local.plant.s7_cpu import GRANTED, NOT_THERE, OUT_OF_RANGE, S7Cpu, is_answer

_DATA_BLOCK = 0x84
_READ_WORDS, _WRITE_WORDS = 3, 6
_RECEIVE_SIZE = 16_384


class WaveMemory:
    """One CPU's memory: DB1 with ``tags`` words; what is written stays."""

    def __init__(self, index: int, tags: int, step_of: Callable[[], int]) -> None:
        self.blocks = [(1, 2 * tags)]
        self._size = 2 * tags
        self._words = WaveUnit(index, tags, step_of)

    def read(self, area: int, block: int, start: int, size: int) -> bytes | int:
        """Read bytes of DB1 as the waves are now."""
        if area != _DATA_BLOCK or block != 1:
            return NOT_THERE
        if start + size > self._size:
            return OUT_OF_RANGE
        first = start // 2
        words = self._words.read(_READ_WORDS, first, (start + size + 1) // 2 - first)
        return words[start % 2 : start % 2 + size] if isinstance(words, bytes) else OUT_OF_RANGE

    def write(self, area: int, block: int, start: int, data: bytes) -> int:
        """Write bytes of DB1."""
        before = self.read(area, block, start - start % 2, start % 2)
        after = self.read(area, block, start + len(data), (start + len(data)) % 2)
        if isinstance(before, int) or isinstance(after, int):
            return before if isinstance(before, int) else OUT_OF_RANGE
        whole = before + data + after
        code = self._words.write(_WRITE_WORDS, start // 2, whole)
        return OUT_OF_RANGE if code else GRANTED


async def listen_each(bind: str, port: int, devices: int) -> list[trio.SocketListener]:
    """Open a listener for every device, at ``port`` and the following, or any if it is 0.

    Raises:
        OSError: a port cannot be listened at.
    """
    listeners = []
    for index in range(devices):
        opened = await trio.open_tcp_listeners(port + index if port else 0, host=bind)
        listeners += opened[:1]
    return listeners


async def serve_s7(
    listeners: list[trio.SocketListener],
    tags: int,
    *,
    change_s: float = 1.0,
    faults: Faults | None = None,
) -> None:
    """Serve until cancelled.

    Args:
        listeners: from ``listen_each``, one for each device.
        tags: words of each.
        change_s: seconds between two steps of the waves.
        faults: what devices do instead of answering.
    """
    began = time.monotonic()

    def step_of() -> int:
        return int((time.monotonic() - began) / change_s)

    async with trio.open_nursery() as nursery:
        for index, listener in enumerate(listeners):
            memory = WaveMemory(index, tags, step_of)
            serve = partial(_serve, memory, faults, index + 1)
            nursery.start_soon(trio.serve_listeners, serve, [listener])


async def _serve(
    memory: WaveMemory, faults: Faults | None, device: int, stream: trio.SocketStream
) -> None:
    cpu = S7Cpu(memory)
    try:
        async with stream:
            while data := await stream.receive_some(_RECEIVE_SIZE):
                for answer in cpu.receive(bytes(data)):
                    if faults is None or not is_answer(answer):
                        await stream.send_all(answer)
                    elif not await _misbehave(stream, faults, device, answer):
                        return
    except (trio.BrokenResourceError, ValueError):
        return  # the client left, or does not speak S7: nobody to tell


async def _misbehave(stream: trio.SocketStream, faults: Faults, device: int, answer: bytes) -> bool:
    """Do what a device does with an answer, and return whether it stays connected."""
    behaviour = faults.behaviour(device, answer)
    await trio.sleep(behaviour.wait_s)
    for piece in behaviour.pieces:
        await stream.send_all(piece)
        await trio.sleep(behaviour.apart_s)
    return not behaviour.hang_up
