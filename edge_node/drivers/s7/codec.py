"""S7 messages to bytes and back: TPKT, COTP and the S7 PDU, as a codec without I/O.

The only module of the edge that knows python-snap7: it encodes the variables' addresses, the
set-up and the writes, and names what CPUs refuse. Knows nothing of tags.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from struct import Struct
from typing import Final

from snap7.datatypes import S7Area, S7DataTypes, S7WordLen
from snap7.error import get_protocol_error_message
from snap7.s7protocol import S7Protocol, get_return_code_description

from edge_node.drivers.s7.address import Area

_AREA_CODES: Final = {
    Area.DB: 0x84,
    Area.MEMORY: 0x83,
    Area.INPUT: 0x81,
    Area.OUTPUT: 0x82,
    Area.PERIPHERAL_INPUT: 0x80,
    Area.PERIPHERAL_OUTPUT: 0x80,
    Area.TIMER: 0x1D,
    Area.COUNTER: 0x1C,
}
_TPKT: Final = Struct(">BBH")
_HEADER: Final = Struct(">BBHHHH")
_ANSWER: Final = Struct(">BBHHHHH")
_RECORD: Final = Struct(">BBH")
_DATA: Final = bytes((2, 0xF0, 0x80))
"""COTP data, the last of its message (RFC 905 13.7)."""
_CONFIRM, _DISCONNECT, _DATA_TYPE = 0xD0, 0x80, 0xF0
_LAST: Final = 0x80
_LONGEST_FRAME: Final = 8_192
_ANSWER_KINDS: Final = frozenset({2, 3})
"""Acknowledged without and with data."""
_READ: Final = 4
_SETUP: Final = 0xF0
_GRANTED: Final = 0xFF
_BITS: Final = frozenset({3, 4, 5})
"""Transport sizes whose length counts bits; the others count bytes."""

_TRAPS: Final = {
    0x03: "allow PUT/GET in the CPU's protection settings, or lower its protection level",
    0x05: "it ends before this address, or is an optimized block",
    0x0A: "it is not in the CPU, or is an optimized block",
}
_PUT_GET: Final = (
    "allow PUT/GET communication in the CPU's protection settings, and full access or none below"
    " the level that needs a password"
)
_HEADER_TRAPS: Final = {
    0x8104: _PUT_GET,
    0xD401: _PUT_GET,
    0xD402: _PUT_GET,
    0xD602: "the protection level needs a password",
    0xD241: "the protection level forbids it",
    0x8500: "the message is longer than the CPU takes, lower pdu_length",
}


class ProtocolError(Exception):
    """The bytes are not S7: what follows cannot be trusted, the connection must be closed."""


class Refused(Exception):
    """The CPU refused a whole request, and said why."""


class Disconnected(Exception):
    """The other side does not want this connection: nothing is at that TSAP, or it is taken."""


@dataclass(frozen=True, slots=True)
class ItemAnswer:
    """What one variable of a read request brought.

    Attributes:
        code: 0xFF when granted.
    """

    code: int
    data: bytes

    @property
    def is_granted(self) -> bool:
        """Whether there is a value."""
        return self.code == _GRANTED


class Framer:
    """Takes received bytes apart; remembers an unfinished message."""

    def __init__(self) -> None:
        self._buffer = b""
        self._message = b""

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """Return the messages that are complete: COTP type and content.

        Raises:
            ProtocolError: what came is not ISO on TCP.
        """
        self._buffer += data
        messages: list[tuple[int, bytes]] = []
        while len(self._buffer) >= _TPKT.size:
            version, _, size = _TPKT.unpack_from(self._buffer)
            if version != 3 or not 7 <= size <= _LONGEST_FRAME:  # RFC 1006 6
                raise ProtocolError(f"frame begins {self._buffer[:4].hex(' ')}, expected TPKT")
            if len(self._buffer) < size:
                break
            frame, self._buffer = self._buffer[_TPKT.size : size], self._buffer[size:]
            kind = frame[1] & 0xF0
            content = frame[1 + frame[0] :]
            if kind == _DATA_TYPE:
                self._message += content
                if not frame[2] & _LAST:
                    continue
                content, self._message = self._message, b""
            messages.append((kind, content))
        return messages


def connect_request(local_tsap: int, remote_tsap: int) -> bytes:
    """Return the frame that asks for a transport connection (RFC 905 13.3)."""
    parameters = b"".join(
        (
            bytes((0xC0, 1, 0x0A)),  # transport messages up to 1024 bytes
            bytes((0xC1, 2)) + local_tsap.to_bytes(2),
            bytes((0xC2, 2)) + remote_tsap.to_bytes(2),
        )
    )
    head = bytes((6 + len(parameters), 0xE0, 0, 0, 0, 1, 0))
    return _framed(head + parameters)


def check_confirmed(kind: int) -> None:
    """Check the answer to ``connect_request``.

    Raises:
        Disconnected: the connection is refused.
        ProtocolError: it is something else.
    """
    if kind == _DISCONNECT:
        raise Disconnected
    if kind != _CONFIRM:
        raise ProtocolError(f"transport message is {kind:#04x}, expected a connection confirm")


def setup_request(pdu_length: int) -> bytes:
    """Return the frame that negotiates the size of messages."""
    return _framed(_DATA + S7Protocol().build_setup_communication_request(1, 1, pdu_length))


def parse_setup(message: bytes) -> int:
    """Return the granted size of messages in bytes.

    Raises:
        Refused: with the reason.
        ProtocolError: the answer cannot be understood.
    """
    parameters, _ = _parse(message)
    if len(parameters) != 8 or parameters[0] != _SETUP:
        raise ProtocolError(f"answer to the set-up is {parameters.hex(' ')}, expected 8 bytes")
    granted = int.from_bytes(parameters[6:8])
    if granted < 64:  # room for one variable
        raise ProtocolError(f"granted message size is {granted}, expected at least 64 bytes")
    return granted


def variable(area: Area, block: int, start: int, size: int) -> bytes:
    """Return the address of a variable of ``size`` bytes from byte ``start``."""
    if area.is_elements:
        length = S7WordLen.TIMER if area is Area.TIMER else S7WordLen.COUNTER
        start, size = start // 2, size // 2
    else:
        length = S7WordLen.BYTE
    spec: bytes = S7DataTypes.encode_address(S7Area.DB, block, start, length, size)
    # the library's enumeration of areas lacks the periphery
    return spec[:8] + bytes((_AREA_CODES[area],)) + spec[9:]


def read_request(variables: Sequence[bytes], reference: int) -> bytes:
    """Return the frame that reads variables."""
    parameters = bytes((_READ, len(variables))) + b"".join(variables)
    return _framed(_DATA + _HEADER.pack(0x32, 1, 0, reference, len(parameters), 0) + parameters)


def parse_read(message: bytes, count: int) -> list[ItemAnswer]:
    """Return what each of ``count`` variables brought.

    Raises:
        Refused: the whole request was refused, with the reason.
        ProtocolError: the answer cannot be understood.
    """
    parameters, data = _parse(message)
    if parameters != bytes((_READ, count)):
        raise ProtocolError(f"answer is for {parameters.hex(' ')}, expected {count} variables")
    answers: list[ItemAnswer] = []
    at = 0
    for _ in range(count):
        if at + _RECORD.size > len(data):
            raise ProtocolError(f"answer has {len(answers)} variables, expected {count}")
        code, transport, length = _RECORD.unpack_from(data, at)
        at += _RECORD.size
        size = 0 if code != _GRANTED else (length + 7) // 8 if transport in _BITS else length
        answers.append(ItemAnswer(code, data[at : at + size]))
        at += size + size % 2
    return answers


def write_bytes_request(place: tuple[Area, int], start: int, data: bytes, reference: int) -> bytes:
    """Return the frame that writes bytes."""
    return _write(place, start, S7WordLen.BYTE, data, reference)


def write_bit_request(place: tuple[Area, int], bit: int, on: bool, reference: int) -> bytes:
    """Return the frame that writes one bit, counted from the first byte of the area."""
    return _write(place, bit, S7WordLen.BIT, bytes((on,)), reference)


def check_written(message: bytes) -> None:
    """Check the answer to a write.

    Raises:
        Refused: with the reason.
        ProtocolError: the answer cannot be understood.
    """
    _, data = _parse(message)
    if len(data) != 1:
        raise ProtocolError(f"answer to a write has {len(data)} results, expected 1")
    if data[0] != _GRANTED:
        raise Refused(describe_code(data[0]))


def reference_of(message: bytes) -> int:
    """Return the reference that tells which request a message answers."""
    return int.from_bytes(message[4:6])


def describe_code(code: int) -> str:
    """Return a variable's return code in words, with what is usually behind it."""
    name = get_return_code_description(code)
    trap = _TRAPS.get(code)
    return f"{name[:1].lower()}{name[1:]} (code {code:#04x})" + (f": {trap}" if trap else "")


