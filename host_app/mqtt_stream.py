"""The way to a broker: asyncio's TCP and TLS, shown to paho as the socket that it expects.

asyncio reads and writes; paho finds received bytes in a buffer and hands sent bytes to the
transport. So paho makes no system call, TLS is asyncio's, and a burst of packets is handled in one
turn of the loop. It knows nothing of MQTT.
"""

import asyncio
import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Literal

from host_app.errors import BrokerUnreachable

OPEN_TIMEOUT_S: Final = 10.0
FULL_READ_BYTES: Final = 128 * 1024
"""asyncio reads up to 256 KiB at once; so much only comes when more lies waiting."""
FLOOD_MEMORY_S: Final = 0.5


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A broker and how to sign in to it."""

    host: str
    port: int
    client_id: str
    protocol: Literal["3.1.1", "5"] = "3.1.1"
    keep_alive_s: int = 30
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: ssl.SSLContext | None = None

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'mqtts' if self.tls else 'mqtt'}://{host}:{self.port}"


class MqttStream(asyncio.Protocol):
    """A connected socket as paho sees it, a protocol as asyncio sees it.

    Attributes:
        on_received: called after bytes came in.
        on_lost: called once with the reason when the connection is gone.
    """

    def __init__(self) -> None:
        self.on_received: Callable[[], None] = _ignore
        self.on_lost: Callable[[str], None] = _ignore_reason
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._position = 0
        self._closed = False
        self._full_at_s = -FLOOD_MEMORY_S

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101  # narrows the type
        transport.set_write_buffer_limits(high=1 << 20)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Keep what came and let paho look at it."""
        if len(data) >= FULL_READ_BYTES:
            self._full_at_s = time.monotonic()
        self._buffer += data
        self.on_received()

    def eof_received(self) -> None:
        """Let asyncio close the transport, which reports the loss."""

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell why it ended."""
        self._closed = True
        self.on_lost("closed by the broker" if exc is None else explain_os_error(exc))

    # What paho calls.

    def recv(self, size: int) -> bytes:
        """Take up to ``size`` received bytes.

        Raises:
            BlockingIOError: nothing is there.
        """
        start = self._position
        part = bytes(self._buffer[start : start + size])
        if not part:
            raise BlockingIOError
        self._position = start + len(part)
        if self._position == len(self._buffer):
            self._buffer.clear()
            self._position = 0
        return part

    def send(self, data: bytes | bytearray) -> int:
        """Hand bytes to the transport, which keeps what the socket does not take.

        Raises:
            ConnectionError: the connection is gone.
        """
        if self._transport is None or self._transport.is_closing():
            raise ConnectionError("connection is closed")
        self._transport.write(bytes(data))
        return len(data)

    def close(self) -> None:
        """Write what is queued, then close."""
        if not self._closed and self._transport is not None:
            self._closed = True
            self._transport.close()

    def abort(self) -> None:
        """Close at once, whatever is queued."""
        if self._transport is not None:
            self._closed = True
            self._transport.abort()

    def setblocking(self, flag: bool) -> None:
        """Nothing blocks here; paho asks for that."""

    def fileno(self) -> int:
        """Give the descriptor, -1 when there is none."""
        sock = None if self._transport is None else self._transport.get_extra_info("socket")
        return -1 if sock is None else int(sock.fileno())

    # What the link asks.

    @property
    def has_received(self) -> bool:
        """Whether received bytes wait to be taken."""
        return bool(self._buffer)

    @property
    def is_flooded(self) -> bool:
        """Whether more comes than is read: what stays away may only be waiting its turn."""
        return time.monotonic() - self._full_at_s < FLOOD_MEMORY_S

    @property
    def queued_bytes(self) -> int:
        """How much waits for a broker that does not read."""
        return 0 if self._transport is None else self._transport.get_write_buffer_size()


async def open_stream(endpoint: Endpoint) -> MqttStream:
    """Open TCP, and TLS where the endpoint asks for it.

    Raises:
        BrokerUnreachable: with the address and the reason.
    """
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(OPEN_TIMEOUT_S):
            transport, stream = await loop.create_connection(
                MqttStream, endpoint.host, endpoint.port, ssl=endpoint.tls
            )
    except TimeoutError:
        raise BrokerUnreachable(f"{endpoint}: no answer within {OPEN_TIMEOUT_S:g} s") from None
    except (OSError, ValueError) as exc:
        raise BrokerUnreachable(f"{endpoint}: {explain_os_error(exc)}") from exc
    sock = transport.get_extra_info("socket")
    if sock is not None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return stream


def explain_os_error(exc: BaseException) -> str:
    """Return what an error of the network means, in one line."""
    match exc:
        case ssl.SSLCertVerificationError():
            said = f"the broker's certificate is not accepted: {exc.verify_message}"
        case ssl.SSLError() if exc.reason:
            said = f"TLS failed: {exc.reason.lower().replace('_', ' ')}"
        case ssl.SSLError():
            said = f"TLS failed: {exc}"
        case socket.gaierror():
            said = f"the host name cannot be resolved: {exc.strerror}"
        case ConnectionRefusedError():
            said = "connection refused, nothing listens there"
        case ConnectionResetError() | BrokenPipeError():
            said = "connection reset by the other side"
        case OSError() if exc.strerror:
            said = exc.strerror
        case _:
            said = str(exc) or type(exc).__name__
    return said


def _ignore() -> None:
    pass


def _ignore_reason(_reason: str) -> None:
    pass
