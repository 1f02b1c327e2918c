"""Values as 16-bit registers, seen from the device's side.

Written independently of the driver that reads them, so that the two check each other. Pure.
"""

import struct
from typing import Literal

Kind = Literal[
    "int16", "uint16", "int32", "uint32", "int64", "uint64", "float32", "float64", "string"
]
Order = Literal["big", "little", "big-swapped", "little-swapped"]
Value = bool | int | float | str

_CODES = {
    "int16": "h",
    "uint16": "H",
    "int32": "i",
    "uint32": "I",
    "int64": "q",
    "uint64": "Q",
    "float32": "f",
    "float64": "d",
}


def to_registers(value: Value, kind: Kind, order: Order = "big", length: int = 0) -> list[int]:
    """Return the registers that hold a value; ``length`` is a string's, in bytes.

    Raises:
        struct.error: the value does not fit.
    """
    if isinstance(value, str):
        data = value.encode("latin-1").ljust(length + length % 2, b"\0")
        return [int.from_bytes(data[i : i + 2], "big") for i in range(0, len(data), 2)]
    data = struct.pack(">" + _CODES[kind], value)
    return _reorder([int.from_bytes(data[i : i + 2], "big") for i in range(0, len(data), 2)], order)


def from_registers(registers: list[int], kind: Kind, order: Order = "big") -> Value:
    """Return the value that registers hold."""
    if kind == "string":
        data = b"".join(r.to_bytes(2, "big") for r in registers)
        return data.split(b"\0", 1)[0].decode("latin-1")
    data = b"".join(r.to_bytes(2, "big") for r in _reorder(registers, order))
    value: int | float = struct.unpack(">" + _CODES[kind], data)[0]
    return value


def _reorder(registers: list[int], order: Order) -> list[int]:
    if len(registers) == 1:
        return registers
    if order in {"little", "little-swapped"}:
        registers = [*reversed(registers)]
    if order in {"big-swapped", "little-swapped"}:
        registers = [(r & 0xFF) << 8 | r >> 8 for r in registers]
    return registers
