"""The transport below S7, without I/O: ISO on TCP (RFC 1006), connections of RFC 905 class 0."""

from struct import Struct
from typing import Final

_TPKT: Final = Struct(">BBH")
_DATA: Final = bytes((2, 0xF0, 0x80))
"""COTP data, the last of its message (RFC 905 13.7)."""
_CONFIRM, _DISCONNECT, _DATA_TYPE = 0xD0, 0x80, 0xF0
_LAST: Final = 0x80
_LONGEST_FRAME: Final = 8_192
_REASON: Final = 5
_WRONG_PLACE: Final = "wrong rack, slot or TSAP"
_NO_CONNECTION: Final = (
    "no connection is free in the CPU: close others, or try another connection_type"
)
NO_REASON: Final = f"{_WRONG_PLACE}, or {_NO_CONNECTION}"
"""Why CPUs refuse connections, where they do not say."""
_REASONS: Final = {
    0x01: _NO_CONNECTION,
    0x02: _WRONG_PLACE,
    0x03: _WRONG_PLACE,
    0x81: _NO_CONNECTION,
    0x87: _NO_CONNECTION,
}
"""What a disconnect request means (RFC 905 13.5.3): congestion, nothing attached, unknown."""


class ProtocolError(Exception):
    """The bytes are not S7: what follows cannot be trusted, the connection must be closed."""


class Disconnected(Exception):
    """The other side does not want this connection; the message says what its reason means."""


class Framer:
    """Takes received bytes apart; remembers an unfinished message."""

    def __init__(self) -> None:
        self._buffer = b""
        self._message = b""

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """Return the messages that are complete: COTP type, and S7 message or COTP header.

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
            content = frame[1 : 1 + frame[0]]
            if kind == _DATA_TYPE:
                self._message += frame[1 + frame[0] :]
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


def check_confirmed(kind: int, header: bytes) -> None:
    """Check the answer to ``connect_request``, its COTP type and header.

    Raises:
        Disconnected: the connection is refused.
        ProtocolError: it is something else.
    """
    if kind == _DISCONNECT:
        reason = header[_REASON] if len(header) > _REASON else 0
        raise Disconnected(_REASONS.get(reason, NO_REASON))
    if kind != _CONFIRM:
        raise ProtocolError(f"transport message is {kind:#04x}, expected a connection confirm")


def framed_message(message: bytes) -> bytes:
    """Return the frame of one S7 message."""
    return _framed(_DATA + message)


def _framed(content: bytes) -> bytes:
    return _TPKT.pack(3, 0, _TPKT.size + len(content)) + content
