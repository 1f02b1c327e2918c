"""The driver against pymodbus's own server: the simulated plant, started as a user starts it."""

import json
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trio

from edge_node.drivers.base import DeviceUnreachable, Driver, RequestRejected
from edge_node.drivers.registry import Drivers
from proto.control.node import NodeDocument

CLI = [sys.executable, "-m", "deploy.local.cli", "simulate", "modbus", "--port", "0", "--json"]


def start(*arguments: str) -> tuple[subprocess.Popen[str], list[int]]:
    process = subprocess.Popen(
        [*CLI, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    told = process.stdout.readline()
    assert told, process.communicate(timeout=10)[1]
    return process, json.loads(told)["ports"]


def stop(process: subprocess.Popen[str], number: signal.Signals = signal.SIGTERM) -> str:
    process.send_signal(number)
    _, said = process.communicate(timeout=10)
    assert process.returncode == 0, said
    return said


@pytest.fixture(scope="module")
def plant_port() -> Iterator[int]:
    process, (port,) = start("--seed", "5")
    yield port
    stop(process)


def device(port: int, name: str, *more: dict[str, Any], **connection: Any) -> Driver:
    """Make the driver of one of the example's devices."""
    data = tomllib.loads(Path("deploy/local/plant.toml").read_text())
    (found,) = [d for d in data["devices"] if d["name"] == name]
    found["connection"] |= {"port": port, **connection}
    found["tags"] += more
    node = NodeDocument.model_validate(data | {"devices": [found]})
    return Drivers().make(node.devices[0])


async def read_all(driver: Driver) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for group, tags in driver.groups.items():
        result = await driver.read(group)
        assert result.bad == {}
        values |= {tag.name: v for tag, v in zip(tags, result.values, strict=True)}
    return values


@pytest.mark.trio
async def test_the_whole_example_is_read_with_believable_values(plant_port: int) -> None:
    filler, capper, labeller = [
        device(plant_port, name) for name in ("Filler", "Capper", "Labeller")
    ]
    for driver in (filler, capper, labeller):
        await driver.open()
    values = await read_all(filler)
    assert values["Recipe"] == "SPARKLING-500"
    assert 2 < values["Bowl/Pressure"] < 4
    assert 0 < values["Product/Temperature"] < 30
    assert values["Run Hours"] >= 4211.5
    assert values["State"] in {2, 5, 6, 9}
    values = await read_all(capper)
    assert values["Setpoints/Torque"] == pytest.approx(1.8)
    assert -500 < values["Vacuum"] < -300
    assert 4211 < values["Run Hours"] < 4212
    values = await read_all(labeller)
    assert values["Total Produced"] >= 8_812_004_511
    assert values["Labels Used"] == pytest.approx(values["Total Produced"] - 8_812_004_511, abs=20)
    assert values["Setpoints/Glue Temperature"] == 150
    assert values["Batch"] == "BATCH-2024-0001"
    for driver in (filler, capper, labeller):
        await driver.aclose()


@pytest.mark.trio
async def test_a_written_setpoint_is_read_back_and_moves_the_process(plant_port: int) -> None:
    driver = device(plant_port, "Labeller")
    await driver.open()
    await driver.write("Commands/Run", True)
    await driver.write("Setpoints/Glue Temperature", 121.5)
    await driver.write("Date Code", "L99-365")
    before = await read_all(driver)
    assert before["Setpoints/Glue Temperature"] == 121.5
    assert before["Date Code"] == "L99-365"
    await trio.sleep(0.5)
    assert (await read_all(driver))["Glue/Temperature"] < before["Glue/Temperature"]
    await driver.aclose()


@pytest.mark.trio
async def test_the_plant_refuses_values_outside_its_range(plant_port: int) -> None:
    driver = device(plant_port, "Filler")
    await driver.open()
    with pytest.raises(
        RequestRejected,
        match=r"Filler tag 'Setpoints/Speed': writing 601 .* illegal data value \(exception 3\)",
    ):
        await driver.write("Setpoints/Speed", 601)
    assert (await read_all(driver))["Setpoints/Speed"] == 320
    await driver.aclose()


@pytest.mark.trio
@pytest.mark.complaint("illegal-address")
async def test_an_illegal_address_breaks_only_its_own_tag(plant_port: int) -> None:
    driver = device(
        plant_port,
        "Filler",
        {"name": "Nowhere", "address": "input:38", "datatype": "uint16"},
        {"name": "Far", "address": "holding:9000", "datatype": "float32"},
    )
    await driver.open()
    names = [tag.name for tag in driver.groups["fast"]]
    for _ in range(2):
        result = await driver.read("fast")
        assert {names[i]: reason for i, reason in result.bad.items()} == {
            "Nowhere": "input:38: illegal data address (exception 2)",
            "Far": "holding:9000: illegal data address (exception 2)",
        }
        assert result.values[names.index("Open Valves")] is not None
    await driver.aclose()


@pytest.mark.trio
async def test_a_stopped_plant_is_unreachable_and_found_again() -> None:
    process, (port,) = start()
    driver = device(port, "Filler")
    await driver.open()
    await driver.read("fast")
    stop(process, signal.SIGINT)
    with pytest.raises(DeviceUnreachable, match=rf"^Filler: 127\.0\.0\.1:{port} (closed|lost)"):
        await driver.read("fast")
    await driver.aclose()
    with pytest.raises(DeviceUnreachable, match=r"cannot be reached: Connection refused"):
        await driver.open()
    process, _ = start("--port", str(port))
    await driver.open()
    assert (await driver.read("fast")).bad == {}
    await driver.aclose()
    stop(process)


@pytest.mark.trio
async def test_generic_devices_are_served_on_as_many_ports_as_they_need() -> None:
    process, ports = start("--devices", "300", "--tags", "130")
    try:
        assert len(ports) == 2
        data = {
            "name": "D",
            "driver": "modbus",
            "connection": {"host": "127.0.0.1", "port": ports[1], "unit_id": 53},
            "tags": [
                {"name": f"t{i}", "address": f"holding:{i}", "datatype": "int16", "writable": True}
                for i in range(130)
            ],
        }
        node = NodeDocument.model_validate({"node": {"group": "g", "edge": "e"}, "devices": [data]})
        driver = Drivers().make(node.devices[0])
        await driver.open()
        await driver.write("t129", -7)
        result = await driver.read("default")
        assert result.values[129] == -7
        assert result.requests == 2
        assert len(set(result.values)) > 50
        await driver.aclose()
    finally:
        said = stop(process)
    assert "300 devices on modbus tcp 127.0.0.1" in said


def test_a_taken_port_is_a_clear_failure(plant_port: int) -> None:
    for more in ([], ["--devices", "3"]):
        done = subprocess.run(
            [*CLI[:-3], "--port", str(plant_port), *more],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert done.returncode == 1
        assert f"127.0.0.1:{plant_port} cannot be listened at" in done.stderr
        assert "choose another with --port" in done.stderr


def test_generic_options_without_devices_are_wrong_usage() -> None:
    done = subprocess.run(
        [*CLI, "--tags", "3"], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 2
    assert "expected --devices" in done.stderr
