"""The OPC UA driver against servers of npm's and Java's ecosystems, each with its own limits."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from structlog.testing import capture_logs

from edge_node.drivers.base import (
    QUALITY_GOOD,
    QUALITY_UNCERTAIN,
    DeviceUnreachable,
    PollResult,
    RawValue,
    RequestRejected,
)
from edge_node.drivers.opcua.driver import OpcUaDriver
from edge_node.drivers.opcua.shared import Links
from proto.control.opcua import OpcUaDevice
from proto.control.table import read_table
from proto.sparkplug.datatypes import DataType
from proto.sparkplug.metrics import DataSet
from tests.interop.opcua_stranger import BLOCK, SCALARS, URI, Stranger

pytestmark = pytest.mark.trio

PATIENCE_S = 60.0
DATATYPES = {"Boolean": "bool", "ByteString": "bytestring"}
"""Type's name → as configured, where it is not the same in small letters."""
BLOCK_TAGS = [(f"Block.{n}", "int32") for n in range(1, BLOCK + 1)]


def tag(node: str, datatype: str, **more: Any) -> dict[str, Any]:
    address = f"nsu={URI};s={node}"
    return {"name": node, "address": address, "datatype": datatype, **more}


def make(url: str, tags: list[dict[str, Any]], **connection: Any) -> OpcUaDriver:
    mode = connection.pop("mode", "subscribe")
    links = connection.pop("links", None)
    document = {
        "name": "stranger",
        "driver": "opcua",
        "connection": {"url": url, "timeout_s": 20, **connection},
        "poll_groups": [{"name": "all", "interval_s": 0.1, "mode": mode}],
        "tags": tags,
    }
    return OpcUaDriver(OpcUaDevice.model_validate(document), links)


@asynccontextmanager
async def opened(driver: OpcUaDriver) -> AsyncIterator[OpcUaDriver]:
    try:
        with trio.fail_after(PATIENCE_S):
            await driver.open()
        yield driver
    finally:
        await driver.aclose()


def by_name(driver: OpcUaDriver, result: PollResult) -> dict[str, RawValue]:
    names = [info.name for info in driver.groups["all"]]
    return dict(zip(names, result.values, strict=True))


def reasons(driver: OpcUaDriver, result: PollResult) -> dict[str, str]:
    names = [info.name for info in driver.groups["all"]]
    return {names[index]: reason for index, reason in result.bad.items()}


async def follow(driver: OpcUaDriver, node: str, value: RawValue) -> tuple[int, int]:
    """Return time and quality with which a node is told to have a value."""
    names = [info.name for info in driver.groups["all"]]
    index = names.index(node)
    with trio.fail_after(PATIENCE_S):
        while True:
            for changes in await driver.wait_changes():
                told = zip(changes.indices, changes.values, changes.stamps, strict=True)
                for at, found, stamp in told:
                    if at == index and found == value:
                        return stamp


def arguments(a: float, b: float) -> DataSet:
    """Return what the method takes."""
    return DataSet(("a", "b"), (DataType.DOUBLE, DataType.DOUBLE), ((a, b),))


async def until_lost(driver: OpcUaDriver) -> None:
    """Take what is told until the connection is gone."""
    with trio.fail_after(PATIENCE_S):
        while True:
            await driver.wait_changes()


async def test_every_type_of_a_stranger_is_read(stranger: Stranger) -> None:
    tags = [tag(f"Scalar.{t}", DATATYPES.get(t, t.lower())) for t in SCALARS]
    tags += [
        tag("Array.Int32", "int32", array=True),
        tag("Array.String", "string", array=True),
        tag("Scalar.DateTime", "datetime"),
        tag("Scalar.Guid", "guid"),
        tag("Scalar.LocalizedText", "localizedtext"),
        tag("Timeless", "double"),
        tag("Recipe", "structure"),
    ]
    async with opened(make(stranger.url, tags, mode="poll")) as driver:
        result = await driver.read("all")
        assert reasons(driver, result) == {}
        values = by_name(driver, result)
        assert {t: values[f"Scalar.{t}"] for t in SCALARS} == SCALARS
        assert values["Array.Int32"] == [1, -2, 3]
        assert values["Array.String"] == ["a", "ä", ""]
        assert values["Scalar.DateTime"] == 981_173_106_789
        assert values["Scalar.Guid"] == "12345678-1234-5678-1234-567812345678"
        assert values["Scalar.LocalizedText"] == "Käse"
        recipe = values["Recipe"]
        assert isinstance(recipe, DataSet)
        assert recipe.columns[:2] == ("Name", "Speed")
        assert recipe.rows[0][:2] == ("Raspberry", 2.5)


