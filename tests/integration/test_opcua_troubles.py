"""What goes wrong with OPC UA servers, and what users of other products complained about."""

import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from asyncua import ua

from edge_node.drivers.base import Changes, DeviceUnreachable, RawValue
from edge_node.drivers.opcua.driver import OpcUaDriver
from tests.integration.opcua_rig import PATIENCE_S, OpcUaServer, add_variable, make_driver

pytestmark = pytest.mark.trio

TEMP = {"name": "temp", "datatype": "double", "writable": True}
COUNT = {"name": "count", "datatype": "int32"}
MISSING = {"name": "missing", "datatype": "double"}


@pytest.fixture
def server() -> Iterator[OpcUaServer]:
    one = OpcUaServer().start()
    yield one
    one.stop()


forgetful_server = pytest.mark.filterwarnings(
    # asyncua's server makes a coroutine for each follower of a deleted node and drops it.
    "ignore:coroutine 'MonitoredItemService.datachange_callback' was never awaited",
    "ignore::pytest.PytestUnraisableExceptionWarning",
)


class Proxy:
    """Passes bytes between a driver and a server, until it is told to keep them."""

    def __init__(self) -> None:
        self.port = 0
        self.mute = False
        self.passed = 0

    async def run(self, target: int, task_status: Any = trio.TASK_STATUS_IGNORED) -> None:
        async def serve(client: trio.SocketStream) -> None:
            server = await trio.open_tcp_stream("127.0.0.1", target)
            async with server, client, trio.open_nursery() as nursery:
                nursery.start_soon(self._pump, client, server, nursery)
                nursery.start_soon(self._pump, server, client, nursery)

        async with trio.open_nursery() as nursery:
            listeners = await nursery.start(trio.serve_tcp, serve, 0)
            self.port = listeners[0].socket.getsockname()[1]
            task_status.started()

    async def _pump(
        self, source: trio.SocketStream, sink: trio.SocketStream, nursery: trio.Nursery
    ) -> None:
        try:
            async for data in source:
                self.passed += 1
                if not self.mute:
                    await sink.send_all(bytes(data))
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def opened(driver: OpcUaDriver) -> AsyncIterator[OpcUaDriver]:
    try:
        with trio.fail_after(PATIENCE_S):
            await driver.open()
            await driver.read("default")
        yield driver
    finally:
        await driver.aclose()


async def follow(driver: OpcUaDriver, until: Callable[[Changes], bool]) -> Changes:
    with trio.fail_after(PATIENCE_S):
        while True:
            for changes in await driver.wait_changes():
                if until(changes):
                    return changes


def has(index: int, value: RawValue) -> Callable[[Changes], bool]:
    return lambda changes: (index, value) in zip(changes.indices, changes.values, strict=True)


async def wait_lost(driver: OpcUaDriver) -> str:
    with trio.fail_after(PATIENCE_S):
        while True:
            try:
                await driver.wait_changes()
            except DeviceUnreachable as exc:
                return str(exc)


@pytest.mark.complaint("opcua-restart")
async def test_tb_1641_a_restarted_server_is_followed_again(server: OpcUaServer) -> None:
    driver = make_driver(server.url, TEMP)
    async with opened(driver):
        await trio.to_thread.run_sync(server.stop)
        assert server.url in await wait_lost(driver)
    await trio.to_thread.run_sync(server.start)
    async with opened(driver):
        server.write("temp", 4.5)
        await follow(driver, has(0, 4.5))


@pytest.mark.complaint("bad-node")
async def test_te_19186_tb_2093_a_bad_node_does_not_kill_the_subscription(
    server: OpcUaServer,
) -> None:
    async with opened(make_driver(server.url, MISSING, TEMP)) as driver:
        server.write("temp", 4.5)
        changes = await follow(driver, has(1, 4.5))
        assert list(changes.bad) == [0]
        server.add("missing", 1.25)
        changes = await follow(driver, has(0, 1.25))
        assert changes.bad == {}


