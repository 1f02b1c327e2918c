"""``nexus edge browse`` finds what a device has, ``nexus edge import`` makes tags of it."""

import json
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local.plant.layout import FILLER
from deploy.local.plant_document import format_toml
from proto.control.node import NodeDocument

NEXUS = [sys.executable, "-m", "deploy.local.cli"]


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with subprocess.Popen(
        [*NEXUS, "simulate", "modbus", "--port", "0", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as plant:
        assert plant.stdout is not None
        data = tomllib.loads(Path("deploy/local/plant.toml").read_text())
        data["devices"] = data["devices"][:1]
        (port,) = json.loads(plant.stdout.readline())["ports"]
        data["devices"][0]["connection"]["port"] = port
        file = tmp_path_factory.mktemp("browse") / "plant.toml"
        file.write_text(format_toml(NodeDocument.model_validate(data)))
        yield file
        plant.terminate()


def nexus(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*NEXUS, "edge", *arguments], capture_output=True, text=True, timeout=60, check=False
    )


def test_every_register_of_the_plant_is_found_and_nothing_else(config: Path) -> None:
    done = nexus(
        "browse", str(config), "Filler", "--table", "holding", "--table", "input", "--json"
    )
    assert done.returncode == 0, done.stderr
    found = {row["address"] for row in json.loads(done.stdout)}
    assert found == {
        f"{register.table}:{at}"
        for register in FILLER.registers
        for at in range(register.address, register.address + register.width)
    }


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_what_is_found_can_be_imported_and_checked(
    config: Path, tmp_path: Path, options: list[str]
) -> None:
    done = nexus("browse", str(config), "Filler", "--table", "holding", "--last", "5", *options)
    assert done.returncode == 0, done.stderr
    assert "6 addresses can be read" in done.stderr
    table = tmp_path / "found.csv"
    table.write_text(done.stdout)
    imported = nexus("import", str(table))
    assert imported.returncode == 0, imported.stderr
    device = (
        '[node]\ngroup = "g"\nedge = "e"\n\n[[devices]]\nname = "D"\ndriver = "modbus"\n'
        'connection = { host = "127.0.0.1" }\n\n'
    )
    document = NodeDocument.model_validate(tomllib.loads(device + imported.stdout))
    assert [tag.address for tag in document.devices[0].tags] == [f"holding:{i}" for i in range(6)]


def test_the_units_of_the_line_are_found(config: Path) -> None:
    done = nexus("browse", str(config), "Filler", "--units", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [1, 2, 3]


def test_mistakes_in_a_table_end_with_status_2(tmp_path: Path) -> None:
    table = tmp_path / "tags.csv"
    table.write_text("name,address,datatype\nA,holding:70000,int16\n")
    done = nexus("import", str(table))
    assert done.returncode == 2
    assert "line 2: address 70000 is above 65535" in done.stderr
    assert nexus("import", str(tmp_path / "none.csv")).returncode == 2
