"""One device: connect, poll in its phase, write when asked, back off when lost, never give up.

Each device is one task; whatever happens to it, drivers' bugs included, stays with it. Where values
go is the sink's business: nothing of MQTT is known here.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from itertools import islice
from typing import Final, NoReturn, Protocol

import structlog
import trio

from edge_node.backoff import Backoff
from edge_node.breaker import CircuitBreaker
from edge_node.device_state import DeviceState
from edge_node.drivers.base import (
    Changes,
    Driver,
    DriverError,
    PollResult,
    RawValue,
    RequestRejected,
    Subscriber,
)
from edge_node.pipeline.report import Report
from edge_node.pipeline.tags import DeviceTags, GroupPipeline, TagSpec, ValueRefused
from edge_node.scheduler import Beats, Lateness, Pace, phase
from edge_node.writes import WriteEnd, WriteOrder, WriteQueue, compare
from proto.control.device import Device

FIRST_DELAY_S: Final = 1.0
LONGEST_DELAY_S: Final = 60.0
MAX_PROBLEMS: Final = 20
REMIND_S: Final = 1.0
"""How often groups whose changes come by subscription are looked through for what is silent."""

log = structlog.get_logger(__name__)


class DeviceSink(Protocol):
    """Where a device's values and states go; must not block."""

    def device_online(self, device: str) -> None:
        """Every poll group has been read; the reporters hold the values."""

    def device_offline(self, device: str, reason: str) -> None:
        """The device is lost, or was not reached at the first attempt."""

    def device_report(self, device: str, base: int, report: Report) -> None:
        """Publish what an online device's poll has to tell; ``base`` is the group's column."""


