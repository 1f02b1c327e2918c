from collections.abc import Iterable
from typing import Any

import pytest
import trio
import trio.testing

from deploy.local.plant.loopback import Loopback, MemoryUnit, Outcome
from edge_node.drivers.base import (
    DeviceUnreachable,
    OpcQuality,
    PollResult,
    Reason,
    RequestRejected,
)
from edge_node.drivers.modbus.driver import ModbusDriver
from edge_node.drivers.modbus.lines import Lines
from proto.control.modbus import ModbusDevice

pytestmark = pytest.mark.trio


class Bench:
    """A unit in memory, and drivers that reach it."""

    def __init__(self) -> None:
        self.unit = MemoryUnit()
        self.server = Loopback({1: self.unit})
        self.lines = Lines(self.server.connect)

    def driver(
        self, *tags: dict[str, Any], groups: Iterable[str] = ("g",), **connection: Any
    ) -> ModbusDriver:
        return ModbusDriver(
            ModbusDevice.model_validate(
                {
                    "name": "press-1",
                    "driver": "modbus",
                    "connection": {"host": "plc", **connection},
                    "poll_groups": [{"name": name} for name in groups],
                    "tags": tags,
                }
            ),
            self.lines,
        )

    @property
    def reads(self) -> list[tuple[int, int, int]]:
        """Function, start and count of the reads so far; forgets them."""
        reads = [
            (pdu[0], int.from_bytes(pdu[1:3], "big"), int.from_bytes(pdu[3:5], "big"))
            for _, pdu in self.server.requests
        ]
        self.server.requests.clear()
        return reads


@pytest.fixture
def bench() -> Bench:
    return Bench()


def words(first: int, count: int, **more: Any) -> list[dict[str, Any]]:
    return [
        {"name": f"w{at}", "address": f"holding:{at}", "datatype": "uint16", **more}
        for at in range(first, first + count)
    ]


def named(driver: ModbusDriver, result: PollResult, group: str = "g") -> dict[str, Any]:
    names = [tag.name for tag in driver.groups[group]]
    values: dict[str, Any] = dict(zip(names, result.values, strict=True))
    for index in result.bad:
        assert result.values[index] is None
    return values


def bad(driver: ModbusDriver, result: PollResult, group: str = "g") -> dict[str, str]:
    return {driver.groups[group][index].name: reason for index, reason in result.bad.items()}


async def test_a_poll_reads_every_table_in_few_requests(bench: Bench) -> None:
    bench.unit.registers[10:14] = [1, 2, 3, 0xFFFF]
    bench.unit.coils[5] = True
    driver = bench.driver(
        {"name": "late", "address": "holding:13", "datatype": "int16"},
        {"name": "both", "address": "holding:10", "datatype": "uint32"},
        {"name": "in", "address": "input:11", "datatype": "uint16"},
        {"name": "on", "address": "coil:5", "datatype": "bool"},
        {"name": "off", "address": "discrete:6", "datatype": "bool"},
    )
    await driver.open()
    result = await driver.read("g")
    assert named(driver, result) == {
        "both": 0x00010002,
        "late": -1,
        "in": 2,
        "on": True,
        "off": False,
    }
    assert result.bad == {}
    assert result.requests == 4
    assert sorted(bench.reads) == [(1, 5, 1), (2, 6, 1), (3, 10, 4), (4, 11, 1)]
    assert result.timestamp_ms > 1_700_000_000_000
    await driver.aclose()


@pytest.mark.complaint("request-each")
async def test_registers_side_by_side_do_not_take_one_request_each(bench: Bench) -> None:
    driver = bench.driver(*words(0, 100), *words(104, 20))
    await driver.open()
    assert (await driver.read("g")).requests == 1
    assert bench.reads == [(3, 0, 124)]


async def test_groups_are_polled_apart(bench: Bench) -> None:
    driver = bench.driver(*words(0, 2), *words(4, 1, poll_group="slow"), groups=("g", "slow"))
    await driver.open()
    assert named(driver, await driver.read("slow"), "slow") == {"w4": 0}
    assert bench.reads == [(3, 4, 1)]


async def test_a_server_that_refuses_is_unreachable_with_address_and_reason(bench: Bench) -> None:
    bench.server.refuse = True
    driver = bench.driver(*words(0, 1))
    with pytest.raises(DeviceUnreachable, match=r"^press-1: plc:502 cannot be reached: .*refused"):
        await driver.open()


