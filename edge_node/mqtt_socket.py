"""The way to a broker: TCP and TLS on trio, with failures told in words that say what to do.

It knows nothing of MQTT beyond the address.
"""

import socket
import ssl
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Literal

import trio

from edge_node.errors import BrokerUnreachable

OPEN_TIMEOUT_S = 10.0
BUFFER_BYTES = 256 * 1024
"""How much is gathered before it must be written."""


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


class LinkSocket:
    """A connected, non-blocking socket that gathers writes and remembers what went wrong on it.

    A protocol engine that writes packet by packet costs a system call each; gathered, all that is
    said at one moment is one.

    Attributes:
        failure: the last error that was not merely "not now".
    """

    __slots__ = ("_buffer", "_closed", "_sock", "_tls", "failure")

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._tls = sock if isinstance(sock, ssl.SSLSocket) else None
        self._closed = False
        self._buffer = bytearray()
        self.failure: str | None = None

    @property
    def buffered(self) -> int:
        """How many bytes wait for :meth:`flush`."""
        return len(self._buffer)

    def recv(self, buffer_size: int) -> bytes:
        """Read what is there.

        Raises:
            BlockingIOError: nothing is there.
            OSError: the connection is gone.
        """
        try:
            return self._sock.recv(buffer_size)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except OSError as exc:
            self.failure = explain_os_error(exc)
            raise

    def send(self, buffer: bytes | bytearray) -> int:
        """Gather bytes; :meth:`flush` writes them.

        Raises:
            BlockingIOError: enough has been gathered.
        """
        if len(self._buffer) >= BUFFER_BYTES:
            raise BlockingIOError
        self._buffer += buffer
        return len(buffer)

    def flush(self) -> bool:
        """Write what fits of what was gathered; return whether all of it did.

        Raises:
            OSError: the connection is gone.
        """
        buffer = self._buffer
        try:
            while buffer:
                del buffer[: self._sock.send(buffer)]
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return False
        except OSError as exc:
            # A TLS alert that explains the end may already have been read; it is not overwritten.
            self.failure = self.failure or explain_os_error(exc)
            raise
        return True

    def close(self) -> None:
        """Close, once, telling trio's waiting tasks first; the last words are tried."""
        if not self._closed:
            self._closed = True
            with suppress(OSError):
                self.flush()
            trio.lowlevel.notify_closing(self._sock.fileno())
            self._sock.close()

    def fileno(self) -> int:
        """Return the descriptor, -1 when closed."""
        return self._sock.fileno()

    def setblocking(self, flag: bool) -> None:
        """Keep the socket non-blocking.

        Raises:
            ValueError: asked to block.
        """
        if flag:
            raise ValueError("a socket of the event loop was asked to block, expected never")

    def pending(self) -> int:
        """Return how many decrypted bytes wait inside TLS."""
        return 0 if self._tls is None or self._closed else self._tls.pending()


async def open_socket(endpoint: Endpoint) -> LinkSocket:
    """Open TCP, and TLS where the endpoint asks for it.

    Raises:
        BrokerUnreachable: with the address and the reason.
    """
    try:
        with trio.fail_after(OPEN_TIMEOUT_S):
            plain = await _open_tcp(endpoint)
            if endpoint.tls is None:
                return LinkSocket(plain)
            return LinkSocket(await _start_tls(plain, endpoint.tls, endpoint.host))
    except trio.TooSlowError:
        raise BrokerUnreachable(f"{endpoint}: no answer within {OPEN_TIMEOUT_S:g} s") from None
    except (OSError, ValueError) as exc:
        raise BrokerUnreachable(f"{endpoint}: {explain_os_error(exc)}") from exc


async def _open_tcp(endpoint: Endpoint) -> socket.socket:
    stream = await trio.open_tcp_stream(endpoint.host, endpoint.port)
    inner = stream.socket
    sock = socket.fromfd(inner.fileno(), inner.family, inner.type)
    await stream.aclose()
    sock.setblocking(False)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


async def _start_tls(plain: socket.socket, context: ssl.SSLContext, host: str) -> ssl.SSLSocket:
    try:
        sock = context.wrap_socket(plain, server_hostname=host, do_handshake_on_connect=False)
    except BaseException:
        plain.close()
        raise
    try:
        while True:
            try:
                sock.do_handshake()
            except ssl.SSLWantReadError:
                await trio.lowlevel.wait_readable(sock.fileno())
            except ssl.SSLWantWriteError:
                await trio.lowlevel.wait_writable(sock.fileno())
            else:
                return sock
    except BaseException:
        sock.close()
        raise


def explain_os_error(exc: BaseException) -> str:
    """Return what an error of the network means, in one line."""
    if isinstance(exc, BaseExceptionGroup):
        return "; ".join(sorted({explain_os_error(inner) for inner in exc.exceptions}))
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
        case OSError() if exc.__cause__ is not None:
            said = explain_os_error(exc.__cause__)
        case OSError() if exc.strerror:
            said = exc.strerror
        case _:
            said = str(exc) or type(exc).__name__
    return said
