"""A lean S7 CPU without I/O: bytes in, bytes out, as much of the protocol as clients use.

Transport (RFC 1006, RFC 905 class 0), set-up, reading and writing of variables, the list of data
blocks, and the system status lists that name the CPU, its state and its protection. Knows nothing
of sockets.
"""

import struct
from collections.abc import Callable, Sequence
from typing import Final, Protocol

GRANTED: Final = 0xFF
NOT_ALLOWED: Final = 0x03
OUT_OF_RANGE: Final = 0x05
NOT_THERE: Final = 0x0A
_NOT_SUPPORTED: Final = 0xD401

_TPKT = struct.Struct(">BBH")
_JOB = struct.Struct(">BBHHHH")
_ANSWER = struct.Struct(">BBHHHHH")
_ADDRESS = struct.Struct(">BBBBHHB3s")
_RECORD = struct.Struct(">BBH")
_LONGEST_FRAME: Final = 8_192
_DATA: Final = b"\x02\xf0\x80"
_HEAD: Final = _TPKT.size + len(_DATA)
_REQUEST, _ACK_DATA, _USER_DATA = 1, 3, 7
_READ, _WRITE, _SETUP = 0x04, 0x05, 0xF0
_BIT, _BYTE_SIZES = 0x01, {0x02: 1, 0x03: 1, 0x04: 2, 0x05: 2, 0x06: 4, 0x07: 4, 0x08: 4}
_DATA_BLOCK: Final = 0x41
_RUN, _STOP = 0x08, 0x04


class Memory(Protocol):
    """A CPU's memory; an integer that is returned is a return code, ``GRANTED`` for done."""

    @property
    def blocks(self) -> Sequence[tuple[int, int]]:
        """Number and size of every data block."""
        ...

    def read(self, area: int, block: int, start: int, size: int) -> bytes | int:
        """Read bytes."""
        ...

    def write(self, area: int, block: int, start: int, data: bytes) -> int:
        """Write bytes."""
        ...


