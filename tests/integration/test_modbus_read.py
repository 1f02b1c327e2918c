"""``nexus edge read``: one look at a device, as a field engineer takes it."""

import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy.local.plant_document import format_toml
from proto.control.node import NodeDocument

NEXUS = [sys.executable, "-m", "deploy.local.cli"]


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with subprocess.Popen(
        [*NEXUS, "simulate", "modbus", "--port", "0", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as plant:
        assert plant.stdout is not None
        yield json.loads(plant.stdout.readline())["ports"][0]
        plant.terminate()


@pytest.fixture
def config(port: int, tmp_path: Path) -> Path:
    data = tomllib.loads(Path("deploy/local/plant.toml").read_text())
    for device in data["devices"]:
        device["connection"]["port"] = port
    nowhere = {"name": "Nowhere", "address": "input:39", "datatype": "uint16"}
    data["devices"][0]["tags"].append(nowhere)
    file = tmp_path / "plant.toml"
    file.write_text(format_toml(NodeDocument.model_validate(data)))
    return file


def read(config: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*NEXUS, "edge", "read", str(config), *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_values_come_with_the_bytes_that_brought_them_and_how_long_it_took(config: Path) -> None:
    done = read(config, "Filler", "Setpoints/Speed", "Motor/Current")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert re.fullmatch(r" +[\d.]+ ms -> 00 01 00 00 00 06 01 03 00 00 00 01", lines[0])
    assert re.fullmatch(r" +[\d.]+ ms <- 00 01 00 00 00 05 01 03 02 01 40", lines[1])
    assert lines[4] == "Setpoints/Speed  good  320 1/min"
    assert re.fullmatch(r"Motor/Current    good  [\d.]+ A  \(raw \d+\)", lines[5])
    assert lines[6].startswith("Filler: 2 tags in 2 requests, connected in ")


def test_an_address_that_is_not_there_is_told_with_its_reason(config: Path) -> None:
    done = read(config, "Filler", "Nowhere", "--no-frames")
    assert done.returncode == 1
    assert "Nowhere  bad   input:39: illegal data address (exception 2)" in done.stdout


def test_programs_get_one_json_object(config: Path) -> None:
    done = read(config, "Labeller", "Commands/*", "--json")
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    assert {tag["name"]: tag["value"] for tag in told["tags"]} == {
        "Commands/Run": True,
        "Commands/Reset": False,
    }
    assert all(tag["good"] for tag in told["tags"])
    assert [frame["direction"] for frame in told["frames"]] == ["sent", "received"]
    assert told["error"] is None


def test_a_device_that_cannot_be_reached_is_a_failure_with_the_reason(
    config: Path, port: int
) -> None:
    config.write_text(config.read_text().replace(f'"port" = {port}', '"port" = 1'))
    done = read(config, "Capper")
    assert done.returncode == 1
    assert "Capper: 127.0.0.1:1 cannot be reached: Connection refused" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["Palletizer"], "device 'Palletizer' is not there, expected one of: Filler, Capper"),
        (["Capper", "Bowl/*"], "Capper has no tag 'Bowl/*', expected one of its 27"),
    ],
)
def test_what_is_not_configured_is_wrong_usage(
    config: Path, arguments: list[str], message: str
) -> None:
    done = read(config, *arguments)
    assert done.returncode == 2
    assert message in done.stderr
