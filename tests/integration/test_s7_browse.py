"""``nexus edge browse`` finds what a CPU is and has, ``nexus edge import`` makes tags of it."""

import json
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
from snap7.type import SrvArea

from deploy.local.plant.s7_cpu import NOT_ALLOWED, NOT_THERE, OUT_OF_RANGE, S7Cpu, refuse
from deploy.local.plant.s7_server import S7Server
from edge_node.drivers.base import DeviceUnreachable
from edge_node.drivers.s7.scan import FoundBlock, FoundCpu, scan_cpu
from proto.control.node import NodeDocument
from proto.control.s7 import S7Connection

NEXUS = [sys.executable, "-m", "deploy.local.cli"]
NODE = """\
[node]
group = "g"
edge = "e"
[mqtt]
url = "mqtt://127.0.0.1:1883"
[[devices]]
name = "Press"
driver = "s7"
connection = {{ host = "127.0.0.1", port = {port} }}
[[devices.tags]]
name = "x"
address = "M0.0"
"""


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with subprocess.Popen(
        [*NEXUS, "simulate", "s7", "--devices", "1", "--tags", "600", "--port", "0", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as cpu:
        assert cpu.stdout is not None
        (port,) = json.loads(cpu.stdout.readline())["ports"]
        file = tmp_path_factory.mktemp("browse") / "node.toml"
        file.write_text(NODE.format(port=port))
        yield file
        cpu.terminate()
        assert cpu.wait(10) == 0


def nexus(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*NEXUS, "edge", *arguments], capture_output=True, text=True, timeout=60, check=False
    )


def test_a_cpu_tells_what_it_is_and_which_blocks_it_has(config: Path) -> None:
    done = nexus("browse", str(config), "Press")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "name,address,datatype,count,description",
        "DB1,DB1.DBB0,byte,1200,data block of 1200 bytes",
    ]
    for line in (
        "Press: CPU: CPU SIM",
        "Press: order number: 6ES7 NEX-US00-0SIM",
        "Press: firmware: V2.9.0",
        "Press: state: RUN",
        "Press: protection level: 1, full access",
        "Press: message size: 480",
        "Press: 1 data blocks can be read, listed by the CPU",
    ):
        assert line in done.stderr.splitlines()


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_what_is_found_can_be_imported_and_read(
    config: Path, tmp_path: Path, options: list[str]
) -> None:
    table = tmp_path / "found"
    table.write_text(nexus("browse", str(config), "Press", *options).stdout)
    imported = nexus("import", "--driver", "s7", str(table))
    assert imported.returncode == 0, imported.stderr
    whole = tmp_path / "node.toml"
    whole.write_text(config.read_text() + imported.stdout)
    document = NodeDocument.model_validate(tomllib.loads(whole.read_text()))
    assert [tag.name for tag in document.devices[0].tags] == ["x", "DB1"]
    read = nexus("read", str(whole), "Press", "DB1", "--json")
    assert read.returncode == 0, read.stderr
    (tag,) = json.loads(read.stdout)["tags"]
    assert len(tag["value"]) == 1200
    assert nexus("read", str(whole), "Press", "DB1", "--no-frames").returncode == 0


def test_options_of_another_driver_are_refused(config: Path) -> None:
    done = nexus("browse", str(config), "Press", "--units")
    assert done.returncode == 2
    assert "--table and --units are for driver 'modbus'" in done.stderr


