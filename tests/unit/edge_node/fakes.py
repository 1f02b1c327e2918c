"""A device under a test's control: it implements the drivers' Protocol over plain lists."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import trio

from edge_node.drivers.base import (
    Changes,
    DeviceUnreachable,
    OpcQuality,
    PollResult,
    RawValue,
    Reason,
    TagInfo,
)
from edge_node.drivers.traffic import Traffic
from edge_node.pipeline.report import Report
from proto.control.modbus import ModbusDevice
from proto.sparkplug.datatypes import DataType


def device_document(name: str = "press-1", **changes: object) -> ModbusDevice:
    values: dict[str, Any] = {
        "name": name,
        "driver": "modbus",
        "connection": {"host": "127.0.0.1"},
        "tags": [
            {"name": "temp", "address": "holding:0", "datatype": "int16", "writable": True},
            {"name": "speed", "address": "holding:1", "datatype": "int16"},
        ],
    }
    return ModbusDevice.model_validate(values | changes)


class FakeDriver:
    """Values are what ``values`` says; each request takes ``poll_s`` of virtual time."""

    def __init__(self, document: ModbusDevice) -> None:
        self.document = document
        default = document.poll_groups[0].name
        self.groups: Mapping[str, Sequence[TagInfo]] = {
            group.name: [
                TagInfo(tag.name, DataType.INT16)
                for tag in document.tags
                if (tag.poll_group or default) == group.name
            ]
            for group in document.poll_groups
        }
        self.traffic = Traffic()
        self.values: dict[str, RawValue] = {tag.name: 0 for tag in document.tags}
        self.bad: set[str] = set()
        self.poll_s = 0.0
        self.reachable = True
        self.crash: Exception | None = None
        self.is_open = False
        self.opened_at: list[float] = []
        self.polled_at: list[tuple[float, str]] = []
        self.written: list[tuple[str, RawValue]] = []
        self.on_write: Callable[[str, RawValue], None] = self.values.__setitem__

    async def open(self) -> None:
        self.opened_at.append(trio.current_time())
        await trio.lowlevel.checkpoint()
        if not self.reachable:
            raise DeviceUnreachable("127.0.0.1:502: connection refused")
        self.is_open = True

    async def read(self, group: str) -> PollResult:
        assert self.is_open
        self.polled_at.append((trio.current_time(), group))
        await trio.sleep(self.poll_s)
        if self.crash is not None:
            raise self.crash
        if not self.reachable:
            raise DeviceUnreachable("127.0.0.1:502: no answer")
        names = [tag.name for tag in self.groups[group]]
        return PollResult(
            timestamp_ms=wall_ms(),
            values=[None if name in self.bad else self.values[name] for name in names],
            bad={
                i: Reason("illegal address", OpcQuality.CONFIG_ERROR)
                for i, name in enumerate(names)
                if name in self.bad
            },
            requests=1,
        )

    async def write(self, tag: str, value: RawValue) -> None:
        assert self.is_open
        await trio.lowlevel.checkpoint()
        self.written.append((tag, value))
        self.on_write(tag, value)

    async def aclose(self) -> None:
        self.is_open = False


class FakeSubscriber(FakeDriver):
    """A driver whose group ``default`` is told by the device; ``tell`` is the device."""

    subscribed = frozenset({"default"})

    def __init__(self, document: ModbusDevice) -> None:
        super().__init__(document)
        self._told, self._changes = trio.open_memory_channel[Changes | Exception](10)

    def tell(self, news: Changes | Exception) -> None:
        self._told.send_nowait(news)

    async def wait_changes(self) -> Sequence[Changes]:
        news = await self._changes.receive()
        if isinstance(news, Exception):
            raise news
        return [news]


def wall_ms() -> int:
    """A wall clock that goes with trio's virtual one."""
    return int(trio.current_time() * 1000)


class RecordingSink:
    """Keeps what a supervisor tells, with the virtual time."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str]] = []
        self.reports: list[tuple[str, int, Report]] = []

    def device_online(self, device: str) -> None:
        self.events.append((device, "online"))

    def device_offline(self, device: str, reason: str) -> None:
        self.events.append((device, f"offline: {reason}"))

    def device_report(self, device: str, base: int, report: Report) -> None:
        self.reports.append((device, base, report))
