"""One poll group's reads: asks for its plan, and learns what the CPU refuses.

A refused block is asked for again point by point, so that each tag has its own status; what is
refused then is quarantined and tried again rarely, and its neighbours go on being read together.
Devices that refuse a whole request for one of its variables have it halved until the guilty point
is alone.
"""

from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field

import structlog

from edge_node.drivers.base import OpcQuality, RawValue, Reason
from edge_node.drivers.s7.codec import ItemAnswer, Refused, describe_code, variable
from edge_node.drivers.s7.decode import BlockDecoder
from edge_node.drivers.s7.plan import Limits, Place, Plan, has_gaps, plan_alone, plan_reads
from edge_node.drivers.s7.points import Point

Ask = Callable[[Sequence[Sequence[bytes]]], Awaitable[Sequence[Sequence[ItemAnswer] | Refused]]]
"""Reads the variables of each request, which may be refused as a whole."""

_log = structlog.get_logger(__name__)
_GRANTED = 0xFF
_HARDWARE_FAULT = 0x01

FIRST_RETRY_S = 10.0
LAST_RETRY_S = 600.0
"""What was refused is tried again after the first, then after twice as long, up to the last."""
_SMALLEST_PDU = 64


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
    by_itself: bool
    """Whether it has what is asked for with it refused."""
    patience_s: float = FIRST_RETRY_S


