import pytest
import trio
from trio.testing import MockClock

from edge_node.drivers.base import Changes, DeviceUnreachable
from edge_node.drivers.opcua.inbox import Inbox

pytestmark = pytest.mark.trio

GOOD = 192


async def test_changes_are_taken_together_in_the_order_they_came() -> None:
    inbox = Inbox(["a", "b"])
    inbox.add("a", 0, 1.5, (10, GOOD))
    inbox.add("b", 3, "x", (11, 0))
    inbox.add("a", 0, 2.5, (12, GOOD))
    inbox.bad("b")[3] = "BadSensorFailure"
    inbox.tell()
    assert await inbox.wait() == [
        Changes("a", [0, 0], [1.5, 2.5], [(10, GOOD), (12, GOOD)], {}),
        Changes("b", [3], ["x"], [(11, 0)], {3: "BadSensorFailure"}),
    ]


@pytest.mark.complaint("opcua-memory")
async def test_tb_1444_what_nobody_takes_is_bounded_and_what_is_dropped_is_counted() -> None:
    inbox = Inbox(["a"], limit=100)
    for number in range(1000):
        inbox.add("a", 0, number, (number, GOOD))
        inbox.tell()
    [changes] = await inbox.wait()
    assert changes.values == list(range(900, 1000))
    assert changes.dropped == 900


async def test_waiting_can_be_given_up_without_losing_anything(autojump_clock: MockClock) -> None:
    inbox = Inbox(["a"])
    with trio.move_on_after(5):
        await inbox.wait()
    inbox.add("a", 0, 1, (1, GOOD))
    inbox.tell()
    [changes] = await inbox.wait()
    assert changes.values == [1]


async def test_a_failure_reaches_whoever_waits_and_the_first_one_counts() -> None:
    inbox = Inbox(["a"])
    inbox.fail(DeviceUnreachable("first"))
    inbox.fail(DeviceUnreachable("second"))
    for _ in range(2):
        with pytest.raises(DeviceUnreachable, match="first"):
            await inbox.wait()
