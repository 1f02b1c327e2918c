"""Any set of points and any message size give a plan that is complete, legal and short."""

from hypothesis import given
from hypothesis import strategies as st

from edge_node.drivers.s7.address import Address, Area
from edge_node.drivers.s7.decode import BlockDecoder
from edge_node.drivers.s7.plan import MOST_ITEMS, Limits, Plan, plan_alone, plan_reads
from edge_node.drivers.s7.points import Point, size_of, stride_of
from edge_node.drivers.s7.values import LAYOUTS
from proto.control.s7 import S7Datatype


@st.composite
def points(draw: st.DrawFn) -> Point:
    area = draw(st.sampled_from([Area.DB, Area.MEMORY, Area.TIMER]))
    block = draw(st.integers(1, 2)) if area is Area.DB else 0
    byte = draw(st.integers(0, 400))
    if area is Area.TIMER:
        count = draw(st.none() | st.integers(1, 20))
        return Point("p", Address(area, 0, byte), "s5time", 2 * byte, 2 * (count or 1), count=count)
    names: list[S7Datatype] = [*LAYOUTS, "bool", "string", "wstring"]
    datatype = draw(st.sampled_from(names))
    length = draw(st.integers(1, 254)) if datatype in {"string", "wstring"} else 0
    bit = draw(st.integers(0, 7)) if datatype == "bool" else None
    size = size_of(datatype, length)
    count = draw(st.none() | st.integers(1, 120))
    if count is not None and bit is not None:
        size = (bit + count + 7) // 8
    elif count is not None:
        size += stride_of(datatype, length) * (count - 1)
    return Point("p", Address(area, block, byte, bit), datatype, byte, size, length, count=count)


limits = st.builds(Limits, pdu=st.integers(112, 960), max_gap=st.integers(0, 64))
many = st.lists(points(), max_size=60)


def check_complete(plan: Plan, some: list[Point], limit: Limits) -> None:
    assert sorted(i for block in plan.blocks for i in block.indexes) == list(range(len(some)))
    read = [0] * len(plan.blocks)
    for request in plan.requests:
        assert 1 <= len(request) <= MOST_ITEMS
        assert 14 + 12 * len(request) <= limit.pdu
        assert 14 + sum(4 + item.size + item.size % 2 for item in request) <= limit.pdu
        for item in request:
            block = plan.blocks[item.owner]
            assert item.start == block.start + read[item.owner]
            read[item.owner] += item.size
    assert read == [block.size for block in plan.blocks]
    for block in plan.blocks:
        for i in block.indexes:
            assert some[i].place == (block.area, block.block)
            assert block.start <= some[i].start
            assert some[i].end <= block.start + block.size


@given(many, limits)
def test_each_point_is_read_exactly_once_within_the_message(
    some: list[Point], limit: Limits
) -> None:
    check_complete(plan_reads(some, limit), some, limit)
    check_complete(plan_alone(some, range(len(some)), limit), some, limit)


@given(many, limits)
def test_no_plan_needs_more_requests_than_the_greedy_bound(
    some: list[Point], limit: Limits
) -> None:
    plan = plan_reads(some, limit)
    assert len(plan.requests) <= greedy_bound(some, limit)
    for one, other in zip(plan.requests, plan.requests[1:], strict=False):
        together = [*one, other[0]]
        assert (
            len(together) > MOST_ITEMS
            or 14 + 12 * len(together) > limit.pdu
            or 14 + sum(4 + item.size + item.size % 2 for item in together) > limit.pdu
        )


def greedy_bound(some: list[Point], limit: Limits) -> int:
    """Count requests the plain way: every tag a variable, messages filled one after the other."""
    requests, items, size = 0, MOST_ITEMS, 0
    for point in sorted(some, key=lambda p: (p.place, p.start, p.end)):
        left = point.size
        while left:
            piece = min(left, limit.longest_item)
            left -= piece
            cost = 4 + piece + piece % 2
            if (
                items == MOST_ITEMS
                or 14 + 12 * (items + 1) > limit.pdu
                or 14 + size + cost > limit.pdu
            ):
                requests, items, size = requests + 1, 0, 0
            items, size = items + 1, size + cost
    return requests


@given(many, limits)
def test_a_place_without_gaps_is_read_without_gaps(some: list[Point], limit: Limits) -> None:
    plan = plan_reads(some, limit, tight={point.place for point in some})
    for block in plan.blocks:
        used = {b for i in block.indexes for b in range(some[i].start, some[i].end)}
        assert len(used) == block.size


@given(st.lists(points(), min_size=1, max_size=40), limits)
def test_a_decoder_yields_every_point_of_its_block(some: list[Point], limit: Limits) -> None:
    for block in plan_reads(some, limit).blocks:
        decoder = BlockDecoder(block, some)
        assert sorted(decoder.order) == sorted(block.indexes)
        values = decoder(bytes(block.size))
        assert len(values) == len(block.indexes)
        for index, value in zip(decoder.order, values, strict=True):
            if isinstance(value, list):
                assert len(value) == some[index].count
            else:
                assert value is None or some[index].count is None
