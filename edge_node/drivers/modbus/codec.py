"""Modbus frames to bytes and back: pymodbus's framers and PDUs as a codec without I/O.

The only module of the edge that knows pymodbus. Answers to reads keep their raw bytes, because the
library's own loop over registers costs more than everything else together.
"""

from dataclasses import dataclass
from typing import Protocol

from pymodbus.exceptions import ModbusException
from pymodbus.framer import FramerRTU, FramerSocket
from pymodbus.pdu import DecodePDU, ExceptionResponse, ModbusPDU
from pymodbus.pdu.bit_message import (
    ReadCoilsRequest,
    ReadDiscreteInputsRequest,
    WriteSingleCoilRequest,
)
from pymodbus.pdu.register_message import (
    MaskWriteRegisterRequest,
    ReadHoldingRegistersRequest,
    ReadInputRegistersRequest,
    WriteMultipleRegistersRequest,
    WriteSingleRegisterRequest,
)

from edge_node.drivers.modbus.address import Table

_MBAP_SIZE = 7
_LONGEST_MBAP_LENGTH = 254
"""Unit id and a PDU of 253 bytes (Modbus V1.1b3 4.1)."""
_LONGEST_RTU = 256

EXCEPTIONS = {
    1: "illegal function",
    2: "illegal data address",
    3: "illegal data value",
    4: "server device failure",
    5: "acknowledge, still working",
    6: "server device busy",
    7: "negative acknowledge",
    8: "memory parity error",
    10: "gateway path unavailable",
    11: "gateway target device failed to respond",
}
"""Modbus V1.1b3 7."""

GATEWAY_EXCEPTIONS = frozenset({10, 11})
"""A gateway speaks for a unit that is not there."""


class ProtocolError(Exception):
    """The bytes are not Modbus: what follows cannot be trusted, the connection must be closed."""


@dataclass(slots=True)
class Answer:
    """One response frame.

    Attributes:
        transaction_id: 0 on a serial line, which has none.
        function: the function code, without the exception flag.
        data: the data bytes of a read's answer, byte count removed; else empty.
        exception: the exception code, 0 when the request was granted.
        size: bytes of the whole frame.
    """

    transaction_id: int
    unit_id: int
    function: int
    data: bytes
    exception: int
    size: int


class Codec(Protocol):
    """Frames of one connection; remembers the bytes of an unfinished frame."""

    matches_transactions: bool
    """Whether frames carry transaction ids, which tell a late answer from the right one."""

    def frame(self, pdu: bytes, unit_id: int, transaction_id: int) -> bytes:
        """Wrap a request."""
        ...

    def feed(self, data: bytes) -> list[Answer]:
        """Take received bytes, return the answers that are complete.

        Raises:
            ProtocolError: what came is not Modbus.
        """
        ...

    def clear(self) -> None:
        """Forget an unfinished frame."""


class _RawAnswer(ModbusPDU):
    """A read's answer that keeps its bytes."""

    rtu_byte_count_pos = 2
    data = b""

    def decode(self, data: bytes) -> None:
        if not data or len(data) != data[0] + 1:
            raise ValueError("byte count does not match the frame")
        self.data = data[1:]

    def __str__(self) -> str:
        return type(self).__name__  # the library formats every PDU for a log line nobody reads


class _RawCoils(_RawAnswer):
    function_code = 1


class _RawDiscretes(_RawAnswer):
    function_code = 2


class _RawHoldings(_RawAnswer):
    function_code = 3


class _RawInputs(_RawAnswer):
    function_code = 4


def _make_decoder() -> DecodePDU:
    decoder = DecodePDU(is_server=False)
    for answer in (_RawCoils, _RawDiscretes, _RawHoldings, _RawInputs):
        decoder.register(answer)
    return decoder


_DECODER = _make_decoder()
"""Has no state, so all connections share it."""


