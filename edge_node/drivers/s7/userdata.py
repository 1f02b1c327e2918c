"""What a CPU tells of itself: system status lists and its data blocks, as a codec without I/O.

These are the requests that programming devices use; LOGO! and many S7-1200 and S7-1500 refuse some.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from struct import Struct
from typing import Final

from snap7.error import get_protocol_error_message
from snap7.s7protocol import S7Protocol

from edge_node.drivers.s7.codec import Refused, describe_code
from edge_node.drivers.s7.transport import ProtocolError, framed_message

STATUS_LISTS: Final = 4
BLOCKS: Final = 3
_DATA_BLOCK: Final = 0x41
_USER_DATA: Final = 7
_GRANTED: Final = 0xFF
_HEADER: Final = Struct(">BBHHHH")
_PARAMETERS: Final = 12
_SEQUENCE, _LAST_UNIT, _ERROR = 7, 9, slice(10, 12)
_LIST_HEAD: Final = Struct(">HHHH")
_BLOCK_LENGTH: Final = slice(40, 42)

MODULE: Final = (0x0011, 0)
COMPONENT: Final = (0x001C, 0)
PROTECTION: Final = (0x0232, 4)
STATE: Final = (0x0424, 0)

_STATES: Final = {0x08: "RUN", 0x04: "STOP", 0x03: "STOP"}
"""Old CPUs say 3."""
_LEVELS: Final = {
    1: "1, full access",
    2: "2, writing needs a password",
    3: "3, reading and writing need a password",
}
_NAMES: Final = {1: "name", 2: "module", 5: "serial number", 7: "CPU"}


@dataclass(frozen=True, slots=True)
class Unit:
    """One message of an answer.

    Attributes:
        sequence: names the answer in the request for what is left of it; ``None`` for the last.
    """

    data: bytes
    sequence: int | None


def status_list_request(number: int, index: int, reference: int) -> bytes:
    """Return the frame that asks for a system status list."""
    return framed_message(_protocol(reference).build_read_szl_request(number, index))


def blocks_request(reference: int) -> bytes:
    """Return the frame that asks for the numbers of all data blocks."""
    return framed_message(_protocol(reference).build_list_blocks_of_type_request(_DATA_BLOCK))


def block_request(number: int, reference: int) -> bytes:
    """Return the frame that asks what a data block is."""
    return framed_message(_protocol(reference).build_get_block_info_request(_DATA_BLOCK, number))


def more_request(group: int, function: int, sequence: int, reference: int) -> bytes:
    """Return the frame that asks for the rest of an answer."""
    return framed_message(
        _protocol(reference).build_userdata_followup_request(group, function, sequence)
    )


def parse_unit(message: bytes) -> Unit:
    """Return what one message of an answer brings.

    Raises:
        Refused: with the reason.
        ProtocolError: the answer cannot be understood.
    """
    if len(message) < _HEADER.size + _PARAMETERS + 4 or message[1] != _USER_DATA:
        raise ProtocolError(f"answer begins {message[:2].hex(' ')}, expected 32 07")
    parameters = message[_HEADER.size : _HEADER.size + _PARAMETERS]
    error = int.from_bytes(parameters[_ERROR])
    if error:
        raise Refused(f"{get_protocol_error_message(error)} (error {error:#06x})")
    record = message[_HEADER.size + _PARAMETERS :]
    if record[0] != _GRANTED:
        raise Refused(describe_code(record[0]))
    data = record[4 : 4 + int.from_bytes(record[2:4])]
    return Unit(data, parameters[_SEQUENCE] if parameters[_LAST_UNIT] else None)


def parse_numbers(data: bytes) -> list[int]:
    """Return the numbers in a list of blocks, which has four bytes for each."""
    return [int.from_bytes(data[at : at + 2]) for at in range(0, len(data) - 3, 4)]


def parse_size(data: bytes) -> int:
    """Return the bytes of a data block.

    Raises:
        ProtocolError: the answer is too short.
    """
    if len(data) < _BLOCK_LENGTH.stop:
        raise ProtocolError(f"block information has {len(data)} bytes, expected 78")
    return int.from_bytes(data[_BLOCK_LENGTH])


def parse_module(data: bytes) -> dict[str, str]:
    """Return order number and firmware of list 0x0011."""
    told: dict[str, str] = {}
    for record in _records(data):
        index = int.from_bytes(record[:2])
        if index == 1:
            told["order number"] = _text(record[2:22])
        elif index == 7 and len(record) >= 28:
            told["firmware"] = f"V{record[-3]}.{record[-2]}.{record[-1]}"
    return told


def parse_component(data: bytes) -> dict[str, str]:
    """Return the names in list 0x001C."""
    named = {_NAMES.get(int.from_bytes(r[:2]), ""): _text(r[2:34]) for r in _records(data)}
    return {name: text for name, text in named.items() if name and text}


def parse_protection(data: bytes) -> dict[str, str]:
    """Return the protection level that is set, of list 0x0232."""
    for record in _records(data):
        level = int.from_bytes(record[2:4])
        if level in _LEVELS:
            return {"protection level": _LEVELS[level]}
    return {}


def parse_state(data: bytes) -> dict[str, str]:
    """Return whether the CPU runs, of list 0x0424."""
    for record in _records(data):
        if len(record) > 3 and record[3] in _STATES:
            return {"state": _STATES[record[3]]}
    return {}


def _records(data: bytes) -> Iterator[bytes]:
    """Yield the records of a status list; none where its head does not fit them."""
    if len(data) < _LIST_HEAD.size:
        return
    _, _, size, count = _LIST_HEAD.unpack_from(data)
    if size < 4 or len(data) < _LIST_HEAD.size + size * count:
        return
    for at in range(_LIST_HEAD.size, _LIST_HEAD.size + size * count, size):
        yield data[at : at + size]


def _text(data: bytes) -> str:
    return data.split(b"\0")[0].decode("latin-1").strip()


def _protocol(reference: int) -> S7Protocol:
    protocol = S7Protocol()
    protocol.sequence = reference - 1
    return protocol
