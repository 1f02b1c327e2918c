"""One connection to a Modbus server, for any number of units behind it.

A line sends requests, matches answers to them and keeps time. It owns no task: whoever waits for
an answer reads for all the others, and hands the reading on when it has its own. Knows nothing of
tags.
"""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

import structlog
import trio

from edge_node.drivers.base import CannotConnect, DeviceUnreachable, NoAnswer, NotUnderstood
from edge_node.drivers.doors import Door
from edge_node.drivers.modbus.codec import Answer, Codec, ProtocolError
from edge_node.drivers.modbus.wire import Wire
from edge_node.drivers.traffic import Traffic

Connect = Callable[[], Awaitable[Wire]]

_log = structlog.get_logger(__name__)
_TIMEOUTS_BEFORE_RECONNECT = 3
_HIGHEST_TRANSACTION = 0xFFFF
_BROADCAST_CONNECT_S = 3.0
_IDLE_S = 1.0
"""A connection unused for longer is looked at before it is used."""


class RequestTimeout(NoAnswer):
    """No answer in time; the line itself may be fine, and a late answer will be dropped."""


class _Exchange:
    """One request on its way."""

    __slots__ = ("answer", "answered_at", "function", "unit_id", "woken")

    def __init__(self, unit_id: int, function: int) -> None:
        self.unit_id = unit_id
        self.function = function
        self.answer: Answer | None = None
        self.answered_at = 0.0
        self.woken: trio.Event | None = None

    def wake(self) -> None:
        if self.woken is not None:
            self.woken.set()