async def test_reading_before_opening_is_an_error_and_not_a_crash(bench: Bench) -> None:
    driver = bench.driver(*words(0, 1))
    with pytest.raises(DeviceUnreachable, match="press-1: not connected"):
        await driver.read("g")


async def test_a_silent_unit_is_asked_once_more_and_then_unreachable(
    bench: Bench, autojump_clock: trio.testing.MockClock
) -> None:
    bench.server.outcome = lambda *_: []
    driver = bench.driver(*words(0, 1), timeout_s=2)
    await driver.open()
    began = trio.current_time()
    with pytest.raises(
        DeviceUnreachable, match="press-1: plc:502 unit 1 did not answer within 2 s"
    ):
        await driver.read("g")
    assert trio.current_time() - began == pytest.approx(4)
    assert len(bench.reads) == 2


async def test_a_lost_answer_costs_one_retry_and_keeps_the_connection(
    bench: Bench, autojump_clock: trio.testing.MockClock
) -> None:
    lost = iter([True])
    bench.server.outcome = lambda _unit, _pdu, answer: [] if next(lost, False) else [(0, answer)]
    driver = bench.driver(*words(0, 1))
    await driver.open()
    assert (await driver.read("g")).bad == {}
    assert bench.server.connects == 1


@pytest.mark.complaint("stale-transaction")
async def test_a_stale_modbus_transaction_id_after_a_timeout_is_dropped(
    bench: Bench, autojump_clock: trio.testing.MockClock
) -> None:
    """The answer to the first request comes while the second one waits for its own."""
    bench.unit.registers[0] = 1
    delays = iter([1.5, 0.8])

    def outcome(_unit: int, _pdu: bytes, answer: bytes) -> Outcome:
        bench.unit.registers[0] += 1
        return [(next(delays, 0.0), answer)]

    bench.server.outcome = outcome
    driver = bench.driver(*words(0, 1), timeout_s=1)
    await driver.open()
    assert named(driver, await driver.read("g")) == {"w0": 2}
    assert named(driver, await driver.read("g")) == {"w0": 3}
    assert bench.server.connects == 1


async def test_a_foreign_transaction_id_is_dropped(bench: Bench) -> None:
    bench.server.outcome = lambda _unit, _pdu, answer: [
        (0, bytes.fromhex("7777 0000 0005 01 03 02 dead")),
        (0, answer),
    ]
    driver = bench.driver(*words(0, 1))
    await driver.open()
    assert named(driver, await driver.read("g")) == {"w0": 0}


async def test_a_wrong_protocol_id_closes_the_connection(bench: Bench) -> None:
    bench.server.outcome = lambda _unit, _pdu, answer: [(0, answer[:2] + b"\0\7" + answer[4:])]
    driver = bench.driver(*words(0, 1))
    await driver.open()
    with pytest.raises(DeviceUnreachable, match="does not speak Modbus: protocol id is 7"):
        await driver.read("g")
    assert bench.server.wires[0].closed


async def test_a_closed_connection_is_unreachable_and_opens_again(bench: Bench) -> None:
    driver = bench.driver(*words(0, 1))
    await driver.open()
    bench.server.wires[0].hang_up()
    with pytest.raises(DeviceUnreachable, match="press-1: plc:502 closed the connection"):
        await driver.read("g")
    await driver.aclose()
    await driver.open()
    assert (await driver.read("g")).bad == {}
    bench.server.wires[1].cut()
    with pytest.raises(DeviceUnreachable, match="press-1: plc:502 lost the connection"):
        await driver.read("g")


async def test_a_server_that_hangs_up_while_idle_is_no_lost_device(
    bench: Bench, autojump_clock: trio.testing.MockClock
) -> None:
    """Many PLCs close what was not used for a minute; a slow poll then connects anew."""
    driver = bench.driver(*words(0, 1, writable=True))
    await driver.open()
    await driver.read("g")
    bench.server.wires[0].hang_up()
    await trio.sleep(300)
    assert (await driver.read("g")).bad == {}
    bench.server.wires[1].hang_up()
    await trio.sleep(300)
    await driver.write("w0", 5)
    assert bench.unit.registers[0] == 5
    assert bench.server.connects == 3


