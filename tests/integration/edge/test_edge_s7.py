"""An S7 CPU on a real socket, published by an edge node to a real broker."""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trio

from deploy.local.plant.s7_server import Mixer, S7Server
from proto.sparkplug.arrays import pack_array
from proto.sparkplug.datatypes import DataType
from proto.sparkplug.metrics import Metric
from tests.integration.edge.bench import Listener, node_document, running, wait_until
from tests.integration.edge.edge_broker import Broker

pytestmark = pytest.mark.trio

COMMANDS = "$nexus/cmd/plant/line-1"


@pytest.fixture
def server() -> Iterator[S7Server]:
    one = S7Server(log=False)
    yield one
    one.stop()


def mixer_device(port: int) -> dict[str, Any]:
    return {
        "name": "mixer",
        "driver": "s7",
        "connection": {"host": "127.0.0.1", "port": port, "timeout_s": 0.5},
        "poll_groups": [{"name": "default", "interval_s": 0.05}],
        "tags": [
            {"name": "setpoint", "address": "DB1.DBD4:REAL", "writable": True},
            {"name": "level", "address": "DB1.DBW12", "datatype": "int", "scale": 0.1},
            {"name": "running", "address": "DB1.DBX14.0", "writable": True},
            {"name": "recipe", "address": "DB1.S16.16", "writable": True},
            {"name": "clock", "address": "DB1.DBB40", "datatype": "dtl"},
            {"name": "temps", "address": "DB1.DBD60:REAL[3]", "writable": True, "high": 100},
            {"name": "valves", "address": "DB1.DBX80.0:BOOL[12]", "writable": True},
            {"name": "levels", "address": "DB1.DBW84:INT[2]", "scale": 0.1},
            {"name": "nowhere", "address": "DB7.DBW0", "datatype": "int"},
        ],
    }


async def test_a_cpu_is_born_published_written_lost_and_found(
    edge_broker: Broker, heard: Listener, server: S7Server, tmp_path: Path
) -> None:
    mixer = Mixer(server)
    mixer.scan()
    port = server.listen("127.0.0.1", 0)
    async with running(node_document(edge_broker, tmp_path, mixer_device(port))):
        birth = await heard.wait("DBIRTH")
        assert birth.metric("setpoint").datatype is DataType.FLOAT
        assert birth.metric("setpoint").value == 120.0
        assert birth.metric("running").value is True
        assert birth.metric("recipe").value == "Raspberry1"
        assert birth.metric("clock").datatype is DataType.DATETIME
        assert birth.metric("nowhere").value is None
        assert birth.metric("temps").datatype is DataType.FLOAT_ARRAY
        assert birth.metric("temps").value == [0, 0, 0]
        assert birth.metric("valves").datatype is DataType.BOOLEAN_ARRAY
        assert birth.metric("levels").datatype is DataType.DOUBLE_ARRAY

        struct.pack_into(">h", mixer.block, 12, 250)
        await heard.wait_value("mixer", "level", 25.0)
        heard.command(
            "DCMD",
            [
                Metric("setpoint", DataType.FLOAT, 80.5),
                Metric("running", DataType.BOOLEAN, False),
                Metric("recipe", DataType.STRING, "Plum"),
            ],
            "mixer",
        )
        await heard.wait_value("mixer", "recipe", "Plum")
        await wait_until(lambda: mixer.block[14] & 1 == 0)
        assert struct.unpack_from(">f", mixer.block, 4) == (80.5,)

        struct.pack_into(">hh", mixer.block, 84, 250, -7)
        # without a datatype, as data have none, an array is its bytes
        levels = pack_array(DataType.DOUBLE_ARRAY, [25.0, -0.7])
        await heard.wait_value("mixer", "levels", levels)
        heard.command(
            "DCMD",
            [
                Metric("temps", DataType.FLOAT_ARRAY, [1.5, 2.5, 3.5]),
                Metric("valves", DataType.BOOLEAN_ARRAY, [True] * 11 + [False]),
            ],
            "mixer",
        )
        valves = pack_array(DataType.BOOLEAN_ARRAY, [True] * 11 + [False])
        await heard.wait_value("mixer", "valves", valves)
        assert struct.unpack_from(">3f", mixer.block, 60) == (1.5, 2.5, 3.5)
        heard.command("DCMD", [Metric("temps", DataType.FLOAT_ARRAY, [1.0, 2.0, 101.0])], "mixer")
        heard.command("DCMD", [Metric("setpoint", DataType.FLOAT, 90.0)], "mixer")
        await heard.wait_value("mixer", "setpoint", 90.0)
        assert struct.unpack_from(">3f", mixer.block, 60) == (1.5, 2.5, 3.5), "above high"

        await trio.to_thread.run_sync(server.stop)
        await heard.wait("DDEATH")
        server.listen("127.0.0.1", port)
        again = await heard.wait("DBIRTH", 2)
        assert again.metric("recipe").value == "Plum"


async def test_what_is_written_to_a_cpu_is_read_back_where_that_is_wanted(
    edge_broker: Broker, heard: Listener, server: S7Server, tmp_path: Path
) -> None:
    Mixer(server).scan()
    device = mixer_device(server.listen("127.0.0.1", 0))
    wanted = {"setpoint": 80.1, "running": False, "recipe": "Plum", "temps": [1.5, 2.5, 3.5]}
    for tag in device["tags"]:
        if tag["name"] in wanted:
            tag["read_back"] = True
    async with running(node_document(edge_broker, tmp_path, device)):
        await heard.wait("DBIRTH")
        heard.command(
            "DCMD",
            [
                Metric("setpoint", DataType.FLOAT, 80.1),
                Metric("running", DataType.BOOLEAN, False),
                Metric("recipe", DataType.STRING, "Plum"),
                Metric("temps", DataType.FLOAT_ARRAY, [1.5, 2.5, 3.5]),
            ],
            "mixer",
        )
        for tag, value in wanted.items():
            told = await heard.wait_json(f"{COMMANDS}/mixer/{tag}/result", lambda d: d["ok"])
            assert told["outcome"] == "verified", tag
            assert told["value"] == pytest.approx(value), tag