class DeviceSupervisor:
    """The task of one device.

    Args:
        document: the device.
        driver: made from it, not yet open.
        tags: made from both.
        sink: where values go.
        lateness: counts how late polls begin, for all devices.
        now_ms: wall clock, milliseconds since the epoch.
        state: what was counted of the device before; a new one where it is new.
        start_spread_s: the first attempt comes at a stable point within this time.
    """

    def __init__(
        self,
        document: Device,
        driver: Driver,
        tags: DeviceTags,
        sink: DeviceSink,
        *,
        lateness: Lateness,
        now_ms: Callable[[], int],
        state: DeviceState | None = None,
        start_spread_s: float = 0.0,
    ) -> None:
        self.name = document.name
        self.state = state or DeviceState("connecting", now_ms(), traffic=driver.traffic)
        self.tags = tags
        self._driver = driver
        self._sink = sink
        self._lateness = lateness
        self._now_ms = now_ms
        self._start_spread_s = start_spread_s
        self._subscriber = driver if isinstance(driver, Subscriber) else None
        subscribed = () if self._subscriber is None else self._subscriber.subscribed
        self._paces = {
            group.name: Pace(group.interval_s, group.max_interval_s or 0.0)
            for group in document.poll_groups
            if driver.groups.get(group.name) and group.name not in subscribed
        }
        self._writes = WriteQueue()
        self._wake = trio.Event()
        self._log = log.bind(device=document.name)

    async def run(self) -> None:
        """Keep the device connected and polled until cancelled."""
        breaker = CircuitBreaker(Backoff(FIRST_DELAY_S, LONGEST_DELAY_S))
        try:
            await trio.sleep(phase(self.name, "") * self._start_spread_s)
            while True:
                reason = await self._serve_once(breaker)
                now = trio.current_time()
                retry_at = breaker.open(now)
                self.state.retry_at_ms = self._now_ms() + int((retry_at - now) * 1000)
                self._lose(reason)
                self.state.breaker = breaker.state
                self.state.failures = breaker.failures
                await trio.sleep_until(retry_at)
                breaker.attempt()
                self.state.breaker = breaker.state
                self.state.retry_at_ms = None
                self.state.reconnects += 1
        finally:
            self._writes.refuse_all("the device was stopped")

    def write(self, order: WriteOrder) -> None:
        """Queue a write; it is done between two polls, and the tag read again at once."""
        if self.state.state != "online":
            order.on_end(WriteEnd("refused", f"the device is {self.state.state}"))
        elif self._writes.put(order):
            self._wake.set()

    async def _serve_once(self, breaker: CircuitBreaker) -> str:
        """Connect and serve the device until it is lost; return why it was."""
        try:
            await self._driver.open()
            self.tags.restart()
            for group in self.tags.groups:
                await self._read(group)
            breaker.close()
            self.state.breaker, self.state.failures = breaker.state, 0
            self._enter_online()
            if self._subscriber is None:
                await self._poll_forever()
            await self._follow_and_poll(self._subscriber)
        except DriverError as exc:
            return str(exc)
        except Exception as exc:  # noqa: BLE001  # a crash stays with its device
            self._driver.traffic.errors["internal"] += 1
            self._log.exception("device_crashed")
            return f"internal error: {type(exc).__name__}: {exc}"
        finally:
            with trio.CancelScope(shield=True):
                await self._driver.aclose()

    async def _follow_and_poll(self, subscriber: Subscriber) -> NoReturn:
        """Take what the device tells and poll the other groups, until either fails."""
        failures: list[Exception] = []

        async def run(serve: Callable[[], Awaitable[NoReturn]]) -> None:
            try:
                await serve()
            except Exception as exc:  # noqa: BLE001  # raised below, without a group around it
                failures.append(exc)
                nursery.cancel_scope.cancel()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(run, partial(self._follow, subscriber))
            nursery.start_soon(run, self._poll_forever)
        raise failures[0]

    async def _follow(self, subscriber: Subscriber) -> NoReturn:
        reminded = trio.current_time()
        while True:
            batches: Sequence[Changes] = ()
            with trio.move_on_at(reminded + REMIND_S):
                batches = await subscriber.wait_changes()
            for changes in batches:
                self._take(changes)
            if trio.current_time() >= reminded + REMIND_S:
                reminded = trio.current_time()
                for name in subscriber.subscribed:
                    if (group := self.tags.groups.get(name)) is not None:
                        self._tell(group, group.remind(self._now_ms()))

    def _take(self, changes: Changes) -> None:
        state = self.state
        state.changes += len(changes.indices)
        state.dropped_samples += changes.dropped
        group = self.tags.groups[changes.group]
        report = group.process_changes(changes, self._now_ms())
        if changes.bad or state.bad:
            self._count_bad(changes.group, changes.bad)
        self._tell(group, report)

    def _tell(self, group: GroupPipeline, report: Report | None) -> None:
        if report is not None:
            self._sink.device_report(self.name, group.base, report)

    async def _poll_forever(self) -> NoReturn:
        beats = Beats(self.name, self._paces, trio.current_time())
        while True:
            for _ in range(len(self._writes)):
                await self._write(self._writes.take(), beats)
            group, due = beats.next()
            if due is None:
                beats.hurried(group)
                if await self._poll(group):
                    beats.quicken(group, trio.current_time())
                continue
            self._wake = trio.Event()
            if not self._writes:
                with trio.move_on_at(due):
                    await self._wake.wait()
            started = trio.current_time()
            if started < due:
                continue
            self._lateness.add(started - due)
            self.state.lateness.add(started - due)
            moved = await self._poll(group)
            self.state.skipped_polls += beats.done(group, trio.current_time(), moved=moved)

    async def _poll(self, group: str) -> bool:
        """Poll a group and pass its news on; return whether something changed."""
        report = await self._read(group)
        if report is None:
            return False
        self._sink.device_report(self.name, self.tags.groups[group].base, report)
        return report.moved

    async def _read(self, group: str) -> Report | None:
        return self._take_poll(group, await self._driver.read(group))

    def _take_poll(self, group: str, poll: PollResult) -> Report | None:
        state = self.state
        state.polls += 1
        report = self.tags.groups[group].process(poll)
        if poll.bad or state.bad:
            self._count_bad(group, poll.bad)
            if poll.bad:
                self._log.debug("tags_bad", group=group, tags=len(poll.bad))
        return report

    def _count_bad(self, group: str, bad: Mapping[int, str]) -> None:
        if count := len(bad):
            infos = self._driver.groups[group]
            self.state.problems[group] = {
                infos[index].name: reason for index, reason in islice(bad.items(), MAX_PROBLEMS)
            }
            if group not in self.state.bad:
                self._log.error("poll_has_bad_tags", group=group, tags=count)
            self.state.bad[group] = count
        elif self.state.bad.pop(group, None):
            self.state.problems.pop(group, None)
            self._log.info("poll_good_again", group=group)

    async def _write(self, order: WriteOrder, beats: Beats) -> None:
        """Do a write; whatever happens, its end is told."""
        end = WriteEnd("unknown", "interrupted: the device was stopped")
        try:
            end = await self._try_write(order, beats)
        except DriverError as exc:
            end = WriteEnd("unknown", f"sent, and not answered: {exc}")
            raise
        finally:
            order.on_end(end)

    async def _try_write(self, order: WriteOrder, beats: Beats) -> WriteEnd:
        if trio.current_time() > order.deadline:
            return WriteEnd("refused", "it waited for too long")
        column = self.tags.columns.get(order.tag)
        if column is None:
            return WriteEnd("refused", "the device has no such tag")
        spec = self.tags.tags[column]
        try:
            raw = spec.raw_value(order.value)
        except ValueRefused as exc:
            return WriteEnd("refused", str(exc))
        try:
            returned = await self._driver.write(order.tag, raw)
        except RequestRejected as exc:
            return WriteEnd("failed", str(exc))
        self.state.writes += 1
        self._log.info("tag_written", tag=order.tag, value=order.value)
        self.tags.groups[spec.group].reporter.force(spec.index)
        if spec.read_back:
            return await self._read_back(spec, raw, beats)
        if spec.group in self._paces:
            beats.hurry(spec.group)
        return WriteEnd("written", returned=returned)

    async def _read_back(self, spec: TagSpec, written: RawValue, beats: Beats) -> WriteEnd:
        poll = await self._driver.read(spec.group)
        if (reason := poll.bad.get(spec.index)) is not None:
            return WriteEnd("unknown", f"written, and cannot be read back: {reason}")
        end = compare(spec, written, poll.values[spec.index])
        if spec.group in self._paces:  # others are told of by the device
            report = self._take_poll(spec.group, poll)
            self._tell(self.tags.groups[spec.group], report)
            if report is not None and report.moved:
                beats.quicken(spec.group, trio.current_time())
        return end

    def _enter_online(self) -> None:
        self.state.enter("online", self._now_ms())
        self._log.info("device_online")
        self._sink.device_online(self.name)

    def _lose(self, reason: str) -> None:
        if self.state.enter("offline", self._now_ms(), reason):
            self._log.error("device_offline", reason=reason)
            self._sink.device_offline(self.name, reason)
        else:
            self._log.debug("device_still_offline", reason=reason)
        self.state.bad.clear()
        self.state.problems.clear()
        self._writes.refuse_all("the device was lost")
