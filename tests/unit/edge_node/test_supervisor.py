from itertools import pairwise

import pytest
import trio
from structlog.testing import capture_logs
from trio.testing import MockClock

from edge_node.drivers.base import Changes, DeviceUnreachable, RawValue, RequestRejected
from edge_node.pipeline.tags import DeviceTags
from edge_node.scheduler import Lateness
from edge_node.supervisor import DeviceSupervisor
from edge_node.writes import WriteEnd, WriteOrder
from proto.control.modbus import ModbusDevice
from tests.unit.edge_node.fakes import (
    FakeDriver,
    FakeSubscriber,
    RecordingSink,
    device_document,
    wall_ms,
)

pytestmark = pytest.mark.trio


class Bench:
    """One supervised fake device."""

    def __init__(
        self,
        document: ModbusDevice | None = None,
        sink: RecordingSink | None = None,
        driver: FakeDriver | None = None,
    ) -> None:
        self.document = document or device_document()
        self.driver = driver or FakeDriver(self.document)
        self.sink = sink or RecordingSink()
        self.lateness = Lateness()
        self.supervisor = DeviceSupervisor(
            self.document,
            self.driver,
            DeviceTags(self.document.tags, self.driver.groups),
            self.sink,
            lateness=self.lateness,
            now_ms=wall_ms,
        )
        self.state = self.supervisor.state
        self.ends: list[WriteEnd] = []

    def write(self, tag: str, value: object, timeout_s: float = 10.0) -> None:
        deadline = trio.current_time() + timeout_s
        self.supervisor.write(WriteOrder(tag, value, deadline, self.ends.append))


