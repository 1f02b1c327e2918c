"""A device document compiled to points: what is read where, and how it is laid out.

All that only a Modbus driver can judge about a document is judged here, every mistake at once.
Knows nothing of requests or sockets.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from edge_node.drivers.base import ConfigError, TagInfo
from edge_node.drivers.modbus.address import HIGHEST_ADDRESS, Address, Table, parse_address
from proto.control.modbus import (
    ModbusConnection,
    ModbusDatatype,
    ModbusDevice,
    ModbusTag,
    TextEncoding,
    WordOrder,
)
from proto.sparkplug.datatypes import DataType

_REGISTERS: dict[str, int] = {
    "bool": 1,
    "int8": 1,
    "uint8": 1,
    "float16": 1,
    "int16": 1,
    "uint16": 1,
    "bcd16": 1,
    "bcd32": 2,
    "int32": 2,
    "uint32": 2,
    "float32": 2,
    "int64": 4,
    "uint64": 4,
    "float64": 4,
    "bcd64": 4,
}
_SPARKPLUG: dict[ModbusDatatype, DataType] = {
    "bool": DataType.BOOLEAN,
    "int8": DataType.INT8,
    "uint8": DataType.UINT8,
    "int16": DataType.INT16,
    "uint16": DataType.UINT16,
    "bcd16": DataType.UINT16,
    "bcd32": DataType.UINT32,
    "bcd64": DataType.UINT64,
    "int32": DataType.INT32,
    "uint32": DataType.UINT32,
    "int64": DataType.INT64,
    "uint64": DataType.UINT64,
    "float16": DataType.FLOAT,
    "float32": DataType.FLOAT,
    "float64": DataType.DOUBLE,
    "string": DataType.STRING,
}
_EXCHANGED: dict[WordOrder, WordOrder] = {
    "big": "big-swapped",
    "big-swapped": "big",
    "little": "little-swapped",
    "little-swapped": "little",
}
"""The word order that a word order becomes when the bytes of each register are exchanged."""
_MOST_WRITTEN_REGISTERS = 123
"""Modbus V1.1b3 6.12."""


@dataclass(frozen=True, slots=True)
class Point:
    """One tag as the driver sees it.

    Attributes:
        start: 0-based address of the first register or bit.
        count: registers, or bits in a table of bits.
        bit: which bit of the register, 0 the least significant.
        word_order: of values wider than a register; the byte order of strings.
        length: bytes of a string.
        swap_bytes: of a lone register; wider values and strings have it in their word order.
        byte: which byte of the register an 8-bit value is, 0 the high one.
        encoding: of a string, ``None`` for whatever it is.
        write_only: whether it is never read.
    """

    name: str
    table: Table
    start: int
    count: int
    datatype: ModbusDatatype
    word_order: WordOrder = "big"
    bit: int | None = None
    length: int = 0
    writable: bool = False
    swap_bytes: bool = False
    byte: int | None = None
    encoding: TextEncoding | None = None
    write_only: bool = False

    @property
    def end(self) -> int:
        """The address after the last."""
        return self.start + self.count

    @property
    def info(self) -> TagInfo:
        """What the edge node must know of the tag."""
        return TagInfo(self.name, _SPARKPLUG[self.datatype])

    @property
    def address(self) -> Address:
        """Where the point starts."""
        return Address(self.table, self.start, self.bit)


def compile_points(document: ModbusDevice) -> dict[str, list[Point]]:
    """Return poll group name → points, in the order of the document.

    Raises:
        ConfigError: every mistake in the document's addresses, one line each.
    """
    groups: dict[str, list[Point]] = {group.name: [] for group in document.poll_groups}
    default_group = document.poll_groups[0].name
    mistakes: list[str] = []
    for tag in document.tags:
        try:
            point = _compile(tag, document.connection)
        except ValueError as exc:
            mistakes.append(f"{document.name} tag {tag.name!r}: {exc}")
        else:
            groups[tag.poll_group or default_group].append(point)
    if mistakes:
        raise ConfigError(mistakes)
    return {name: points for name, points in groups.items() if points}


def _compile(tag: ModbusTag, connection: ModbusConnection) -> Point:
    address = parse_address(tag.address)
    _check_kind(tag, address)
    count = 1 if address.table.is_bits else registers_of(tag.datatype, tag.length or 0)
    if address.number + count - 1 > HIGHEST_ADDRESS:
        raise ValueError(
            f"{tag.datatype} at {address} ends at {address.number + count - 1},"
            f" above {HIGHEST_ADDRESS}"
        )
    if not address.table.is_bits and count > connection.max_registers:
        raise ValueError(
            f"takes {count} registers, the device reads at most {connection.max_registers} at once"
        )
    most = connection.max_bits if address.table.is_bits else connection.max_registers
    if connection.reads_start_at_zero and address.number + count > most:
        raise ValueError(
            f"{address} ends at {address.number + count - 1},"
            f" reads that start at 0 reach {most - 1}"
        )
    if connection.is_broadcast:
        _check_broadcast(tag, address)
    if tag.read_back and (tag.write_only or connection.is_broadcast):
        raise ValueError("read_back is set, and what is only written cannot be read")
    if tag.writable and count > _MOST_WRITTEN_REGISTERS:
        raise ValueError(
            f"takes {count} registers, at most {_MOST_WRITTEN_REGISTERS} can be written at once"
        )
    word_order = tag.word_order or connection.word_order
    return Point(
        name=tag.name,
        table=address.table,
        start=address.number,
        count=count,
        datatype=tag.datatype,
        word_order=_EXCHANGED[word_order] if tag.swap_bytes else word_order,
        bit=address.bit ^ 8 if tag.swap_bytes and address.bit is not None else address.bit,
        length=tag.length or 0,
        writable=tag.writable,
        swap_bytes=tag.swap_bytes,
        byte=_byte_of(tag),
        encoding=tag.encoding,
        write_only=tag.write_only or connection.is_broadcast,
    )


def _byte_of(tag: ModbusTag) -> int | None:
    if tag.datatype not in {"int8", "uint8"}:
        return None
    return int((tag.byte != "high") ^ tag.swap_bytes)


def _check_broadcast(tag: ModbusTag, address: Address) -> None:
    if not tag.writable:
        raise ValueError("is not writable, unit 0 is everyone on the line and answers nothing")
    if address.bit is not None or tag.datatype in {"int8", "uint8"}:
        raise ValueError(
            f"{tag.datatype} at {address} is part of a register, which would have to be read first;"
            " unit 0 answers nothing"
        )


def _check_kind(tag: ModbusTag, address: Address) -> None:
    if address.table.is_bits and tag.datatype != "bool":
        raise ValueError(
            f"datatype {tag.datatype!r} at {address}, expected bool for a {address.table}"
        )
    if not address.table.is_bits and (tag.datatype == "bool") != (address.bit is not None):
        if tag.datatype == "bool":
            raise ValueError(f"bool at {address} names no bit, expected for example {address}.0")
        raise ValueError(
            f"datatype {tag.datatype!r} at {address}, expected bool for a register's bit"
        )
    if tag.writable and not address.table.is_writable:
        raise ValueError(f"writable at {address}, expected a holding register or a coil")


def registers_of(datatype: ModbusDatatype, length: int = 0) -> int:
    """Return how many registers a value takes; ``length`` is a string's, in bytes."""
    return (length + 1) // 2 if datatype == "string" else _REGISTERS[datatype]


def in_order(points: Sequence[Point]) -> list[Point]:
    """Return points by table and address, the order in which requests read them."""
    return sorted(points, key=lambda p: (p.table, p.start, p.end, p.bit or 0))
