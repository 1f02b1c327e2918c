"""One connection to a CPU: shared by its devices, with as many requests on it as the CPU grants."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
import trio.testing

from deploy.local.plant.s7_cpu import S7Cpu, is_answer, refuse
from deploy.local.plant.s7_generic import WaveMemory
from edge_node.drivers.base import DeviceUnreachable
from edge_node.drivers.s7.driver import S7Driver
from edge_node.drivers.s7.link import Links
from edge_node.probe import read_device
from proto.control.s7 import S7Device

pytestmark = pytest.mark.trio

_KIND = 8
_USER_DATA = 7


class Cpu:
    """A CPU that answers as soon as ``together`` requests wait, the last first."""

    def __init__(self, *, jobs: int = 8, together: int = 1) -> None:
        self.connections: list[trio.SocketStream] = []
        self.most_waiting = 0
        self.port = 0
        self._jobs = jobs
        self.runs = True
        self._together = together
        self._memory = WaveMemory(0, 2000, lambda: 0)

    def change(self, answer: bytes) -> bytes:
        """Return what is sent instead of an answer."""
        return answer

    async def serve(self, stream: trio.SocketStream) -> None:
        self.connections.append(stream)
        cpu = S7Cpu(self._memory, jobs=self._jobs, runs=lambda: self.runs)
        kept: list[bytes] = []
        try:
            while data := await stream.receive_some(16_384):
                for one in cpu.receive(bytes(data)):
                    answer = self.change(one)
                    kept.append(answer)
                    waiting = len(kept) if is_answer(answer) else 0
                    self.most_waiting = max(self.most_waiting, waiting)
                    if len(kept) >= self._together or not is_answer(answer):
                        await stream.send_all(b"".join(reversed(kept)))
                        kept = []
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return
        finally:
            self.connections.remove(stream)
            stream.socket.close()


class Mute(Cpu):
    """A CPU that refuses to tell its state."""

    def change(self, answer: bytes) -> bytes:
        if answer[_KIND] != _USER_DATA:
            return answer
        return answer[:27] + b"\xd4\x01" + answer[29:]


class Touchy(Cpu):
    """A device that hangs up when it is asked for its state."""

    def change(self, answer: bytes) -> bytes:
        if answer[_KIND : _KIND + 1] == bytes((_USER_DATA,)):
            raise trio.BrokenResourceError
        return answer


class Strict(Cpu):
    """A device that refuses a whole request for one variable that it does not have."""

    def change(self, answer: bytes) -> bytes:
        return refuse(answer, 0xD209) if is_answer(answer) and b"\x05\0\0\0" in answer else answer


@asynccontextmanager
async def serving(cpu: Cpu) -> AsyncIterator[Cpu]:
    async with trio.open_nursery() as nursery:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, cpu.serve, [listener])
        cpu.port = listener.socket.getsockname()[1]
        yield cpu
        nursery.cancel_scope.cancel()


def make(cpu: Cpu, links: Links, name: str = "A", *, count: int = 3, **connection: Any) -> S7Driver:
    return S7Driver(describe(cpu, name, count, **connection), links)


def describe(cpu: Cpu, name: str = "A", count: int = 3, **connection: Any) -> S7Device:
    """Return a device of tags that take a request each."""
    tags: list[dict[str, Any]] = [
        {"name": f"t{i}", "address": f"DB1.DBW{400 * i}:INT[200]", "writable": True, "scale": 0.1}
        for i in range(count)
    ]
    settings = {"host": "127.0.0.1", "port": cpu.port, "timeout_s": 30, **connection}
    return S7Device.model_validate(
        {"name": name, "driver": "s7", "connection": settings, "tags": tags}
    )


async def test_as_many_requests_are_on_their_way_as_the_cpu_grants() -> None:
    async with serving(Cpu(together=3)) as cpu:
        driver = make(cpu, Links())
        await driver.open()
        result = await driver.read("default")
        assert result.requests == cpu.most_waiting == 3
        first = [value[0] for value in result.values if isinstance(value, list)]
        assert len(set(first)) == 3, "answers that came in reverse went to their own tags"
        await driver.aclose()


@pytest.mark.parametrize(("granted", "asked", "most"), [(1, 4, 1), (2, 4, 2), (8, 2, 2), (0, 4, 1)])
async def test_no_more_are_on_their_way_than_granted_and_asked_for(
    granted: int, asked: int, most: int
) -> None:
    async with serving(Cpu(jobs=granted, together=most)) as cpu:
        driver = make(cpu, Links(), count=4, max_in_flight=asked)
        await driver.open()
        assert (await driver.read("default")).requests == 4
        assert cpu.most_waiting == most
        await driver.aclose()


async def test_devices_of_one_cpu_share_its_connection() -> None:
    async with serving(Cpu()) as cpu:
        links = Links()
        a, b = make(cpu, links, "A"), make(cpu, links, "B", max_gap=0)
        await a.open()
        await b.open()
        assert len(cpu.connections) == 1
        async with trio.open_nursery() as nursery:
            for driver in (a, b):
                nursery.start_soon(driver.read, "default")
                nursery.start_soon(driver.write, "t0", [1] * 200)
        await a.aclose()
        assert (await b.read("default")).values[0] == [1] * 200
        assert a.traffic.requests == 5, "three reads, a write and the CPU's state"
        assert b.traffic.requests == 8
        await b.aclose()
        with pytest.raises(DeviceUnreachable, match=r"B: .* is not connected"):
            await b.read("default")


async def test_a_lost_connection_is_lost_for_all_and_found_by_any() -> None:
    async with serving(Cpu()) as cpu:
        links = Links()
        a, b = make(cpu, links, "A"), make(cpu, links, "B")
        await a.open()
        await b.open()
        await cpu.connections[0].aclose()
        for driver in (a, b):
            with pytest.raises(DeviceUnreachable):
                await driver.read("default")
        await a.aclose()
        await b.open()
        assert not (await b.read("default")).bad
        await b.aclose()


async def test_no_more_connections_are_opened_than_the_device_allows() -> None:
    async with serving(Cpu()) as cpu:
        links = Links()
        settings = {"shared": False, "max_connections": 1, "timeout_s": 1}
        a, b = make(cpu, links, "A", **settings), make(cpu, links, "B", **settings)
        await a.open()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(b.open)  # waits, and goes on when the other leaves
            await trio.testing.wait_all_tasks_blocked(0.01)
            assert len(cpu.connections) == 1
            await a.aclose()
        assert not (await b.read("default")).bad
        with pytest.raises(DeviceUnreachable, match=r"A: .* has 1 connections of this node"):
            await a.open()
        await b.aclose()


async def test_an_address_that_has_whole_requests_refused_is_isolated() -> None:
    async with serving(Strict()) as cpu:
        document = describe(cpu)
        tags = [
            {"name": f"w{at}", "address": f"DB1.DBW{at}", "datatype": "int"}
            for at in (0, 2, 20, 3990, 5000, 5002)
        ]
        document = S7Device.model_validate(document.model_dump() | {"tags": tags})
        driver = S7Driver(document, Links())
        await driver.open()
        names = [info.name for info in driver.groups["default"]]
        for result in [await driver.read("default") for _ in range(2)]:
            assert {names[i] for i in result.bad} == {"w5000", "w5002"}
            assert all("(error 0xd209)" in reason for reason in result.bad.values())
        assert (await driver.read("default")).requests == 1
        assert driver.traffic.quarantined == 2
        await driver.aclose()


async def test_devices_that_do_not_share_have_connections_of_their_own() -> None:
    async with serving(Cpu()) as cpu:
        links = Links()
        drivers = [
            make(cpu, links, "A", shared=False),
            make(cpu, links, "B", shared=False),
            make(cpu, links, "C"),
            make(cpu, links, "D", slot=2),
        ]
        for driver in drivers:
            await driver.open()
        assert len(cpu.connections) == 4
        for driver in drivers:
            await driver.aclose()


async def test_a_cpu_in_stop_has_stale_values_until_it_runs_again() -> None:
    async with serving(Cpu()) as cpu:
        driver = make(cpu, Links())
        cpu.runs = False
        await driver.open()
        stopped = await driver.read("default")
        assert stopped.uncertain == dict.fromkeys(range(3), "the CPU is in STOP")
        assert not stopped.bad
        cpu.runs = True
        assert (await driver.read("default")).uncertain, "it is not asked at every poll"
        driver._state.forget()
        assert not (await driver.read("default")).uncertain
        await driver.aclose()


async def test_a_test_read_tells_of_a_stop_and_scales_arrays() -> None:
    async with serving(Cpu()) as cpu:
        cpu.runs = False
        reading = await read_device(describe(cpu, count=1))
        (tag,) = reading.tags
        assert (tag.reason, tag.doubt) == (None, "the CPU is in STOP")
        assert isinstance(tag.raw, list)
        assert isinstance(tag.value, list)
        assert tag.raw[20] != 0
        assert tag.value[20] == pytest.approx(0.1 * float(tag.raw[20]))


async def test_a_cpu_that_does_not_tell_its_state_is_asked_once() -> None:
    async with serving(Mute()) as cpu:
        driver = make(cpu, Links())
        await driver.open()
        for _ in range(2):
            assert not (await driver.read("default")).uncertain
            driver._state.forget()
        assert driver.traffic.requests == 7
        await driver.aclose()


async def test_a_cpu_that_hangs_up_when_asked_is_asked_once() -> None:
    async with serving(Touchy()) as cpu:
        driver = make(cpu, Links())
        await driver.open()
        with pytest.raises(DeviceUnreachable, match="closed the connection"):
            await driver.read("default")
        await driver.open()
        assert not (await driver.read("default")).bad
        await driver.aclose()


async def test_a_logo_is_never_asked() -> None:
    async with serving(Touchy()) as cpu:
        driver = make(cpu, Links(), remote_tsap="20.00", local_tsap="10.00")
        await driver.open()
        assert not (await driver.read("default")).bad
        await driver.aclose()
