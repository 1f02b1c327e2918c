"""The OPC UA driver against asyncua's own server, over real sockets."""

import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
import trio
from asyncua import ua
from asyncua.common.callback import CallbackType

from edge_node.drivers.base import (
    Changes,
    ConfigError,
    DeviceUnreachable,
    PollResult,
    RawValue,
    RequestRejected,
)
from edge_node.drivers.opcua.driver import OpcUaDriver
from proto.sparkplug.datatypes import DataType
from tests.integration.opcua_rig import (
    PATIENCE_S,
    URI,
    OpcUaServer,
    add_variable,
    document,
    free_port,
    make_driver,
)

pytestmark = pytest.mark.trio

POLL = [{"name": "default", "mode": "poll", "interval_s": 0.1}]
TEMP = {"name": "temp", "datatype": "double", "writable": True}
COUNT = {"name": "count", "datatype": "int32"}
MISSING = {"name": "missing", "datatype": "double"}


@pytest.fixture(scope="module")
def server() -> Iterator[OpcUaServer]:
    """A server that tests only read and write."""
    one = OpcUaServer(every_kind).start()
    yield one
    one.stop()


@pytest.fixture
def own_server() -> Iterator[OpcUaServer]:
    """A server that a test may stop, start and change."""
    one = OpcUaServer().start()
    yield one
    one.stop()


SAMPLES: list[tuple[str, Any, RawValue]] = [
    ("bool", True, True),
    ("sbyte", -128, -128),
    ("byte", 255, 255),
    ("int16", -(2**15), -(2**15)),
    ("uint16", 2**16 - 1, 2**16 - 1),
    ("int32", -(2**31), -(2**31)),
    ("uint32", 2**32 - 1, 2**32 - 1),
    ("int64", -(2**63), -(2**63)),
    ("uint64", 2**64 - 1, 2**64 - 1),
    ("float", 1.5, 1.5),
    ("double", -2.25e300, -2.25e300),
    ("string", "Grüße", "Grüße"),
    ("datetime", datetime(2026, 11, 26, 12, 0, 0, 500_000, tzinfo=UTC), 1_795_694_400_500),
    ("guid", uuid.UUID(int=7), str(uuid.UUID(int=7))),
    ("bytestring", b"\x00\xff", b"\x00\xff"),
    ("localizedtext", ua.LocalizedText("hot", "en"), "hot"),
    ("nodeid", ua.NodeId("x", 2), "ns=2;s=x"),
    ("qualifiedname", ua.QualifiedName("q", 2), "2:q"),
]
_TYPES = {"sbyte": "SByte", "datetime": "DateTime", "bytestring": "ByteString"} | {
    "bool": "Boolean",
    "localizedtext": "LocalizedText",
    "nodeid": "NodeId",
    "qualifiedname": "QualifiedName",
    "uint16": "UInt16",
    "uint32": "UInt32",
    "uint64": "UInt64",
}


def variant_type(name: str) -> Any:
    return getattr(ua.VariantType, _TYPES.get(name, name.capitalize()))


async def every_kind(server: Any, index: int) -> None:
    for name, value, _ in SAMPLES:
        await add_variable(server, index, name, value, variant_type(name))
        if name != "bytestring":
            await add_variable(server, index, f"{name}[]", [value, value], variant_type(name))
    await add_variable(server, index, "matrix", [[1, 2], [3, 4]], ua.VariantType.Int32)
    await add_variable(server, index, "empty", [], ua.VariantType.Double)
    folder = await server.nodes.objects.add_object(ua.NodeId("Line", index), f"{index}:Line")
    await add_variable(server, index, "deep", 1.0, ua.VariantType.Double, folder)
    for number in range(30):
        await add_variable(server, index, f"many{number}", number, ua.VariantType.Int32)


@asynccontextmanager
async def opened(driver: OpcUaDriver) -> AsyncIterator[OpcUaDriver]:
    try:
        with trio.fail_after(PATIENCE_S):
            await driver.open()
        yield driver
    finally:
        await driver.aclose()


async def poll(url: str, *tags: dict[str, Any], **changes: Any) -> PollResult:
    async with opened(make_driver(url, *tags, poll_groups=POLL, **changes)) as driver:
        return await driver.read("default")


