"""A Modbus TCP server in the same process, reached without a socket and as faulty as wanted.

For tests of what speaks Modbus: deterministic, and at home under trio's virtual clock.
"""

from collections.abc import Callable, Iterable
from heapq import heappop, heappush
from itertools import count
from math import inf

import trio

from deploy.local.plant.slave import ILLEGAL_ADDRESS, ILLEGAL_VALUE, Slave, Unit

Outcome = Iterable[tuple[float, bytes]]
"""What a request brings: seconds until, bytes. Empty bytes close the connection."""

_MBAP_SIZE = 7


class MemoryUnit:
    """A unit with registers and coils that can be set, missing, and limited in request size.

    Attributes:
        registers: holding and input registers share them.
        coils: coils and discrete inputs share them.
        missing: addresses that are refused.
        most: registers or coils that one request may read.
        exception: answers every request when not 0.
    """

    def __init__(self, size: int = 1000) -> None:
        self.registers = [0] * size
        self.coils = [False] * size
        self.missing: set[int] = set()
        self.most = 2000
        self.exception = 0
        self.size_exception = ILLEGAL_VALUE

    def read(self, function: int, start: int, count: int) -> bytes | int:
        """Read as the attributes say."""
        if code := self._refusal(start, count):
            return code
        if function <= 2:
            bits = sum(1 << i for i in range(count) if self.coils[start + i])
            return bits.to_bytes((count + 7) // 8, "little")
        return b"".join(r.to_bytes(2, "big") for r in self.registers[start : start + count])

    def write(self, function: int, start: int, data: bytes) -> int:
        """Write as the attributes say."""
        count = len(data) if function == 5 else len(data) // 2
        if code := self._refusal(start, count):
            return code
        if function == 5:
            self.coils[start : start + count] = map(bool, data)
        else:
            words = [int.from_bytes(data[i : i + 2], "big") for i in range(0, len(data), 2)]
            self.registers[start : start + count] = words
        return 0

    def _refusal(self, start: int, count: int) -> int:
        if self.exception:
            return self.exception
        if count > self.most:
            return self.size_exception
        if start + count > len(self.registers) or not self.missing.isdisjoint(
            range(start, start + count)
        ):
            return ILLEGAL_ADDRESS
        return 0


class Loopback:
    """The server.

    Attributes:
        units: unit id → memory; an absent unit does not answer.
        requests: PDUs received, with their unit id.
        connects: connections made so far.
        refuse: whether connecting fails.
        outcome: turns unit id, request PDU and the honest answer into what really comes back.
    """

    def __init__(self, units: dict[int, Unit]) -> None:
        self.units = units
        self.requests: list[tuple[int, bytes]] = []
        self.connects = 0
        self.refuse = False
        self.outcome: Callable[[int, bytes, bytes], Outcome] = _answer_at_once
        self.wires: list[LoopbackWire] = []

    async def connect(self, host: str, port: int) -> "LoopbackWire":
        """Connect; any host and port do."""
        await trio.lowlevel.checkpoint()
        if self.refuse:
            raise ConnectionRefusedError(111, f"{host}:{port}: connection refused")
        self.connects += 1
        wire = LoopbackWire(self)
        self.wires.append(wire)
        return wire


class LoopbackWire:
    """One connection to a loopback server."""

    def __init__(self, server: Loopback) -> None:
        self._server = server
        self._slave = Slave(server.units, silent=True)
        self._due: list[tuple[float, int, bytes]] = []
        self._order = count()
        self._changed = trio.Event()
        self.closed = False
        self.broken = False

    async def send_all(self, data: bytes) -> None:
        """Take requests and schedule what they bring."""
        await trio.lowlevel.checkpoint()
        if self.closed:
            raise trio.ClosedResourceError
        if self.broken:
            raise trio.BrokenResourceError
        while data:
            end = 6 + int.from_bytes(data[4:6], "big")
            frame, data = data[:end], data[end:]
            unit_id, request = frame[6], frame[_MBAP_SIZE:]
            self._server.requests.append((unit_id, request))
            honest = self._slave.receive(frame)
            for delay_s, answer in self._server.outcome(unit_id, request, honest):
                if honest:
                    heappush(self._due, (trio.current_time() + delay_s, next(self._order), answer))
        self._changed.set()

    async def receive_some(self) -> bytes:
        """Wait for what is due next."""
        await trio.lowlevel.checkpoint()
        while True:
            if self.closed:
                raise trio.ClosedResourceError
            if self.broken:
                raise trio.BrokenResourceError
            if self._due and self._due[0][0] <= trio.current_time():
                return heappop(self._due)[2]
            self._changed = trio.Event()
            with trio.move_on_at(self._due[0][0] if self._due else inf):
                await self._changed.wait()

    def has_input(self) -> bool:
        """Whether an answer is due."""
        return bool(self._due) and self._due[0][0] <= trio.current_time()

    def push(self, data: bytes) -> None:
        """Let bytes arrive now, asked for or not."""
        heappush(self._due, (trio.current_time(), next(self._order), data))
        self._changed.set()

    def hang_up(self) -> None:
        """Close the server's side."""
        self.push(b"")

    def cut(self) -> None:
        """Break the connection, as a reset does."""
        self.broken = True
        self._changed.set()

    def close(self) -> None:
        """Close this side."""
        self.closed = True
        self._changed.set()


def _answer_at_once(_unit_id: int, _request: bytes, answer: bytes) -> Outcome:
    return [(0.0, answer)]
