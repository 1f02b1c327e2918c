"""The same values on the same beats by the client of the protocol's own Python library.

What an engineer's script costs: no plan of ours, no pipeline, no publishing. Run by
``edge_baseline.py``.
"""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, Protocol

from asyncua import Client as OpcUaClient
from pymodbus.client import AsyncModbusTcpClient
from snap7.client import Client as S7Client

from edge_node.scheduler import Beats, Pace
from proto.control.modbus import ModbusDevice
from proto.control.node import NodeDocument
from proto.control.s7 import S7Device

_MOST_REGISTERS = 125
_MOST_NODES = 500


class Count(Protocol):
    """What a loop tells of its polls."""

    def beat(self, late_s: float, skipped: int) -> None:
        """Count one poll."""

    def tags(self, number: int) -> None:
        """Count values that came."""


Read = Callable[[Any, Count], Coroutine[Any, Any, None]]


async def run_library(document: NodeDocument, count: Count) -> None:
    """Read every device until cancelled."""
    read: Mapping[str, Read] = {"modbus": _poll_modbus, "opcua": _read_opcua, "s7": _poll_s7}
    async with asyncio.TaskGroup() as tasks:
        for device in document.devices:
            tasks.create_task(read[device.driver](device, count))


async def _poll_modbus(device: ModbusDevice, count: Count) -> None:
    connection = device.connection
    client = AsyncModbusTcpClient(connection.host, port=connection.port)
    await client.connect()
    wanted = len(device.tags)

    async def poll() -> int:
        got = 0
        for start in range(0, wanted, _MOST_REGISTERS):
            size = min(_MOST_REGISTERS, wanted - start)
            answer = await client.read_holding_registers(
                start, count=size, device_id=connection.unit_id
            )
            got += len(answer.registers)
        return got

    await _on_beats(device, poll, count)


async def _poll_s7(device: S7Device, count: Count) -> None:
    """Poll in a thread, which is what this library is made for."""
    loop = asyncio.get_running_loop()
    stopped = threading.Event()
    connection = device.connection
    size = 2 * len(device.tags)

    def poll() -> None:
        client = S7Client()
        client.connect(connection.host, connection.rack, connection.slot, connection.port)
        beats = _beats(device, time.monotonic())
        while not stopped.is_set():
            group, due = beats.next()
            if due is None:
                continue
            time.sleep(max(0.0, due - time.monotonic()))
            late_s = time.monotonic() - due
            got = len(client.db_read(1, 0, size)) // 2
            skipped = beats.done(group, time.monotonic())
            loop.call_soon_threadsafe(count.beat, late_s, skipped)
            loop.call_soon_threadsafe(count.tags, got)

    thread = threading.Thread(target=poll, daemon=True)
    thread.start()
    try:
        await asyncio.get_running_loop().create_future()
    finally:
        stopped.set()


async def _read_opcua(device: Any, count: Count) -> None:
    (group,) = device.poll_groups
    # as it is by default, this client gives up a session that is busy, and never comes back
    client = OpcUaClient(
        device.connection.url, timeout=60, watchdog_intervall=60, auto_reconnect=True
    )
    async with client:
        uri = device.tags[0].address.removeprefix("nsu=").partition(";")[0]
        index = await client.get_namespace_index(uri)
        nodes = [
            client.get_node(f"ns={index};{tag.address.partition(';')[2]}") for tag in device.tags
        ]
        if group.mode == "poll":
            await _on_beats(device, lambda: _read_nodes(client, nodes), count)
            return
        subscription = await client.create_subscription(
            1000 * group.interval_s,
            _Handler(count),
            queue_maxsize=4 * len(nodes),  # what it has by default loses values
        )
        for first in range(0, len(nodes), _MOST_NODES):
            await subscription.subscribe_data_change(nodes[first : first + _MOST_NODES])
        await asyncio.get_running_loop().create_future()


async def _read_nodes(client: OpcUaClient, nodes: list[Any]) -> int:
    got = 0
    for first in range(0, len(nodes), _MOST_NODES):
        got += len(await client.read_values(nodes[first : first + _MOST_NODES]))
    return got


class _Handler:
    """Counts what the library's subscription hands over."""

    def __init__(self, count: Count) -> None:
        self._count = count

    def datachange_notification(self, _node: object, _value: object, _data: object) -> None:
        self._count.tags(1)


async def _on_beats(device: Any, poll: Callable[[], Awaitable[int]], count: Count) -> None:
    loop = asyncio.get_running_loop()
    beats = _beats(device, loop.time())
    while True:
        group, due = beats.next()
        if due is None:
            continue
        await asyncio.sleep(max(0.0, due - loop.time()))
        late_s = loop.time() - due
        got = await poll()
        count.beat(late_s, beats.done(group, loop.time()))
        count.tags(got)


def _beats(device: Any, now: float) -> Beats:
    paces = {group.name: Pace(group.interval_s) for group in device.poll_groups}
    return Beats(device.name, paces, now)
