"""Devices of one server share a session where their settings agree; their troubles stay apart."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from asyncua import ua

from edge_node.drivers.base import CannotConnect, DeviceUnreachable
from edge_node.drivers.opcua.driver import OpcUaDriver
from edge_node.drivers.opcua.shared import Links
from tests.integration.opcua_rig import (
    PATIENCE_S,
    OpcUaServer,
    add_variable,
    document,
    free_port,
)

pytestmark = pytest.mark.trio

FAST = [{"name": "default", "interval_s": 0.05}]


async def nodes(server: Any, index: int) -> None:
    for number in range(20):
        await add_variable(server, index, f"n{number}", number, ua.VariantType.Int32)


@pytest.fixture(scope="module")
def one_server() -> Iterator[OpcUaServer]:
    one = OpcUaServer(nodes).start()
    yield one
    one.stop()


@pytest.fixture
async def server(one_server: OpcUaServer) -> OpcUaServer:
    """A server without any session."""
    await wait_sessions(one_server, 0)
    return one_server


def sessions(server: OpcUaServer) -> int:
    """Return how many sessions clients have with a server; its own is not one of them."""
    return len(server.server.bserver.clients)


def device(links: Links, url: str, *names: str, **connection: Any) -> OpcUaDriver:
    tags = [{"name": name, "datatype": "int32", "writable": True} for name in names]
    settings = {"recheck_s": 1, **connection}
    return OpcUaDriver(document(url, *tags, connection=settings, poll_groups=FAST), links)


@asynccontextmanager
async def opened(*drivers: OpcUaDriver) -> AsyncIterator[None]:
    try:
        async with trio.open_nursery() as nursery:
            for driver in drivers:
                nursery.start_soon(driver.open)
        for driver in drivers:
            await driver.read("default")
        yield
    finally:
        for driver in drivers:
            await driver.aclose()


async def follow(driver: OpcUaDriver, value: int) -> None:
    """Wait until a device is told a value of its first tag."""
    with trio.fail_after(PATIENCE_S):
        while True:
            for changes in await driver.wait_changes():
                if (0, value) in zip(changes.indices, changes.values, strict=True):
                    return


async def set_value(server: OpcUaServer, name: str, value: int) -> None:
    await trio.to_thread.run_sync(server.write, name, value, ua.VariantType.Int32)


async def wait_sessions(server: OpcUaServer, count: int) -> None:
    with trio.fail_after(PATIENCE_S):
        while sessions(server) != count:  # noqa: ASYNC110  # the server tells nobody
            await trio.sleep(0.05)


async def until_lost(driver: OpcUaDriver) -> None:
    """Take what is told until the connection is gone."""
    with trio.fail_after(PATIENCE_S):
        while True:
            await driver.wait_changes()


async def test_devices_with_the_same_settings_share_a_session(server: OpcUaServer) -> None:
    links = Links()
    drivers = [device(links, server.url, f"n{number}") for number in range(10)]
    async with opened(*drivers):
        assert sessions(server) == 1
        for number, driver in enumerate(drivers):
            await set_value(server, f"n{number}", 100 + number)
            await follow(driver, 100 + number)
        await drivers[3].write("n3", 7)
        assert await trio.to_thread.run_sync(server.read, "n3") == 7
        assert all(driver.traffic.requests >= 3 for driver in drivers)
        assert all(driver.traffic.bytes_sent > 100 for driver in drivers)
        assert all(driver.traffic.bytes_received > 100 for driver in drivers)
    await wait_sessions(server, 0)


async def test_devices_differ_in_what_is_their_own_and_still_share(server: OpcUaServer) -> None:
    links = Links()
    own = device(links, server.url, "n0", timestamps="edge", recheck_s=0)
    other = device(links, server.url, "n1")
    alone = device(links, server.url, "n2", shared=False)
    named = device(links, server.url, "n3", session_name="other")
    async with opened(own, other, alone, named):
        assert sessions(server) == 3


async def test_a_device_that_is_closed_takes_only_its_own_subscriptions(
    server: OpcUaServer,
) -> None:
    links = Links()
    stays, goes = device(links, server.url, "n10"), device(links, server.url, "n11")
    subscriptions = server.server.iserver.subscription_service.subscriptions
    async with opened(stays, goes):
        assert len(subscriptions) == 2
        await goes.aclose()
        assert len(subscriptions) == 1
        await set_value(server, "n10", 55)
        await follow(stays, 55)
        await goes.open()
        assert (await goes.read("default")).values == [11]
        await set_value(server, "n11", 56)
        await follow(goes, 56)
        await set_value(server, "n10", 57)
        await follow(stays, 57)
        assert sessions(server) == 1


async def test_a_subscription_that_the_server_ended_costs_no_other_device(
    server: OpcUaServer,
) -> None:
    links = Links()
    first, second = device(links, server.url, "n0"), device(links, server.url, "n1")
    service = server.server.iserver.subscription_service
    async with opened(first):
        ended = list(service.subscriptions)
        async with opened(second):

            async def end() -> None:
                await service.delete_subscriptions(ended)

            await trio.to_thread.run_sync(lambda: server.call(end()))
            with pytest.raises(DeviceUnreachable):
                await until_lost(first)
            await first.aclose()
            await set_value(server, "n1", 77)
            await follow(second, 77)
            await first.open()
            await first.read("default")
            await set_value(server, "n0", 78)
            await follow(first, 78)
            assert sessions(server) == 1


async def test_all_devices_of_a_lost_session_hear_of_it_and_share_the_next(
    server: OpcUaServer,
) -> None:
    links = Links()
    drivers = [device(links, server.url, f"n{number}") for number in range(4)]
    async with opened(*drivers):
        await trio.to_thread.run_sync(server.restart)
        for driver in drivers:
            with pytest.raises(DeviceUnreachable):
                await until_lost(driver)
        async with trio.open_nursery() as nursery:
            for driver in drivers:
                nursery.start_soon(reopen, driver)
        assert sessions(server) == 1
        for number, driver in enumerate(drivers):
            assert (await driver.read("default")).values == [number]
            await set_value(server, f"n{number}", 90 + number)
            await follow(driver, 90 + number)


async def reopen(driver: OpcUaDriver) -> None:
    await driver.aclose()
    await driver.open()


async def test_a_server_that_is_away_is_tried_once_for_all_its_devices() -> None:
    links = Links()
    url = f"opc.tcp://127.0.0.1:{free_port()}"
    drivers = [device(links, url, "n0") for _ in range(5)]
    reasons: list[str] = []

    async def try_open(driver: OpcUaDriver) -> None:
        try:
            await driver.open()
        except DeviceUnreachable as exc:
            reasons.append(str(exc))

    try:
        async with trio.open_nursery() as nursery:
            for driver in drivers:
                nursery.start_soon(try_open, driver)
    finally:
        for driver in drivers:
            await driver.aclose()
    assert len(set(reasons)) == 1
    assert len(reasons) == 5
    assert sum(driver.traffic.errors["connect"] for driver in drivers) == 5


async def test_no_more_sessions_are_made_than_a_server_is_to_be_given(server: OpcUaServer) -> None:
    links = Links()
    limit = {"max_sessions": 2}
    first = device(links, server.url, "n0", **limit)
    again = device(links, server.url, "n1", **limit)
    second = device(links, server.url, "n2", session_name="second", **limit)
    third = device(links, server.url, "n15", session_name="third", **limit)
    async with opened(first, again, second):
        assert sessions(server) == 2
        with pytest.raises(
            CannotConnect, match=r"this node has 2 sessions to 127\.0\.0\.1:\d+ alr"
        ):
            await third.open()
        await third.aclose()
        await second.aclose()
        await third.open()
        assert (await third.read("default")).values == [15]
        await third.aclose()
