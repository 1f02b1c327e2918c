"""One connection to a CPU, which its devices share: connects, negotiates, asks.

As many questions are on their way as the CPU grants; answers are told by their reference. A
connection whose question was abandoned is thrown away. Knows nothing of tags.
"""

from collections import deque
from collections.abc import Callable, Sequence
from typing import NoReturn
from weakref import WeakValueDictionary

import trio

from edge_node.drivers.base import (
    CannotConnect,
    DeviceUnreachable,
    NoAnswer,
    NotUnderstood,
    Trace,
)
from edge_node.drivers.doors import Door, Doors
from edge_node.drivers.s7.codec import Refused, parse_setup, reference_of, setup_request
from edge_node.drivers.s7.transport import (
    NO_REASON,
    Disconnected,
    Framer,
    ProtocolError,
    check_confirmed,
    connect_request,
)
from edge_node.drivers.tcp import TcpStream, connect_tcp
from edge_node.drivers.traffic import Traffic
from proto.control.s7 import S7Connection

Make = Callable[[int], bytes]
"""Makes a request's frame with the reference it is given."""

_HIGHEST_REFERENCE = 0xFFFF
_DISCONNECT = 0x80
_TYPES = {"pg": 1, "op": 2, "basic": 3}


class S7Link:
    """A connection to one CPU.

    Args:
        connection: where it is.
        trace: is told every byte.
        door: to be entered before connecting, where the CPU's connections are counted.

    Attributes:
        pdu: negotiated size of messages in bytes, 0 while not connected.
    """

    def __init__(
        self, connection: S7Connection, trace: Trace | None = None, door: Door | None = None
    ) -> None:
        self.pdu = 0
        self._settings = connection
        self._name = f"{connection.host}:{connection.port}"
        self._trace = trace
        self._door = door
        self._stream: TcpStream | None = None
        self._framer = Framer()
        self._received: deque[tuple[int, bytes]] = deque()
        self._reference = 0
        self._jobs = 1
        self._users: set[object] = set()
        self._turn = trio.Lock()

    async def connect(self, user: object, timeout_s: float, traffic: Traffic) -> None:
        """Connect and negotiate, unless another user has.

        Args:
            user: who needs the connection until ``leave``.
            timeout_s: for all of it.
            traffic: counts what goes over the wire.

        Raises:
            DeviceUnreachable: with the address and the reason.
        """
        async with self._turn:
            self._users.add(user)
            if self.pdu:
                return
            self.close()
            if self._door is not None:
                await self._door.enter(timeout_s)
            try:
                with trio.fail_after(timeout_s):
                    self._stream = await connect_tcp(self._settings.host, self._settings.port)
                    await self._negotiate(traffic)
            except trio.TooSlowError as exc:
                raise CannotConnect(f"{self._name} did not connect within {timeout_s:g} s") from exc
            except OSError as exc:
                reason = exc.strerror or str(exc)
                raise CannotConnect(f"{self._name} cannot be reached: {reason}") from exc
            finally:
                if not self.pdu:
                    self.close()

    def leave(self, user: object) -> None:
        """Close if nobody else needs the connection; never raises."""
        self._users.discard(user)
        if not self._users:
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

    async def ask(self, make: Make, traffic: Traffic) -> bytes:
        """Send a request and return the message that answers it.

        Raises:
            DeviceUnreachable: no answer in time, or the connection is gone.
        """
        return (await self.ask_each([make], traffic))[0]

    async def ask_each(self, makes: Sequence[Make], traffic: Traffic) -> list[bytes]:
        """Send requests and return the messages that answer them, in their order.

        Args:
            makes: one for each request.
            traffic: counts what goes over the wire.

        Raises:
            DeviceUnreachable: no answer in time, or the connection is gone.
        """
        try:
            self._turn.acquire_nowait()  # without a turn of the scheduler, which costs
        except trio.WouldBlock:
            await self._turn.acquire()
        answered = False
        try:
            if not self.pdu:
                raise DeviceUnreachable(f"{self._name} is not connected")
            answers = await self._exchange(makes, traffic)
            answered = True
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
        return answers

    def close(self) -> None:
        """Close at once, for all users; never raises."""
        stream, self._stream = self._stream, None
        self.pdu = 0
        self._framer = Framer()
        self._received.clear()
        if stream is not None:
            stream.close()
        if self._door is not None:
            self._door.leave()

    async def _exchange(self, makes: Sequence[Make], traffic: Traffic) -> list[bytes]:
        answers: list[bytes] = [b""] * len(makes)
        waiting: dict[int, tuple[int, float]] = {}
        following = 0
        while following < len(makes) or waiting:
            frames: list[bytes] = []
            while following < len(makes) and len(waiting) < self._jobs:
                self._reference = self._reference % _HIGHEST_REFERENCE + 1
                frames.append(makes[following](self._reference))
                waiting[self._reference] = following, trio.current_time()
                following += 1
            with trio.fail_after(self._settings.timeout_s):
                if frames:
                    traffic.requests += len(frames)
                    await self._send(b"".join(frames), traffic)
                reference, message = await self._receive_answer(waiting, traffic)
            index, sent_at = waiting.pop(reference)
            answers[index] = message
            traffic.latency.add(trio.current_time() - sent_at)
        return answers

    async def _negotiate(self, traffic: Traffic) -> None:
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
            await self._send(connect_request(_tsap(settings.local_tsap), remote), traffic)
            try:
                check_confirmed(*await self._receive(traffic))
            except (Disconnected, DeviceUnreachable) as exc:
                reason = str(exc) if isinstance(exc, Disconnected) else NO_REASON
                raise CannotConnect(
                    f"{self._name} refuses the connection to {where}: {reason}"
                ) from exc
            await self._send(setup_request(settings.pdu_length, settings.max_in_flight), traffic)
            granted = parse_setup((await self._receive(traffic))[1])
            self._jobs = max(1, min(granted.jobs, settings.max_in_flight))
            self.pdu = granted.pdu
        except Refused as exc:
            raise CannotConnect(f"{self._name} refuses to communicate: {exc}") from exc
        except ProtocolError as exc:
            raise NotUnderstood(f"{self._name} does not speak S7: {exc}") from exc

    async def _receive_answer(
        self, waiting: dict[int, tuple[int, float]], traffic: Traffic
    ) -> tuple[int, bytes]:
        """Wait for an answer that is waited for; late ones of other requests are dropped."""
        while True:
            kind, message = await self._receive(traffic)
            if kind == _DISCONNECT:  # RFC 905 13.5
                self._lost()
            reference = reference_of(message)
            if reference in waiting:
                return reference, message

    async def _send(self, data: bytes, traffic: Traffic) -> None:
        if self._stream is None:
            raise DeviceUnreachable(f"{self._name} is not connected")
        if self._trace is not None:
            self._trace("sent", data)
        try:
            await self._stream.send_all(data)
            traffic.bytes_sent += len(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            self._lost()

    async def _receive(self, traffic: Traffic) -> tuple[int, bytes]:
        """Wait for the next message."""
        while not self._received:
            if self._stream is None:
                raise DeviceUnreachable(f"{self._name} is not connected")
            try:
                data = await self._stream.receive_some()
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                self._lost()
            if not data:
                self._lost()
            traffic.bytes_received += len(data)
            if self._trace is not None:
                self._trace("received", data)
            self._received += self._framer.feed(data)
        return self._received.popleft()

    def _lost(self) -> NoReturn:
        raise DeviceUnreachable(f"{self._name} closed the connection")


class Links:
    """The connections of one edge node; devices of one CPU share theirs, of which it has few.

    Args:
        trace: is told every byte.
        doors: count the connections to each CPU; those of these links alone when absent.
    """

    def __init__(self, trace: Trace | None = None, doors: Doors | None = None) -> None:
        self._trace = trace
        self._doors = doors or Doors()
        self._links: WeakValueDictionary[str, S7Link] = WeakValueDictionary()

    def take(self, connection: S7Connection) -> S7Link:
        """Return the connection to a CPU, not yet open, which lives as long as somebody has it."""
        if not connection.shared:
            return self._make(connection)
        key = connection.model_dump_json(exclude={"max_gap", "max_connections"})
        link = self._links.get(key)
        if link is None:
            link = self._links[key] = self._make(connection)
        return link

    def _make(self, connection: S7Connection) -> S7Link:
        door = self._doors.make(connection.host, connection.port, connection.max_connections)
        return S7Link(connection, self._trace, door)


def _tsap(text: str) -> int:
    return int(text.replace(".", ""), 16)