async def test_a_late_answer_that_came_while_idle_is_dropped(
    bench: Bench, autojump_clock: trio.testing.MockClock
) -> None:
    delays = iter([2.0, 2.0])
    bench.server.outcome = lambda _unit, _pdu, answer: [(next(delays, 0.0), answer)]
    driver = bench.driver(*words(0, 1))
    await driver.open()
    with pytest.raises(DeviceUnreachable):
        await driver.read("g")
    await trio.sleep(300)
    assert (await driver.read("g")).bad == {}
    assert bench.server.connects == 1


async def test_an_exception_makes_its_block_bad_only(bench: Bench) -> None:
    driver = bench.driver(*words(0, 2), *words(500, 1))

    def busy(_unit: int, pdu: bytes, answer: bytes) -> Outcome:
        if pdu[1:3] == b"\0\0":
            return [(0, answer[:5] + bytes.fromhex("03 01 83 06"))]
        return [(0, answer)]

    bench.server.outcome = busy
    await driver.open()
    result = await driver.read("g")
    assert bad(driver, result) == {
        "w0": "holding:0..1: server device busy (exception 6)",
        "w1": "holding:0..1: server device busy (exception 6)",
    }
    assert named(driver, result)["w500"] == 0
    assert result.requests == 2


@pytest.mark.parametrize(
    ("exception", "quality"),
    [
        (1, OpcQuality.CONFIG_ERROR),
        (2, OpcQuality.CONFIG_ERROR),
        (3, OpcQuality.CONFIG_ERROR),
        (4, OpcQuality.DEVICE_FAILURE),
        (6, OpcQuality.COMM_FAILURE),
        (8, OpcQuality.DEVICE_FAILURE),
        (99, OpcQuality.BAD),
    ],
)
async def test_every_refusal_has_its_reason_and_its_kind(
    bench: Bench, exception: int, quality: OpcQuality
) -> None:
    bench.unit.exception = exception
    driver = bench.driver(*words(0, 1))
    await driver.open()
    for _ in range(2):  # the second time from the quarantine, where there is one
        reason = (await driver.read("g")).bad[0]
        assert isinstance(reason, Reason)
        assert reason.quality == quality
        assert reason.startswith("holding:0: ")
        assert reason.endswith(f"(exception {exception})")


async def test_an_answer_of_the_wrong_size_makes_its_block_bad(bench: Bench) -> None:
    bench.server.outcome = lambda _unit, _pdu, answer: [
        (0, answer[:2] + bytes.fromhex("0000 0005 01 03 02 0001"))
    ]
    driver = bench.driver(*words(0, 2))
    await driver.open()
    result = await driver.read("g")
    assert bad(driver, result)["w0"] == "holding:0..1: answer has 2 bytes, expected 4"


async def test_a_gateway_that_cannot_reach_the_unit_makes_it_unreachable(bench: Bench) -> None:
    bench.unit.exception = 11
    driver = bench.driver(*words(0, 2))
    await driver.open()
    with pytest.raises(
        DeviceUnreachable, match="press-1: gateway: gateway target device failed to respond"
    ):
        await driver.read("g")


async def test_a_pause_is_kept_between_requests(
    bench: Bench, autojump_clock: trio.testing.MockClock
) -> None:
    driver = bench.driver(*words(0, 1), *words(100, 1), *words(200, 1), pause_s=0.25)
    await driver.open()
    began = trio.current_time()
    await driver.read("g")
    assert trio.current_time() - began == pytest.approx(0.5)


async def test_a_device_that_needs_time_after_connecting_gets_it(
    bench: Bench, autojump_clock: trio.testing.MockClock
) -> None:
    driver = bench.driver(*words(0, 1), connect_pause_s=2)
    await driver.open()
    assert trio.current_time() == pytest.approx(2)
    await driver.read("g")
    assert trio.current_time() == pytest.approx(2)


