"""The S7 driver: one CPU or LOGO!, polled by group and written to.

Puts the pure parts together: points, plans and decoders on one side, the link on the other.
"""

import time
from collections.abc import Mapping, Sequence
from functools import partial

import trio

from edge_node.drivers.base import (
    DeviceUnreachable,
    NotUnderstood,
    PollResult,
    RawValue,
    RequestRejected,
    TagInfo,
)
from edge_node.drivers.s7.codec import (
    ItemAnswer,
    Refused,
    check_written,
    parse_read,
    read_request,
    write_bit_request,
    write_bytes_request,
)
from edge_node.drivers.s7.encode import Write, encode_writes
from edge_node.drivers.s7.link import Links
from edge_node.drivers.s7.points import Point, compile_points
from edge_node.drivers.s7.reader import GroupReader
from edge_node.drivers.s7.state import IN_STOP, CpuState
from edge_node.drivers.s7.transport import ProtocolError
from edge_node.drivers.traffic import Traffic
from proto.control.s7 import S7Device

_SHORTEST_CONNECT_S = 3.0
"""A lost SYN is sent again after one second: less would never see the second one answered."""
_WRITE_HEAD = 28
"""Bytes of a write request around the data."""


class S7Driver:
    """One S7 device.

    Raises:
        ConfigError: the document's addresses cannot work.
    """

    def __init__(self, document: S7Device, links: Links | None = None) -> None:
        points = compile_points(document)
        self._name = document.name
        self._connection = document.connection
        self._readers = {
            name: GroupReader(document.name, group, document.connection.max_gap)
            for name, group in points.items()
        }
        self._points = {p.name: p for group in points.values() for p in group}
        self.groups: Mapping[str, Sequence[TagInfo]] = {
            name: [point.info for point in group] for name, group in points.items()
        }
        self.traffic = Traffic()
        self._link = (links or Links()).take(document.connection)
        asks = document.connection.check_state and document.connection.remote_tsap is None
        self._state = CpuState(document.name, can_tell=asks)

    async def open(self) -> None:
        """Connect and negotiate.

        Raises:
            DeviceUnreachable: with the address and the reason.
        """
        try:
            timeout_s = max(self._connection.timeout_s, _SHORTEST_CONNECT_S)
            await self._link.connect(self, timeout_s, self.traffic)
        except DeviceUnreachable as exc:
            raise self._unreachable(exc) from exc
        self._state.forget()
        for reader in self._readers.values():
            reader.forgive()

    async def read(self, group: str) -> PollResult:
        """Poll one group.

        Raises:
            DeviceUnreachable: the CPU does not answer or the connection is gone.
        """
        reader = self._readers[group]
        now = trio.current_time()
        try:
            column = await reader.read(self._ask, self._link.negotiated, now)
            await self._state.refresh(self._link, self.traffic, now)
        except DeviceUnreachable as exc:
            raise self._unreachable(exc) from exc
        self.traffic.quarantined = sum(len(r.quarantined) for r in self._readers.values())
        timestamp_ms = time.time_ns() // 1_000_000
        poll = PollResult(timestamp_ms, column.values, column.bad, column.requests)
        if self._state.in_stop:
            good = (i for i in range(len(column.values)) if i not in column.bad)
            poll.uncertain = dict.fromkeys(good, IN_STOP)
        return poll

    async def write(self, tag: str, value: RawValue) -> None:
        """Write a raw value to one tag, before the next request of a poll.

        Raises:
            RequestRejected: the CPU refused, the value does not fit, or the tag is read-only.
            DeviceUnreachable: the CPU does not answer or the connection is gone.
        """
        point = self._points.get(tag)
        if point is None:
            raise RequestRejected(f"{self._name} has no tag {tag!r}")
        if not point.writable:
            raise RequestRejected(f"{self._name} tag {tag!r} is not writable")
        try:
            for write in encode_writes(point, value, self._link.negotiated - _WRITE_HEAD):
                request = _write_request(point, write)
                check_written(await self._link.ask(request, self.traffic), point.address.area)
        except Refused as exc:
            self.traffic.errors["refused"] += 1
            raise RequestRejected(
                f"{self._name} tag {tag!r}: writing {value!r} to {point.address} was refused: {exc}"
            ) from exc
        except RequestRejected as exc:
            raise RequestRejected(f"{self._name} {exc}") from exc
        except ProtocolError as exc:
            self._link.close()
            raise self._unreachable(NotUnderstood(f"does not speak S7: {exc}")) from exc
        except DeviceUnreachable as exc:
            raise self._unreachable(exc) from exc

    async def aclose(self) -> None:
        """Leave the connection at once."""
        self._link.leave(self)
        await trio.lowlevel.checkpoint_if_cancelled()

    async def _ask(self, requests: Sequence[Sequence[bytes]]) -> list[list[ItemAnswer] | Refused]:
        makes = [partial(read_request, variables) for variables in requests]
        messages = await self._link.ask_each(makes, self.traffic)
        answers: list[list[ItemAnswer] | Refused] = []
        for variables, message in zip(requests, messages, strict=True):
            try:
                answer = parse_read(message, len(variables))
            except Refused as exc:
                self.traffic.errors["refused"] += 1
                answers.append(exc)
            except ProtocolError as exc:
                self._link.close()
                raise NotUnderstood(f"does not speak S7: {exc}") from exc
            else:
                self.traffic.errors["refused"] += sum(not item.is_granted for item in answer)
                answers.append(answer)
        return answers

    def _unreachable(self, cause: DeviceUnreachable) -> DeviceUnreachable:
        self.traffic.errors[cause.kind] += 1
        return type(cause)(f"{self._name}: {cause}")


def _write_request(point: Point, write: Write) -> partial[bytes]:
    if write.bit is None:
        return partial(write_bytes_request, point.place, write.start, write.data)
    return partial(write_bit_request, point.place, 8 * write.start + write.bit, write.data != b"\0")
