"""The floor below an edge node: the same requests on the same beats, and nothing else.

``bare`` sends the requests and counts the bytes that come back; ``driver`` reads through the Modbus
driver, so values are decoded, and drops them. Run by ``edge.py`` in a process of its own.
"""

import argparse
import json
import resource
import time
import tomllib
from collections.abc import Awaitable, Callable
from pathlib import Path

import trio

from edge_node.drivers.modbus.codec import TcpCodec, read_request
from edge_node.drivers.modbus.plan import Block, Limits, plan_reads
from edge_node.drivers.modbus.points import compile_points
from edge_node.drivers.registry import Drivers
from edge_node.scheduler import Beats, Lateness, Pace
from proto.control.device import ModbusDevice
from proto.control.node import NodeDocument

WARM_UP_S = 3.0

Poll = Callable[[], Awaitable[None]]


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

    async def poll() -> None:
        for frame, size in zip(frames, sizes, strict=True):
            await stream.send_all(frame)
            missing = size
            while missing > 0:
                data = await stream.receive_some()
                if not data:
                    raise ConnectionError(f"{device.name}: the simulator closed the connection")
                missing -= len(data)

    return poll


async def open_driver(device: ModbusDevice, drivers: Drivers) -> Poll:
    """Open the device's driver and return a poll that reads its only group."""
    driver = drivers.make(device)
    await driver.open()
    (group,) = driver.groups

    async def poll() -> None:
        result = await driver.read(group)
        if result.bad:
            raise ValueError(f"{device.name}: {next(iter(result.bad.values()))}")

    return poll


def _answer_size(block: Block) -> int:
    return 9 + ((block.count + 7) // 8 if block.table.is_bits else 2 * block.count)


async def run(document: NodeDocument, kind: str, seconds: float) -> dict[str, float]:
    """Poll all devices for a while and return what it cost."""
    drivers = Drivers()
    polls = 0
    skipped = 0
    lateness = Lateness()

    async def keep_polling(device: ModbusDevice) -> None:
        nonlocal polls, skipped
        poll = await (open_bare(device) if kind == "bare" else open_driver(device, drivers))
        paces = {group.name: Pace(group.interval_s) for group in device.poll_groups}
        beats = Beats(device.name, paces, trio.current_time())
        while True:
            group, due = beats.next()
            if due is None:
                continue
            await trio.sleep_until(due)
            lateness.add(trio.current_time() - due)
            await poll()
            polls += 1
            skipped += beats.done(group, trio.current_time())

    async with trio.open_nursery() as nursery:
        for device in document.devices:
            if isinstance(device, ModbusDevice):
                nursery.start_soon(keep_polling, device)
        await trio.sleep(min(WARM_UP_S, seconds))
        lateness = Lateness()
        polls_before, skipped_before, cpu_before = polls, skipped, _cpu_s()
        began = time.monotonic()
        await trio.sleep(seconds)
        took = time.monotonic() - began
        figures = {
            "cpu_percent": round(100 * (_cpu_s() - cpu_before) / took, 2),
            "polls_per_s": round((polls - polls_before) / took, 2),
            "skipped_polls": skipped - skipped_before,
            "lateness_p99_ms": round(1000 * lateness.quantile_s(0.99), 2),
        }
        nursery.cancel_scope.cancel()
    return figures


def _cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    """Run one kind of loop over a configuration and print its figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=["bare", "driver"])
    parser.add_argument("config", type=Path)
    parser.add_argument("seconds", type=float)
    given = parser.parse_args()
    document = NodeDocument.model_validate(tomllib.loads(given.config.read_text()))
    print(json.dumps(trio.run(run, document, given.kind, given.seconds)))


if __name__ == "__main__":
    main()
