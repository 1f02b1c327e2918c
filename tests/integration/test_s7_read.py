"""The S7 guide's example, checked, and read from the simulated CPU."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

NEXUS = [sys.executable, "-m", "deploy.local.cli"]
NODE = """\
[node]
group = "Plant"
edge = "Edge 1"
state_dir = "{state}"
[mqtt]
url = "mqtt://127.0.0.1:1883"
"""


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with subprocess.Popen(
        [*NEXUS, "simulate", "s7", "--port", "0", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as cpu:
        assert cpu.stdout is not None
        yield json.loads(cpu.stdout.readline())["ports"][0]
        cpu.terminate()
        assert cpu.wait(10) == 0


@pytest.fixture
def config(port: int, tmp_path: Path) -> Path:
    page = Path("docs/guide/drivers/s7.md").read_text()
    example, array = re.findall(r"```toml\n(.*?)```", page, flags=re.DOTALL)
    file = tmp_path / "node.toml"
    here = example.replace('host = "192.0.2.21"', f'host = "127.0.0.1"\nport = {port}')
    file.write_text(NODE.format(state=tmp_path) + here + array)
    return file


def nexus(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*NEXUS, *arguments], capture_output=True, text=True, timeout=60, check=False
    )


def test_the_guides_example_passes_the_check(config: Path) -> None:
    done = nexus("check", str(config))
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{config}: no mistake, 1 device, 9 tags\n"


def test_the_guides_example_reads_the_simulated_cpu(config: Path) -> None:
    done = nexus("edge", "read", str(config), "Mixer 1", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    values = {tag["name"]: tag["value"] for tag in told["tags"]}
    assert values["Setpoints/Speed"] == 120.0
    assert values["Running"] is True
    assert values["Recipe"] == "Raspberry1"
    assert 10.0 <= values["Level"] <= 90.0
    assert values["Clock"] > 1_700_000_000_000
    assert told["requests"] == 2
    assert told["frames"][0]["hex"].startswith("0300")


def test_mistakes_are_told_with_their_place(config: Path) -> None:
    config.write_text(config.read_text().replace("DB1.DBW12", "DB1.DBD12").replace("slot", "slto"))
    done = nexus("check", str(config))
    assert done.returncode == 2
    assert "devices[Mixer 1].connection.slto: is no known key, did you mean 'slot'?" in done.stderr


def test_an_address_that_cannot_be_is_told_by_the_check(config: Path) -> None:
    config.write_text(config.read_text().replace("DB1.DBW12", "DB1.DBD12"))
    done = nexus("check", str(config))
    assert done.returncode == 2
    assert "tag 'Level': datatype 'int' takes 2 bytes, DB1.DBD12 has 4" in done.stderr
