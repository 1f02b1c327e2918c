"""Any set of points and limits gives a plan that is complete, legal and short."""

import math

from hypothesis import given
from hypothesis import strategies as st

from edge_node.drivers.modbus.address import Table
from edge_node.drivers.modbus.decode import BlockDecoder
from edge_node.drivers.modbus.encode import encode_registers
from edge_node.drivers.modbus.plan import Block, Limits, gaps_of, plan_reads, split_block
from edge_node.drivers.modbus.points import Point, registers_of
from proto.control.modbus import ModbusDatatype, WordOrder

NUMBERS: list[ModbusDatatype] = [
    "int16",
    "uint16",
    "int32",
    "uint32",
    "int64",
    "uint64",
    "float32",
    "float64",
]
ORDERS: list[WordOrder] = ["big", "little", "big-swapped", "little-swapped"]


@st.composite
def points(draw: st.DrawFn) -> Point:
    table = draw(st.sampled_from(list(Table)))
    start = draw(st.integers(0, 300))
    if table.is_bits:
        return Point("p", table, start, 1, "bool")
    others: list[ModbusDatatype] = ["bool", "string", "bcd16", "bcd32"]
    datatype = draw(st.sampled_from(NUMBERS + others))
    length = draw(st.integers(1, 16)) if datatype == "string" else 0
    return Point(
        "p",
        table,
        start,
        registers_of(datatype, length),
        datatype,
        draw(st.sampled_from(ORDERS)),
        draw(st.integers(0, 15)) if datatype == "bool" else None,
        length,
    )


limits = st.builds(
    Limits,
    max_registers=st.integers(8, 125),
    max_bits=st.integers(1, 2000),
    max_gap=st.integers(0, 40),
)
strange_limits = st.builds(
    Limits,
    max_registers=st.just(125),
    max_bits=st.just(2000),
    one_each=st.booleans(),
    from_zero=st.just(True),
)
refused = st.frozensets(st.tuples(st.sampled_from(list(Table)), st.integers(0, 300)), max_size=5)


@given(st.lists(points(), max_size=60), limits, refused)
def test_each_point_is_read_exactly_once_within_the_limits(
    some: list[Point], limit: Limits, never: frozenset[tuple[Table, int]]
) -> None:
    blocks = plan_reads(some, limit, refused=never)
    assert sorted(i for block in blocks for i in block.indexes) == list(range(len(some)))
    for block in blocks:
        assert 1 <= block.count <= limit.most(block.table)
        for i in block.indexes:
            assert some[i].table is block.table
            assert block.start <= some[i].start
            assert some[i].end <= block.end
        assert not never.intersection(gaps_of(block, some))


@given(st.lists(points(), max_size=60), strange_limits)
def test_reads_from_zero_and_one_for_each_tag_cover_each_point_once(
    some: list[Point], limit: Limits
) -> None:
    near = [point for point in some if point.end <= 125]
    blocks = plan_reads(near, limit)
    assert sorted(i for block in blocks for i in block.indexes) == list(range(len(near)))
    for block in blocks:
        assert block.start == 0
        assert block.count <= limit.most(block.table)
        assert len(block.indexes) == 1 or not limit.one_each
    if not limit.one_each:
        assert len(blocks) == len({point.table for point in near})


@given(st.lists(points(), max_size=60), limits)
def test_no_plan_needs_more_requests_than_the_greedy_bound(
    some: list[Point], limit: Limits
) -> None:
    blocks = plan_reads(some, limit)
    assert len(blocks) <= greedy_bound(some, limit)


def greedy_bound(some: list[Point], limit: Limits) -> int:
    """Count requests the plain way: islands between large gaps, each cut from its left."""
    count = 0
    for table in Table:
        left = [p for p in some if p.table is table]
        while left:
            start = min(p.start for p in left)
            reach = start
            # grow the request as far as gaps and size allow
            while grown := [
                p.end
                for p in left
                if p.start <= reach + limit.max_gap and reach < p.end <= start + limit.most(table)
            ]:
                reach = max(grown)
            left = [p for p in left if p.end > reach]
            count += 1
    return count


@given(st.lists(points(), min_size=1, max_size=30), limits)
def test_halves_of_a_block_hold_its_points_and_nothing_else(
    some: list[Point], limit: Limits
) -> None:
    for block in plan_reads(some, limit):
        halves = split_block(block, some, limit)
        if halves is None:
            assert len(block.indexes) == 1
            continue
        assert halves[0].indexes + halves[1].indexes == block.indexes
        for half in halves:
            assert half.indexes
            assert block.start <= half.start <= half.end <= block.end


@given(st.lists(points(), min_size=1, max_size=40), limits)
def test_a_decoder_yields_every_point_of_its_block(some: list[Point], limit: Limits) -> None:
    for block in plan_reads(some, limit):
        decoder = BlockDecoder(block, some)
        assert sorted(decoder.order) == sorted(block.indexes)
        assert len(decoder(bytes(decoder.size))) == len(block.indexes)


@given(
    st.sampled_from(NUMBERS),
    st.sampled_from(ORDERS),
    st.data(),
    st.integers(0, 5),
)
def test_what_is_written_is_what_is_read(
    datatype: ModbusDatatype, order: WordOrder, data: st.DataObject, gap: int
) -> None:
    point = Point("p", Table.HOLDING, gap, registers_of(datatype), datatype, order)
    if datatype.startswith("float"):
        width = int(datatype[5:])
        value: float = data.draw(
            st.floats(allow_nan=False, allow_infinity=False, width=32 if width == 32 else 64)
        )
    else:
        bits = 16 * point.count
        low = 0 if datatype.startswith("u") else -(2 ** (bits - 1))
        value = data.draw(st.integers(low, low + 2**bits - 1))
    wire = encode_registers(point, value)
    block = Block(Table.HOLDING, 0, point.end, (0,))
    (back,) = BlockDecoder(block, [point])(bytes(2 * gap) + wire)
    assert isinstance(back, int | float)
    assert back == value
    assert math.copysign(1, float(value)) == math.copysign(1, float(back))