@dataclass(slots=True)
class _Refusals:
    """What a CPU refused of a plan.

    Attributes:
        codes: block → return code.
        whole: request → why all of it was refused.
    """

    codes: dict[int, int] = field(default_factory=dict)
    whole: dict[int, Refused] = field(default_factory=dict)


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

    def indexes_of(self, request: int) -> list[int]:
        """Return the points that a request reads, or reads a piece of."""
        items, _ = self.requests[request]
        owners = dict.fromkeys(item.owner for item in items)
        return [index for owner in owners for index in self.plan.blocks[owner].indexes]


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
        self._most_bytes = 0
        self._halve_at = 0.0
        self._patience_s = FIRST_RETRY_S
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
            self._pdu = self._most_bytes = pdu
            self._replan()
        column = Column([None] * len(self.points))
        for index, quarantine in self._quarantine.items():
            column.bad[index] = quarantine.reason
        refused = await self._run(ask, self._compiled, column)
        if refused.whole and now >= self._halve_at and await self._halve(ask, refused, column, now):
            refused = await self._run(ask, self._compiled, column)
        if refused.codes:
            await self._isolate(ask, refused.codes, column, now)
        due = [i for i, q in self._quarantine.items() if now >= q.retry_at]
        if due:
            await self._retry(ask, due, column, now)
        return column

    def forgive(self) -> None:
        """Try everything at the next poll: the CPU may have another program now."""
        self._quarantine.clear()
        self._tight.clear()
        self._pdu = 0
        self._halve_at, self._patience_s = 0.0, FIRST_RETRY_S

    @property
    def quarantined(self) -> Collection[int]:
        """Which points are left out of reads."""
        return self._quarantine

    async def _run(self, ask: Ask, compiled: _Compiled, column: Column) -> _Refusals:
        """Ask for a plan's blocks and take their values; return what was refused."""
        blocks = compiled.plan.blocks
        data = [b""] * len(blocks)
        refusals = _Refusals()
        codes = refusals.codes
        told = await ask([variables for _, variables in compiled.requests])
        column.requests += len(told)
        for number, ((items, _), answers) in enumerate(zip(compiled.requests, told, strict=True)):
            if isinstance(answers, Refused):
                refusals.whole[number] = answers
                quality = OpcQuality.CONFIG_ERROR if answers.is_of_access else OpcQuality.BAD
                why = Reason(str(answers), quality)
                for item in items:
                    column.bad.update(dict.fromkeys(blocks[item.owner].indexes, why))
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
            reason = Reason(
                f"answer has {len(data[owner])} bytes, expected {block.size}",
                OpcQuality.COMM_FAILURE,
            )
            for index in block.indexes:  # a refused request has told its reason already
                column.bad.setdefault(index, reason)
        return refusals

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
            codes = (await self._run(ask, _Compiled(alone, self.points), column)).codes
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
            self._put_away(index, reason, column, now)
        self._replan()

    def _put_away(
        self, index: int, reason: Reason, column: Column, now: float, *, by_itself: bool = False
    ) -> None:
        column.bad[index] = reason
        self._quarantine[index] = _Quarantine(reason, now + FIRST_RETRY_S, by_itself)
        name = self.points[index].name
        _log.warning("s7_tag_quarantined", device=self._device, tag=name, reason=reason)

    async def _halve(self, ask: Ask, refused: _Refusals, column: Column, now: float) -> bool:
        """Find out what has whole requests refused; return whether the plan is another now."""
        compiled = self._compiled
        all_refused = len(refused.whole) == len(compiled.requests)
        if all_refused and all(why.is_of_access for why in refused.whole.values()):
            return False  # nothing would be granted
        guilty: dict[int, Refused] = {}
        granted = not all_refused
        for request, why in refused.whole.items():
            indexes = compiled.indexes_of(request)
            granted |= await self._find_guilty(ask, indexes, why, column, guilty)
        if not granted:
            # the CPU may be half started: its plan stays, looked into again later
            self._halve_at = now + self._patience_s
            self._patience_s = min(2 * self._patience_s, LAST_RETRY_S)
            return False
        for index, why in guilty.items():
            reason = Reason(f"{self.points[index].address}: {why}", OpcQuality.CONFIG_ERROR)
            self._put_away(index, reason, column, now, by_itself=True)
            self._tight.add(self.points[index].place)  # or it would be read along
        if not guilty:
            self._learn(refused)
        column.bad = {i: why for i, why in column.bad.items() if i in self._quarantine}
        self._replan()
        return True

    async def _find_guilty(
        self,
        ask: Ask,
        indexes: Sequence[int],
        why: Refused,
        column: Column,
        guilty: dict[int, Refused],
    ) -> bool:
        """Halve points whose request is refused; return whether any of them are granted."""
        if len(indexes) == 1:
            guilty[indexes[0]] = why
            return False
        granted = False
        middle = len(indexes) // 2
        for half in (indexes[:middle], indexes[middle:]):
            plan = plan_reads(self.points, self._limits, indexes=half, tight=self._tight)
            told = await ask([each for _, each in _Compiled(plan, self.points).requests])
            column.requests += len(told)
            refusal = next((each for each in told if isinstance(each, Refused)), None)
            if refusal is None:
                granted = True
            else:
                granted |= await self._find_guilty(ask, half, refusal, column, guilty)
        return granted

    def _learn(self, refused: _Refusals) -> None:
        """Ask for less at once, since parts are granted of what is refused together."""
        compiled = self._compiled
        owners = {item.owner for number in refused.whole for item in compiled.requests[number][0]}
        blocks = [compiled.plan.blocks[owner] for owner in owners]
        gaps = {(b.area, b.block) for b in blocks if has_gaps(b, self.points)}
        if gaps - self._tight:
            self._tight |= gaps
            _log.info("s7_gaps_refused", device=self._device, areas=len(gaps))
            return
        self._most_bytes = max(_SMALLEST_PDU, self._most_bytes // 2)
        _log.warning("s7_smaller_requests", device=self._device, most_bytes=self._most_bytes)

    async def _retry(self, ask: Ask, due: Sequence[int], column: Column, now: float) -> None:
        """Try quarantined tags whose time has come."""
        by_itself = [index for index in due if self._quarantine[index].by_itself]
        for some in ([i for i in due if i not in by_itself], *([i] for i in by_itself)):
            alone = plan_alone(self.points, some, self._limits)
            await self._run(ask, _Compiled(alone, self.points), column)
        released = [i for i in due if i not in column.bad]
        for index in due:
            quarantine = self._quarantine[index]
            quarantine.patience_s = min(2 * quarantine.patience_s, LAST_RETRY_S)
            quarantine.retry_at = now + quarantine.patience_s
            if index in column.bad:
                column.bad[index] = quarantine.reason
        for index in released:
            del self._quarantine[index]
            _log.info("s7_tag_released", device=self._device, tag=self.points[index].name)
        if released:
            for other in self._quarantine.values():
                other.retry_at = now  # what released these may have released all
            self._replan()

    @property
    def _limits(self) -> Limits:
        return Limits(self._most_bytes, self._max_gap)

    def _replan(self) -> None:
        indexes = [i for i in range(len(self.points)) if i not in self._quarantine]
        plan = plan_reads(self.points, self._limits, indexes=indexes, tight=self._tight)
        self._compiled = _Compiled(plan, self.points)
