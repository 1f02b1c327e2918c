"""S7 messages to bytes and back, as a codec without I/O.

Knows python-snap7, as ``userdata`` does and no other module of the edge: it encodes the variables'
addresses, the set-up and the writes, and names what CPUs refuse. Knows nothing of tags.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from struct import Struct
from typing import Final

from snap7.datatypes import S7Area, S7DataTypes, S7WordLen
from snap7.error import get_protocol_error_message
from snap7.s7protocol import S7Protocol, get_return_code_description

from edge_node.drivers.s7.address import Area
from edge_node.drivers.s7.transport import ProtocolError, framed_message

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
_HEADER: Final = Struct(">BBHHHH")
_ANSWER: Final = Struct(">BBHHHHH")
_RECORD: Final = Struct(">BBH")
_ANSWER_KINDS: Final = frozenset({2, 3})
"""Acknowledged without and with data."""
_READ: Final = 4
_SETUP: Final = 0xF0
_GRANTED: Final = 0xFF
_BITS: Final = frozenset({3, 4, 5})
"""Transport sizes whose length counts bits; the others count bytes."""

_TRAPS: Final = {
    0x03: "allow PUT/GET in the CPU's protection settings, or lower its protection level",
    0x05: "the CPU has fewer of them",
    0x0A: "this CPU has none of them",
}
_BLOCK_TRAPS: Final = _TRAPS | {
    0x05: "it ends before this address, or is an optimized block",
    0x0A: "it is not in the CPU, or is an optimized block",
}
_ELEMENT_TRAPS: Final = _TRAPS | {
    0x05: "S7-1200 and S7-1500 show no T and C, others may have fewer",
    0x0A: "S7-1200 and S7-1500 show no T and C",
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


_ACCESS: Final = frozenset({0x8104, 0xD401, 0xD402, 0xD602, 0xD241})
"""Errors that are of the CPU's settings, whatever it is asked for."""


class Refused(Exception):
    """The CPU refused a whole request, and said why.

    Attributes:
        code: the error, 0 where a variable's return code tells.
    """

    def __init__(self, text: str, code: int = 0) -> None:
        super().__init__(text)
        self.code = code

    @property
    def is_of_access(self) -> bool:
        """Whether the CPU refuses this client rather than what was asked for."""
        return self.code in _ACCESS


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


@dataclass(frozen=True, slots=True)
class Granted:
    """What a CPU grants a connection.

    Attributes:
        pdu: size of messages in bytes.
        jobs: requests that may be on their way at once.
    """

    pdu: int
    jobs: int


def setup_request(pdu_length: int, jobs: int) -> bytes:
    """Return the frame that negotiates the size of messages and how many are answered at once."""
    return framed_message(S7Protocol().build_setup_communication_request(jobs, jobs, pdu_length))


def parse_setup(message: bytes) -> Granted:
    """Return what the CPU grants.

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
    return Granted(granted, int.from_bytes(parameters[2:4]))


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
    return framed_message(_HEADER.pack(0x32, 1, 0, reference, len(parameters), 0) + parameters)


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


def check_written(message: bytes, area: Area = Area.DB) -> None:
    """Check the answer to a write to an area.

    Raises:
        Refused: with the reason.
        ProtocolError: the answer cannot be understood.
    """
    _, data = _parse(message)
    if len(data) != 1:
        raise ProtocolError(f"answer to a write has {len(data)} results, expected 1")
    if data[0] != _GRANTED:
        raise Refused(describe_code(data[0], area))


def reference_of(message: bytes) -> int:
    """Return the reference that tells which request a message answers."""
    return int.from_bytes(message[4:6])


def describe_code(code: int, area: Area = Area.DB) -> str:
    """Return a variable's return code in words, with what is usually behind it in its area."""
    name = get_return_code_description(code)
    traps = _BLOCK_TRAPS if area is Area.DB else _ELEMENT_TRAPS if area.is_elements else _TRAPS
    trap = traps.get(code)
    return f"{name[:1].lower()}{name[1:]} (code {code:#04x})" + (f": {trap}" if trap else "")


def _write(
    place: tuple[Area, int], start: int, length: S7WordLen, data: bytes, reference: int
) -> bytes:
    area, block = place
    protocol = S7Protocol()
    protocol.sequence = reference - 1
    pdu = bytearray(protocol.build_write_request(S7Area.DB, block, start, length, data))
    pdu[20] = _AREA_CODES[area]  # header of 10, function, count and 8 bytes into the address
    return framed_message(bytes(pdu))


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
        told = f"{name} (error {error:#06x})" + (f": {trap}" if trap else "")
        raise Refused(told, error)
    at = _ANSWER.size + parameters
    if len(message) < at + data:
        raise ProtocolError(f"answer has {len(message)} bytes, expected {at + data}")
    return message[_ANSWER.size : at], message[at : at + data]
