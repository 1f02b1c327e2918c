"""Template instances between a real Modbus socket and a real broker, read without the session."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from edge_node.app import EdgeNode
from edge_node.bd_seq import BdSeqFile
from edge_node.config import load
from edge_node.endpoints import make_endpoints
from proto import sparkplug_b_pb2
from proto.sparkplug.datatypes import DataType
from proto.sparkplug.metrics import Metric, Template, is_control
from proto.sparkplug.topics import NodeId
from tests.integration.edge.bench import Listener, Plc, Said
from tests.integration.edge.edge_broker import Broker, Seen

pytestmark = [pytest.mark.trio, pytest.mark.parametrize("protocol", ["3.1.1", "5"])]

MEMBERS = ("Speed", "Drive/Speed Wanted")
CONFIGURATION = """
[node]
group = "plant"
edge = "line-1"
state_dir = "{state}"
status_interval_s = 0.2

[mqtt]
url = "{url}"

[sparkplug]
batch_window_s = 0.02
templates = "{templates}"
template_names = "{names}"

[uns]
min_interval_s = 0.02

[[templates]]
name = "Motor"
version = "1.2"
parameters = [
    {{ name = "base", datatype = "integer" }},
    {{ name = "maker", datatype = "string", default = "ACME" }},
]

[[templates.members]]
name = "Speed"
address = "holding:{{base}}"
datatype = "int16"
unit = "1/min"

[[templates.members]]
name = "Drive/Speed Wanted"
address = "holding:{{base+1}}"
datatype = "int16"
writable = true

