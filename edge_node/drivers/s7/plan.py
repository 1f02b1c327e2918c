"""Which requests read a set of points: neighbours merged into blocks, blocks packed into messages.

Pure: points and limits in, requests out. A block longer than a message holds is read in pieces.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from edge_node.drivers.s7.address import Area
from edge_node.drivers.s7.points import Point

MOST_ITEMS: Final = 20
"""Variables in one read request, whatever the message's size."""
_REQUEST_HEAD: Final = 12
_REQUEST_ITEM: Final = 12
_ANSWER_HEAD: Final = 14
_ANSWER_ITEM: Final = 4
_FUNCTION: Final = 2

Place = tuple[Area, int]


@dataclass(frozen=True, slots=True)
class Limits:
    """What one request may ask of a CPU.

    Attributes:
        pdu: negotiated message size in bytes.
        max_gap: unused bytes that are read along.
    """

    pdu: int = 240
    max_gap: int = 16

    @property
    def longest_item(self) -> int:
        """Most bytes of one variable."""
        return (self.pdu - _ANSWER_HEAD - _ANSWER_ITEM) & ~1


@dataclass(frozen=True, slots=True)
class Block:
    """Consecutive bytes that hold points.

    Attributes:
        indexes: which of the planned points it covers, in address order.
    """

    area: Area
    block: int
    start: int
    size: int
    indexes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Item:
    """One variable of a read request: a block, or a piece of it.

    Attributes:
        owner: index of its block.
        start: first byte.
    """

    owner: int
    start: int
    size: int


@dataclass(frozen=True, slots=True)
class Plan:
    """How to read a set of points."""

    blocks: tuple[Block, ...]
    requests: tuple[tuple[Item, ...], ...]


def plan_reads(
    points: Sequence[Point],
    limits: Limits,
    *,
    indexes: Collection[int] | None = None,
    tight: Collection[Place] = frozenset(),
) -> Plan:
    """Cover points with few requests.

    Merging saves items, and gaps cost bytes, so that neither always wins: the plans with gaps,
    without gaps and without merging are compared.

    Args:
        points: what there is to read.
        limits: of the CPU.
        indexes: which of the points to read; all when absent.
        tight: where no gap may be read along.
    """
    chosen = range(len(points)) if indexes is None else indexes
    ordered = sorted(chosen, key=lambda i: (points[i].place, points[i].start, points[i].end))
    plans = [
        _pack(_merge(points, ordered, limits, gap, tight), limits)
        for gap in (limits.max_gap, 0, None)
    ]
    return min(plans, key=lambda plan: (len(plan.requests), len(plan.blocks)))


def has_gaps(block: Block, points: Sequence[Point]) -> bool:
    """Whether a block reads bytes along that no point has."""
    end = block.start
    for index in block.indexes:
        if points[index].start > end:
            return True
        end = max(end, points[index].end)
    return False


def plan_alone(points: Sequence[Point], indexes: Collection[int], limits: Limits) -> Plan:
    """Read each point as a variable of its own, so that each has its own status."""
    return _pack(_merge(points, list(indexes), limits, None, ()), limits)


def _merge(
    points: Sequence[Point],
    ordered: Sequence[int],
    limits: Limits,
    gap: int | None,
    tight: Collection[Place],
) -> list[Block]:
    blocks: list[Block] = []
    members: list[int] = []
    place: Place = (Area.DB, 0)
    start = end = 0
    for index in ordered:
        point = points[index]
        if (
            members
            and gap is not None
            and point.place == place
            and point.start - end <= (0 if place in tight else gap)
            and max(end, point.end) - start <= limits.longest_item
        ):
            members.append(index)
            end = max(end, point.end)
            continue
        if members:
            blocks.append(Block(*place, start, end - start, tuple(members)))
        members, place, start, end = [index], point.place, point.start, point.end
    if members:
        blocks.append(Block(*place, start, end - start, tuple(members)))
    return blocks


def _pack(blocks: Sequence[Block], limits: Limits) -> Plan:
    requests: list[tuple[Item, ...]] = []
    items: list[Item] = []
    sent, received = _REQUEST_HEAD + _FUNCTION, _ANSWER_HEAD
    for owner, block in enumerate(blocks):
        for start in range(block.start, block.start + block.size, limits.longest_item):
            size = min(limits.longest_item, block.start + block.size - start)
            answer = _ANSWER_ITEM + size + size % 2
            if items and (
                len(items) == MOST_ITEMS
                or sent + _REQUEST_ITEM > limits.pdu
                or received + answer > limits.pdu
            ):
                requests.append(tuple(items))
                items, sent, received = [], _REQUEST_HEAD + _FUNCTION, _ANSWER_HEAD
            items.append(Item(owner, start, size))
            sent += _REQUEST_ITEM
            received += answer
    if items:
        requests.append(tuple(items))
    return Plan(tuple(blocks), tuple(requests))
