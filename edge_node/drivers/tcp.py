"""A TCP connection to a device, and how one is made. Knows no protocol.

On a bare socket, since drivers send one small frame and wait for one: trio's own stream goes
through its scheduler once more for each, a tenth of everything at some thousand requests a second.
"""

import os
import select
import socket
import sys

import trio

RECEIVE_SIZE = 16_384
_KEEP_ALIVE_S = 30


class TcpStream:
    """A TCP connection without delays for small frames."""

    __slots__ = ("_socket",)

    def __init__(self, stream: trio.SocketStream) -> None:
        """Take over a connection."""
        self._socket = socket.socket(fileno=stream.socket.detach())
        self._socket.setblocking(False)

    async def send_all(self, data: bytes) -> None:
        """Send all of it; waits only for a peer that does not read.

        Raises:
            trio.BrokenResourceError: the other side is gone.
            trio.ClosedResourceError: it was closed here.
        """
        try:
            sent = self._send(data)
            while sent < len(data):
                await trio.lowlevel.wait_writable(self._checked())
                sent += self._send(data[sent:])
        except OSError as exc:
            raise trio.BrokenResourceError(str(exc)) from exc

    async def receive_some(self) -> bytes:
        """Wait for bytes; empty when the other side has closed. Raises as :meth:`send_all`."""
        while True:
            await trio.lowlevel.wait_readable(self._checked())
            try:
                return self._socket.recv(RECEIVE_SIZE)
            except BlockingIOError:
                continue
            except OSError as exc:
                raise trio.BrokenResourceError(str(exc)) from exc

    def has_input(self) -> bool:
        """Whether bytes are there that nobody has received yet."""
        return has_input(self._socket.fileno())

    def close(self) -> None:
        """Close without waiting; whoever still waits gets ``trio.ClosedResourceError``."""
        if self._socket.fileno() >= 0:
            trio.lowlevel.notify_closing(self._socket)
            self._socket.close()

    def _send(self, data: bytes) -> int:
        try:
            return self._checked().send(data)
        except BlockingIOError:
            return 0

    def _checked(self) -> socket.socket:
        if self._socket.fileno() < 0:
            raise trio.ClosedResourceError("the connection was closed")
        return self._socket


def has_input(descriptor: int) -> bool:
    """Whether a file descriptor can be read without waiting."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))


async def connect_tcp(host: str, port: int) -> TcpStream:
    """Connect; raises ``OSError`` with the reason."""
    return TcpStream(await open_stream(host, port))


async def open_stream(host: str, port: int) -> trio.SocketStream:
    """Open a TCP connection; raises ``OSError`` with the reason."""
    try:
        stream = await trio.open_tcp_stream(host, port)
    except OSError as exc:
        # trio says only that all attempts failed; why is in the cause, one error an address
        cause: BaseException | None = exc.__cause__
        while isinstance(cause, BaseExceptionGroup):
            cause = cause.exceptions[-1]
        if isinstance(cause, OSError) and cause.errno and cause.errno > 0:
            raise OSError(cause.errno, os.strerror(cause.errno)) from exc
        raise
    stream.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_KEEPALIVE, True)
    if sys.platform == "linux":
        # between slow polls, firewalls forget connections on which nothing moves
        stream.setsockopt(trio.socket.IPPROTO_TCP, trio.socket.TCP_KEEPIDLE, _KEEP_ALIVE_S)
        stream.setsockopt(trio.socket.IPPROTO_TCP, trio.socket.TCP_KEEPINTVL, _KEEP_ALIVE_S)
    return stream