class TcpCodec:
    """Modbus TCP: frames with an MBAP header."""

    matches_transactions = True

    def __init__(self) -> None:
        self._framer = FramerSocket(_DECODER)
        self._buffer = b""

    def frame(self, pdu: bytes, unit_id: int, transaction_id: int) -> bytes:
        """Wrap a request."""
        return self._framer.encode(pdu, unit_id, transaction_id)

    def feed(self, data: bytes) -> list[Answer]:
        """Take received bytes, return the answers that are complete."""
        buffer = self._buffer + data
        answers = []
        while len(buffer) > _MBAP_SIZE:
            # the framer waits for ever on a wrong protocol id, so it is looked at here
            if buffer[2] or buffer[3]:
                raise ProtocolError(f"protocol id is {buffer[2] << 8 | buffer[3]}, expected 0")
            length = buffer[4] << 8 | buffer[5]
            if not 2 < length <= _LONGEST_MBAP_LENGTH:
                raise ProtocolError(
                    f"frame length is {length}, expected 3 to {_LONGEST_MBAP_LENGTH}"
                )
            if len(buffer) < 6 + length:
                break
            try:
                used, pdu = self._framer.handleFrame(buffer[: 6 + length], 0, 0)
            except ModbusException as exc:
                raise ProtocolError(f"answer {buffer[7:].hex(' ')} cannot be decoded") from exc
            if pdu is None:
                break
            buffer = buffer[used:]
            answers.append(_answer(pdu, used))
        self._buffer = buffer
        return answers

    def clear(self) -> None:
        """Forget an unfinished frame."""
        self._buffer = b""


class RtuCodec:
    """Modbus RTU, on a serial line or tunnelled through TCP: frames end with a CRC."""

    matches_transactions = False

    def __init__(self) -> None:
        self._framer = FramerRTU(_DECODER)
        self._buffer = b""

    def frame(self, pdu: bytes, unit_id: int, transaction_id: int) -> bytes:
        """Wrap a request."""
        return self._framer.encode(pdu, unit_id, transaction_id)

    def feed(self, data: bytes) -> list[Answer]:
        """Take received bytes, return the answers that are complete."""
        self._buffer += data
        try:
            used, pdu = self._framer.handleFrame(self._buffer, 0, 0)
        except ModbusException as exc:
            raise ProtocolError(f"answer {self._buffer.hex(' ')} cannot be decoded") from exc
        self._buffer = self._buffer[used:]
        if pdu is None:
            if len(self._buffer) > _LONGEST_RTU:
                raise ProtocolError(
                    f"{len(self._buffer)} bytes without a frame, expected Modbus RTU"
                )
            return []
        return [_answer(pdu, used)]

    def clear(self) -> None:
        """Forget an unfinished frame."""
        self._buffer = b""


def _answer(pdu: ModbusPDU, size: int) -> Answer:
    if isinstance(pdu, _RawAnswer):
        return Answer(pdu.transaction_id, pdu.dev_id, pdu.function_code, pdu.data, 0, size)
    exception = pdu.exception_code or -1 if isinstance(pdu, ExceptionResponse) else 0
    function = pdu.function_code & 0x7F
    return Answer(pdu.transaction_id, pdu.dev_id, function, b"", exception, size)


_READS: dict[Table, type[ModbusPDU]] = {
    Table.COIL: ReadCoilsRequest,
    Table.DISCRETE: ReadDiscreteInputsRequest,
    Table.HOLDING: ReadHoldingRegistersRequest,
    Table.INPUT: ReadInputRegistersRequest,
}


def read_request(table: Table, start: int, count: int) -> bytes:
    """Return the PDU that reads ``count`` addresses from ``start``."""
    return _pdu(_READS[table](address=start, count=count))


def write_coil_request(address: int, on: bool) -> bytes:
    """Return the PDU that sets one coil."""
    return _pdu(WriteSingleCoilRequest(address=address, bits=[on]))


def write_registers_request(address: int, data: bytes, *, single: bool = True) -> bytes:
    """Return the PDU that writes registers, a lone one by the function for it if ``single``."""
    registers = [int.from_bytes(data[i : i + 2], "big") for i in range(0, len(data), 2)]
    if single and len(registers) == 1:
        return _pdu(WriteSingleRegisterRequest(address=address, registers=registers))
    return _pdu(WriteMultipleRegistersRequest(address=address, registers=registers))


def mask_write_request(address: int, mask: int, bits: int) -> bytes:
    """Return the PDU that changes the masked bits of a holding register in the device itself."""
    return _pdu(MaskWriteRegisterRequest(address, 0xFFFF ^ mask, bits))


def _pdu(message: ModbusPDU) -> bytes:
    return bytes([message.function_code]) + message.encode()


def describe_exception(code: int) -> str:
    """Return an exception code in words."""
    name = EXCEPTIONS.get(code, "unknown exception")
    return f"{name} (exception {code})"