async def test_strange_devices_are_read_as_they_want_it(bench: Bench) -> None:
    bench.unit.registers[1:4] = [1, 2, 3]
    driver = bench.driver(*words(1, 3), one_request_per_tag=True)
    await driver.open()
    assert named(driver, await driver.read("g")) == {"w1": 1, "w2": 2, "w3": 3}
    assert bench.reads == [(3, 1, 1), (3, 2, 1), (3, 3, 1)]
    driver = bench.driver(*words(2, 1), *words(30, 1), reads_start_at_zero=True)
    await driver.open()
    assert named(driver, await driver.read("g")) == {"w2": 2, "w30": 0}
    assert bench.reads == [(3, 0, 31)]


async def test_digits_that_are_none_make_their_tag_bad(bench: Bench) -> None:
    bench.unit.registers[0:2] = [0x12A4, 0x0042]
    driver = bench.driver(
        {"name": "odd", "address": "holding:0", "datatype": "bcd16"},
        {"name": "good", "address": "holding:1", "datatype": "bcd16"},
    )
    await driver.open()
    result = await driver.read("g")
    assert named(driver, result) == {"odd": None, "good": 42}
    assert bad(driver, result) == {"odd": "holding:0: not decimal digits"}


async def test_several_requests_are_in_flight_where_that_is_allowed(
    bench: Bench, autojump_clock: trio.testing.MockClock
) -> None:
    bench.server.outcome = lambda _unit, pdu, answer: [(0.9 - pdu[2] / 1000, answer)]
    bench.unit.registers[200] = 7
    driver = bench.driver(*words(0, 1), *words(100, 1), *words(200, 1), max_in_flight=4)
    await driver.open()
    began = trio.current_time()
    result = await driver.read("g")
    assert named(driver, result) == {"w0": 0, "w100": 0, "w200": 7}
    assert trio.current_time() - began == pytest.approx(0.9)


async def test_closing_twice_and_unopened_does_no_harm(bench: Bench) -> None:
    driver = bench.driver(*words(0, 1))
    await driver.aclose()
    await driver.open()
    await driver.aclose()
    await driver.aclose()
    assert bench.server.wires[0].closed


async def test_a_cancelled_poll_leaves_the_line_usable(
    bench: Bench, autojump_clock: trio.testing.MockClock
) -> None:
    slow = iter([0.5])
    bench.server.outcome = lambda _unit, _pdu, answer: [(next(slow, 0.0), answer)]
    driver = bench.driver(*words(0, 1))
    await driver.open()
    with trio.move_on_after(0.1):
        await driver.read("g")
    assert (await driver.read("g")).bad == {}
    assert bench.server.connects == 1


async def test_units_behind_one_gateway_share_a_connection(
    bench: Bench, autojump_clock: trio.testing.MockClock
) -> None:
    bench.server.units[2] = MemoryUnit()
    bench.server.outcome = lambda _unit, _pdu, answer: [(0.1, answer)]
    first, second = bench.driver(*words(0, 1)), bench.driver(*words(0, 1), unit_id=2)
    await first.open()
    await second.open()
    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(first.read, "g")
        nursery.start_soon(second.read, "g")
    assert bench.server.connects == 1
    await first.aclose()
    assert not bench.server.wires[0].closed
    await second.aclose()
    assert bench.server.wires[0].closed


async def test_units_get_connections_of_their_own_when_told_so(bench: Bench) -> None:
    bench.server.units[2] = MemoryUnit()
    for unit_id in (1, 2):
        await bench.driver(*words(0, 1), unit_id=unit_id, shared=False).open()
    assert bench.server.connects == 2


def gateway(bench: Bench, dead: set[int], answers_s: float = 0.02) -> None:
    """Make the server a gateway: slow, and silent for dead units."""
    bench.server.units |= {unit_id: MemoryUnit() for unit_id in (2, 3)}
    bench.server.outcome = lambda unit, _pdu, answer: [] if unit in dead else [(answers_s, answer)]


async def slowest_poll(driver: ModbusDriver, seconds: float) -> float:
    """Poll ten times a second and return the longest that a poll took."""
    slowest = 0.0
    for _ in range(round(seconds * 10)):
        began = trio.current_time()
        assert (await driver.read("g")).bad == {}
        slowest = max(slowest, trio.current_time() - began)
        await trio.sleep_until(began + 0.1)
    return slowest


async def lose_again_and_again(driver: ModbusDriver) -> None:
    """Do what a supervisor does with a dead device, without its patience."""
    while True:
        await driver.open()
        with pytest.raises(DeviceUnreachable):
            await driver.read("g")
        await driver.aclose()
        await trio.sleep(0.05)


