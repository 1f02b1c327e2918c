from collections.abc import Sequence

import pytest

from deploy.local.plant.loopback import MemoryUnit
from deploy.local.plant.slave import Slave
from edge_node.drivers.modbus.address import Table
from edge_node.drivers.modbus.codec import Answer, TcpCodec
from edge_node.drivers.modbus.plan import Limits
from edge_node.drivers.modbus.points import Point
from edge_node.drivers.modbus.reader import (
    FIRST_RETRY_S,
    LAST_RETRY_S,
    Column,
    GroupReader,
    Learned,
)

pytestmark = pytest.mark.trio


class Reading:
    """A group of registers and the unit that has them."""

    def __init__(self, addresses: Sequence[int], limits: Limits | None = None) -> None:
        self.unit = MemoryUnit()
        self.asked: list[tuple[int, int]] = []
        self.learned = Learned(limits or Limits())
        points = [Point(f"w{at}", Table.HOLDING, at, 1, "uint16") for at in addresses]
        self.reader = GroupReader("press-1", points, self.learned)

    async def _ask(self, requests: Sequence[bytes]) -> list[Answer]:
        codec, slave = TcpCodec(), Slave({1: self.unit})
        answers: list[Answer] = []
        for request in requests:
            self.asked.append(
                (int.from_bytes(request[1:3], "big"), int.from_bytes(request[3:5], "big"))
            )
            answers += codec.feed(slave.receive(codec.frame(request, 1, 1)))
        return answers

    async def poll(self, now: float = 0.0) -> Column:
        self.asked.clear()
        column = await self.reader.read(self._ask, now)
        assert column.requests == len(self.asked)
        return column

    def bad(self, column: Column) -> set[str]:
        return {self.reader.points[i].name for i in column.bad}


@pytest.mark.complaint("illegal-address")
async def test_an_illegal_address_does_not_break_collection() -> None:
    reading = Reading(range(100))
    reading.unit.missing.add(41)
    first = await reading.poll()
    assert reading.bad(first) == {"w41"}
    assert first.bad[41] == "holding:41: illegal data address (exception 2)"
    assert first.values.count(None) == 1
    # fifteen or so to find it, two from then on
    assert first.requests <= 1 + 2 * 7
    second = await reading.poll()
    assert reading.asked == [(0, 41), (42, 58)]
    assert reading.bad(second) == {"w41"}
    assert [reading.reader.points[i].name for i in reading.reader.quarantined] == ["w41"]


async def test_several_illegal_addresses_are_isolated_together() -> None:
    reading = Reading(range(50))
    reading.unit.missing |= {0, 7, 8, 49}
    assert reading.bad(await reading.poll()) == {"w0", "w7", "w8", "w49"}
    await reading.poll()
    assert reading.asked == [(1, 6), (9, 40)]


async def test_a_quarantined_tag_is_tried_again_rarely_and_ever_more_rarely() -> None:
    reading = Reading(range(3))
    reading.unit.missing.add(1)
    await reading.poll(0)
    tried = []
    for now in range(1, 4000):
        await reading.poll(now)
        if (1, 1) in reading.asked:
            tried.append(now)
    assert tried[:3] == [FIRST_RETRY_S, 3 * FIRST_RETRY_S, 7 * FIRST_RETRY_S]
    assert tried[-1] - tried[-2] == LAST_RETRY_S


async def test_what_is_released_is_read_with_its_neighbours_again() -> None:
    reading = Reading(range(10))
    reading.unit.missing |= {3, 4, 5}
    await reading.poll(0)
    reading.unit.missing.clear()
    reading.unit.registers[4] = 44
    column = await reading.poll(FIRST_RETRY_S)
    assert column.bad == {}
    assert column.values[4] == 44
    await reading.poll(FIRST_RETRY_S + 1)
    assert reading.asked == [(0, 10)]


async def test_a_gap_that_may_not_be_read_is_read_around() -> None:
    reading = Reading([0, 1, 5, 6])
    reading.unit.missing |= {2, 3}
    column = await reading.poll()
    assert column.bad == {}
    await reading.poll()
    assert reading.asked == [(0, 2), (5, 2)]


@pytest.mark.parametrize("exception", [2, 3])
@pytest.mark.complaint("largest-request")
async def test_devices_that_refuse_125_register_reads_are_read_in_smaller_ones(
    exception: int,
) -> None:
    reading = Reading(range(250))
    reading.unit.most = 100
    reading.unit.size_exception = exception
    column = await reading.poll()
    assert column.bad == {}
    assert None not in column.values
    await reading.poll()
    assert reading.asked == [(0, 100), (100, 100), (200, 50)]
    assert reading.learned.limits.max_registers == 100


async def test_a_device_that_refuses_everything_is_not_taken_apart_at_every_poll() -> None:
    """A stopped PLC refuses all it has, for a while."""
    reading = Reading(range(20))
    reading.unit.missing |= set(range(20))
    column = await reading.poll(0)
    assert len(column.bad) == 20
    assert column.requests == 1 + 2 * 19
    column = await reading.poll(1)
    assert (len(column.bad), column.requests) == (20, 1)
    reading.unit.missing.clear()
    assert (await reading.poll(2)).bad == {}


async def test_nothing_is_concluded_when_something_else_goes_wrong_while_isolating() -> None:
    reading = Reading(range(8))
    reading.unit.missing.add(2)
    honest = reading.unit.read

    def busy_when_halved(function: int, start: int, count: int) -> bytes | int:
        return 6 if count == 4 and start == 4 else honest(function, start, count)

    reading.unit.read = busy_when_halved  # type: ignore[method-assign]
    column = await reading.poll(0)
    assert reading.bad(column) == {"w2", "w4", "w5", "w6", "w7"}
    assert not reading.reader.quarantined
    del reading.unit.read
    assert reading.bad(await reading.poll(FIRST_RETRY_S)) == {"w2"}


async def test_values_follow_the_order_of_the_points_whatever_the_document_said() -> None:
    reading = Reading([7, 3, 900, 5])
    for at in (3, 5, 7, 900):
        reading.unit.registers[at] = at
    column = await reading.poll()
    assert {p.name: v for p, v in zip(reading.reader.points, column.values, strict=True)} == {
        "w3": 3,
        "w5": 5,
        "w7": 7,
        "w900": 900,
    }