@forgetful_server
async def test_te_19186_a_node_that_dies_alone_is_bad_alone_and_comes_back(
    server: OpcUaServer,
) -> None:
    """The server says nothing of it: a look at what is silent finds it."""
    driver = make_driver(server.url, TEMP, COUNT, connection={"recheck_s": 0.5})
    async with opened(driver):
        server.delete("temp")
        changes = await follow(driver, lambda changes: 0 in changes.bad)
        assert "no such node" in changes.bad[0]
        assert list(changes.bad) == [0]
        server.write("count", 8, ua.VariantType.Int32)
        await follow(driver, has(1, 8))
        server.add("temp", 77.0)
        changes = await follow(driver, has(0, 77.0))
        assert changes.bad == {}
        server.write("temp", 78.0)
        await follow(driver, has(0, 78.0))


@forgetful_server
async def test_a_node_that_was_replaced_between_two_looks_is_followed_anew(
    server: OpcUaServer,
) -> None:
    driver = make_driver(server.url, TEMP, connection={"recheck_s": 1.0})
    async with opened(driver):
        server.delete("temp")
        server.add("temp", 50.0)
        await follow(driver, has(0, 50.0))
        server.write("temp", 51.0)
        await follow(driver, has(0, 51.0))


async def test_a_node_survives_another_order_of_the_namespaces(server: OpcUaServer) -> None:
    driver = make_driver(server.url, TEMP)
    async with opened(driver):
        before = server.index
    server.other_namespaces = ["urn:plant:one", "urn:plant:two"]
    await trio.to_thread.run_sync(server.restart)
    assert server.index == before + 2
    async with opened(driver):
        server.write("temp", 4.5)
        await follow(driver, has(0, 4.5))


LATE = "urn:plant:late"


@pytest.mark.parametrize("mode", ["subscribe", "poll"])
async def test_a_namespace_that_comes_while_the_session_stands_is_found(
    server: OpcUaServer, mode: str
) -> None:
    """Servers load a project while they run."""
    tag = {"name": "new", "address": f"nsu={LATE};s=new", "datatype": "double"}
    groups = [{"name": "default", "interval_s": 0.1, "mode": mode}]
    driver = make_driver(server.url, tag, poll_groups=groups)

    async def load() -> None:
        index = await server.server.register_namespace(LATE)
        await add_variable(server.server, index, "new", 5.5, ua.VariantType.Double)

    async with opened(driver):
        result = await driver.read("default")
        assert f"namespace '{LATE}' is not on the server" in result.bad[0]
        await trio.to_thread.run_sync(lambda: server.call(load()))
        if mode == "subscribe":
            await follow(driver, has(0, 5.5))
        with trio.fail_after(PATIENCE_S):
            while (result := await driver.read("default")).bad:  # noqa: ASYNC110  # a poll
                await trio.sleep(0.5)
        assert result.values == [5.5]


@pytest.mark.complaint("healthy-session")
async def test_he_1303_data_that_arrive_keep_the_watchdog_asleep(
    server: OpcUaServer,
) -> None:
    driver = make_driver(server.url, TEMP, connection={"watchdog_s": 1.0})
    async with opened(driver):
        began = time.monotonic()
        number = 0.0
        while time.monotonic() - began < 4:
            number += 1
            await trio.to_thread.run_sync(server.write, "temp", number)
            await follow(driver, has(0, number))


async def test_a_server_that_falls_silent_is_lost_within_the_watchdogs_time(
    server: OpcUaServer, nursery: trio.Nursery
) -> None:
    proxy = Proxy()
    await nursery.start(proxy.run, server.port)
    settings = {"watchdog_s": 1.0, "timeout_s": 1.0}
    driver = make_driver(f"opc.tcp://127.0.0.1:{proxy.port}/press", TEMP, connection=settings)
    async with opened(driver):
        proxy.mute = True
        began = time.monotonic()
        reason = await wait_lost(driver)
        assert "did not answer Read within 1 s" in reason or "nothing was published" in reason
        assert time.monotonic() - began < 20
    nursery.cancel_scope.cancel()