@pytest.mark.complaint("dead-unit")
async def test_one_dead_modbus_device_does_not_stall_the_others(
    bench: Bench, autojump_clock: trio.testing.MockClock
) -> None:
    gateway(bench, dead={2})
    neighbour, dead = bench.driver(*words(0, 1)), bench.driver(*words(0, 1), unit_id=2)
    await neighbour.open()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lose_again_and_again, dead)
        # once, when it dies, its neighbours wait for one time-out
        assert await slowest_poll(neighbour, 3) < 1.1
        assert await slowest_poll(neighbour, 20) < 0.03
        nursery.cancel_scope.cancel()


async def test_a_dead_unit_that_answers_again_returns_to_the_shared_connection(
    bench: Bench, autojump_clock: trio.testing.MockClock
) -> None:
    dead = {2}
    gateway(bench, dead)
    first, second = bench.driver(*words(0, 1)), bench.driver(*words(0, 1), unit_id=2)
    await first.open()
    await second.open()
    with pytest.raises(DeviceUnreachable):
        await second.read("g")
    assert bench.server.connects == 2
    dead.clear()
    for _ in range(2):
        assert (await second.read("g")).bad == {}
    assert bench.server.wires[1].closed
    assert not bench.server.wires[0].closed
    assert bench.server.connects == 2


async def test_a_gateway_that_grants_one_connection_is_asked_on_it(
    bench: Bench, autojump_clock: trio.testing.MockClock
) -> None:
    dead = {2}
    gateway(bench, dead)
    first, second = bench.driver(*words(0, 1)), bench.driver(*words(0, 1), unit_id=2)
    await first.open()
    await second.open()
    bench.server.refuse = True
    for _ in range(2):
        with pytest.raises(DeviceUnreachable, match="did not answer"):
            await second.read("g")
        assert (await first.read("g")).bad == {}
    dead.clear()
    assert (await second.read("g")).bad == {}


@pytest.mark.complaint("missing-answer")
async def test_a_missing_answer_does_not_reset_the_shared_connection(
    bench: Bench, autojump_clock: trio.testing.MockClock
) -> None:
    gateway(bench, dead={2})
    first, second = bench.driver(*words(0, 1)), bench.driver(*words(0, 1), unit_id=2)
    await first.open()
    await second.open()
    for _ in range(5):
        with pytest.raises(DeviceUnreachable):
            await second.read("g")
        assert (await first.read("g")).bad == {}
    assert not bench.server.wires[0].closed


async def test_a_unit_that_its_gateway_reports_dead_is_looked_for_on_the_spare_connection(
    bench: Bench, autojump_clock: trio.testing.MockClock
) -> None:
    gateway(bench, dead=set())
    bench.server.units[2] = unit = MemoryUnit()
    unit.exception = 11
    first, second = bench.driver(*words(0, 1)), bench.driver(*words(0, 1), unit_id=2)
    await first.open()
    await second.open()
    for connects in (1, 2, 2):
        with pytest.raises(DeviceUnreachable, match="gateway target device failed to respond"):
            await second.read("g")
        assert bench.server.connects == connects
    unit.exception = 0
    assert (await second.read("g")).bad == {}


async def test_a_peer_that_vanished_without_a_word_is_connected_to_again(
    bench: Bench, autojump_clock: trio.testing.MockClock
) -> None:
    bench.server.units[2] = MemoryUnit()
    first, second = bench.driver(*words(0, 1)), bench.driver(*words(0, 1), unit_id=2)
    await first.open()
    await second.open()
    bench.server.outcome = lambda *_: []
    for driver in (first, second):
        with pytest.raises(DeviceUnreachable):
            await driver.read("g")
    bench.server.outcome = lambda _unit, _pdu, answer: [(0, answer)]
    assert (await first.read("g")).bad == {}
    assert bench.server.connects == 2


async def test_unknown_and_read_only_tags_are_not_written(bench: Bench) -> None:
    driver = bench.driver(*words(0, 1))
    await driver.open()
    with pytest.raises(RequestRejected, match="press-1 has no tag 'x'"):
        await driver.write("x", 1)
    with pytest.raises(RequestRejected, match="press-1 tag 'w0' is not writable"):
        await driver.write("w0", 1)
    assert bench.server.requests == []