class S7Cpu:
    """One connection's protocol.

    Args:
        memory: what is read and written.
        pdu: the largest message that is granted, in bytes.
        jobs: how many requests may wait at once.
        runs: whether the CPU is in RUN, else in STOP.
    """

    def __init__(
        self,
        memory: Memory,
        *,
        pdu: int = 480,
        jobs: int = 8,
        runs: Callable[[], bool] = lambda: True,
    ) -> None:
        self._memory = memory
        self._runs = runs
        self._jobs = jobs
        self._largest = pdu
        self._pdu = pdu
        self._buffer = b""

    def receive(self, data: bytes) -> list[bytes]:
        """Take bytes and return an answer to each message that they complete.

        Raises:
            ValueError: what came is not S7; the connection should be closed.
        """
        buffer = self._buffer + data
        answers: list[bytes] = []
        at = 0
        while len(buffer) - at >= _TPKT.size:
            version, _, size = _TPKT.unpack_from(buffer, at)
            if version != 3 or not 7 <= size <= _LONGEST_FRAME:
                raise ValueError(f"frame begins {buffer[at : at + 4].hex(' ')}: no ISO on TCP")
            if len(buffer) - at < size:
                break
            answers.append(self._answer(buffer[at + _TPKT.size : at + size]))
            at += size
        self._buffer = buffer[at:]
        return answers

    def _answer(self, content: bytes) -> bytes:
        if content[1] & 0xF0 == 0xE0 and len(content) > 6:
            confirm = b"\xd0" + content[4:6] + b"\0\1" + content[6:]
            return _framed(bytes((len(confirm),)) + confirm)
        message = content[len(_DATA) :]
        if content[1] != 0xF0 or len(message) < _JOB.size + 1:
            raise ValueError(f"message is {content.hex(' ')}: no S7")
        protocol, kind, _, reference, parameters, size = _JOB.unpack_from(message)
        end = _JOB.size + parameters
        if protocol != 0x32 or len(message) != end + size:
            raise ValueError(f"message begins {message[:10].hex(' ')}: no S7")
        body, data = message[_JOB.size : end], message[end:]
        if kind == _USER_DATA:
            return _framed(_DATA + self._user_data(reference, body, data))
        if kind != _REQUEST:
            raise ValueError(f"message is of kind {kind}: no request")
        answered, answer, error = self._do(body, data)
        head = _ANSWER.pack(0x32, _ACK_DATA, 0, reference, len(answered), len(answer), error)
        return _framed(_DATA + head + answered + answer)

    def _do(self, body: bytes, data: bytes) -> tuple[bytes, bytes, int]:
        """Return the parameters and data of an answer, and its error."""
        if body[0] == _SETUP and len(body) == 8:
            self._pdu = min(int.from_bytes(body[6:8]), self._largest)
            jobs = min(int.from_bytes(body[2:4]), self._jobs).to_bytes(2)
            return body[:2] + jobs + jobs + self._pdu.to_bytes(2), b"", 0
        if body[0] not in {_READ, _WRITE} or len(body) != 2 + 12 * body[1]:
            return body[:1], b"", _NOT_SUPPORTED
        specs = [body[2 + 12 * i : 14 + 12 * i] for i in range(body[1])]
        if body[0] == _READ:
            answer = _joined([self._read(spec) for spec in specs])
            fits = _ANSWER.size + 2 + len(answer) <= self._pdu
            return (body[:2], answer, 0) if fits else (b"", b"", 0x8500)
        return body[:2], bytes(self._write(specs, data)), 0

    def _read(self, spec: bytes) -> bytes:
        place = _place(spec)
        if place is None:
            return _RECORD.pack(NOT_THERE, 0, 0)
        area, block, start, bit, size = place
        found = self._memory.read(area, block, start, size)
        if isinstance(found, int):
            return _RECORD.pack(found, 0, 0)
        if bit is not None:
            return _RECORD.pack(GRANTED, 3, 1) + bytes((found[0] >> bit & 1,))
        return _RECORD.pack(GRANTED, 4, 8 * len(found)) + found

    def _write(self, specs: Sequence[bytes], data: bytes) -> list[int]:
        codes: list[int] = []
        at = 0
        for spec in specs:
            _, transport, length = _RECORD.unpack_from(data, at)
            size = (length + 7) // 8 if transport in {3, 4, 5} else length
            value = data[at + _RECORD.size : at + _RECORD.size + size]
            at += _RECORD.size + size + size % 2
            place = _place(spec)
            codes.append(NOT_THERE if place is None else self._write_one(place, value))
        return codes

    def _write_one(self, place: tuple[int, int, int, int | None, int], value: bytes) -> int:
        area, block, start, bit, size = place
        if bit is None:
            return (
                self._memory.write(area, block, start, value)
                if len(value) == size
                else OUT_OF_RANGE
            )
        old = self._memory.read(area, block, start, 1)
        if isinstance(old, int):
            return old
        byte = old[0] | 1 << bit if value[0] & 1 else old[0] & ~(1 << bit)
        return self._memory.write(area, block, start, bytes((byte,)))

    def _user_data(self, reference: int, body: bytes, data: bytes) -> bytes:
        group, function = body[5] & 0xF, body[6]
        content = self._told(group, function, data[_RECORD.size :])
        error = 0 if content is not None else _NOT_SUPPORTED
        parameters = b"\0\1\x12\x08\x12" + bytes((0x80 | group, function, 0, 0, 0))
        parameters += error.to_bytes(2)
        record = (
            _RECORD.pack(NOT_THERE, 0, 0)
            if content is None
            else _RECORD.pack(GRANTED, 9, len(content)) + content
        )
        head = _JOB.pack(0x32, _USER_DATA, 0, reference, len(parameters), len(record))
        return head + parameters + record

    def _told(self, group: int, function: int, asked: bytes) -> bytes | None:
        if group == 4 and function == 1 and len(asked) >= 4:
            number, index = struct.unpack(">HH", asked[:4])
            records = _status_list(number, _RUN if self._runs() else _STOP)
            if records is None:
                return None
            sizes = struct.pack(">HH", len(records[0]), len(records))
            return struct.pack(">HH", number, index) + sizes + b"".join(records)
        if group == 3:
            return self._blocks(function, asked)
        return None

    def _blocks(self, function: int, asked: bytes) -> bytes | None:
        blocks = self._memory.blocks
        if function == 1:
            kinds = (0x38, 0x45, 0x43, _DATA_BLOCK, 0x42, 0x44, 0x46)
            return b"".join(
                struct.pack(">BBH", 0x30, kind, len(blocks) if kind == _DATA_BLOCK else 0)
                for kind in kinds
            )
        if function == 2 and asked[1:2] == bytes((_DATA_BLOCK,)):
            return b"".join(struct.pack(">HBB", number, 0x22, 5) for number, _ in blocks)
        if function == 3 and len(asked) == 8 and asked[2:7].isdigit():
            size = dict(blocks).get(int(asked[2:7]))
            if size is not None:
                return _block_info(int(asked[2:7]), size)
        return None