[[devices]]
name = "cell"
driver = "modbus"
connection = {{ host = "127.0.0.1", port = {port}, timeout_s = 0.3 }}
poll_groups = [{{ name = "default", interval_s = 0.05 }}]
tags = [{{ name = "count", address = "holding:1", datatype = "uint16" }}]
instances = [
    {{ template = "Motor", name = "Motors/M1", parameters = {{ base = 100 }} }},
    {{ template = "Motor", name = "Motors/M2", parameters = {{ base = 110, maker = "Other" }} }},
]
"""


@asynccontextmanager
async def running(
    broker: Broker, plc: Plc, folder: Path, templates: str = "instances", names: str = "plain"
) -> AsyncIterator[EdgeNode]:
    """A node of the configuration above, loaded from a file as ``./nexus edge`` does."""
    plc.unit.registers[100:102] = [2**16 - 5, 20]
    plc.unit.registers[110:112] = [11, 21]
    file = folder / "plant.toml"
    file.write_text(
        CONFIGURATION.format(
            state=folder / "state", url=broker.url, port=plc.port, templates=templates, names=names
        ),
        encoding="utf-8",
    )
    configuration = load(file, {})
    state = BdSeqFile(folder / "state", NodeId("plant", "line-1"))
    try:
        endpoints = make_endpoints(configuration.document.mqtt, "edge-under-test", {})
        node = EdgeNode(configuration, endpoints, state)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(node.run)
            yield node
            node.stop()
    finally:
        state.close()


def wire(said: Said) -> dict[str, sparkplug_b_pb2.Payload.Metric]:
    """The metrics of a birth by name, as protobuf alone reads them."""
    payload = sparkplug_b_pb2.Payload.FromString(said.seen.payload)
    return {metric.name: metric for metric in payload.metrics}


def members(value: object) -> dict[str | None, object]:
    assert isinstance(value, Template)
    return {member.name: member.value for member in value.metrics}


async def wait_part(heard: Listener, alias: int | None, told: dict[str, object]) -> Metric:
    """Wait for data of an instance that holds just these members."""

    def find() -> Metric | None:
        for said in heard.said:
            for metric in said.payload.metrics if said.kind == "DDATA" else ():
                if metric.alias == alias and members(metric.value) == told:
                    return metric
        return None

    def is_there(_: list[Seen]) -> bool:
        return find() is not None

    await heard.watcher.wait_for(is_there)
    found = find()
    assert found is not None
    return found


@pytest.mark.rule("edge-15")
@pytest.mark.tck(
    "topics-nbirth-templates",
    "payloads-template-definition-nbirth-only",
    "payloads-template-definition-is-definition",
    "payloads-template-definition-ref",
    "payloads-template-definition-members",
    "payloads-template-definition-nbirth",
    "payloads-template-definition-parameters",
    "payloads-template-definition-parameters-default",
    "payloads-template-version",
    "payloads-template-ref-definition",
    "payloads-template-is-definition",
    "payloads-template-is-definition-definition",
    "payloads-template-parameter-name-required",
    "payloads-template-parameter-name-type",
    "payloads-template-parameter-value-type",
    "payloads-template-parameter-type-value",
    "payloads-template-parameter-type-req",
    "payloads-template-parameter-value",
)
async def test_the_node_birth_defines_the_types(
    edge_broker: Broker, heard: Listener, plc: Plc, tmp_path: Path
) -> None:
    async with running(edge_broker, plc, tmp_path):
        nbirth = wire(await heard.wait("NBIRTH"))
        dbirth = wire(await heard.wait("DBIRTH"))

    motor = nbirth["Motor"].template_value
    assert nbirth["Motor"].datatype == DataType.TEMPLATE
    assert motor.is_definition
    assert not motor.HasField("template_ref")
    assert motor.version == "1.2"
    assert [(member.name, member.datatype) for member in motor.metrics] == [
        (name, DataType.INT16) for name in MEMBERS
    ]
    assert [(each.name, each.type) for each in motor.parameters] == [
        ("base", DataType.INT64),
        ("maker", DataType.STRING),
    ]
    assert motor.parameters[0].WhichOneof("value") is None
    assert motor.parameters[1].string_value == "ACME"
    assert not any(metric.template_value.is_definition for metric in dbirth.values())


@pytest.mark.rule("edge-13", "edge-15")
@pytest.mark.tck(
    "payloads-template-instance-is-definition",
    "payloads-template-instance-ref",
    "payloads-template-instance-members",
    "payloads-template-instance-members-birth",
    "payloads-template-instance-parameters",
    "payloads-template-ref-instance",
    "payloads-template-is-definition",
    "payloads-template-is-definition-instance",
)
async def test_the_device_birth_has_whole_instances_that_refer_to_their_definition(
    edge_broker: Broker, heard: Listener, plc: Plc, tmp_path: Path
) -> None:
    async with running(edge_broker, plc, tmp_path):
        nbirth = wire(await heard.wait("NBIRTH"))
        dbirth = wire(await heard.wait("DBIRTH"))

    plant = {name for name in dbirth if not is_control(name)}
    assert plant == {"count", "Motors/M1", "Motors/M2"}
    for name, speed, wanted, maker in (
        ("Motors/M1", 2**32 - 5, 20, "ACME"),
        ("Motors/M2", 11, 21, "Other"),
    ):
        instance = dbirth[name].template_value
        assert instance.HasField("is_definition")
        assert not instance.is_definition
        assert instance.template_ref in nbirth
        assert nbirth[instance.template_ref].template_value.is_definition
        assert [(m.name, m.datatype, m.int_value) for m in instance.metrics] == [
            ("Speed", DataType.INT16, speed),
            ("Drive/Speed Wanted", DataType.INT16, wanted),
        ]
        assert all(member.timestamp for member in instance.metrics)
        assert list(instance.metrics[0].properties.keys) == ["readOnly", "engUnit", "unsPath"]
        assert instance.parameters[1].string_value == maker


@pytest.mark.tck("payloads-template-instance-members-data", "payloads-template-instance-members")
async def test_data_tells_the_members_that_changed(
    edge_broker: Broker, heard: Listener, plc: Plc, tmp_path: Path
) -> None:
    async with running(edge_broker, plc, tmp_path) as node:
        dbirth = await heard.wait("DBIRTH")
        plc.unit.registers[110] = 12
        changed = await wait_part(heard, dbirth.metric("Motors/M2").alias, {"Speed": 12})
        assert changed.name is None
        assert isinstance(changed.value, Template)
        assert (changed.value.template_ref, changed.value.is_definition) == ("Motor", False)
        assert changed.value.metrics[0].properties is None
        heard.rebirth()
        again = await heard.wait("DBIRTH", 2)
        assert members(again.metric("Motors/M2").value) == {
            "Speed": 12,
            "Drive/Speed Wanted": 21,
        }
        value = await heard.wait_json("uns/cell/Motors/M2/Speed", lambda d: d["value"] == 12)
        assert value["unit"] == "1/min"
    points = sum(
        not is_control(metric.name or "")
        for said in heard.said
        if not said.kind.endswith("DEATH")
        for metric in said.payload.metrics
    )
    assert node.status().counters.points_published == points


async def test_a_command_writes_the_members_it_names_or_none(
    edge_broker: Broker, heard: Listener, plc: Plc, tmp_path: Path
) -> None:
    async with running(edge_broker, plc, tmp_path):
        dbirth = await heard.wait("DBIRTH")
        alias = dbirth.metric("Motors/M1").alias
        wanted = Metric("Drive/Speed Wanted", DataType.INT16, 77)
        speed = Metric("Speed", DataType.INT16, 1)
        refused = Template((Metric("Drive/Speed Wanted", DataType.INT16, 66), speed), "Motor")
        for metric in (
            Metric("Motors/M1", DataType.TEMPLATE, refused),
            Metric("Motors/M1/Drive/Speed Wanted", DataType.INT16, 55),
            Metric(None, DataType.TEMPLATE, Template((wanted,), "Motor"), alias=alias),
        ):
            heard.command("DCMD", [metric], "cell")
        await wait_part(heard, alias, {"Drive/Speed Wanted": 77})
        assert plc.unit.registers[101] == 77
        told = [
            members(metric.value)
            for said in heard.said
            if said.kind == "DDATA"
            for metric in said.payload.metrics
            if metric.alias == alias
        ]
        assert told == [{"Drive/Speed Wanted": 77}]


async def test_flattened_members_are_metrics_like_others(
    edge_broker: Broker, heard: Listener, plc: Plc, tmp_path: Path
) -> None:
    async with running(edge_broker, plc, tmp_path, "flattened"):
        nbirth = await heard.wait("NBIRTH")
        dbirth = await heard.wait("DBIRTH")
        assert "Motor" not in nbirth.values()
        assert dbirth.values() == {
            "count": 7,
            "Motors/M1/Speed": -5,
            "Motors/M1/Drive/Speed Wanted": 20,
            "Motors/M2/Speed": 11,
            "Motors/M2/Drive/Speed Wanted": 21,
        }
        written = Metric("Motors/M2/Drive/Speed Wanted", DataType.INT16, 88)
        heard.command("DCMD", [written], "cell")
        await heard.wait_value("cell", "Motors/M2/Drive/Speed Wanted", 88)
        assert plc.unit.registers[111] == 88


async def test_definitions_can_stand_in_the_folder_that_some_hosts_look_in(
    edge_broker: Broker, heard: Listener, plc: Plc, tmp_path: Path
) -> None:
    async with running(edge_broker, plc, tmp_path, names="types-folder"):
        nbirth = wire(await heard.wait("NBIRTH"))
        dbirth = wire(await heard.wait("DBIRTH"))

    assert nbirth["_types_/Motor"].template_value.is_definition
    assert dbirth["Motors/M1"].template_value.template_ref == "Motor"