async def follow(driver: OpcUaDriver, until: Callable[[Changes], bool]) -> Changes:
    """Return the first batch that is what a test waits for."""
    with trio.fail_after(PATIENCE_S):
        while True:
            for changes in await driver.wait_changes():
                if until(changes):
                    return changes


async def wait_until(holds: Callable[[], bool]) -> None:
    with trio.fail_after(PATIENCE_S):
        while not holds():  # noqa: ASYNC110  # the server has no event to wait for
            await trio.sleep(0.01)


def has(index: int, value: RawValue) -> Callable[[Changes], bool]:
    return lambda changes: (index, value) in zip(changes.indices, changes.values, strict=True)


async def test_every_type_is_read_as_what_it_is(server: OpcUaServer) -> None:
    tags = [{"name": name, "datatype": name} for name, _, _ in SAMPLES]
    result = await poll(server.url, *tags)
    assert result.bad == {}
    assert result.values == [expected for _, _, expected in SAMPLES]


async def test_arrays_of_every_type_are_read_as_arrays(server: OpcUaServer) -> None:
    samples = [sample for sample in SAMPLES if sample[0] != "bytestring"]
    tags = [{"name": f"{name}[]", "datatype": name, "array": True} for name, _, _ in samples]
    driver = make_driver(server.url, *tags, poll_groups=POLL)
    assert driver.groups["default"][0].datatype is DataType.BOOLEAN_ARRAY
    async with opened(driver):
        result = await driver.read("default")
    assert result.bad == {}
    assert result.values == [[expected, expected] for _, _, expected in samples]


async def test_matrices_are_read_row_after_row_and_empty_arrays_as_empty(
    server: OpcUaServer,
) -> None:
    result = await poll(
        server.url,
        {"name": "matrix", "datatype": "int32", "array": True},
        {"name": "empty", "datatype": "double", "array": True},
    )
    assert result.values == [[1, 2, 3, 4], []]


async def test_a_type_that_is_another_one_is_taken_when_it_fits_and_bad_when_not(
    server: OpcUaServer,
) -> None:
    result = await poll(
        server.url,
        {"name": "a", "address": f"nsu={URI};s=byte", "datatype": "int32"},
        {"name": "b", "address": f"nsu={URI};s=byte", "datatype": "double"},
        {"name": "c", "address": f"nsu={URI};s=uint32", "datatype": "int16"},
        {"name": "d", "address": f"nsu={URI};s=string", "datatype": "int16"},
        {"name": "e", "address": f"nsu={URI};s=int16[]", "datatype": "int16"},
    )
    assert result.values[:2] == [255, 255.0]
    assert {index: reason.split(": ", 1)[1] for index, reason in result.bad.items()} == {
        2: "found 4294967295, expected int16, -32768 to 32767",
        3: "found string, expected int16",
        4: "found an array of int16, expected one value",
    }


@pytest.mark.parametrize(
    "address",
    [
        "ns={index};s=temp",
        f"nsu={URI};s=temp",
        "/Objects/{index}:temp",
        f"/Objects/{{{{{URI}}}}}temp",
    ],
)
async def test_a_node_is_found_by_index_by_uri_and_by_path(
    own_server: OpcUaServer, address: str
) -> None:
    text = address.format(index=own_server.index)
    result = await poll(own_server.url, {**TEMP, "address": text})
    assert (result.values, result.bad) == ([20.5], {})


async def test_a_deep_node_is_found_by_its_path(server: OpcUaServer) -> None:
    address = f"/Objects/{server.index}:Line/{server.index}:deep"
    result = await poll(server.url, {"name": "deep", "datatype": "double", "address": address})
    assert result.values == [1.0]


async def test_what_is_not_there_says_so_and_costs_its_neighbours_nothing(
    server: OpcUaServer,
) -> None:
    result = await poll(
        server.url,
        {"name": "double", "datatype": "double"},
        MISSING,
        {"name": "x", "address": "nsu=urn:other;s=x", "datatype": "double"},
        {"name": "y", "address": "/Objects/9:nowhere", "datatype": "double"},
    )
    assert result.values[0] == -2.25e300
    assert result.bad[1] == "the server has no such node: BadNodeIdUnknown (0x80340000)"
    assert "namespace 'urn:other' is not on the server, which has" in result.bad[2]
    assert "the browse path leads nowhere: BadNoMatch" in result.bad[3]