async def test_values_are_written_to_coils_registers_and_strings(bench: Bench) -> None:
    driver = bench.driver(
        {"name": "on", "address": "coil:3", "datatype": "bool", "writable": True},
        {"name": "n", "address": "holding:1", "datatype": "int16", "writable": True},
        {"name": "f", "address": "holding:2", "datatype": "float32", "writable": True},
        {"name": "s", "address": "holding:8", "datatype": "string", "length": 4, "writable": True},
    )
    await driver.open()
    for tag, value in (("on", True), ("n", -2), ("f", 1.5), ("s", "ab")):
        await driver.write(tag, value)
    assert [pdu[0] for _, pdu in bench.server.requests] == [5, 6, 16, 16]
    assert named(driver, await driver.read("g")) == {"on": True, "n": -2, "f": 1.5, "s": "ab"}


async def test_a_refused_write_says_what_was_written_where_and_why(bench: Bench) -> None:
    bench.unit.missing.add(0)
    driver = bench.driver(*words(0, 1, writable=True))
    await driver.open()
    with pytest.raises(RequestRejected) as caught:
        await driver.write("w0", 5)
    assert str(caught.value) == (
        "press-1 tag 'w0': writing 5 to holding:0 was refused: illegal data address (exception 2)"
    )
    with pytest.raises(RequestRejected, match="press-1 tag 'w0': value 70000 does not fit"):
        await driver.write("w0", 70_000)


async def test_a_write_is_not_repeated_when_its_answer_is_lost(
    bench: Bench, autojump_clock: trio.testing.MockClock
) -> None:
    bench.server.outcome = lambda *_: []
    driver = bench.driver(*words(0, 1, writable=True))
    await driver.open()
    with pytest.raises(DeviceUnreachable, match="did not answer"):
        await driver.write("w0", 5)
    assert len(bench.server.requests) == 1


async def test_a_bit_is_written_without_touching_its_neighbours(bench: Bench) -> None:
    bench.unit.registers[0] = 0b1010
    driver = bench.driver(
        {"name": "b0", "address": "holding:0.0", "datatype": "bool", "writable": True},
        {"name": "b3", "address": "holding:0.3", "datatype": "bool", "writable": True},
    )
    await driver.open()
    await driver.write("b0", True)
    await driver.write("b3", False)
    assert bench.unit.registers[0] == 0b0011
    assert [pdu[0] for _, pdu in bench.server.requests] == [3, 6, 3, 6]


async def test_two_bits_of_one_register_written_at_once_both_arrive(
    bench: Bench, autojump_clock: trio.testing.MockClock
) -> None:
    bench.server.outcome = lambda _unit, _pdu, answer: [(0.1, answer)]
    driver = bench.driver(
        *(
            {"name": f"b{i}", "address": f"holding:0.{i}", "datatype": "bool", "writable": True}
            for i in range(4)
        )
    )
    await driver.open()
    async with trio.open_nursery() as nursery:
        for i in range(4):
            nursery.start_soon(driver.write, f"b{i}", True)
    assert bench.unit.registers[0] == 0b1111


async def test_the_device_changes_the_bit_itself_where_it_can(bench: Bench) -> None:
    bench.unit.registers[0] = 0b1000
    driver = bench.driver(
        {"name": "b0", "address": "holding:0.0", "datatype": "bool", "writable": True},
        mask_write=True,
    )
    await driver.open()
    await driver.write("b0", True)
    assert bench.unit.registers[0] == 0b1001
    assert [pdu[0] for _, pdu in bench.server.requests] == [22]


@pytest.mark.parametrize("mask_write", [False, True])
async def test_half_a_register_is_written_without_touching_the_other_half(
    bench: Bench, mask_write: bool
) -> None:
    bench.unit.registers[0] = 0x1234
    driver = bench.driver(
        {"name": "low", "address": "holding:0", "datatype": "uint8", "writable": True},
        {
            "name": "high",
            "address": "holding:0",
            "datatype": "int8",
            "byte": "high",
            "writable": True,
        },
        mask_write=mask_write,
    )
    await driver.open()
    assert named(driver, await driver.read("g")) == {"low": 0x34, "high": 0x12}
    await driver.write("low", 0xAB)
    assert bench.unit.registers[0] == 0x12AB
    await driver.write("high", -1)
    assert bench.unit.registers[0] == 0xFFAB
    with pytest.raises(RequestRejected, match="value 256 does not fit, expected 0 to 255"):
        await driver.write("low", 256)


