"""``nexus edge browse``, ``import`` and ``read`` of an OPC UA server."""

import json
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from asyncua import ua

from tests.integration.opcua_rig import URI, OpcUaServer, add_variable

NEXUS = [sys.executable, "-m", "deploy.local.cli"]

HEAD = """
[node]
group = "plant"
edge = "gateway"

[mqtt]
url = "mqtt://127.0.0.1:1883"

[[devices]]
name = "press"
driver = "opcua"
connection = {{ url = "{url}" }}
"""
ONE_TAG = """
[[devices.tags]]
name = "temp"
address = "nsu=urn:plant:press;s=Line1.Temp"
datatype = "double"
unit = "degC"
"""


async def lines(server: Any, index: int) -> None:
    for line in ("Line1", "Line2"):
        folder = await server.nodes.objects.add_object(ua.NodeId(line, index), f"{index}:{line}")
        sensors = await folder.add_object(ua.NodeId(f"{line}.S", index), f"{index}:Sensors")
        for name, value, kind in (
            ("Temp", 20.5, ua.VariantType.Double),
            ("Count", 7, ua.VariantType.UInt16),
            ("Curve", [1.5, 2.5], ua.VariantType.Float),
        ):
            node = await sensors.add_variable(
                ua.NodeId(f"{line}.{name}", index), f"{index}:{name}", value, kind
            )
            await node.set_writable(name == "Count")
    await add_variable(server, index, "a/b", "x", ua.VariantType.String)


@pytest.fixture(scope="module")
def server() -> Iterator[OpcUaServer]:
    one = OpcUaServer(lines).start()
    yield one
    one.stop()


@pytest.fixture
def config(server: OpcUaServer, tmp_path: Path) -> Path:
    file = tmp_path / "edge.toml"
    file.write_text(HEAD.format(url=server.url) + ONE_TAG)
    return file


def nexus(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*NEXUS, *arguments], capture_output=True, text=True, timeout=100, check=False
    )


def browse(config: Path, *arguments: str) -> list[dict[str, Any]]:
    done = nexus("edge", "browse", str(config), "press", "--json", *arguments)
    assert done.returncode == 0, done.stderr
    tags: list[dict[str, Any]] = json.loads(done.stdout)["tags"]
    return tags


@pytest.mark.complaint("listed-by-hand")
def test_te_8275_every_variable_is_found_with_what_a_tag_needs(config: Path) -> None:
    found = {row["name"]: row for row in browse(config)}
    assert sorted(found) == [
        "Line1/Sensors/Count",
        "Line1/Sensors/Curve",
        "Line1/Sensors/Temp",
        "Line2/Sensors/Count",
        "Line2/Sensors/Curve",
        "Line2/Sensors/Temp",
        "a_b",
    ]
    assert found["Line1/Sensors/Count"] == {
        "name": "Line1/Sensors/Count",
        "address": f"nsu={URI};s=Line1.Count",
        "datatype": "uint16",
        "array": False,
        "may_write": True,
        "description": found["Line1/Sensors/Count"]["description"],
    }
    curve = found["Line2/Sensors/Curve"]
    assert (curve["datatype"], curve["array"], curve["may_write"]) == ("float", True, False)


def test_globs_depth_and_a_start_narrow_what_is_found(config: Path) -> None:
    assert [row["name"] for row in browse(config, "--match", "Line2/*/Temp")] == [
        "Line2/Sensors/Temp"
    ]
    assert [row["name"] for row in browse(config, "--depth", "1")] == ["a_b"]
    start = ["--from", f"nsu={URI};s=Line1.S"]
    assert sorted(row["name"] for row in browse(config, *start)) == ["Count", "Curve", "Temp"]


def test_a_start_that_is_not_there_is_told(config: Path) -> None:
    done = nexus("edge", "browse", str(config), "press", "--from", f"nsu={URI};s=nowhere")
    assert done.returncode == 1
    assert f"nsu={URI};s=nowhere: the server does not take this node id" in done.stderr


@pytest.mark.complaint("listed-by-hand")
def test_te_18529_what_is_found_can_be_imported_and_read(
    config: Path, server: OpcUaServer, tmp_path: Path
) -> None:
    for form in ([], ["--json"]):
        done = nexus("edge", "browse", str(config), "press", *form)
        assert done.returncode == 0, done.stderr
        assert "7 variables among" in done.stderr
        table = tmp_path / "found.csv"
        table.write_text(done.stdout)
        done = nexus("edge", "import", "--driver", "opcua", str(table))
        assert done.returncode == 0, done.stderr
        made = tmp_path / "made.toml"
        made.write_text(HEAD.format(url=server.url) + "\n" + done.stdout)
        assert nexus("check", str(made)).returncode == 0
        done = nexus("edge", "read", str(made), "press", "--json", "--no-frames")
        assert done.returncode == 0, done.stderr
        values = {tag["name"]: tag["value"] for tag in json.loads(done.stdout)["tags"]}
        assert values["Line1/Sensors/Temp"] == 20.5
        assert values["Line2/Sensors/Curve"] == [1.5, 2.5]
        assert values["a_b"] == "x"
        assert "writable" not in made.read_text()
        done = nexus("edge", "import", "--driver", "opcua", "--writable", str(table))
        tags = tomllib.loads(done.stdout)["devices"]["tags"]
        assert [tag["name"] for tag in tags if tag.get("writable")] == [
            "a_b",
            "Line1/Sensors/Count",
            "Line2/Sensors/Count",
        ]


def test_a_reading_shows_times_and_bytes(config: Path) -> None:
    done = nexus("edge", "read", str(config), "press")
    assert done.returncode == 0, done.stderr
    assert "-> 48 45 4c 46" in done.stdout  # HELF
    assert "<- 41 43 4b 46" in done.stdout  # ACKF
    assert "temp  good  20.5 degC" in done.stdout
    assert "1 tags in" in done.stdout
    assert "connected in" in done.stdout


def test_what_cannot_be_browsed_says_why(config: Path) -> None:
    done = nexus("edge", "browse", str(config), "press", "--from", "here")
    assert done.returncode == 2
    assert "--from: address is 'here', expected for example" in done.stderr
    done = nexus("edge", "browse", str(config), "press", "--from", "nsu=urn:x;i=1")
    assert done.returncode == 1
    assert "namespace 'urn:x' is not on the server" in done.stderr


def test_a_table_of_no_nodes_names_each_mistake(tmp_path: Path) -> None:
    table = tmp_path / "tags.csv"
    table.write_text(
        "name,address,datatype,array\na,DB1,double,\nb,i=1,real,\nc,i=1,double,often\n"
    )
    done = nexus("edge", "import", "--driver", "opcua", str(table))
    assert done.returncode == 2
    told = done.stderr.splitlines()
    assert "line 2: address is 'DB1', expected for example" in told[0]
    assert "line 3: datatype" in told[1]
    assert "line 4: array is 'often', expected true or false" in told[2]