async def test_one_bad_node_of_a_stranger_costs_no_other(stranger: Stranger) -> None:
    tags = [
        tag("Setpoint", "double"),
        tag("Broken", "double"),
        tag("Nowhere", "double"),
        tag("Stranger", "double"),
        tag("Scalar.String", "double"),
        tag("Forced", "double"),
    ]
    for mode in ("poll", "subscribe"):
        async with opened(make(stranger.url, tags, mode=mode)) as driver:
            result = await driver.read("all")
            values, bad = by_name(driver, result), reasons(driver, result)
            assert (values["Setpoint"], values["Forced"]) == (1.5, 3.5)
            assert bad.keys() == {"Broken", "Nowhere", "Stranger", "Scalar.String"}
            assert bad["Broken"] == "BadSensorFailure (0x808C0000)"
            assert "the server has no such node" in bad["Nowhere"]
            assert "string" in bad["Scalar.String"]


async def test_a_strangers_changes_are_told(stranger: Stranger) -> None:
    async with opened(make(stranger.url, [tag("Count", "int32")])) as driver:
        first = by_name(driver, await driver.read("all"))["Count"]
        assert isinstance(first, int)
        counted = [first]
        with trio.fail_after(PATIENCE_S):
            while len(counted) < 10:
                for changes in await driver.wait_changes():
                    counted += [value for value in changes.values if isinstance(value, int)]
        assert counted == sorted(counted)
        assert counted[-1] > first


async def test_what_is_written_to_a_stranger_is_told_back(own_stranger: Stranger) -> None:
    tags = [
        tag("Setpoint", "double", writable=True, read_back=True),
        tag("Ready", "bool", writable=True),
        tag("Fixed", "double", writable=True),
        tag("Array.Int32", "int32", array=True, writable=True),
    ]
    async with opened(make(own_stranger.url, tags)) as driver:
        await driver.read("all")
        await driver.write("Setpoint", -2.25)
        await follow(driver, "Setpoint", -2.25)
        await driver.write("Ready", value=True)
        await follow(driver, "Ready", value=True)
        await driver.write("Array.Int32", [5, 6])
        await follow(driver, "Array.Int32", [5, 6])
        with pytest.raises(RequestRejected, match=r"cannot be written|may not do that"):
            await driver.write("Fixed", 1.0)


async def test_a_strangers_method_is_called_by_writing(stranger: Stranger) -> None:
    fields = [{"name": "a", "datatype": "double"}, {"name": "b", "datatype": "double"}]
    method = f"nsu={URI};s=Sum"
    tags = [
        tag("Stranger", "structure", method=method, fields=fields, writable=True),
        tag("Setpoint", "double"),
    ]
    async with opened(make(stranger.url, tags)) as driver:
        await driver.read("all")
        assert await driver.write("Stranger", arguments(1.0, 2.0)) == {"sum": 3.0}
        with pytest.raises(RequestRejected, match="BadOutOfRange"):
            await driver.write("Stranger", arguments(-1.0, 2.0))


async def test_a_strangers_structure_is_written_by_field(own_stranger: Stranger) -> None:
    tags = [tag("Recipe", "structure", writable=True, read_back=True)]
    async with opened(make(own_stranger.url, tags)) as driver:
        await driver.read("all")
        await driver.write("Recipe", read_table({"Speed": 4.5, "Steps": [9]}))
        recipe = by_name(driver, await driver.read("all"))["Recipe"]
        assert isinstance(recipe, DataSet)
        assert recipe.columns == ("Name", "Speed", "Steps[0]")
        assert recipe.rows == (("Raspberry", 4.5, 9),)
        with pytest.raises(RequestRejected, match="field 'Speed': found 'fast', expected double"):
            await driver.write("Recipe", read_table({"Speed": "fast"}))


