"""The Modbus driver: one unit on a line, polled by group and written to.

Puts the pure parts together: points, plans and decoders on one side, the line on the other.
"""

import time
from collections.abc import Mapping, Sequence

import trio

from edge_node.drivers.base import (
    DeviceUnreachable,
    NoAnswer,
    OpcQuality,
    PollResult,
    RawValue,
    Reason,
    RequestRejected,
    TagInfo,
)
from edge_node.drivers.modbus.address import Table
from edge_node.drivers.modbus.codec import (
    GATEWAY_EXCEPTIONS,
    Answer,
    describe_exception,
    mask_write_request,
    read_request,
    write_coil_request,
    write_registers_request,
)
from edge_node.drivers.modbus.encode import encode_bit, encode_byte, encode_registers
from edge_node.drivers.modbus.line import RequestTimeout
from edge_node.drivers.modbus.lines import Lines
from edge_node.drivers.modbus.plan import Limits
from edge_node.drivers.modbus.points import Point, compile_points
from edge_node.drivers.modbus.reader import Column, GroupReader, Learned
from edge_node.drivers.modbus.shared_line import SharedLine
from edge_node.drivers.traffic import Traffic
from proto.control.modbus import ModbusConnection, ModbusDevice

_ILLEGAL_FUNCTION = 1
_SHORTEST_CONNECT_S = 3.0
"""A lost SYN is sent again after one second: less would never see the second one answered."""


