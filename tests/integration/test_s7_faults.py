"""The simulated CPUs: honest to another client, and what each fault looks like to the driver."""

import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest
import trio
from snap7 import Area, Client, WordLen
from snap7.type import Block

from deploy.local.plant.faults import Faults
from deploy.local.plant.s7_cpu import refuse
from deploy.local.plant.s7_generic import listen_each, serve_s7
from deploy.local.simulate_s7 import parse_s7_fault
from edge_node.drivers.base import DeviceUnreachable, RequestRejected
from edge_node.drivers.s7.driver import S7Driver
from proto.control.s7 import S7Device

pytestmark = pytest.mark.trio


@asynccontextmanager
async def simulator(*faults: str, devices: int = 2, tags: int = 20) -> AsyncIterator[Sequence[int]]:
    listeners = await listen_each("127.0.0.1", 0, devices)
    async with trio.open_nursery() as nursery:
        parsed = Faults([parse_s7_fault(text) for text in faults], refuse=refuse)
        nursery.start_soon(partial(serve_s7, listeners, tags, faults=parsed))
        yield [listener.socket.getsockname()[1] for listener in listeners]
        nursery.cancel_scope.cancel()


async def make(port: int, name: str = "D1", **connection: Any) -> S7Driver:
    tags = [{"name": f"w{i}", "address": f"DB1.DBW{2 * i}", "datatype": "int"} for i in range(20)]
    tags[0]["writable"] = True  # type: ignore[assignment]  # TOML's own mixture
    driver = S7Driver(
        S7Device.model_validate(
            {
                "name": name,
                "driver": "s7",
                "connection": {"host": "127.0.0.1", "port": port, "timeout_s": 0.15} | connection,
                "tags": tags,
            }
        )
    )
    await driver.open()
    return driver


async def test_another_client_finds_an_honest_cpu() -> None:
    async with simulator(tags=1000) as ports:
        await trio.to_thread.run_sync(use_python_snap7, ports[0])


def use_python_snap7(port: int) -> None:
    logging.getLogger("snap7").setLevel(logging.CRITICAL)
    client = Client()
    client.connect("127.0.0.1", 0, 1, port)
    assert client.get_pdu_length() == 480
    assert len(client.db_read(1, 0, 2000)) == 2000
    client.db_write(1, 3, bytearray(b"\1\2\3"))
    assert client.db_read(1, 3, 3) == b"\1\2\3"
    before = client.db_read(1, 40, 1)[0]
    client.write_area(Area.DB, 1, 8 * 40 + 3, bytearray([1]), WordLen.Bit)
    assert client.db_read(1, 40, 1)[0] == before | 8
    some = [{"area": Area.DB, "db_number": 1, "start": start, "size": 3} for start in (3, 40)]
    code, values = client.read_multi_vars(some)
    assert code == 0
    assert values[0] == b"\1\2\3"
    assert client.list_blocks_of_type(Block.DB, 100) == [1]
    assert client.list_blocks().DBCount == 1
    assert client.get_block_info(Block.DB, 1).MC7Size == 2000
    assert client.get_cpu_info().ModuleTypeName == b"CPU SIM"
    for block, start in ((2, 0), (1, 2000)):
        with pytest.raises(Exception, match=r"Read operation failed"):
            client.db_read(block, start, 4)
    client.disconnect()


async def test_healthy_cpus_have_values_that_can_be_written() -> None:
    async with simulator() as ports:
        driver = await make(ports[0])
        first = await driver.read("default")
        assert first.requests == 1
        assert not first.bad
        assert len(set(first.values)) > 10
        await driver.write("w0", -5)
        assert (await driver.read("default")).values[0] == -5
        await driver.aclose()


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("1:drop", "did not answer within 0.15 s"),
        ("1:delay=20", "did not answer within 0.15 s"),
        ("1:slow=0.05", "did not answer within 0.15 s"),
        ("1:disconnect", "closed the connection"),
        ("1:garbage", "does not speak S7"),
    ],
)
async def test_a_fault_makes_its_device_unreachable_and_spares_the_others(
    fault: str, message: str
) -> None:
    async with simulator(fault) as ports:
        patience_s = 0.15 if "answer" in message else 30
        broken = await make(ports[0], timeout_s=patience_s)
        healthy = await make(ports[1], "D2", timeout_s=30)
        with pytest.raises(DeviceUnreachable, match=f"^D1: .*{message}"):
            await broken.read("default")
        assert (await healthy.read("default")).bad == {}
        await broken.aclose()
        await healthy.aclose()


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (3, "not allowed (code 0x03): allow PUT/GET in the CPU's protection settings"),
        (10, "does not exist (code 0x0a): it is not in the CPU, or is an optimized block"),
        (0x8104, "(error 0x8104): allow PUT/GET communication in the CPU's protection settings"),
    ],
)
async def test_an_exception_makes_the_values_bad_and_keeps_the_connection(
    code: int, message: str
) -> None:
    async with simulator(f"exception={code}") as ports:
        driver = await make(ports[0], timeout_s=30)
        for _ in range(2):
            result = await driver.read("default")
            assert len(result.bad) == 20
            assert all(message in reason for reason in result.bad.values())
        with pytest.raises(
            RequestRejected, match=r"D1 tag 'w0': writing 1 to DB1.DBW0 was refused"
        ):
            await driver.write("w0", 1)
        await driver.aclose()


async def test_short_delays_and_slow_bytes_are_waited_for() -> None:
    async with simulator("1:delay=0.05", "2:slow=0.001") as ports:
        for port in ports:
            driver = await make(port, timeout_s=30)
            assert (await driver.read("default")).bad == {}
            await driver.aclose()