async def test_text_that_is_none_in_its_encoding_makes_its_tag_bad(bench: Bench) -> None:
    bench.unit.registers[0] = 0xFFFE
    driver = bench.driver(
        {
            "name": "t",
            "address": "holding:0",
            "datatype": "string",
            "length": 2,
            "encoding": "utf-8",
        },
        *words(1, 1),
    )
    await driver.open()
    result = await driver.read("g")
    assert bad(driver, result) == {"t": "holding:0: not text in utf-8"}
    assert named(driver, result)["w1"] == 0


async def test_a_write_only_tag_is_never_read_and_is_what_was_written(bench: Bench) -> None:
    bench.unit.missing.add(50)
    driver = bench.driver(
        *words(49, 1),
        {
            "name": "reset",
            "address": "holding:50",
            "datatype": "uint16",
            "writable": True,
            "write_only": True,
        },
        *words(51, 1),
    )
    await driver.open()
    result = await driver.read("g")
    assert bad(driver, result) == {"reset": "holding:50: is only written, and was not yet"}
    bench.unit.missing.clear()
    await driver.write("reset", 7)
    assert bench.unit.registers[50] == 7
    bench.unit.registers[50] = 0  # a pulse falls back by itself
    result = await driver.read("g")
    assert (named(driver, result)["reset"], result.bad, result.uncertain) == (7, {}, {})


async def test_a_device_of_commands_alone_is_asked_nothing(bench: Bench) -> None:
    driver = bench.driver(*words(0, 2, writable=True, write_only=True))
    await driver.open()
    assert (await driver.read("g")).requests == 0
    assert bench.server.requests == []
    await driver.write("w1", 3)
    assert named(driver, await driver.read("g"))["w1"] == 3


def without(function: int) -> Any:
    def outcome(unit: int, pdu: bytes, answer: bytes) -> Outcome:
        if pdu[0] == function:
            return [(0, answer[:4] + bytes([0, 3, unit, function | 0x80, 1]))]
        return [(0, answer)]

    return outcome


async def test_a_device_without_mask_writes_is_asked_only_once(bench: Bench) -> None:
    bench.server.outcome = without(22)
    driver = bench.driver(
        {"name": "b0", "address": "holding:0.0", "datatype": "bool", "writable": True},
        mask_write=True,
    )
    await driver.open()
    await driver.write("b0", False)
    await driver.write("b0", True)
    assert [pdu[0] for _, pdu in bench.server.requests] == [22, 3, 6, 3, 6]


async def test_a_device_without_single_writes_gets_multiple_ones(bench: Bench) -> None:
    bench.server.outcome = without(6)
    driver = bench.driver(*words(0, 1, writable=True))
    await driver.open()
    await driver.write("w0", 8)
    await driver.write("w0", 9)
    assert [pdu[0] for _, pdu in bench.server.requests] == [6, 16, 16]
    assert bench.unit.registers[0] == 9


async def test_a_write_goes_before_the_rest_of_a_poll(
    bench: Bench, autojump_clock: trio.testing.MockClock
) -> None:
    bench.server.outcome = lambda _unit, _pdu, answer: [(1.0, answer)]
    driver = bench.driver(*words(0, 1, writable=True), *words(100, 1), *words(200, 1), timeout_s=5)
    await driver.open()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(driver.read, "g")
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(driver.write, "w0", 1)
    assert [pdu[0] for _, pdu in bench.server.requests] == [3, 6, 3, 3]


@pytest.mark.complaint("gives-up")
async def test_polling_never_stops_for_good_however_many_errors_there_were(
    bench: Bench, autojump_clock: trio.testing.MockClock
) -> None:
    driver = bench.driver(*words(0, 1))
    bench.server.outcome = lambda *_: []
    for _ in range(50):
        await driver.open()
        with pytest.raises(DeviceUnreachable):
            await driver.read("g")
        await driver.aclose()
    bench.server.outcome = lambda _unit, _pdu, answer: [(0, answer)]
    await driver.open()
    assert (await driver.read("g")).bad == {}
