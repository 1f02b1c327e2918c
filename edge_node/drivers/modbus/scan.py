"""Finding out what a Modbus server has: which units answer, which addresses can be read.

Reads only. A scan is a poll of every address at once: what the device refuses is isolated the way a
poll isolates it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import trio

from edge_node.drivers.base import RawValue
from edge_node.drivers.modbus.address import Address, Table
from edge_node.drivers.modbus.codec import GATEWAY_EXCEPTIONS, Answer, read_request
from edge_node.drivers.modbus.line import RequestTimeout
from edge_node.drivers.modbus.lines import Lines
from edge_node.drivers.modbus.plan import Limits
from edge_node.drivers.modbus.points import Point
from edge_node.drivers.modbus.reader import GroupReader, Learned
from edge_node.drivers.modbus.shared_line import SharedLine
from edge_node.drivers.traffic import Traffic
from proto.control.modbus import ModbusConnection, ModbusDatatype

_ILLEGAL_FUNCTION = 1
_CONNECT_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class Found:
    """An address that can be read, and what it held: an unsigned register or a bit."""

    address: Address
    value: RawValue


async def scan_addresses(
    connection: ModbusConnection, tables: Sequence[Table], first: int, last: int
) -> list[Found]:
    """Return the addresses of a unit, ``first`` to ``last``, that can be read.

    Raises:
        DeviceUnreachable: the unit does not answer.
    """
    lines = Lines()
    line = lines.take(connection)
    try:
        await line.ensure_connected(_CONNECT_TIMEOUT_S)
        found: list[Found] = []
        for table in tables:
            found += await _scan_table(line, connection, table, first, last)
        return found
    finally:
        lines.give_back(line)


async def scan_units(connection: ModbusConnection, units: Sequence[int]) -> list[int]:
    """Return the unit ids that answer anything, be it a refusal of their own.

    Raises:
        DeviceUnreachable: the server itself does not answer.
    """
    lines = Lines()
    line = lines.take(connection)
    request = read_request(Table.HOLDING, 0, 1)
    present: list[int] = []
    try:
        for unit_id in units:
            await line.ensure_connected(_CONNECT_TIMEOUT_S)
            try:
                (answer,) = await line.request(unit_id, [request], connection.timeout_s, Traffic())
            except RequestTimeout:
                continue
            if answer.exception not in GATEWAY_EXCEPTIONS:
                present.append(unit_id)
    finally:
        lines.give_back(line)
    return present


async def _scan_table(
    line: SharedLine, connection: ModbusConnection, table: Table, first: int, last: int
) -> list[Found]:
    async def ask(requests: Sequence[bytes]) -> list[Answer]:
        answers: list[Answer] = []
        for request in requests:
            if connection.pause_s:
                await trio.sleep(connection.pause_s)
            answers += await _ask_patiently(line, connection, request)
        return answers

    (probe,) = await ask([read_request(table, first, 1)])
    if probe.exception == _ILLEGAL_FUNCTION:
        return []
    datatype: ModbusDatatype = "bool" if table.is_bits else "uint16"
    points = [Point(str(at), table, at, 1, datatype) for at in range(first, last + 1)]
    limits = Limits(connection.max_registers, connection.max_bits, max_gap=0)
    reader = GroupReader(f"unit {connection.unit_id}", points, Learned(limits), quiet=True)
    column = await reader.read(ask, trio.current_time())
    return [
        Found(point.address, value)
        for point, value in zip(reader.points, column.values, strict=True)
        if value is not None
    ]


async def _ask_patiently(
    line: SharedLine, connection: ModbusConnection, request: bytes
) -> list[Answer]:
    left = connection.retries
    while True:
        try:
            return await line.request(
                connection.unit_id, [request], connection.timeout_s, Traffic()
            )
        except RequestTimeout:
            if not left:
                raise
            left -= 1