async def test_changes_come_by_subscription_with_the_time_of_their_source(
    own_server: OpcUaServer,
) -> None:
    async with opened(make_driver(own_server.url, TEMP, COUNT)) as driver:
        first = await driver.read("default")
        assert first.values == [20.5, 7]
        when = datetime(2026, 11, 26, 10, 0, tzinfo=UTC)
        own_server.write_data(
            "temp",
            ua.DataValue(ua.Variant(21.0, ua.VariantType.Double), SourceTimestamp=when),
        )
        changes = await follow(driver, has(0, 21.0))
        at = list(changes.values).index(21.0)
        assert changes.stamps[at] == (int(when.timestamp() * 1000), 192)


async def test_timestamps_are_the_servers_or_the_edges_where_configured(
    own_server: OpcUaServer,
) -> None:
    old = datetime(2001, 1, 1, tzinfo=UTC)
    own_server.write_data(
        "temp", ua.DataValue(ua.Variant(1.0, ua.VariantType.Double), SourceTimestamp=old)
    )
    before_ms = time.time_ns() // 1_000_000
    result = await poll(own_server.url, TEMP, connection={"timestamps": "edge"})
    assert result.timestamps_ms is not None
    assert result.timestamps_ms[0] >= before_ms
    result = await poll(own_server.url, TEMP)
    assert result.timestamps_ms == [int(old.timestamp() * 1000)]


async def test_bad_and_uncertain_values_carry_their_status_through(
    own_server: OpcUaServer,
) -> None:
    async with opened(make_driver(own_server.url, TEMP, COUNT)) as driver:
        await driver.read("default")
        own_server.write_data(
            "temp", ua.DataValue(ua.Variant(), ua.StatusCode(ua.StatusCodes.BadSensorFailure))
        )
        changes = await follow(driver, lambda c: 0 in c.bad)
        assert changes.bad[0] == "BadSensorFailure (0x808C0000)"
        own_server.write_data(
            "temp",
            ua.DataValue(
                ua.Variant(3.0, ua.VariantType.Double),
                ua.StatusCode(ua.StatusCodes.UncertainLastUsableValue),
            ),
        )
        changes = await follow(driver, has(0, 3.0))
        assert changes.stamps[list(changes.values).index(3.0)][1] == 500
        assert changes.bad == {}
        second = await driver.read("default")
        assert second.uncertain == {0: "UncertainLastUsableValue (0x40900000)"}


async def test_requests_are_cut_into_batches_that_the_server_takes(server: OpcUaServer) -> None:
    tags = [{"name": f"many{number}", "datatype": "int32"} for number in range(30)]
    driver = make_driver(server.url, *tags, connection={"max_items_per_request": 7})
    async with opened(driver):
        result = await driver.read("default")
        assert result.values == list(range(30))
        assert result.requests == 5 + 1 + 5  # reads, the subscription, its items


async def test_a_written_value_reaches_the_node_and_comes_back(own_server: OpcUaServer) -> None:
    async with opened(make_driver(own_server.url, TEMP)) as driver:
        await driver.read("default")
        await driver.write("temp", 3.5)
        assert own_server.read("temp") == 3.5
        await follow(driver, has(0, 3.5))


@pytest.mark.parametrize(
    ("datatype", "value", "reason"),
    [
        ("int16", 40_000, "found 40000, expected int16, -32768 to 32767"),
        ("byte", -1, "found -1, expected byte, 0 to 255"),
        ("int32", 1.5, "found 1.5, expected int32"),
        ("bool", 1, "found 1, expected bool"),
        ("float", 1e39, "found 1e+39, expected float"),
        ("string", 5, "found 5, expected string"),
        ("double", "x", "found 'x', expected double"),
    ],
)
async def test_what_does_not_fit_is_refused_before_it_is_sent(
    server: OpcUaServer, datatype: str, value: RawValue, reason: str
) -> None:
    tag = {"name": datatype, "datatype": datatype, "writable": True}
    before = server.read(datatype)
    async with opened(make_driver(server.url, tag, poll_groups=POLL)) as driver:
        with pytest.raises(RequestRejected, match="press tag") as refused:
            await driver.write(datatype, value)
    assert reason in str(refused.value)
    assert server.read(datatype) == before