def is_answer(frame: bytes) -> bool:
    """Whether a frame answers a request for reading or writing."""
    at = _HEAD + _ANSWER.size
    return len(frame) > at and frame[_HEAD + 1] == _ACK_DATA and frame[at] in {_READ, _WRITE}


def refuse(answer: bytes, code: int) -> bytes:
    """Return the answer that refuses what another grants.

    Args:
        answer: to a request for reading or writing; others come back as they are.
        code: up to 255, every variable's return code; above, the error of the whole request.
    """
    at = _HEAD + _ANSWER.size
    function, count = answer[at : at + 1], answer[at + 1 : at + 2]
    if not is_answer(answer):
        return answer
    head = answer[_HEAD : _HEAD + 6]
    if code > 0xFF:
        return _framed(_DATA + head + struct.pack(">HHH", 0, 0, code))
    reading = function == bytes((_READ,))
    data = (_RECORD.pack(code, 0, 0) if reading else bytes((code,))) * count[0]
    return _framed(_DATA + head + struct.pack(">HHH", 2, len(data), 0) + function + count + data)


def _framed(content: bytes) -> bytes:
    return _TPKT.pack(3, 0, _TPKT.size + len(content)) + content


def _place(spec: bytes) -> tuple[int, int, int, int | None, int] | None:
    """Return area, block, first byte, bit and size of a variable; nothing for what is no place."""
    head, _, syntax, length, count, block, area, address = _ADDRESS.unpack(spec)
    bits = int.from_bytes(address)
    if head != 0x12 or syntax != 0x10:
        return None
    if length == _BIT:
        return area, block, bits >> 3, bits & 7, 1
    if length in {0x1C, 0x1D}:  # counters and timers have numbers
        return area, block, 2 * bits, None, 2 * count
    size = _BYTE_SIZES.get(length)
    return None if size is None else (area, block, bits >> 3, None, size * count)


def _joined(records: Sequence[bytes]) -> bytes:
    """Return variables one after the other, each but the last filled up to an even size."""
    *others, last = records
    return b"".join(record + b"\0" * (len(record) % 2) for record in others) + last


def _status_list(number: int, state: int) -> list[bytes] | None:
    """Return the records of a system status list (Siemens A5E02789976, chapter 34)."""
    match number:
        case 0x0011:
            return [
                struct.pack(">H20sHHH", index, b"6ES7 NEX-US00-0SIM ", 0, major, minor)
                for index, major, minor in ((1, 0, 1), (7, 0x5602, 0x0900))
            ]
        case 0x001C:
            texts = {
                1: "NEXUS simulator",
                2: "Simulated CPU",
                3: "",
                4: "NEXUS Edge",
                5: "SIM 0001",
                7: "CPU SIM",
            }
            return [struct.pack(">H32s", index, text.encode()) for index, text in texts.items()]
        case 0x0131:
            return [struct.pack(">HHHHH28x", 1, 480, 32, 12_000, 12_000)]
        case 0x0232:
            return [struct.pack(">HHHHHH28x", 4, 1, 0, 1, 1, 0)]
        case 0x0424:
            return [struct.pack(">BBBB16x", 0x51, 0x44, 0xFF, state)]
    return None


def _block_info(number: int, size: int) -> bytes:
    info = bytearray(78)
    info[0:2] = b"\x30\x41"
    info[10] = 5  # written as a DB
    struct.pack_into(">HI", info, 12, number, size + 92)
    struct.pack_into(">H", info, 40, size)
    info[42:66] = b"NEXUS".ljust(24, b"\0")
    info[66] = 0x10
    return bytes(info)
