"""One poll group's reads: asks for its blocks, and learns what the device refuses.

A refused block is halved until the guilty address is alone; that tag is quarantined and tried
again rarely, its neighbours go on being read together. A block that is refused although each of
its parts is granted teaches either a gap that must not be read along or the device's largest
request.
"""

from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field, replace

import structlog

from edge_node.drivers.base import NoAnswer, OpcQuality, RawValue, Reason
from edge_node.drivers.modbus.address import Table
from edge_node.drivers.modbus.codec import (
    GATEWAY_EXCEPTIONS,
    Answer,
    describe_exception,
    read_request,
)
from edge_node.drivers.modbus.decode import BlockDecoder
from edge_node.drivers.modbus.plan import Block, Limits, gaps_of, plan_reads, split_block
from edge_node.drivers.modbus.points import Point

Ask = Callable[[Sequence[bytes]], Awaitable[Sequence[Answer]]]
"""Sends requests and returns their answers, in order."""

_log = structlog.get_logger(__name__)

_REFUSED_ADDRESS = frozenset({2, 3})
"""Illegal data address, illegal data value: the request, not the device's state, is the reason."""

_QUALITIES = {
    1: OpcQuality.CONFIG_ERROR,
    2: OpcQuality.CONFIG_ERROR,
    3: OpcQuality.CONFIG_ERROR,
    4: OpcQuality.DEVICE_FAILURE,
    5: OpcQuality.COMM_FAILURE,
    6: OpcQuality.COMM_FAILURE,
    8: OpcQuality.DEVICE_FAILURE,
}
"""Exception code → kind of trouble."""

FIRST_RETRY_S = 10.0
LAST_RETRY_S = 600.0
"""What was refused is tried again after the first, then after twice as long, up to the last."""


@dataclass(slots=True)
class Learned:
    """What a device taught about itself; shared by its groups."""

    limits: Limits


@dataclass(slots=True)
class _Read:
    """A block, ready to be asked for."""

    block: Block
    request: bytes
    decoder: BlockDecoder
    where: slice | None
    """The decoder's positions when they are contiguous."""
    isolate_at: float = 0.0
    """When a refusal may be looked into again."""
    patience_s: float = FIRST_RETRY_S


@dataclass(slots=True)
class _Quarantine:
    reason: str
    retry_at: float
    patience_s: float = FIRST_RETRY_S


@dataclass(slots=True)
class Column:
    """What one poll brought."""

    values: list[RawValue]
    bad: dict[int, str] = field(default_factory=dict)
    requests: int = 0


@dataclass(slots=True)
class _Findings:
    """Outcome of halving a refused block."""

    granted: list[Block] = field(default_factory=list)
    refused: dict[int, str] = field(default_factory=dict)
    failed: bool = False
    """Something else went wrong on the way, so that nothing can be concluded."""


def _meaningless(point: Point) -> Reason:
    kind = "decimal digits" if point.encoding is None else f"text in {point.encoding}"
    return Reason(f"{point.address}: not {kind}", OpcQuality.CONFIG_ERROR)


def _refusal(what: object, exception: int) -> Reason:
    quality = _QUALITIES.get(exception, OpcQuality.BAD)
    return Reason(f"{what}: {describe_exception(exception)}", quality)


