"""What the units at one address share: a line, and a spare one for those that do not answer.

A unit that did not answer is a suspect. Its next requests go over a spare connection, so that its
neighbours never wait for it; with its first answer it comes back. A server that grants no second
connection is asked on the first. Knows nothing of tags.
"""

from collections.abc import Callable, Sequence

from edge_node.drivers.base import DeviceUnreachable
from edge_node.drivers.modbus.codec import GATEWAY_EXCEPTIONS, Answer
from edge_node.drivers.modbus.line import Line, RequestTimeout
from edge_node.drivers.traffic import Traffic


class SharedLine:
    """A line that no unit can keep from the others.

    Args:
        make_line: makes a line to the address.
        has_spare: whether a second connection may be asked for.

    Attributes:
        users: drivers that use it; kept by whoever hands it out.
    """

    def __init__(self, make_line: Callable[[], Line], *, has_spare: bool) -> None:
        self.users = 0
        self._make_line = make_line
        self._line = make_line()
        self._has_spare = has_spare
        self._spare: Line | None = None
        self._suspects: set[int] = set()

    async def ensure_connected(self, timeout_s: float) -> None:
        """Connect unless connected.

        Raises:
            DeviceUnreachable: with the reason.
        """
        await self._line.ensure_connected(timeout_s)

    async def request(
        self, unit_id: int, pdus: Sequence[bytes], timeout_s: float, traffic: Traffic
    ) -> list[Answer]:
        """Send requests to a unit and return their answers; see :meth:`Line.request`.

        Raises:
            RequestTimeout: a request was not answered within ``timeout_s`` of being sent.
            DeviceUnreachable: the connection is gone; the next request makes a new one.
        """
        if unit_id in self._suspects:
            return await self._ask_suspect(unit_id, pdus, timeout_s, traffic)
        try:
            answers = await self._line.request(unit_id, pdus, timeout_s, traffic)
        except RequestTimeout:
            self._suspect(unit_id)
            raise
        if _are_for_absent(answers):
            self._suspect(unit_id)
        return answers

    async def broadcast(self, pdu: bytes, pause_s: float, traffic: Traffic) -> None:
        """Send a request to every unit; see :meth:`Line.broadcast`."""
        await self._line.broadcast(pdu, pause_s, traffic)

    def is_suspect(self, unit_id: int) -> bool:
        """Whether a unit did not answer when it was last asked."""
        return unit_id in self._suspects

    def close(self) -> None:
        """Close at once; never raises."""
        self._line.close()
        self._close_spare()
        self._suspects.clear()

    def _suspect(self, unit_id: int) -> None:
        if self.users > 1:  # else there is nobody to spare
            self._suspects.add(unit_id)

    async def _ask_suspect(
        self, unit_id: int, pdus: Sequence[bytes], timeout_s: float, traffic: Traffic
    ) -> list[Answer]:
        line = await self._take_spare(timeout_s) if self._has_spare else self._line
        answers = await line.request(unit_id, pdus, timeout_s, traffic)
        if not _are_for_absent(answers):
            self._suspects.discard(unit_id)
            if not self._suspects and self._spare is not None and not self._spare.is_busy:
                self._close_spare()
        return answers

    async def _take_spare(self, timeout_s: float) -> Line:
        if self._spare is None:
            self._spare = self._make_line()
        spare = self._spare
        try:
            await spare.ensure_connected(timeout_s)
        except DeviceUnreachable:
            return self._line
        return spare

    def _close_spare(self) -> None:
        spare, self._spare = self._spare, None
        if spare is not None:
            spare.close()


def _are_for_absent(answers: Sequence[Answer]) -> bool:
    """Whether a gateway answered for a unit that is not there."""
    return any(answer.exception in GATEWAY_EXCEPTIONS for answer in answers)
