"""Which requests read a set of points: adjacent addresses merged within the device's limits.

Pure: points in, blocks out. Learned limits and refused addresses are arguments.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from edge_node.drivers.modbus.address import Table
from edge_node.drivers.modbus.points import Point

Refused = Collection[tuple[Table, int]]
"""Addresses that the device is known to refuse, so that no request reads along them."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one request may ask of a device.

    Attributes:
        one_each: a request reads one point only.
        from_zero: every request begins at address 0.
    """

    max_registers: int = 125
    max_bits: int = 2000
    max_gap: int = 8
    one_each: bool = False
    from_zero: bool = False

    def most(self, table: Table) -> int:
        """Return how many addresses of a table one request may read."""
        return self.max_bits if table.is_bits else self.max_registers


@dataclass(frozen=True, slots=True)
class Block:
    """One read request.

    Attributes:
        indexes: which of the planned points it covers, in address order.
    """

    table: Table
    start: int
    count: int
    indexes: tuple[int, ...]

    @property
    def end(self) -> int:
        """The address after the last."""
        return self.start + self.count

    def __str__(self) -> str:
        """Return what is read, for messages."""
        last = f"..{self.end - 1}" if self.count > 1 else ""
        return f"{self.table}:{self.start}{last}"


def plan_reads(
    points: Sequence[Point],
    limits: Limits,
    *,
    indexes: Collection[int] | None = None,
    refused: Refused = frozenset(),
) -> list[Block]:
    """Cover points with as few requests as the limits allow.

    A request starts at the first point not yet covered and takes every following point that fits;
    for intervals in address order no other choice needs fewer requests.

    Args:
        points: what there is to read.
        limits: of the device.
        indexes: which of the points to read; all when absent.
        refused: addresses not to read along in a gap.
    """
    chosen = range(len(points)) if indexes is None else indexes
    ordered = sorted(chosen, key=lambda i: (points[i].table, points[i].start, points[i].end))
    blocks: list[Block] = []
    members: list[int] = []
    table, start, end = Table.COIL, 0, 0
    for index in ordered:
        point = points[index]
        if (
            members
            and not limits.one_each
            and point.table is table
            and max(end, point.end) - start <= limits.most(table)
            and (limits.from_zero or _bridges(table, end, point.start, limits, refused))
        ):
            members.append(index)
            end = max(end, point.end)
            continue
        if members:
            blocks.append(Block(table, start, end - start, tuple(members)))
        members, table, end = [index], point.table, point.end
        start = 0 if limits.from_zero else point.start
    if members:
        blocks.append(Block(table, start, end - start, tuple(members)))
    return blocks


def split_block(
    block: Block, points: Sequence[Point], limits: Limits
) -> tuple[Block, Block] | None:
    """Halve a block by its points, or return nothing when it has only one."""
    if len(block.indexes) < 2:  # a half needs a point
        return None
    middle = len(block.indexes) // 2
    return (
        _around(block.table, block.indexes[:middle], points, limits),
        _around(block.table, block.indexes[middle:], points, limits),
    )


def gaps_of(block: Block, points: Sequence[Point]) -> list[tuple[Table, int]]:
    """Return the addresses that a block reads along without any point being there."""
    used = {a for i in block.indexes for a in range(points[i].start, points[i].end)}
    return [(block.table, a) for a in range(block.start, block.end) if a not in used]


def _around(
    table: Table, indexes: tuple[int, ...], points: Sequence[Point], limits: Limits
) -> Block:
    start = 0 if limits.from_zero else min(points[i].start for i in indexes)
    end = max(points[i].end for i in indexes)
    return Block(table, start, end - start, indexes)


def _bridges(table: Table, end: int, start: int, limits: Limits, refused: Refused) -> bool:
    """Whether a request may read along from ``end`` to ``start``."""
    return start - end <= limits.max_gap and not (
        refused and any((table, address) in refused for address in range(end, start))
    )