def test_an_export_becomes_tags_of_the_command_line(tmp_path: Path) -> None:
    source = tmp_path / "Mixer.db"
    source.write_text(
        'DATA_BLOCK "Mixer"\nSTRUCT\nSpeed : Real;\nP : Pointer;\nEND_STRUCT;\nEND_DATA_BLOCK\n'
    )
    table = tmp_path / "tags.csv"
    table.write_text("name,address\nRun,M0.0\n")
    arguments = ("import", "--driver", "s7", str(source), str(table))
    done = nexus(*arguments, "--block", "Mixer=5")
    assert done.returncode == 0, done.stderr
    tags = tomllib.loads("[[devices]]\n" + done.stdout)["devices"][0]["tags"]
    assert [tag["address"] for tag in tags] == ["DB5.DBD0", "M0.0"]
    assert "Mixer/P: left out: Pointer holds no value to read" in done.stderr
    for wrong in ("Mixer", "Mixer=0", "=5"):
        refused = nexus(*arguments, "--block", wrong)
        assert refused.returncode == 2
        assert "expected for example Mixer=1" in refused.stderr


def test_a_cpu_of_python_snap7_is_browsed() -> None:
    server = S7Server(log=False)
    server.register_area(SrvArea.DB, 7, bytearray(10))
    server.register_area(SrvArea.DB, 3, bytearray(3000))
    try:
        port = server.listen("127.0.0.1", 0)
        found = trio.run(scan_cpu, S7Connection(host="127.0.0.1", port=port), 0, 10)
    finally:
        server.stop()
    assert found.listed
    assert found.blocks == [FoundBlock(3, 3000), FoundBlock(7, 10)]
    assert found.identity == {"order number": "6ES7 315-2EH14-0AB0"}


class Compact:
    """A CPU's memory whose blocks are known to itself alone; DB4 is protected."""

    blocks = ((3, 700), (4, 10), (5, 1))

    def read(self, area: int, block: int, start: int, size: int) -> bytes | int:
        length = dict(self.blocks).get(block, 0) if area == 0x84 else 0
        if not length:
            return NOT_THERE
        if block == 4:
            return NOT_ALLOWED
        return bytes(size) if start + size <= length else OUT_OF_RANGE

    def write(self, *_: object) -> int:
        return NOT_ALLOWED


async def scan_served(serve: type["Silent"], first: int, last: int) -> FoundCpu:
    """Scan one CPU; what goes wrong is raised outside of the nursery."""
    outcome: FoundCpu | DeviceUnreachable
    async with trio.open_nursery() as nursery:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, serve().serve, [listener])
        port = listener.socket.getsockname()[1]
        try:
            outcome = await scan_cpu(S7Connection(host="127.0.0.1", port=port), first, last)
        except DeviceUnreachable as exc:
            outcome = exc
        nursery.cancel_scope.cancel()
    if isinstance(outcome, DeviceUnreachable):
        raise outcome
    return outcome


class Silent:
    """A CPU that lists nothing, as S7-1200 and S7-1500 do."""

    refusal = bytes.fromhex("000112081284010000000000" + "0a000000")

    async def serve(self, stream: trio.SocketStream) -> None:
        cpu = S7Cpu(Compact())
        while data := await stream.receive_some(4096):
            for answer in cpu.receive(bytes(data)):
                await stream.send_all(self.change(answer))

    def change(self, answer: bytes) -> bytes:
        if answer[8:9] != b"\x07":
            return answer
        head = answer[7:13] + b"\0\x0c\0\4"
        return b"\x03\0\0\x21\x02\xf0\x80" + head + self.refusal


class Closed(Silent):
    """A CPU whose PUT/GET is off."""

    def change(self, answer: bytes) -> bytes:
        return refuse(super().change(answer), 0x8104)


def test_blocks_are_looked_for_where_the_cpu_does_not_list_them() -> None:
    found = trio.run(scan_served, Silent, 0, 40)
    assert not found.listed
    assert found.identity == {}
    assert [(block.number, block.size) for block in found.blocks] == [(3, 700), (4, 0), (5, 1)]
    assert "not allowed (code 0x03): allow PUT/GET" in found.blocks[1].reason


def test_a_cpu_that_lets_nothing_be_read_says_why() -> None:
    with pytest.raises(DeviceUnreachable, match=r"nothing can be read: .*allow PUT/GET"):
        trio.run(scan_served, Closed, 0, 40)