async def test_a_device_is_online_after_every_group_was_read_and_polled_in_its_phase(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    bench = Bench(
        device_document(
            poll_groups=[{"name": "fast", "interval_s": 0.5}, {"name": "slow", "interval_s": 10}],
            tags=[
                {"name": "a", "address": "holding:0", "datatype": "int16"},
                {"name": "b", "address": "holding:1", "datatype": "int16", "poll_group": "slow"},
            ],
        )
    )
    nursery.start_soon(bench.supervisor.run)
    await trio.sleep(30)
    assert bench.sink.events == [("press-1", "online")]
    assert {group for _, group in bench.driver.polled_at[:2]} == {"fast", "slow"}
    fast = [at for at, group in bench.driver.polled_at[2:] if group == "fast"]
    assert [b - a for a, b in pairwise(fast)] == pytest.approx([0.5] * (len(fast) - 1))
    assert 58 <= len(fast) <= 61
    assert bench.state.skipped_polls == 0
    assert bench.lateness.maximum_s < 1e-6
    nursery.cancel_scope.cancel()


async def test_values_travel_from_the_driver_to_the_sink_by_exception(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    bench = Bench()
    nursery.start_soon(bench.supervisor.run)
    await trio.sleep(5)
    assert bench.sink.reports == []
    bench.driver.values["speed"] = 12
    await trio.sleep(5)
    [(device, base, report)] = bench.sink.reports
    assert (device, base, report.indices, report.values) == ("press-1", 0, [1], [12])
    nursery.cancel_scope.cancel()


async def test_a_lost_device_is_tried_again_with_growing_delays_and_comes_back(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    bench = Bench()
    nursery.start_soon(bench.supervisor.run)
    await trio.sleep(3)
    bench.driver.reachable = False
    await trio.sleep(24 * 3600)
    assert bench.sink.events[1:] == [("press-1", "offline: 127.0.0.1:502: no answer")]
    delays = [b - a for a, b in pairwise(bench.driver.opened_at[1:])]
    assert all(delay <= 60.1 for delay in delays)
    assert all(delay >= 29.9 for delay in delays[6:])
    assert len(delays) > 1000
    bench.driver.reachable = True
    await trio.sleep(61)
    assert bench.sink.events[2:] == [("press-1", "online")]
    assert bench.state.reconnects == len(bench.driver.opened_at) - 1
    nursery.cancel_scope.cancel()


async def test_the_breaker_is_told_with_the_time_of_the_next_attempt(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    bench = Bench()
    assert bench.state.document().breaker == "half-open"
    nursery.start_soon(bench.supervisor.run)
    await trio.sleep(3)
    assert bench.state.document().breaker == "closed"
    bench.driver.reachable = False
    await trio.sleep(100)
    told = bench.state.document()
    assert (told.state, told.breaker) == ("offline", "open")
    assert told.failures == len(bench.driver.opened_at) - 1 + 1  # the loss, then each attempt
    assert told.retry_at_ms is not None
    attempts = len(bench.driver.opened_at)
    bench.driver.reachable = True
    await trio.sleep(told.retry_at_ms / 1000 - trio.current_time() - 0.01)
    assert len(bench.driver.opened_at) == attempts
    await trio.sleep(1)
    assert len(bench.driver.opened_at) == attempts + 1
    told = bench.state.document()
    assert (told.breaker, told.failures, told.retry_at_ms) == ("closed", 0, None)
    nursery.cancel_scope.cancel()


async def test_a_bug_in_a_driver_is_counted_as_internal(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    bench = Bench()
    bench.driver.crash = ZeroDivisionError("a bug")
    nursery.start_soon(bench.supervisor.run)
    await trio.sleep(0.4)  # the next attempt comes after half a second at least
    assert bench.state.document().errors_by_kind == {"internal": 1}
    nursery.cancel_scope.cancel()


async def test_everything_is_stamped_anew_when_a_device_is_back(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    bench = Bench()
    nursery.start_soon(bench.supervisor.run)
    await trio.sleep(3)
    bench.driver.reachable = False
    await trio.sleep(10)
    bench.driver.reachable = True
    back_ms = wall_ms()
    await trio.sleep(60)
    reporter = bench.supervisor.tags.groups["default"].reporter
    assert min(reporter.timestamps_ms) > back_ms
    assert bench.sink.reports == []
    nursery.cancel_scope.cancel()


async def test_a_crash_stays_with_its_device(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    sink = RecordingSink()
    good, bad = Bench(device_document("good"), sink), Bench(device_document("bad"), sink)
    for bench in (good, bad):
        nursery.start_soon(bench.supervisor.run)
    await trio.sleep(3)
    bad.driver.crash = ZeroDivisionError("a bug in a driver")
    good.driver.values["temp"] = 7
    with capture_logs() as logs:
        await trio.sleep(100)
    assert ("bad", "offline: internal error: ZeroDivisionError: a bug in a driver") in sink.events
    assert good.state.state == "online"
    assert [report[0] for report in sink.reports] == ["good"]
    assert "device_crashed" in [entry["event"] for entry in logs]
    assert bad.state.state == "offline"
    assert not bad.driver.is_open
    nursery.cancel_scope.cancel()


async def test_a_slow_device_skips_beats_instead_of_queueing_them(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    bench = Bench()
    bench.driver.poll_s = 2.5
    nursery.start_soon(bench.supervisor.run)
    await trio.sleep(300)
    assert len(bench.driver.polled_at) == pytest.approx(100, abs=3)
    assert bench.state.skipped_polls == pytest.approx(200, abs=5)
    assert bench.lateness.maximum_s < 1e-6
    nursery.cancel_scope.cancel()


async def test_an_adapting_group_rests_while_nothing_changes_and_wakes_with_a_write(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    bench = Bench(
        device_document(
            poll_groups=[{"name": "default", "interval_s": 1, "max_interval_s": 60}],
        )
    )
    nursery.start_soon(bench.supervisor.run)
    await trio.sleep(3600)
    before = len(bench.driver.polled_at)
    assert before == pytest.approx(3600 / 60 + 7, abs=3)
    assert bench.state.skipped_polls == 0
    bench.write("temp", 5)
    await trio.sleep(3.5)
    at = [at for at, _ in bench.driver.polled_at[before:]]
    assert len(at) == 3  # read back at once, on the next beat, and two beats later
    assert at[2] - at[1] == pytest.approx(2)
    for value in range(100):
        bench.driver.values["speed"] = value
        await trio.sleep(1)
    assert len(bench.driver.polled_at) - before - 3 == pytest.approx(98, abs=3)
    assert bench.state.skipped_polls == 0
    nursery.cancel_scope.cancel()


async def test_a_write_is_scaled_back_and_its_value_is_read_again_at_once(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    bench = Bench(
        device_document(
            poll_groups=[{"name": "default", "interval_s": 3600}],
            tags=[
                {
                    "name": "setpoint",
                    "address": "holding:0",
                    "datatype": "int16",
                    "writable": True,
                    "scale": 0.1,
                    "low": 0,
                    "high": 100,
                }
            ],
        )
    )
    nursery.start_soon(bench.supervisor.run)
    await trio.sleep(30)
    bench.write("setpoint", 23.5)
    await trio.sleep(1)
    assert bench.driver.written == [("setpoint", 235)]
    assert [r.values for _, _, r in bench.sink.reports] == [[23.5]]
    bench.write("setpoint", 23.5)
    await trio.sleep(1)
    assert [r.values for _, _, r in bench.sink.reports] == [[23.5], [23.5]]
    assert bench.state.writes == 2
    nursery.cancel_scope.cancel()


def refuse(tag: str, value: RawValue) -> None:
    raise RequestRejected(f"device refused {value!r} for {tag!r}")


async def test_refused_writes_are_told_and_change_nothing(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    bench = Bench()
    bench.driver.on_write = refuse
    nursery.start_soon(bench.supervisor.run)
    bench.write("temp", 1)
    await trio.sleep(3)
    bench.write("temp", 2)
    bench.write("speed", 3)
    bench.write("nonsense", 4)
    bench.write("temp", None)
    bench.write("temp", 70_000)
    bench.write("temp", "hot")
    await trio.sleep(3)
    assert [(end.outcome, end.reason) for end in bench.ends] == [
        ("refused", "the device is connecting"),
        ("failed", "device refused 2 for 'temp'"),
        ("refused", "the tag is not writable"),
        ("refused", "the device has no such tag"),
        ("refused", "found None, expected a Int16"),
        ("refused", "value: 70000 does not fit Int16, expected -32768 to 32767"),
        ("refused", "value: found str 'hot', expected an integer for Int16"),
    ]
    assert bench.state.state == "online"
    assert bench.state.writes == 0
    nursery.cancel_scope.cancel()


async def test_bad_tags_are_counted_and_told_on_the_change_only(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    bench = Bench()
    nursery.start_soon(bench.supervisor.run)
    await trio.sleep(3)
    bench.driver.bad = {"speed"}
    with capture_logs() as logs:
        await trio.sleep(60)
    assert [e["event"] for e in logs if e["log_level"] == "error"] == ["poll_has_bad_tags"]
    assert bench.state.document().bad_tags == 1
    assert bench.state.document().problems == {"speed": "illegal address"}
    assert bench.state.document().problem_qualities == {"speed": 4}
    bench.driver.bad = set()
    await trio.sleep(3)
    assert bench.state.document().bad_tags == 0
    assert bench.state.document().problems == {}
    qualities = [dict(report.qualities) for _, _, report in bench.sink.reports]
    assert qualities == [{1: 0}, {1: 192}]
    nursery.cancel_scope.cancel()


GROUPS = [{"name": "default"}, {"name": "polled", "interval_s": 0.5}]
TAGS = [
    {"name": "a", "address": "holding:0", "datatype": "int16", "writable": True},
    {"name": "b", "address": "holding:1", "datatype": "int16", "max_silence_s": 10},
    {"name": "c", "address": "holding:2", "datatype": "int16", "poll_group": "polled"},
]


async def test_what_a_device_tells_by_itself_is_reported_and_its_other_groups_are_polled(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    document = device_document(poll_groups=GROUPS, tags=TAGS)
    driver = FakeSubscriber(document)
    bench = Bench(document, driver=driver)
    nursery.start_soon(bench.supervisor.run)
    await trio.sleep(3)
    assert [group for _, group in driver.polled_at].count("default") == 1
    assert [group for _, group in driver.polled_at].count("polled") > 4
    driver.tell(Changes("default", [0], [7], [(1234, 192)], {1: "BadSensorFailure"}, dropped=2))
    await trio.sleep(1)
    [(_, base, report)] = bench.sink.reports
    assert (base, report.indices, report.values, report.stamps) == (0, [0], [7], [(1234, 192)])
    assert (bench.state.changes, bench.state.dropped_samples) == (1, 2)
    assert bench.state.problems == {"default": {"b": "BadSensorFailure"}}
    nursery.cancel_scope.cancel()


async def test_a_tag_that_a_device_is_silent_about_is_told_again_in_time(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    document = device_document(tags=TAGS[:2])
    bench = Bench(document, driver=FakeSubscriber(document))
    nursery.start_soon(bench.supervisor.run)
    await trio.sleep(35)
    assert [report.indices for _, _, report in bench.sink.reports] == [[1]] * 3
    nursery.cancel_scope.cancel()


async def test_a_subscription_that_breaks_loses_the_device_and_it_comes_back(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    document = device_document(poll_groups=GROUPS, tags=TAGS)
    driver = FakeSubscriber(document)
    bench = Bench(document, driver=driver)
    nursery.start_soon(bench.supervisor.run)
    await trio.sleep(3)
    driver.tell(DeviceUnreachable("opc.tcp://plc: nothing came for 30 s"))
    await trio.sleep(5)
    assert bench.sink.events == [
        ("press-1", "online"),
        ("press-1", "offline: opc.tcp://plc: nothing came for 30 s"),
        ("press-1", "online"),
    ]
    nursery.cancel_scope.cancel()


async def test_a_write_to_a_subscribed_group_does_not_read_the_group(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    document = device_document(tags=TAGS[:2])
    driver = FakeSubscriber(document)
    bench = Bench(document, driver=driver)
    nursery.start_soon(bench.supervisor.run)
    await trio.sleep(3)
    bench.write("a", 0)
    await trio.sleep(1)
    driver.tell(Changes("default", [0], [0], [(1234, 192)], {}))
    await trio.sleep(1)
    assert len(driver.polled_at) == 1
    assert [report.values for _, _, report in bench.sink.reports] == [[0]]
    nursery.cancel_scope.cancel()


READ_BACK = [
    {
        "name": "temp",
        "address": "holding:0",
        "datatype": "int16",
        "writable": True,
        "read_back": True,
        "scale": 0.1,
    }
]


async def test_a_write_that_is_read_back_says_what_the_device_gives(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    slow = [{"name": "default", "interval_s": 3600}]
    bench = Bench(device_document(tags=READ_BACK, poll_groups=slow))
    nursery.start_soon(bench.supervisor.run)
    await trio.sleep(30)
    bench.write("temp", 23.5)
    await trio.sleep(1)
    bench.driver.on_write = lambda *_: None
    bench.write("temp", 5.0)
    await trio.sleep(1)
    bench.driver.on_write = lambda tag, _: bench.driver.bad.add(tag)
    bench.write("temp", 5.0)
    await trio.sleep(1)
    assert bench.ends == [
        WriteEnd("verified", None, 23.5),
        WriteEnd("different", "the device gives 23.5 back", 23.5),
        WriteEnd("unknown", "written, and cannot be read back: illegal address"),
    ]
    assert [end.ok for end in bench.ends] == [True, False, False]
    assert bench.sink.reports[0][2].values == [23.5]
    nursery.cancel_scope.cancel()


async def test_writes_are_done_in_their_order_each_before_the_next_poll(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    bench = Bench(device_document(poll_groups=[{"name": "default", "interval_s": 5}]))
    bench.driver.poll_s = 2.0
    nursery.start_soon(bench.supervisor.run)
    await trio.sleep(20)
    polled = len(bench.driver.polled_at)
    await trio.sleep(5 - (trio.current_time() - bench.driver.polled_at[-1][0]) + 0.5)
    assert len(bench.driver.polled_at) == polled + 1  # a poll is under way
    for value in (1, 2, 1, 2):
        bench.write("temp", value)
    await trio.sleep(2)
    assert bench.driver.written == [("temp", 1), ("temp", 2), ("temp", 1), ("temp", 2)]
    assert len(bench.driver.polled_at) == polled + 2  # and read back
    assert [end.outcome for end in bench.ends] == ["written"] * 4
    nursery.cancel_scope.cancel()


async def test_a_write_that_waited_for_too_long_is_not_done(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    bench = Bench()
    bench.driver.poll_s = 30.0
    nursery.start_soon(bench.supervisor.run)
    await trio.sleep(35)
    bench.write("temp", 1, timeout_s=5.0)
    bench.write("temp", 2, timeout_s=60.0)
    await trio.sleep(60)
    assert bench.driver.written == [("temp", 2)]
    assert bench.ends == [
        WriteEnd("refused", "it waited for too long"),
        WriteEnd("written"),
    ]
    nursery.cancel_scope.cancel()


async def test_a_full_queue_refuses_and_keeps_what_waits(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    bench = Bench()
    bench.driver.poll_s = 5.0
    nursery.start_soon(bench.supervisor.run)
    await trio.sleep(7)
    for value in range(1005):
        bench.write("temp", value, timeout_s=60)
    assert [end.reason for end in bench.ends] == ["1000 writes wait already"] * 5
    await trio.sleep(30)
    assert bench.driver.written == [("temp", value) for value in range(1000)]
    nursery.cancel_scope.cancel()


async def test_a_write_that_was_not_answered_is_unknown_and_the_next_are_refused(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    bench = Bench()

    def lose(_tag: str, _value: object) -> None:
        raise DeviceUnreachable("127.0.0.1:502: no answer")

    bench.driver.on_write = lose
    bench.driver.poll_s = 1.0
    nursery.start_soon(bench.supervisor.run)
    await trio.sleep(3.5)
    bench.write("temp", 1)
    bench.write("temp", 2)
    await trio.sleep(3)
    assert bench.ends == [
        WriteEnd("unknown", "sent, and not answered: 127.0.0.1:502: no answer"),
        WriteEnd("refused", "the device was lost"),
    ]
    nursery.cancel_scope.cancel()


async def test_a_write_that_a_stop_interrupts_is_told_as_unknown(
    autojump_clock: MockClock,
) -> None:
    bench = Bench()
    async with trio.open_nursery() as own:
        own.start_soon(bench.supervisor.run)
        await trio.sleep(5)
        bench.driver.write = _never  # type: ignore[method-assign]
        bench.write("temp", 1)
        bench.write("temp", 2)
        await trio.sleep(3)
        assert bench.ends == []
        own.cancel_scope.cancel()
    assert bench.ends == [
        WriteEnd("unknown", "interrupted: the device was stopped"),
        WriteEnd("refused", "the device was stopped"),
    ]


async def _never(tag: str, value: RawValue) -> None:
    await trio.sleep_forever()