async def test_a_deadband_that_a_stranger_refuses_is_left_to_the_edge_and_said_once(
    own_stranger: Stranger,
) -> None:
    """Setpoint is a Double, for which it applies one; Loose is so by chance only."""
    tags = [
        tag("Setpoint", "double", deadband=1.0),
        tag("Loose", "double", deadband=1.0, report="timestamp"),
        tag("Count", "int32", report="timestamp"),
    ]
    driver = make(own_stranger.url, tags)
    with capture_logs() as logs:
        for _ in range(2):
            async with opened(driver):
                result = await driver.read("all")
                assert reasons(driver, result) == {}
                own_stranger.set("Setpoint", 1.75)
                own_stranger.set("Loose", 2.75)
                await follow(driver, "Loose", 2.75)
                own_stranger.set("Setpoint", 5.5)
                await follow(driver, "Setpoint", 5.5)
                own_stranger.set("Setpoint", 1.5)
                own_stranger.set("Loose", 2.5)
    (told,) = [log for log in logs if log["event"] == "opcua_filter_refused"]
    assert (told["tags"], told["count"]) == (["Loose"], 1)
    assert told["reason"].startswith("BadFilterNotAllowed")


@pytest.mark.parametrize("stranger", ["node-opcua"], indirect=True)
async def test_a_stranger_that_refuses_all_filters_is_followed_without(
    own_stranger: Stranger,
) -> None:
    own_stranger.restart(filters=False)
    tags = [tag("Setpoint", "double", deadband=1.0, report="timestamp"), tag("Loose", "double")]
    tags += [tag(node, kind, deadband=0.5) for node, kind in BLOCK_TAGS]
    with capture_logs() as logs:
        async with opened(make(own_stranger.url, tags)) as driver:
            result = await driver.read("all")
            assert reasons(driver, result) == {}
            own_stranger.set("Setpoint", 1.75)
            await follow(driver, "Setpoint", 1.75)
            own_stranger.set("Block.300", -7, datatype="Int32")
            await follow(driver, "Block.300", -7)
    (told,) = [log for log in logs if log["event"] == "opcua_filter_refused"]
    assert told["reason"].startswith("BadMonitoredItemFilterUnsupported")
    assert told["count"] >= BLOCK + 1
    assert len(told["tags"]) == 10


async def test_a_stranger_of_two_sessions_has_room_for_many_devices(
    own_stranger: Stranger,
) -> None:
    own_stranger.restart(maxSessions=2)
    links = Links()
    drivers = [make(own_stranger.url, [tag("Count", "int32")], links=links) for _ in range(6)]
    async with AsyncExitStack() as stack:
        for driver in drivers:
            await stack.enter_async_context(opened(driver))
        for driver in drivers:
            await driver.read("all")
        for driver in drivers:
            with trio.fail_after(PATIENCE_S):
                await driver.wait_changes()
        own = make(own_stranger.url, [tag("Setpoint", "double")], links=links, shared=False)
        await stack.enter_async_context(opened(own))
        more = make(own_stranger.url, [tag("Setpoint", "double")], links=links, shared=False)
        with pytest.raises(DeviceUnreachable, match="the server has no free session"):
            await more.open()
        await more.aclose()


@pytest.mark.parametrize("mode", ["subscribe", "poll"])
async def test_a_stranger_is_never_asked_for_more_than_it_takes(
    own_stranger: Stranger, mode: str
) -> None:
    own_stranger.restart(maxNodesPerCall=40)
    tags = [tag(node, datatype) for node, datatype in BLOCK_TAGS]
    async with opened(make(own_stranger.url, tags, mode=mode)) as driver:
        result = await driver.read("all")
        assert reasons(driver, result) == {}
        assert result.values == list(range(1, BLOCK + 1))
        await driver.read("all")


async def test_items_that_a_stranger_has_no_room_for_cost_no_other(
    own_stranger: Stranger,
) -> None:
    own_stranger.restart(maxMonitoredItems=100)
    tags = [tag("Setpoint", "double"), *(tag(node, kind) for node, kind in BLOCK_TAGS)]
    async with opened(make(own_stranger.url, tags)) as driver:
        result = await driver.read("all")
        assert result.values == [1.5, *range(1, BLOCK + 1)]
        bad: Mapping[int, str] = {}
        with trio.fail_after(PATIENCE_S):
            while len(bad) != BLOCK + 1 - 100:
                bad = (await driver.wait_changes())[-1].bad
        assert all("the server has no room for more monitored items" in r for r in bad.values())
        own_stranger.set("Setpoint", 9.5)
        await follow(driver, "Setpoint", 9.5)


