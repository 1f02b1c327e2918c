"""What carries bytes to a Modbus server: a TCP connection. Knows nothing of frames."""

import os
import select
import sys
from typing import Protocol

import trio

from edge_node.drivers.base import Trace

_RECEIVE_SIZE = 16_384
_KEEP_ALIVE_S = 30


class Wire(Protocol):
    """A byte stream that can be closed at once."""

    async def send_all(self, data: bytes) -> None:
        """Send; raises ``trio.BrokenResourceError`` when the other side is gone."""

    async def receive_some(self) -> bytes:
        """Wait for bytes; empty when the other side has closed."""
        ...

    def has_input(self) -> bool:
        """Whether bytes are there that nobody has received yet."""
        ...

    def close(self) -> None:
        """Close without waiting; whoever still waits gets ``trio.ClosedResourceError``."""


class TcpWire:
    """A TCP connection without delays for small frames."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream

    async def send_all(self, data: bytes) -> None:
        """Send all of it."""
        await self._stream.send_all(data)

    async def receive_some(self) -> bytes:
        """Wait for bytes."""
        return await self._stream.receive_some(_RECEIVE_SIZE)

    def has_input(self) -> bool:
        """Whether bytes are there."""
        return has_input(self._stream.socket.fileno())

    def close(self) -> None:
        """Close without waiting."""
        self._stream.socket.close()


def has_input(descriptor: int) -> bool:
    """Whether a file descriptor can be read without waiting."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))


class TracedWire:
    """A wire whose bytes are told to somebody."""

    def __init__(self, wire: Wire, trace: Trace) -> None:
        self._wire = wire
        self._trace = trace

    async def send_all(self, data: bytes) -> None:
        """Send all of it."""
        self._trace("sent", data)
        await self._wire.send_all(data)

    async def receive_some(self) -> bytes:
        """Wait for bytes."""
        data = await self._wire.receive_some()
        self._trace("received", data)
        return data

    def has_input(self) -> bool:
        """Whether bytes are there."""
        return self._wire.has_input()

    def close(self) -> None:
        """Close without waiting."""
        self._wire.close()


async def connect_tcp(host: str, port: int) -> TcpWire:
    """Connect; raises ``OSError`` with the reason."""
    return TcpWire(await open_stream(host, port))


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