async def test_a_subscription_that_the_server_drops_is_noticed(server: OpcUaServer) -> None:
    driver = make_driver(server.url, TEMP, connection={"watchdog_s": 1.0})

    async def drop() -> None:
        service = server.server.iserver.subscription_service
        await service.delete_subscriptions(list(service.subscriptions))

    async with opened(driver):
        server.call(drop())
        assert server.url in await wait_lost(driver)
    async with opened(driver):
        server.write("temp", 4.5)
        await follow(driver, has(0, 4.5))


async def test_a_connection_that_breaks_is_told_at_once(
    server: OpcUaServer, nursery: trio.Nursery
) -> None:
    proxy = Proxy()
    relay = trio.CancelScope()

    async def run(task_status: Any = trio.TASK_STATUS_IGNORED) -> None:
        with relay:
            await proxy.run(server.port, task_status)

    await nursery.start(run)
    driver = make_driver(f"opc.tcp://127.0.0.1:{proxy.port}/press", TEMP)
    async with opened(driver):
        relay.cancel()
        began = time.monotonic()
        await wait_lost(driver)
        assert time.monotonic() - began < 5
    nursery.cancel_scope.cancel()


async def test_a_deadband_is_applied_by_the_server(server: OpcUaServer) -> None:
    server.write("temp", 20.0)
    async with opened(make_driver(server.url, {**TEMP, "deadband": 5.0}, COUNT)) as driver:
        await follow(driver, has(0, 20.0))
        server.write("temp", 21.0)
        server.write("count", 8, ua.VariantType.Int32)
        changes = await follow(driver, has(1, 8))
        assert 0 not in changes.indices
        server.write("temp", 30.0)
        await follow(driver, has(0, 30.0))


async def test_a_server_without_filters_leaves_the_deadband_to_the_edge(
    server: OpcUaServer,
) -> None:
    tag = {**TEMP, "deadband": 5.0}
    driver = make_driver(server.url, tag, connection={"profile": "s7-1200"})
    async with opened(driver):
        server.write("temp", 21.0)
        await follow(driver, has(0, 21.0))


async def test_a_polled_group_is_read_with_its_bad_nodes_beside_the_good(
    server: OpcUaServer,
) -> None:
    groups = [{"name": "default", "mode": "poll"}]
    driver = make_driver(server.url, TEMP, MISSING, poll_groups=groups)
    assert driver.subscribed == frozenset()
    async with opened(driver):
        result = await driver.read("default")
        assert (result.values, list(result.bad)) == ([20.5, None], [1])
        server.add("missing", 1.5)
        result = await driver.read("default")
        assert (result.values, result.bad) == ([20.5, 1.5], {})


async def test_a_polled_device_notices_that_its_server_is_gone(server: OpcUaServer) -> None:
    groups = [{"name": "default", "mode": "poll"}]
    driver = make_driver(server.url, TEMP, poll_groups=groups)
    async with opened(driver):
        await trio.to_thread.run_sync(server.stop)

        async def read_until_lost() -> None:
            while True:
                await driver.read("default")

        with pytest.raises(DeviceUnreachable), trio.fail_after(PATIENCE_S):
            await read_until_lost()


async def test_closing_never_waits_for_a_server_that_does_not_answer(
    server: OpcUaServer, nursery: trio.Nursery
) -> None:
    proxy = Proxy()
    await nursery.start(proxy.run, server.port)
    driver = make_driver(f"opc.tcp://127.0.0.1:{proxy.port}/press", TEMP)
    async with opened(driver):
        proxy.mute = True
        began = time.monotonic()
        await driver.aclose()
        assert time.monotonic() - began < 5
    nursery.cancel_scope.cancel()


async def test_a_server_that_takes_the_connection_and_says_nothing_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"opc.tcp://127.0.0.1:{listener.getsockname()[1]}"
        driver = make_driver(url, TEMP, connection={"timeout_s": 0.5})
        with pytest.raises(DeviceUnreachable, match=r"did not tell its endpoints within 0\.5 s"):
            await driver.open()
        await driver.aclose()
