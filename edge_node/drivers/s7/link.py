"""One connection to a CPU: connects, negotiates, asks one question at a time.

A connection whose question was abandoned is thrown away. Knows nothing of tags.
"""

import os
import sys
from collections.abc import Callable

import trio

from edge_node.drivers.base import (
    CannotConnect,
    DeviceUnreachable,
    NoAnswer,
    NotUnderstood,
    Trace,
)
from edge_node.drivers.s7.codec import Refused, parse_setup, reference_of, setup_request
from edge_node.drivers.s7.transport import (
    NO_REASON,
    Disconnected,
    Framer,
    ProtocolError,
    check_confirmed,
    connect_request,
)
from edge_node.drivers.traffic import Traffic
from proto.control.s7 import S7Connection

_RECEIVE_SIZE = 16_384
_KEEP_ALIVE_S = 30
_HIGHEST_REFERENCE = 0xFFFF
_TYPES = {"pg": 1, "op": 2, "basic": 3}


class S7Link:
    """A connection to one CPU.

    Args:
        connection: where it is.
        traffic: counts what goes over the wire.
        trace: is told every byte.

    Attributes:
        pdu: negotiated size of messages in bytes, 0 while not connected.
    """

    def __init__(
        self, connection: S7Connection, traffic: Traffic, trace: Trace | None = None
    ) -> None:
        self.pdu = 0
        self._settings = connection
        self._name = f"{connection.host}:{connection.port}"
        self._traffic = traffic
        self._trace = trace
        self._stream: trio.SocketStream | None = None
        self._framer = Framer()
        self._reference = 0
        self._turn = trio.Lock()

    async def connect(self, timeout_s: float) -> None:
        """Connect and negotiate.

        Raises:
            DeviceUnreachable: with the address and the reason.
        """
        self.close()
        try:
            with trio.fail_after(timeout_s):
                self._stream = await _open_stream(self._settings.host, self._settings.port)
                await self._negotiate()
        except trio.TooSlowError as exc:
            raise CannotConnect(f"{self._name} did not connect within {timeout_s:g} s") from exc
        except OSError as exc:
            reason = exc.strerror or str(exc)
            raise CannotConnect(f"{self._name} cannot be reached: {reason}") from exc
        finally:
            if not self.pdu:
                self.close()

    @property
    def negotiated(self) -> int:
        """Size of messages in bytes.

        Raises:
            DeviceUnreachable: not connected.
        """
        if not self.pdu:
            raise DeviceUnreachable(f"{self._name} is not connected")
        return self.pdu

    async def ask(self, make: Callable[[int], bytes]) -> bytes:
        """Send a request and return the message that answers it.

        Args:
            make: makes the request's frame with the reference it is given.

        Raises:
            DeviceUnreachable: no answer in time, or the connection is gone.
        """
        try:
            self._turn.acquire_nowait()  # without a turn of the scheduler, which costs
        except trio.WouldBlock:
            await self._turn.acquire()
        answered = False
        try:
            if self._stream is None:
                raise DeviceUnreachable(f"{self._name} is not connected")
            self._reference = self._reference % _HIGHEST_REFERENCE + 1
            with trio.fail_after(self._settings.timeout_s):
                await self._send(make(self._reference))
                self._traffic.requests += 1
                sent_at = trio.current_time()
                message = await self._receive_answer(self._reference)
            answered = True
            self._traffic.latency.add(trio.current_time() - sent_at)
        except trio.TooSlowError as exc:
            raise NoAnswer(
                f"{self._name} did not answer within {self._settings.timeout_s:g} s"
            ) from exc
        except ProtocolError as exc:
            raise NotUnderstood(f"{self._name} does not speak S7: {exc}") from exc
        finally:
            if not answered:
                self.close()
            self._turn.release()
        return message

    def close(self) -> None:
        """Close at once; never raises."""
        stream, self._stream = self._stream, None
        self.pdu = 0
        self._framer = Framer()
        if stream is not None:
            stream.socket.close()

    async def _negotiate(self) -> None:
        settings = self._settings
        remote = (
            _TYPES[settings.connection_type] << 8 | settings.rack << 5 | settings.slot
            if settings.remote_tsap is None
            else _tsap(settings.remote_tsap)
        )
        where = (
            f"rack {settings.rack} slot {settings.slot}"
            if settings.remote_tsap is None
            else f"TSAP {settings.remote_tsap}"
        )
        try:
            await self._send(connect_request(_tsap(settings.local_tsap), remote))
            try:
                check_confirmed(*await self._receive())
            except (Disconnected, DeviceUnreachable) as exc:
                reason = str(exc) if isinstance(exc, Disconnected) else NO_REASON
                raise CannotConnect(
                    f"{self._name} refuses the connection to {where}: {reason}"
                ) from exc
            await self._send(setup_request(settings.pdu_length))
            self.pdu = parse_setup((await self._receive())[1])
        except Refused as exc:
            raise CannotConnect(f"{self._name} refuses to communicate: {exc}") from exc
        except ProtocolError as exc:
            raise NotUnderstood(f"{self._name} does not speak S7: {exc}") from exc

    async def _receive_answer(self, reference: int) -> bytes:
        while True:
            kind, message = await self._receive()
            if kind == 0x80:  # disconnect request (RFC 905 13.5)
                raise DeviceUnreachable(f"{self._name} closed the connection")
            if reference_of(message) == reference:
                return message

    async def _send(self, data: bytes) -> None:
        if self._stream is None:
            raise DeviceUnreachable(f"{self._name} is not connected")
        if self._trace is not None:
            self._trace("sent", data)
        try:
            await self._stream.send_all(data)
            self._traffic.bytes_sent += len(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as exc:
            raise DeviceUnreachable(f"{self._name} closed the connection") from exc

    async def _receive(self) -> tuple[int, bytes]:
        """Wait for the next message; requests go one by one, so there is never a second."""
        while True:
            if self._stream is None:
                raise DeviceUnreachable(f"{self._name} is not connected")
            try:
                data = bytes(await self._stream.receive_some(_RECEIVE_SIZE))
            except (trio.BrokenResourceError, trio.ClosedResourceError) as exc:
                raise DeviceUnreachable(f"{self._name} closed the connection") from exc
            if not data:
                raise DeviceUnreachable(f"{self._name} closed the connection")
            self._traffic.bytes_received += len(data)
            if self._trace is not None:
                self._trace("received", data)
            if messages := self._framer.feed(data):
                return messages[-1]


def _tsap(text: str) -> int:
    return int(text.replace(".", ""), 16)


async def _open_stream(host: str, port: int) -> trio.SocketStream:
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
