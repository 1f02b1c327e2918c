"""The floors below an edge node: the same values on the same beats, and nothing else.

``bare`` sends prepared Modbus requests and counts the bytes that come back; ``driver`` reads
through the driver, so values are decoded, and drops them; ``library`` uses the client of the
protocol's own library. Run by ``edge.py`` and ``soak.py`` in a process of its own.
"""

import argparse
import asyncio
import json
import logging
import os
import resource
import time
import tomllib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NoReturn

import trio

from bench.edge_library import run_library
from edge_node.drivers.base import DriverError, Subscriber
from edge_node.drivers.modbus.codec import TcpCodec, read_request
from edge_node.drivers.modbus.plan import Block, Limits, plan_reads
from edge_node.drivers.modbus.points import compile_points
from edge_node.drivers.registry import Drivers
from edge_node.scheduler import Beats, Lateness, Pace
from proto.control.device import Device
from proto.control.devices import DeviceDocument
from proto.control.modbus import ModbusDevice
from proto.control.node import NodeDocument

WARM_UP_S = 3.0

Poll = Callable[[], Awaitable[int]]


class Tally:
    """What a loop did since its warm-up."""

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Count from here."""
        self._polls = 0
        self._tags = 0
        self._skipped = 0
        self._lateness = Lateness()
        self._began = time.monotonic()
        self._cpu_s = _cpu_s()

    def beat(self, late_s: float, skipped: int) -> None:
        """Count one poll."""
        self._lateness.add(late_s)
        self._polls += 1
        self._skipped += skipped

    def tags(self, number: int) -> None:
        """Count values that came."""
        self._tags += number

    def figures(self) -> dict[str, float]:
        """Return what it cost, and what it brought."""
        took = time.monotonic() - self._began
        return {
            "cpu_percent": round(100 * (_cpu_s() - self._cpu_s) / took, 2),
            "polls_per_s": round(self._polls / took, 2),
            "tags_per_s": round(self._tags / took, 1),
            "skipped_polls": self._skipped,
            "lateness_p99_ms": round(1000 * self._lateness.quantile_s(0.99), 2),
        }


async def open_bare(device: ModbusDevice) -> Poll:
    """Connect and return a poll that sends prepared frames and counts the answers' bytes."""
    connection = device.connection
    stream = await trio.open_tcp_stream(connection.host, connection.port)
    (points,) = compile_points(device).values()
    limits = Limits(connection.max_registers, connection.max_bits, connection.max_gap)
    codec = TcpCodec()
    frames = [
        codec.frame(read_request(block.table, block.start, block.count), connection.unit_id, 1)
        for block in plan_reads(points, limits)
    ]
    sizes = [_answer_size(block) for block in plan_reads(points, limits)]

    async def poll() -> int:
        for frame, size in zip(frames, sizes, strict=True):
            await stream.send_all(frame)
            missing = size
            while missing > 0:
                data = await stream.receive_some()
                if not data:
                    raise ConnectionError(f"{device.name}: the simulator closed the connection")
                missing -= len(data)
        return len(device.tags)

    return poll


def _answer_size(block: Block) -> int:
    return 9 + ((block.count + 7) // 8 if block.table.is_bits else 2 * block.count)


async def keep_bare(device: DeviceDocument, tally: Tally) -> None:
    """Poll a device as bare bytes."""
    if not isinstance(device, ModbusDevice):
        raise TypeError(f"{device.name}: bare bytes are for Modbus, found {device.driver}")
    await keep_polling(device, await open_bare(device), tally)


async def keep_driver(device: DeviceDocument, drivers: Drivers, tally: Tally) -> None:
    """Read a device through its driver."""
    driver = drivers.make(device)
    await driver.open()
    (group,) = driver.groups

    async def poll() -> int:
        result = await driver.read(group)
        if result.bad:
            raise ValueError(f"{device.name}: {next(iter(result.bad.values()))}")
        return len(result.values)

    if not isinstance(driver, Subscriber) or group not in driver.subscribed:
        await keep_polling(device, poll, tally)
        return
    tally.tags(await poll())
    while True:
        for changes in await driver.wait_changes():
            tally.tags(len(changes.indices))


async def keep_polling(device: Device, poll: Poll, tally: Tally) -> None:
    """Poll on a device's beats."""
    paces = {group.name: Pace(group.interval_s) for group in device.poll_groups}
    beats = Beats(device.name, paces, trio.current_time())
    while True:
        group, due = beats.next()
        if due is None:
            continue
        await trio.sleep_until(due)
        late_s = trio.current_time() - due
        got = await poll()
        tally.beat(late_s, beats.done(group, trio.current_time()))
        tally.tags(got)


async def run(document: NodeDocument, kind: str, seconds: float) -> dict[str, float]:
    """Read all devices on trio for a while and return what it cost."""
    drivers = Drivers()
    tally = Tally()
    async with trio.open_nursery() as nursery:
        for device in document.devices:
            if kind == "bare":
                nursery.start_soon(keep_bare, device, tally)
            else:
                nursery.start_soon(keep_driver, device, drivers, tally)
        await trio.sleep(min(WARM_UP_S, seconds))
        tally.begin()
        await trio.sleep(seconds)
        figures = tally.figures()
        nursery.cancel_scope.cancel()
    return figures


async def run_with_library(document: NodeDocument, seconds: float) -> NoReturn:
    """Read all devices by the library's client for a while, print what it cost, and exit.

    pymodbus's client takes a cancellation for a lost connection and goes on, so that nothing but
    the end of the process ends it for sure.
    """
    tally = Tally()
    reading = asyncio.ensure_future(run_library(document, tally))
    await asyncio.wait([reading], timeout=min(WARM_UP_S, seconds))
    tally.begin()
    await asyncio.wait([reading], timeout=seconds)
    if reading.done():
        reading.result()
    print(json.dumps(tally.figures()), flush=True)
    os._exit(0)


def _cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    """Run one kind of loop over a configuration and print its figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=["bare", "driver", "library"])
    parser.add_argument("config", type=Path)
    parser.add_argument("seconds", type=float)
    given = parser.parse_args()
    logging.disable(logging.WARNING)  # the libraries tell what is expected here
    document = NodeDocument.model_validate(tomllib.loads(given.config.read_text()))
    if given.kind == "library":
        asyncio.run(run_with_library(document, given.seconds))
    try:
        figures = trio.run(run, document, given.kind, given.seconds)
    except DriverError as exc:
        raise SystemExit(str(exc)) from exc
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