async def test_a_strangers_doubts_are_told(own_stranger: Stranger) -> None:
    async with opened(make(own_stranger.url, [tag("Setpoint", "double")])) as driver:
        await driver.read("all")
        own_stranger.set("Setpoint", 2.5, "UncertainLastUsableValue")
        _, quality = await follow(driver, "Setpoint", 2.5)
        assert quality == QUALITY_UNCERTAIN
        own_stranger.set("Setpoint", 3.5)
        _, quality = await follow(driver, "Setpoint", 3.5)
        assert quality == QUALITY_GOOD


async def test_a_strangers_node_that_is_deleted_and_made_again_is_found(
    own_stranger: Stranger,
) -> None:
    tags = [tag("Comes", "int32"), tag("Count", "int32")]
    async with opened(make(own_stranger.url, tags, recheck_s=1)) as driver:
        assert by_name(driver, await driver.read("all"))["Comes"] == 11
        own_stranger.delete("Comes")
        with trio.fail_after(PATIENCE_S):
            while not any(
                "the server has no such node" in reason
                for changes in await driver.wait_changes()
                for reason in changes.bad.values()
            ):
                pass
        own_stranger.create("Comes", 12)
        await follow(driver, "Comes", 12)


async def test_a_strangers_restart_with_other_namespaces_is_survived(
    own_stranger: Stranger,
) -> None:
    tags = [tag("Setpoint", "double"), tag("Count", "int32")]
    driver = make(own_stranger.url, tags)
    async with opened(driver):
        assert by_name(driver, await driver.read("all"))["Setpoint"] == 1.5
        await trio.to_thread.run_sync(own_stranger.restart, 2)
        with pytest.raises(DeviceUnreachable):
            await until_lost(driver)
        await driver.aclose()
        await driver.open()
        assert by_name(driver, await driver.read("all"))["Setpoint"] == 1.5
        own_stranger.set("Setpoint", 4.5)
        await follow(driver, "Setpoint", 4.5)


@pytest.mark.parametrize("mode", ["Sign", "SignAndEncrypt"])
@pytest.mark.parametrize("policy", ["Basic256Sha256", "Aes128Sha256RsaOaep", "Aes256Sha256RsaPss"])
async def test_a_stranger_is_spoken_to_in_secret(
    stranger: Stranger, policy: str, mode: str, tmp_path: Path
) -> None:
    security = {"security_policy": policy, "security_mode": mode, "pki_dir": str(tmp_path / "pki")}
    driver = make(stranger.url, [tag("Count", "int32"), tag("Setpoint", "double")], **security)
    async with opened(driver):
        assert by_name(driver, await driver.read("all"))["Setpoint"] == 1.5
        with trio.fail_after(PATIENCE_S):
            await driver.wait_changes()


async def test_a_stranger_knows_its_user_and_nobody_else(
    own_stranger: Stranger, tmp_path: Path
) -> None:
    stranger = own_stranger
    stranger.restart(user="operator", password="raspberry")
    password = tmp_path / "password"
    security = {
        "security_policy": "Basic256Sha256",
        "pki_dir": str(tmp_path / "own"),
        "username": "operator",
        "password_file": str(password),
    }
    password.write_text("raspberry\n")
    async with opened(make(stranger.url, [tag("Setpoint", "double")], **security)) as driver:
        assert by_name(driver, await driver.read("all"))["Setpoint"] == 1.5
    password.write_text("strawberry\n")
    driver = make(stranger.url, [tag("Setpoint", "double")], **security)
    with pytest.raises(DeviceUnreachable, match="does not accept the user"):
        await driver.open()
    await driver.aclose()
    driver = make(stranger.url, [tag("Setpoint", "double")])
    with pytest.raises(DeviceUnreachable, match="takes no sign-in by anonymous"):
        await driver.open()
    await driver.aclose()