def _write(
    place: tuple[Area, int], start: int, length: S7WordLen, data: bytes, reference: int
) -> bytes:
    area, block = place
    protocol = S7Protocol()
    protocol.sequence = reference - 1
    pdu = bytearray(protocol.build_write_request(S7Area.DB, block, start, length, data))
    pdu[20] = _AREA_CODES[area]  # header of 10, function, count and 8 bytes into the address
    return _framed(_DATA + bytes(pdu))


def _framed(content: bytes) -> bytes:
    return _TPKT.pack(3, 0, _TPKT.size + len(content)) + content


def _parse(message: bytes) -> tuple[bytes, bytes]:
    """Return an answer's parameters and data.

    Not by the library, which refuses the odd lengths that CPUs give for variables they refuse.
    """
    if len(message) < _ANSWER.size:
        raise ProtocolError(f"answer has {len(message)} bytes, expected at least {_ANSWER.size}")
    protocol, kind, _, _, parameters, data, error = _ANSWER.unpack_from(message)
    if protocol != 0x32 or kind not in _ANSWER_KINDS:
        raise ProtocolError(f"answer begins {message[:2].hex(' ')}, expected 32 03")
    if error:
        trap = _HEADER_TRAPS.get(error)
        name = get_protocol_error_message(error)
        raise Refused(f"{name} (error {error:#06x})" + (f": {trap}" if trap else ""))
    at = _ANSWER.size + parameters
    if len(message) < at + data:
        raise ProtocolError(f"answer has {len(message)} bytes, expected {at + data}")
    return message[_ANSWER.size : at], message[at : at + data]
