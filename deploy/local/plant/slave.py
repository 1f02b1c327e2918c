"""A lean Modbus TCP server without I/O: bytes in, bytes out, for many units at full speed.

A benchmark of an edge node needs thousands of answers a second from a fraction of a core, which is
more than pymodbus's server gives. Knows nothing of sockets.
"""

import struct
from collections.abc import Mapping
from typing import Protocol

ILLEGAL_FUNCTION = 1
ILLEGAL_ADDRESS = 2
ILLEGAL_VALUE = 3
GATEWAY_TARGET_FAILED = 11

_HEADER = struct.Struct(">HHHB")
_TWO_WORDS = struct.Struct(">HH")
_HEADER_SIZE = 7
_MOST_REGISTERS = 125
_MOST_BITS = 2000
_LONGEST = 254


class Unit(Protocol):
    """One unit's memory; an integer that is returned is an exception code, 0 for none."""

    def read(self, function: int, start: int, count: int) -> bytes | int:
        """Read by function 1 to 4; bits are packed, the lowest first."""
        ...

    def write(self, function: int, start: int, data: bytes) -> int:
        """Write coils (one byte each, 0 or 1) by function 5, registers by function 6."""
        ...


class Slave:
    """One connection's protocol.

    Args:
        units: unit id → memory.
        silent: leave requests to absent units unanswered, as a serial bus would, rather than
            answering as a gateway does.
    """

    def __init__(self, units: Mapping[int, Unit], *, silent: bool = False) -> None:
        self._units = units
        self._silent = silent
        self._buffer = b""

    def receive(self, data: bytes) -> bytes:
        """Take bytes and return the answers to the requests that they complete.

        Raises:
            ValueError: what came is not Modbus TCP; the connection should be closed.
        """
        return b"".join([answer for _, answer in self.receive_each(data)])

    def receive_each(self, data: bytes) -> list[tuple[int, bytes]]:
        """Do the same, and return each answer with its unit id."""
        buffer = self._buffer + data if self._buffer else data
        answers: list[tuple[int, bytes]] = []
        at = 0
        while len(buffer) - at > _HEADER_SIZE:
            transaction, protocol, length, unit_id = _HEADER.unpack_from(buffer, at)
            if protocol or not 1 < length <= _LONGEST:
                raise ValueError(f"protocol {protocol}, length {length}: not Modbus TCP")
            end = at + 6 + length
            if len(buffer) < end:
                break
            answer = self.answer(unit_id, buffer[at + _HEADER_SIZE : end])
            if answer is not None:
                header = _HEADER.pack(transaction, 0, len(answer) + 1, unit_id)
                answers.append((unit_id, header + answer))
            at = end
        self._buffer = buffer[at:]
        return answers

    def answer(self, unit_id: int, request: bytes) -> bytes | None:
        """Answer one PDU, or stay silent."""
        unit = self._units.get(unit_id)
        function = request[0]
        if unit is None:
            return None if self._silent else bytes([function | 0x80, GATEWAY_TARGET_FAILED])
        outcome = self._do(unit, function, request[1:])
        if isinstance(outcome, int):
            return bytes([function | 0x80, outcome])
        return request[:1] + outcome

    def _do(self, unit: Unit, function: int, body: bytes) -> bytes | int:
        if len(body) < _TWO_WORDS.size:
            return ILLEGAL_VALUE
        start, second = _TWO_WORDS.unpack_from(body)
        if function in {1, 2, 3, 4}:
            if not 1 <= second <= (_MOST_BITS if function <= 2 else _MOST_REGISTERS):
                return ILLEGAL_VALUE
            read = unit.read(function, start, second)
            return read if isinstance(read, int) else bytes([len(read)]) + read
        if function == 22:
            return self._mask(unit, start, body)
        data = _written(function, second, body)
        if isinstance(data, int):
            return data
        return unit.write(5 if function in {5, 15} else 6, start, data) or body[:4]

    def _mask(self, unit: Unit, start: int, body: bytes) -> bytes | int:
        if len(body) != 6:
            return ILLEGAL_VALUE
        old = unit.read(3, start, 1)
        if isinstance(old, int):
            return old
        and_mask, or_mask = _TWO_WORDS.unpack_from(body, 2)
        word = int.from_bytes(old, "big") & and_mask | or_mask & ~and_mask
        return unit.write(6, start, word.to_bytes(2, "big")) or body


def _written(function: int, second: int, body: bytes) -> bytes | int:
    """Return what a request writes, coils as one byte each, or an exception code."""
    if function == 5:
        return bytes([second == 0xFF00]) if second in {0, 0xFF00} else ILLEGAL_VALUE
    if function == 6:
        return body[2:4]
    if function == 15 and len(body) == 5 + (second + 7) // 8:
        return bytes(body[5 + i // 8] >> i % 8 & 1 for i in range(second))
    if function == 16 and len(body) == 5 + 2 * second:
        return body[5:]
    return ILLEGAL_VALUE if function in {15, 16} else ILLEGAL_FUNCTION
