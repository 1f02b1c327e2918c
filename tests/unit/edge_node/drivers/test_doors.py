"""Connections to one server are counted, and limited where a device says so."""

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from edge_node.drivers.base import CannotConnect
from edge_node.drivers.doors import Doors

pytestmark = pytest.mark.trio


async def test_no_more_connections_are_opened_than_the_device_allows() -> None:
    doors = Doors()
    first, second, third = (doors.make("plc", 102, 2) for _ in range(3))
    await first.enter(1)
    await second.enter(1)
    with pytest.raises(CannotConnect, match=r"plc:102 has 2 connections .* max_connections, 2"):
        await third.enter(0)
    first.leave()
    first.leave()  # closing twice frees one place only
    await third.enter(0)
    with pytest.raises(CannotConnect):
        await first.enter(0)


async def test_a_door_that_was_entered_is_not_counted_twice() -> None:
    doors = Doors()
    door, other = doors.make("plc", 102, 2), doors.make("plc", 102, 2)
    await door.enter(0)
    await door.enter(0)
    await other.enter(0)


async def test_who_waits_is_let_in_by_order_as_soon_as_a_place_is_free(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    doors = Doors()
    holder = doors.make("plc", 102, 1)
    await holder.enter(0)
    order: list[str] = []

    async def wait(name: str) -> None:
        await doors.make("PLC", 102, 1).enter(60)
        order.append(name)

    for name in ("first", "second"):
        nursery.start_soon(wait, name)
        await wait_all_tasks_blocked()
    assert order == []
    holder.leave()
    await wait_all_tasks_blocked()
    assert order == ["first"]
    nursery.cancel_scope.cancel()


async def test_another_port_and_a_device_without_limit_do_not_wait() -> None:
    doors = Doors()
    await doors.make("plc", 102, 1).enter(0)
    await doors.make("plc", 103, 1).enter(0)
    await doors.make("plc", 102).enter(0)
    with pytest.raises(CannotConnect, match="has 2 connections"):  # those without limit count too
        await doors.make("plc", 102, 2).enter(0)


async def test_a_wait_that_is_cancelled_or_too_long_takes_no_place(
    autojump_clock: MockClock,
) -> None:
    doors = Doors()
    holder, late = doors.make("plc", 102, 1), doors.make("plc", 102, 1)
    await holder.enter(0)
    with trio.move_on_after(1):
        await late.enter(60)
    with pytest.raises(CannotConnect):
        await late.enter(1)
    holder.leave()
    await doors.make("plc", 102, 1).enter(0)
