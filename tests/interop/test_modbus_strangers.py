"""The Modbus driver against servers of npm's ecosystem, each with its own idea of the protocol."""

import os
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
import trio

from deploy.local.ports import find_free_port
from edge_node.drivers.base import Driver, RawValue, RequestRejected
from edge_node.drivers.modbus.driver import ModbusDriver
from edge_node.drivers.modbus.lines import Lines
from proto.control.modbus import ModbusDevice
from tests.conftest import leave_out
from tests.interop import installation
from tests.interop.installation import NotInstalledError

pytestmark = pytest.mark.trio


@pytest.fixture(params=["modbus-serial", "jsmodbus"])
def stranger(request: pytest.FixtureRequest) -> Iterator[int]:
    """Give the port of a foreign server."""
    try:
        modules = installation.npm_peer("modbus")
    except NotInstalledError as exc:
        leave_out(str(exc))
    port = find_free_port()
    server = subprocess.Popen(
        ["node", str(installation.PEERS / "modbus/server.js"), request.param, str(port)],
        stdout=subprocess.PIPE,
        env={**os.environ, "NODE_PATH": str(modules)},
    )
    assert server.stdout is not None
    with server:
        assert server.stdout.readline()
        yield port
        server.terminate()


def make(port: int, *more: dict[str, Any], **connection: Any) -> Driver:
    tags = [
        {"name": f"w{i}", "address": f"holding:{i}", "datatype": "uint16", "writable": True}
        for i in range(140)
    ]
    tags += [
        {"name": "in", "address": "input:7", "datatype": "uint32", "word_order": "little"},
        {"name": "on", "address": "coil:4", "datatype": "bool", "writable": True},
        {"name": "off", "address": "discrete:5", "datatype": "bool"},
        {"name": "text", "address": "holding:150", "datatype": "string", "length": 8}
        | {"writable": True},
        {"name": "real", "address": "holding:160", "datatype": "float32", "writable": True},
        {"name": "bit", "address": "holding:170.0", "datatype": "bool", "writable": True},
    ]
    document = {
        "name": "D",
        "driver": "modbus",
        "connection": {"host": "127.0.0.1", "port": port, "timeout_s": 5, **connection},
        "tags": [*tags, *more],
    }
    return ModbusDriver(ModbusDevice.model_validate(document), Lines())


async def read(driver: Driver, expect_bad: int = 0) -> dict[str, Any]:
    result = await driver.read("default")
    assert len(result.bad) == expect_bad, result.bad
    names = [tag.name for tag in driver.groups["default"]]
    return dict(zip(names, result.values, strict=True))


async def test_a_strangers_registers_and_coils_are_read(stranger: int) -> None:
    driver = make(stranger)
    await driver.open()
    values = await read(driver)
    assert [values[f"w{i}"] for i in range(140)] == list(range(100, 240))
    assert (values["in"], values["on"], values["off"]) == ((108 << 16) + 107, True, False)
    await driver.aclose()


async def test_what_is_written_to_a_stranger_is_read_back(stranger: int) -> None:
    driver = make(stranger)
    await driver.open()
    written: dict[str, RawValue] = {
        "w3": 4711,
        "on": False,
        "text": "Käse",
        "real": -1.5,
        "bit": True,
    }
    for tag, value in written.items():
        await driver.write(tag, value)
    values = await read(driver)
    assert {tag: values[tag] for tag in written} == written
    assert values["w4"] == 104
    await driver.aclose()


async def test_a_strangers_missing_address_costs_only_its_tag(stranger: int) -> None:
    far = {"name": "far", "address": "holding:4000", "datatype": "uint16", "writable": True}
    driver = make(stranger, far)
    await driver.open()
    for _ in range(2):
        values = await read(driver, expect_bad=1)
        assert values["far"] is None
        assert values["w139"] == 239
    with pytest.raises(RequestRejected, match="writing 1 to holding:4000 was refused"):
        await driver.write("far", 1)
    await driver.aclose()


async def test_a_stranger_is_polled_for_a_while_without_a_wrong_value(stranger: int) -> None:
    driver = make(stranger)
    await driver.open()
    with trio.fail_after(30):
        for _ in range(200):
            values = await read(driver)
            assert values["w100"] == 200
    await driver.aclose()