class ModbusDriver:
    """One Modbus device.

    Raises:
        ConfigError: the document's addresses cannot work.
    """

    def __init__(self, document: ModbusDevice, lines: Lines) -> None:
        points = compile_points(document)
        self._name = document.name
        self._connection = document.connection
        learned = Learned(_limits_of(document.connection))
        self._readers = {
            name: GroupReader(document.name, [p for p in group if not p.write_only], learned)
            for name, group in points.items()
        }
        self._commands = {
            name: [p for p in group if p.write_only] for name, group in points.items()
        }
        self._written: dict[str, RawValue] = {}
        self._points = {p.name: p for group in points.values() for p in group}
        self.groups: Mapping[str, Sequence[TagInfo]] = {
            name: [point.info for point in (*reader.points, *self._commands[name])]
            for name, reader in self._readers.items()
        }
        self.traffic = Traffic()
        self._lines = lines
        self._line: SharedLine | None = None
        self._turn = trio.Lock()
        self._quiet_until = 0.0
        self._mask_write = self._connection.mask_write
        self._single_writes = True

    async def open(self) -> None:
        """Connect; whether the unit answers shows at the first read.

        Raises:
            DeviceUnreachable: with the address and the reason.
        """
        try:
            if self._line is None:
                self._line = self._lines.take(self._connection)
            await self._line.ensure_connected(max(self._connection.timeout_s, _SHORTEST_CONNECT_S))
        except DeviceUnreachable as exc:
            self.traffic.errors[exc.kind] += 1
            raise self._unreachable(exc) from exc

    async def read(self, group: str) -> PollResult:
        """Poll one group.

        Raises:
            DeviceUnreachable: the unit does not answer or the connection is gone.
        """
        reader = self._readers[group]
        try:
            column = await reader.read(self._ask, trio.current_time())
        except DeviceUnreachable as exc:
            raise self._unreachable(exc) from exc
        self.traffic.quarantined = sum(len(r.quarantined) for r in self._readers.values())
        uncertain = self._add_commands(group, column)
        timestamp_ms = time.time_ns() // 1_000_000
        return PollResult(timestamp_ms, column.values, column.bad, column.requests, uncertain)

    async def write(self, tag: str, value: RawValue) -> None:
        """Write a raw value to one tag, before the next request of a poll.

        Raises:
            RequestRejected: the device refused, the value does not fit, or the tag is read-only.
            DeviceUnreachable: the unit does not answer or the connection is gone.
        """
        point = self._points.get(tag)
        if point is None:
            raise RequestRejected(f"{self._name} has no tag {tag!r}")
        if not point.writable:
            raise RequestRejected(f"{self._name} tag {tag!r} is not writable")
        try:
            async with self._turn:
                await self._write(point, value)
            if point.write_only:
                self._written[tag] = value
        except DeviceUnreachable as exc:
            raise self._unreachable(exc) from exc
        except RequestRejected as exc:
            raise RequestRejected(f"{self._name} {exc}") from exc

    async def aclose(self) -> None:
        """Leave the line; it closes at once when no other unit uses it."""
        line, self._line = self._line, None
        if line is not None:
            self._lines.give_back(line)
        await trio.lowlevel.checkpoint_if_cancelled()

    def _add_commands(self, group: str, column: Column) -> dict[int, str]:
        """Add what is never read to a poll; return which of it nobody has confirmed, and why."""
        uncertain: dict[int, str] = {}
        for index, point in enumerate(self._commands[group], len(column.values)):
            column.values.append(self._written.get(point.name))
            if point.name not in self._written:
                reason = f"{point.address}: is only written, and was not yet"
                column.bad[index] = Reason(reason, OpcQuality.WAITING)
            elif self._connection.is_broadcast:
                uncertain[index] = f"{point.address}: was written to all units, which none confirms"
        return uncertain

    async def _ask(self, requests: Sequence[bytes]) -> Sequence[Answer]:
        """Send a poll's requests, letting writes in between."""
        at_once = self._connection.max_in_flight
        answers: list[Answer] = []
        for first in range(0, len(requests), at_once):
            try:
                self._turn.acquire_nowait()
            except trio.WouldBlock:
                await self._turn.acquire()
            try:
                answers += await self._ask_now(
                    requests[first : first + at_once], self._connection.retries
                )
            finally:
                self._turn.release()
        return answers

    async def _ask_now(self, requests: Sequence[bytes], retries: int) -> list[Answer]:
        line = self._taken_line()
        connection = self._connection
        if line.is_suspect(connection.unit_id):
            retries = 0  # a unit that is away is looked for gently
        while True:
            if connection.pause_s:
                await trio.sleep_until(self._quiet_until)
            try:
                answers = await line.request(
                    connection.unit_id, requests, connection.timeout_s, self.traffic
                )
            except DeviceUnreachable as exc:
                self.traffic.errors[exc.kind] += 1
                if not retries or not isinstance(exc, RequestTimeout):
                    raise
                retries -= 1
            else:
                self._count_refusals(answers)
                return answers
            finally:
                self._quiet_until = trio.current_time() + connection.pause_s

    def _taken_line(self) -> SharedLine:
        if self._line is None:
            raise DeviceUnreachable("not connected")
        return self._line

    def _count_refusals(self, answers: Sequence[Answer]) -> None:
        for answer in answers:
            if answer.exception:
                absent = answer.exception in GATEWAY_EXCEPTIONS
                self.traffic.errors["timeout" if absent else "refused"] += 1

    async def _write(self, point: Point, value: RawValue) -> None:
        if point.table is Table.COIL:
            await self._send_write(
                point, value, write_coil_request(point.start, encode_bit(point, value))
            )
        elif point.bit is not None:
            mask = 1 << point.bit
            await self._write_part(point, value, mask, mask if encode_bit(point, value) else 0)
        elif point.byte is not None:
            shift = 8 if point.byte == 0 else 0
            byte = encode_byte(point, value)
            await self._write_part(point, value, 0xFF << shift, byte << shift)
        else:
            data = encode_registers(point, value)
            if await self._send_write(
                point,
                value,
                write_registers_request(point.start, data, single=self._single_writes),
                tolerate=_ILLEGAL_FUNCTION if self._single_writes and point.count == 1 else 0,
            ):
                return
            # some devices know only the function that writes many
            self._single_writes = False
            await self._send_write(
                point, value, write_registers_request(point.start, data, single=False)
            )

    async def _write_part(self, point: Point, value: RawValue, mask: int, bits: int) -> None:
        """Change the masked bits in the device itself if it can, else read, change and write."""
        if self._mask_write:
            request = mask_write_request(point.start, mask, bits)
            if await self._send_write(point, value, request, tolerate=_ILLEGAL_FUNCTION):
                return
            self._mask_write = False
        (answer,) = await self._ask_now([read_request(point.table, point.start, 1)], retries=0)
        self._check(point, value, answer)
        if len(answer.data) != 2:  # one register
            raise RequestRejected(
                f"tag {point.name!r}: {len(answer.data)} bytes read at {point.address}, expected 2"
            )
        word = int.from_bytes(answer.data, "big") & ~mask | bits
        request = write_registers_request(
            point.start, word.to_bytes(2, "big"), single=self._single_writes
        )
        await self._send_write(point, value, request)

    async def _send_write(
        self, point: Point, value: RawValue, request: bytes, tolerate: int = 0
    ) -> bool:
        """Send a write once, since a pulse must not be given twice; false when tolerated."""
        connection = self._connection
        if connection.is_broadcast:
            line = self._taken_line()
            await line.broadcast(request, connection.broadcast_pause_s, self.traffic)
            return True
        (answer,) = await self._ask_now([request], retries=0)
        if answer.exception and answer.exception == tolerate:
            return False
        self._check(point, value, answer)
        return True

    def _check(self, point: Point, value: RawValue, answer: Answer) -> None:
        if answer.exception in GATEWAY_EXCEPTIONS:
            raise NoAnswer(f"gateway: {describe_exception(answer.exception)}")
        if answer.exception:
            raise RequestRejected(
                f"tag {point.name!r}: writing {value!r} to {point.address} was refused: "
                f"{describe_exception(answer.exception)}"
            )

    def _unreachable(self, cause: DeviceUnreachable) -> DeviceUnreachable:
        return type(cause)(f"{self._name}: {cause}")


def _limits_of(connection: ModbusConnection) -> Limits:
    return Limits(
        max_registers=connection.max_registers,
        max_bits=connection.max_bits,
        max_gap=connection.max_gap,
        one_each=connection.one_request_per_tag,
        from_zero=connection.reads_start_at_zero,
    )