class GroupReader:
    """Reads the tags of one poll group.

    Args:
        device: for the log.
        points: the group's tags.
        learned: what the device taught, shared by its groups.
        quiet: whether refusals are no news, as in a scan.

    Attributes:
        points: in the order of the values.
    """

    def __init__(
        self, device: str, points: Sequence[Point], learned: Learned, *, quiet: bool = False
    ) -> None:
        self._device = device
        self._warn = _log.debug if quiet else _log.warning
        self._learned = learned
        self._refused_gaps: set[tuple[Table, int]] = set()
        self._quarantine: dict[int, _Quarantine] = {}
        # values come out in the order of the blocks, so that each lands in one slice
        self.points = [
            points[i]
            for block in plan_reads(points, learned.limits)
            for i in BlockDecoder(block, points).order
        ]
        self._reads: list[_Read] = []
        self._replan()

    @property
    def quarantined(self) -> Collection[int]:
        """Which points are left out of reads."""
        return self._quarantine

    async def read(self, ask: Ask, now: float) -> Column:
        """Poll once; ``now`` is a monotonic time in seconds.

        Raises:
            DeviceUnreachable: from ``ask``, or because a gateway says so.
        """
        column = Column([None] * len(self.points))
        for index, quarantine in self._quarantine.items():
            column.bad[index] = quarantine.reason
        reads = self._reads
        answers = await ask([read.request for read in reads])
        column.requests = len(reads)
        refused = [
            (read, answer.exception)
            for read, answer in zip(reads, answers, strict=True)
            if not self._take(read, answer, column) and now >= read.isolate_at
        ]
        for read, exception in refused:
            await self._isolate(ask, read, exception, column, now)
        await self._retry_quarantined(ask, column, now)
        return column

    def _take(self, read: _Read, answer: Answer, column: Column) -> bool:
        """Take an answer's values or its refusal; false when the addresses are refused."""
        exception = answer.exception
        if not exception and len(answer.data) == read.decoder.size:
            values = read.decoder(answer.data)
            if read.where is not None:
                column.values[read.where] = values
            else:
                for index, value in zip(read.decoder.order, values, strict=True):
                    column.values[index] = value
            if read.decoder.partial:
                for index in read.block.indexes:
                    if column.values[index] is None:
                        column.bad[index] = _meaningless(self.points[index])
            return True
        if exception in GATEWAY_EXCEPTIONS:
            raise NoAnswer(f"gateway: {describe_exception(exception)}")
        reason = _refusal(read.block, exception)
        if not exception:
            found, expected = len(answer.data), read.decoder.size
            reason = Reason(
                f"{read.block}: answer has {found} bytes, expected {expected}",
                OpcQuality.COMM_FAILURE,
            )
        column.bad.update(dict.fromkeys(read.block.indexes, reason))
        return exception not in _REFUSED_ADDRESS

    async def _isolate(
        self, ask: Ask, read: _Read, exception: int, column: Column, now: float
    ) -> None:
        findings = _Findings()
        limits = self._learned.limits
        block = read.block
        await self._halve(ask, block, exception, column, findings)
        if findings.failed or (not findings.granted and len(block.indexes) > 1):
            # the device may be stopped or half started: its plan stays, looked into again later
            read.isolate_at = now + read.patience_s
            read.patience_s = min(2 * read.patience_s, LAST_RETRY_S)
            return
        if findings.refused:
            for index, reason in findings.refused.items():
                self._quarantine[index] = _Quarantine(reason, now + FIRST_RETRY_S)
                column.bad[index] = reason
                self._warn(
                    "modbus_tag_quarantined",
                    device=self._device,
                    tag=self.points[index].name,
                    reason=reason,
                )
        elif not limits.from_zero and (gaps := gaps_of(block, self.points)):
            self._refused_gaps.update(gaps)
            _log.info("modbus_gap_refused", device=self._device, block=str(block))
        else:
            await self._learn_size(ask, block, findings, column)
        self._replan()

    async def _learn_size(
        self, ask: Ask, block: Block, findings: _Findings, column: Column
    ) -> None:
        """Search the largest request between the largest granted and the one refused."""
        granted, refused = max(piece.count for piece in findings.granted), block.count
        while refused - granted > 1:
            count = (granted + refused) // 2
            (answer,) = await ask([read_request(block.table, block.start, count)])
            column.requests += 1
            if answer.exception:
                refused = count
            else:
                granted = count
        limits = self._learned.limits
        if block.table.is_bits:
            limits = replace(limits, max_bits=min(granted, limits.max_bits))
        else:
            limits = replace(limits, max_registers=min(granted, limits.max_registers))
        self._learned.limits = limits
        self._warn(
            "modbus_largest_request_learned",
            device=self._device,
            table=str(block.table),
            most=granted,
        )

    async def _halve(
        self, ask: Ask, block: Block, exception: int, column: Column, findings: _Findings
    ) -> None:
        halves = split_block(block, self.points, self._learned.limits)
        if halves is None:
            index = block.indexes[0]
            address = self.points[index].address
            findings.refused[index] = _refusal(address, exception)
            return
        for half in halves:
            read = self._compile(half)
            (answer,) = await ask([read.request])
            column.requests += 1
            for index in half.indexes:
                column.bad.pop(index, None)
            if not self._take(read, answer, column):
                await self._halve(ask, half, answer.exception, column, findings)
            elif answer.exception or len(answer.data) != read.decoder.size:
                findings.failed = True
            else:
                findings.granted.append(half)

    async def _retry_quarantined(self, ask: Ask, column: Column, now: float) -> None:
        """Try a quarantined tag whose time has come, and go on as long as they are released."""
        while due := [i for i, q in self._quarantine.items() if now >= q.retry_at]:
            index, quarantine = due[0], self._quarantine[due[0]]
            point = self.points[index]
            read = self._compile(Block(point.table, point.start, point.count, (index,)))
            (answer,) = await ask([read.request])
            column.requests += 1
            if answer.exception or not self._take(read, answer, column):
                quarantine.patience_s = min(2 * quarantine.patience_s, LAST_RETRY_S)
                quarantine.retry_at = now + quarantine.patience_s
                return
            del self._quarantine[index]
            column.bad.pop(index)
            _log.info("modbus_tag_released", device=self._device, tag=point.name)
            for other in self._quarantine.values():
                other.retry_at = now  # what released this one may have released all
            self._replan()

    def _replan(self) -> None:
        indexes = [i for i in range(len(self.points)) if i not in self._quarantine]
        refused = self._refused_gaps | {
            (point.table, address)
            for point in (self.points[i] for i in self._quarantine)
            for address in range(point.start, point.end)
        }
        blocks = plan_reads(self.points, self._learned.limits, indexes=indexes, refused=refused)
        self._reads = [self._compile(block) for block in blocks]

    def _compile(self, block: Block) -> _Read:
        decoder = BlockDecoder(block, self.points)
        first, count = decoder.order[0], len(decoder.order)
        contiguous = decoder.order == tuple(range(first, first + count))
        return _Read(
            block,
            read_request(block.table, block.start, block.count),
            decoder,
            slice(first, first + count) if contiguous else None,
        )
