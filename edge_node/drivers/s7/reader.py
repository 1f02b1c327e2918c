"""One poll group's reads: asks for its plan, and learns what the CPU refuses.

A refused block is asked for again point by point, so that each tag has its own status; what is
refused then is quarantined and tried again rarely, and its neighbours go on being read together.
"""

from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field

import structlog

from edge_node.drivers.base import OpcQuality, RawValue, Reason
from edge_node.drivers.s7.codec import ItemAnswer, Refused, describe_code, variable
from edge_node.drivers.s7.decode import BlockDecoder
from edge_node.drivers.s7.plan import Limits, Place, Plan, plan_alone, plan_reads
from edge_node.drivers.s7.points import Point

Ask = Callable[[Sequence[Sequence[bytes]]], Awaitable[Sequence[Sequence[ItemAnswer] | Refused]]]
"""Reads the variables of each request, which may be refused as a whole."""

_log = structlog.get_logger(__name__)
_GRANTED = 0xFF
_HARDWARE_FAULT = 0x01

FIRST_RETRY_S = 10.0
LAST_RETRY_S = 600.0
"""What was refused is tried again after the first, then after twice as long, up to the last."""


@dataclass(slots=True)
class Column:
    """What one poll brought."""

    values: list[RawValue]
    bad: dict[int, str] = field(default_factory=dict)
    requests: int = 0


@dataclass(slots=True)
class _Quarantine:
    reason: str
    retry_at: float
    patience_s: float = FIRST_RETRY_S


class _Compiled:
    """A plan, ready to be asked for."""

    def __init__(self, plan: Plan, points: Sequence[Point]) -> None:
        self.plan = plan
        self.decoders = [BlockDecoder(block, points) for block in plan.blocks]
        self.requests = [
            (
                items,
                [
                    variable(block.area, block.block, item.start, item.size)
                    for item in items
                    for block in [plan.blocks[item.owner]]
                ],
            )
            for items in plan.requests
        ]


class GroupReader:
    """Reads the tags of one poll group.

    Args:
        device: for the log.
        points: the group's tags, in the order of the values.
    """

    def __init__(self, device: str, points: Sequence[Point], max_gap: int) -> None:
        self.points = points
        self._device = device
        self._max_gap = max_gap
        self._pdu = 0
        self._tight: set[Place] = set()
        self._quarantine: dict[int, _Quarantine] = {}
        self._compiled = _Compiled(Plan((), ()), points)

    async def read(self, ask: Ask, pdu: int, now: float) -> Column:
        """Poll once.

        Args:
            ask: reads variables.
            pdu: negotiated message size in bytes.
            now: a monotonic time in seconds.

        Raises:
            DeviceUnreachable: from ``ask``.
        """
        if pdu != self._pdu:
            self._pdu = pdu
            self._replan()
        column = Column([None] * len(self.points))
        for index, quarantine in self._quarantine.items():
            column.bad[index] = quarantine.reason
        refused = await self._run(ask, self._compiled, column)
        if refused:
            await self._isolate(ask, refused, column, now)
        due = [i for i, q in self._quarantine.items() if now >= q.retry_at]
        if due:
            await self._retry(ask, due, column, now)
        return column

    def forgive(self) -> None:
        """Try everything at the next poll: the CPU may have another program now."""
        self._quarantine.clear()
        self._tight.clear()
        self._pdu = 0

    @property
    def quarantined(self) -> Collection[int]:
        """Which points are left out of reads."""
        return self._quarantine

    async def _run(self, ask: Ask, compiled: _Compiled, column: Column) -> dict[int, int]:
        """Ask for a plan's blocks and take their values; return block → return code if refused."""
        blocks = compiled.plan.blocks
        data = [b""] * len(blocks)
        codes: dict[int, int] = {}
        told = await ask([variables for _, variables in compiled.requests])
        column.requests += len(told)
        for (items, _), answers in zip(compiled.requests, told, strict=True):
            if isinstance(answers, Refused):
                for item in items:
                    column.bad.update(dict.fromkeys(blocks[item.owner].indexes, str(answers)))
                continue
            for item, answer in zip(items, answers, strict=True):
                if answer.code == _GRANTED:
                    data[item.owner] += answer.data
                else:
                    codes.setdefault(item.owner, answer.code)
        for owner, block in enumerate(blocks):
            if owner in codes:
                continue
            if len(data[owner]) == block.size:
                self._take(compiled.decoders[owner], data[owner], column)
                continue
            reason = f"answer has {len(data[owner])} bytes, expected {block.size}"
            for index in block.indexes:  # a refused request has told its reason already
                column.bad.setdefault(index, reason)
        return codes

    def _take(self, decoder: BlockDecoder, data: bytes, column: Column) -> None:
        values = decoder(data)
        if decoder.span is not None and not column.bad:
            column.values[decoder.span] = values
            return
        for index, value in zip(decoder.order, values, strict=True):
            column.values[index] = value
            if value is None:
                point = self.points[index]
                reason = f"{point.address}: the bytes are no {point.datatype}"
                column.bad[index] = Reason(reason, OpcQuality.CONFIG_ERROR)
            else:
                column.bad.pop(index, None)

    async def _isolate(self, ask: Ask, refused: dict[int, int], column: Column, now: float) -> None:
        """Find out which points of refused blocks are refused by themselves."""
        guilty: dict[int, int] = {}
        for owner, code in refused.items():
            block = self._compiled.plan.blocks[owner]
            if len(block.indexes) == 1:
                guilty[block.indexes[0]] = code
                continue
            alone = plan_alone(self.points, block.indexes, self._limits)
            codes = await self._run(ask, _Compiled(alone, self.points), column)
            found = {alone.blocks[i].indexes[0]: code for i, code in codes.items()}
            guilty.update(found)
            if not found:
                self._tight.add((block.area, block.block))
                _log.info("s7_gap_refused", device=self._device, area=f"{block.area}{block.block}")
        for index, code in guilty.items():
            address = self.points[index].address
            reason = Reason(
                f"{address}: {describe_code(code, address.area)}",
                OpcQuality.DEVICE_FAILURE if code == _HARDWARE_FAULT else OpcQuality.CONFIG_ERROR,
            )
            column.bad[index] = reason
            self._quarantine[index] = _Quarantine(reason, now + FIRST_RETRY_S)
            _log.warning(
                "s7_tag_quarantined",
                device=self._device,
                tag=self.points[index].name,
                reason=reason,
            )
        self._replan()

    async def _retry(self, ask: Ask, due: Sequence[int], column: Column, now: float) -> None:
        """Try quarantined tags whose time has come."""
        alone = plan_alone(self.points, due, self._limits)
        await self._run(ask, _Compiled(alone, self.points), column)
        released = [i for i in due if i not in column.bad]
        for index in due:
            quarantine = self._quarantine[index]
            quarantine.patience_s = min(2 * quarantine.patience_s, LAST_RETRY_S)
            quarantine.retry_at = now + quarantine.patience_s
        for index in released:
            del self._quarantine[index]
            _log.info("s7_tag_released", device=self._device, tag=self.points[index].name)
        if released:
            for other in self._quarantine.values():
                other.retry_at = now  # what released these may have released all
            self._replan()

    @property
    def _limits(self) -> Limits:
        return Limits(self._pdu, self._max_gap)

    def _replan(self) -> None:
        indexes = [i for i in range(len(self.points)) if i not in self._quarantine]
        plan = plan_reads(self.points, self._limits, indexes=indexes, tight=self._tight)
        self._compiled = _Compiled(plan, self.points)