@pytest.mark.parametrize(("name", "value", "expected"), SAMPLES)
async def test_every_type_is_written_as_what_it_is(
    server: OpcUaServer, name: str, value: Any, expected: RawValue
) -> None:
    tags: list[dict[str, Any]] = [{"name": name, "datatype": name, "writable": True}]
    if name != "bytestring":
        tags.append({"name": f"{name}[]", "datatype": name, "array": True, "writable": True})
    async with opened(make_driver(server.url, *tags, poll_groups=POLL)) as driver:
        await driver.write(name, expected)
        if name != "bytestring":
            await driver.write(f"{name}[]", [expected, expected])  # type: ignore[arg-type]
        result = await driver.read("default")
    assert result.bad == {}
    assert result.values[0] == expected


async def test_a_server_that_refuses_a_write_says_why(own_server: OpcUaServer) -> None:
    async def lock() -> None:
        await own_server.server.get_node(own_server.node_id("temp")).set_writable(False)

    own_server.call(lock())
    async with opened(make_driver(own_server.url, TEMP)) as driver:
        with pytest.raises(RequestRejected, match=r"cannot be written|may not do that"):
            await driver.write("temp", 1.0)


async def test_a_write_that_does_not_stay_is_waited_for_and_seen_when_it_is_read_back(
    own_server: OpcUaServer,
) -> None:
    """A PLC's program may write its own value over it at once."""
    node = own_server.server.get_node(own_server.node_id("temp"))

    async def overwrite(_event: Any, _dispatcher: Any) -> None:
        await own_server.server.write_attribute_value(node.nodeid, ua.DataValue(9.0))

    own_server.server.subscribe_server_callback(CallbackType.PostWrite, overwrite)
    tag = {**TEMP, "read_back": True}
    driver = make_driver(own_server.url, tag, connection={"timeout_s": 1.0})
    async with opened(driver):
        await driver.write("temp", 1.0)
        assert (await driver.read("default")).values == [9.0]


async def test_a_server_that_is_not_there_is_told_by_its_address() -> None:
    url = f"opc.tcp://127.0.0.1:{free_port()}"
    driver = make_driver(url, TEMP)
    with pytest.raises(
        DeviceUnreachable, match=r"press: .*:\d+ cannot be reached: Connection refused"
    ):
        await driver.open()
    await driver.aclose()


async def test_a_host_without_a_name_is_told() -> None:
    driver = make_driver("opc.tcp://nowhere.invalid:4840", TEMP)
    with pytest.raises(DeviceUnreachable, match=r"nowhere\.invalid:4840 cannot be reached"):
        await driver.open()
    await driver.aclose()


async def test_a_port_where_something_else_answers_is_told(nursery: trio.Nursery) -> None:
    async def chatter(stream: trio.SocketStream) -> None:
        await stream.send_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await stream.aclose()

    listeners = await nursery.start(trio.serve_tcp, chatter, 0)
    port = listeners[0].socket.getsockname()[1]
    driver = make_driver(f"opc.tcp://127.0.0.1:{port}", TEMP, connection={"timeout_s": 1.0})
    with pytest.raises(DeviceUnreachable, match=r"did not|cannot"):
        await driver.open()
    await driver.aclose()
    nursery.cancel_scope.cancel()


async def test_a_driver_that_was_closed_can_be_opened_again(server: OpcUaServer) -> None:
    driver = make_driver(server.url, {"name": "double", "datatype": "double"})
    for _ in range(3):
        async with opened(driver):
            assert (await driver.read("default")).values == [-2.25e300]


async def test_closing_a_driver_frees_the_session_of_the_server(own_server: OpcUaServer) -> None:
    driver = make_driver(own_server.url, TEMP)
    subscriptions = own_server.server.iserver.subscription_service.subscriptions
    for _ in range(3):
        async with opened(driver):
            await driver.read("default")
            assert len(subscriptions) == 1
        await wait_until(lambda: not subscriptions)


async def test_a_document_names_every_address_that_is_none() -> None:
    with pytest.raises(ConfigError) as refused:
        OpcUaDriver(
            document(
                "opc.tcp://plc",
                {"name": "a", "address": "DB1.DBD0", "datatype": "double"},
                {"name": "b", "address": "i=x", "datatype": "double"},
            )
        )
    assert len(refused.value.mistakes) == 2
    assert "press tag 'a': address is 'DB1.DBD0', expected for example ns=2;s=" in str(
        refused.value
    )