class Line:
    """A connection that is made on demand and thrown away when it misbehaves.

    Args:
        name: for messages: ``10.0.0.5:502``.
        connect: makes the wire; raises ``OSError``.
        make_codec: makes the codec of a new connection.
        max_in_flight: requests that may be on their way at once.
        settle_s: silence kept after connecting.
        door: to be entered before connecting, where the server's connections are counted.
    """

    def __init__(
        self,
        name: str,
        connect: Connect,
        make_codec: Callable[[], Codec],
        max_in_flight: int = 1,
        *,
        settle_s: float = 0.0,
        door: Door | None = None,
    ) -> None:
        self.name = name
        self.connects = 0
        self.late_answers = 0
        self._connect = connect
        self._make_codec = make_codec
        self._codec = make_codec()
        self._wire: Wire | None = None
        self._pending: dict[int, _Exchange] = {}
        self._transaction = 0
        self._reading = False
        self._silent_timeouts = 0
        self._heard_at = 0.0
        self._slots = trio.Semaphore(max_in_flight, max_value=max_in_flight)
        self._sending = trio.Lock()
        self._connecting = trio.Lock()
        self._settle_s = settle_s
        self._door = door

    async def ensure_connected(self, timeout_s: float) -> None:
        """Connect unless connected.

        Raises:
            DeviceUnreachable: with the reason.
        """
        async with self._connecting:
            if self._wire is not None:
                return
            if self._door is not None:
                await self._door.enter(timeout_s)
            try:
                with trio.fail_after(timeout_s):
                    self._wire = await self._connect()
            except trio.TooSlowError:
                raise CannotConnect(f"{self.name} did not connect within {timeout_s:g} s") from None
            except OSError as exc:
                reason = exc.strerror or str(exc)
                raise CannotConnect(f"{self.name} cannot be reached: {reason}") from exc
            finally:
                if self._wire is None:
                    self._leave()
            self._codec = self._make_codec()
            self._silent_timeouts = 0
            self._heard_at = trio.current_time()
            self.connects += 1
            if self._settle_s:
                await trio.sleep(self._settle_s)

    async def request(
        self, unit_id: int, pdus: Sequence[bytes], timeout_s: float, traffic: Traffic
    ) -> list[Answer]:
        """Send requests, together as far as they may be in flight, and return their answers.

        Args:
            unit_id: whom to ask.
            pdus: the requests.
            timeout_s: for each answer, from the one before.
            traffic: counts what goes over the wire.

        Raises:
            RequestTimeout: a request was not answered within ``timeout_s`` of being sent.
            DeviceUnreachable: the connection is gone; the next request makes a new one.
        """
        answers: list[Answer] = []
        waiting = list(pdus)
        while waiting:
            taken = await self._take_slots(len(waiting))
            try:
                answers += await self._exchange(unit_id, waiting[:taken], timeout_s, traffic)
            finally:
                for _ in range(taken):
                    self._slots.release()
            del waiting[:taken]
        return answers

    async def broadcast(self, pdu: bytes, pause_s: float, traffic: Traffic) -> None:
        """Send a request to every unit, which none answers, and give them time to do it.

        Args:
            pdu: the request.
            pause_s: silence kept afterwards (turnaround delay, serial line V1.02 2.4.1).
            traffic: counts what goes over the wire.

        Raises:
            DeviceUnreachable: the connection is gone; the next request makes a new one.
        """
        async with self._slots:
            if self._wire is None:
                await self.ensure_connected(_BROADCAST_CONNECT_S)
            frame = self._codec.frame(pdu, 0, 0)
            await self._send(frame)
            traffic.requests += 1
            traffic.bytes_sent += len(frame)
            await trio.sleep(pause_s)

    @property
    def is_busy(self) -> bool:
        """Whether a request is on its way."""
        return bool(self._pending)

    async def _take_slots(self, wanted: int) -> int:
        try:
            self._slots.acquire_nowait()
        except trio.WouldBlock:
            await self._slots.acquire()
        taken = 1
        with suppress(trio.WouldBlock):
            while taken < wanted:
                self._slots.acquire_nowait()
                taken += 1
        return taken

    async def _exchange(
        self, unit_id: int, pdus: Sequence[bytes], timeout_s: float, traffic: Traffic
    ) -> list[Answer]:
        if self._wire is not None and not self._pending:
            await self._look_after_idling(self._wire)
        if self._wire is None:
            await self.ensure_connected(timeout_s)
        exchanges: dict[int, _Exchange] = {}
        sent_at = trio.current_time()
        frames = b""
        for pdu in pdus:
            transaction = self._next_transaction()
            exchange = self._pending[transaction] = exchanges[transaction] = _Exchange(
                unit_id, pdu[0]
            )
            frames += self._codec.frame(pdu, unit_id, transaction)
        try:
            with trio.move_on_after(timeout_s) as scope:
                await self._send(frames)
                sent_at = trio.current_time()
                traffic.requests += len(pdus)
                traffic.bytes_sent += len(frames)
                for exchange in exchanges.values():
                    if exchange.answer is None:
                        scope.deadline = trio.current_time() + timeout_s
                        await self._wait(exchange)
        finally:
            for transaction, exchange in exchanges.items():
                self._pending.pop(transaction, None)
                if exchange.answer is not None:
                    traffic.bytes_received += exchange.answer.size
                    traffic.latency.add(exchange.answered_at - sent_at)
            self._hand_on()
        answers = [e.answer for e in exchanges.values() if e.answer is not None]
        if len(answers) < len(exchanges):
            self._note_timeout()
            raise RequestTimeout(
                f"{self.name} unit {unit_id} did not answer within {timeout_s:g} s"
            )
        return answers

    async def _look_after_idling(self, wire: Wire) -> None:
        """Find out whether the server hung up meanwhile, as many do: that is no lost device."""
        if self._reading or trio.current_time() < self._heard_at + _IDLE_S:
            return
        self._reading = True
        try:
            while self._wire is wire and wire.has_input():
                data = await wire.receive_some()
                if data:
                    self._feed(data)
                else:
                    self._drop()
        except (trio.BrokenResourceError, trio.ClosedResourceError, DeviceUnreachable):
            self._drop()
        finally:
            self._reading = False

    def _next_transaction(self) -> int:
        while True:
            self._transaction = self._transaction % _HIGHEST_TRANSACTION + 1
            if self._transaction not in self._pending:
                return self._transaction

    async def _send(self, frames: bytes) -> None:
        try:
            self._sending.acquire_nowait()
        except trio.WouldBlock:
            await self._sending.acquire()
        try:
            if self._wire is None:
                raise self._gone()
            if not self._codec.matches_transactions:
                await self._discard_input(self._wire)
            await self._wire.send_all(frames)
        except trio.Cancelled:
            self._drop()  # half a frame may be out: nothing sent after it would be understood
            raise
        except (trio.BrokenResourceError, trio.ClosedResourceError) as exc:
            self._drop()
            raise self._gone() from exc
        finally:
            self._sending.release()

    async def _discard_input(self, wire: Wire) -> None:
        """Drop what an earlier request left behind: nothing else tells it from the answer."""
        self._codec.clear()
        while wire.has_input():
            self.late_answers += 1
            if not await wire.receive_some():
                raise trio.BrokenResourceError

    async def _wait(self, exchange: _Exchange) -> None:
        while exchange.answer is None:
            wire = self._wire
            if wire is None:
                raise self._gone()
            if self._reading:
                exchange.woken = trio.Event()
                await exchange.woken.wait()
                continue
            self._reading = True
            try:
                data = await wire.receive_some()
            except (trio.BrokenResourceError, trio.ClosedResourceError) as exc:
                self._drop()
                raise self._gone() from exc
            finally:
                self._reading = False
            if not data:
                self._drop()
                raise DeviceUnreachable(f"{self.name} closed the connection")
            self._feed(data)

    def _feed(self, data: bytes) -> None:
        try:
            answers = self._codec.feed(data)
        except ProtocolError as exc:
            self._drop()
            raise NotUnderstood(f"{self.name} does not speak Modbus: {exc}") from exc
        self._silent_timeouts = 0
        self._heard_at = now = trio.current_time()
        for answer in answers:
            exchange = self._match(answer)
            if exchange is None:
                self.late_answers += 1
                _log.debug(
                    "modbus_answer_dropped",
                    line=self.name,
                    unit_id=answer.unit_id,
                    transaction=answer.transaction_id,
                )
                continue
            exchange.answer = answer
            exchange.answered_at = now
            exchange.wake()

    def _match(self, answer: Answer) -> _Exchange | None:
        if self._codec.matches_transactions:
            exchange = self._pending.get(answer.transaction_id)
        else:
            exchange = next(iter(self._pending.values()), None)
        if (
            exchange is None
            or exchange.function != answer.function
            or exchange.unit_id != answer.unit_id
        ):
            return None
        return exchange

    def _hand_on(self) -> None:
        """Let another waiting request read, now that this one no longer does."""
        if self._reading:
            return
        for exchange in self._pending.values():
            if exchange.answer is None and exchange.woken is not None:
                exchange.wake()
                return

    def _note_timeout(self) -> None:
        # a peer that vanished without a FIN looks like units that do not answer
        self._silent_timeouts += 1
        if self._silent_timeouts >= _TIMEOUTS_BEFORE_RECONNECT:
            self._drop()

    def _gone(self) -> DeviceUnreachable:
        return DeviceUnreachable(f"{self.name} lost the connection")

    def _drop(self) -> None:
        wire, self._wire = self._wire, None
        if wire is not None:
            wire.close()
            self._leave()
        for exchange in self._pending.values():
            exchange.wake()

    def _leave(self) -> None:
        if self._door is not None:
            self._door.leave()

    def close(self) -> None:
        """Close at once; never raises."""
        self._drop()
