"""The examples of S7 and OPC UA configurations read the simulators that they are made for."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

NEXUS = [sys.executable, "-m", "deploy.local.cli"]
DEPLOY = Path("deploy/local")


@contextmanager
def simulated(*arguments: str) -> Iterator[int]:
    """Run a simulator and give its port."""
    with subprocess.Popen(
        [*NEXUS, "simulate", *arguments, "--port", "0", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        assert process.stdout is not None
        try:
            yield json.loads(process.stdout.readline())["ports"][0]
        finally:
            process.terminate()


def read(example: str, device: str, place: tuple[str, str], folder: Path) -> dict[str, Any]:
    """Read a device of an example at another port; return its tags' values."""
    text = (DEPLOY / example).read_text()
    assert place[0] in text
    file = folder / example
    file.write_text(text.replace(*place))
    done = subprocess.run(
        [*NEXUS, "edge", "read", str(file), device, "--json"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return {tag["name"]: tag["value"] for tag in json.loads(done.stdout)["tags"]}


def test_the_example_for_s7_reads_the_simulated_mixer(tmp_path: Path) -> None:
    with simulated("s7") as port:
        values = read("plant-s7.toml", "Mixer 1", ("port = 1102", f"port = {port}"), tmp_path)
    assert values["Setpoints/Speed"] == 120.0
    assert values["Recipe"] == "Raspberry1"
    assert len(values["Temperatures"]) == 10


def test_the_example_for_opcua_reads_the_simulated_server(tmp_path: Path) -> None:
    with simulated("opcua") as port:
        values = read("plant-opcua.toml", "Press", (":4840", f":{port}"), tmp_path)
    assert isinstance(values["Pressure"], float)
    assert isinstance(values["Temperature"], float)
    assert len(values["Curve"]) == 5
    assert set(values["Recipe"][0]) == {"Name", "Speed", "Steps[0]", "Steps[1]"}
