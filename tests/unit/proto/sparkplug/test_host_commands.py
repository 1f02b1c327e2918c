"""Commands a host sends: typed as the birth said, or refused before they are sent."""

import pytest

from proto.sparkplug.codec import Metric, Payload, decode_payload, parse
from proto.sparkplug.datatypes import DataType
from proto.sparkplug.edge_events import WriteRequested
from proto.sparkplug.errors import (
    NodeOffline,
    NotWritable,
    SparkplugError,
    UnknownMetric,
    ValueOutOfRange,
    WrongType,
)
from proto.sparkplug.host_events import TrackerOptions
from proto.sparkplug.host_tracker import HostTracker
from proto.sparkplug.metrics import Property
from proto.sparkplug.topics import NodeId
from tests.unit.proto.sparkplug.edge_world import born_session
from tests.unit.proto.sparkplug.host_world import (
    COUNT,
    NODE,
    SPEED,
    T0,
    Host,
    born_host,
    device_birth,
    device_death,
    node_birth,
    node_death,
)


@pytest.mark.tck(
    "topics-dcmd-mqtt",
    "topics-dcmd-timestamp",
    "topics-dcmd-payload",
    "payloads-dcmd-timestamp",
    "payloads-dcmd-seq",
    "payloads-dcmd-qos",
    "payloads-dcmd-retain",
    "payloads-name-cmd-requirement",
    "operational-behavior-data-commands-dcmd-verb",
    "operational-behavior-data-commands-dcmd-metric-name",
    "operational-behavior-data-commands-dcmd-metric-value",
)
def test_a_device_metric_is_written_by_dcmd() -> None:
    command = born_host().tracker.command(NODE, "filler", "speed", 3, T0 + 9)

    assert command.topic == "spBv1.0/plant/DCMD/line-1/filler"
    assert (command.qos, command.retain) == (0, False)
    assert decode_payload(command.payload) == Payload(
        T0 + 9, None, (Metric(None, DataType.DOUBLE, 3.0, T0 + 9, alias=1),)
    )


@pytest.mark.tck(
    "topics-ncmd-mqtt",
    "topics-ncmd-payload",
    "payloads-ncmd-seq",
    "operational-behavior-data-commands-ncmd-verb",
    "operational-behavior-data-commands-ncmd-metric-name",
    "operational-behavior-data-commands-ncmd-metric-value",
)
def test_a_node_metric_is_written_by_ncmd_by_name_where_the_birth_had_no_alias() -> None:
    host = Host()
    host.hears(node_birth(Metric("mode", DataType.STRING, "a", T0)))

    command = host.tracker.command(NODE, None, "mode", "b", T0 + 9)

    assert command.topic == "spBv1.0/plant/NCMD/line-1"
    assert decode_payload(command.payload).metrics == (
        Metric("mode", DataType.STRING, "b", T0 + 9),
    )


def test_an_alias_that_stands_for_two_is_not_used() -> None:
    host = Host()
    host.hears(
        node_birth(
            Metric("a", DataType.INT8, 1, T0, alias=1), Metric("b", DataType.INT8, 1, T0, alias=1)
        )
    )

    (metric,) = decode_payload(host.tracker.command(NODE, None, "b", 2, T0).payload).metrics

    assert (metric.name, metric.alias) == ("b", None)


@pytest.mark.parametrize(("long", "field"), [(False, "int_value"), (True, "long_value")])
def test_uint32_is_written_in_the_field_of_choice(long: bool, field: str) -> None:
    host = Host(tracker=HostTracker(host_id="h", options=TrackerOptions(uint32_as_long=long)))
    host.hears(node_birth(Metric("n", DataType.UINT32, 1, T0)))

    command = host.tracker.command(NODE, None, "n", 5, T0)

    assert parse(command.payload).metrics[0].WhichOneof("value") == field


def test_what_a_host_sends_an_edge_node_understands() -> None:
    edge = born_session()
    tracker = HostTracker(host_id="h")
    for birth in edge.rebirth(T0 + 1):
        tracker.receive(birth.topic, birth.payload, T0 + 1)

    command = tracker.command(edge.node, "filler", "speed", 2.5, T0)

    alias = edge.alias("filler", "speed")
    assert edge.receive(command.topic, command.payload, T0) == [
        WriteRequested("filler", "speed", alias, DataType.DOUBLE, 2.5)
    ]


@pytest.mark.parametrize(
    ("device", "metric", "value", "error", "words"),
    [
        ("nix", "speed", 1.0, UnknownMetric, "plant/line-1 device 'nix': no birth"),
        ("filler", "nix", 1.0, UnknownMetric, "metric 'nix': no birth"),
        (None, "nix", 1.0, UnknownMetric, "plant/line-1 metric 'nix'"),
        (None, "bdSeq", 1, NotWritable, "read only"),
        ("filler", "speed", "fast", WrongType, "expected a number for Double"),
        ("filler", "speed", None, ValueOutOfRange, "null, expected a Double"),
        (None, "count", -1, ValueOutOfRange, "-1 does not fit UInt64"),
        ("filler", "level", 2**15, ValueOutOfRange, "32768 does not fit Int16"),
    ],
)
def test_what_cannot_be_written_is_refused(
    device: str | None, metric: str, value: object, error: type[SparkplugError], words: str
) -> None:
    with pytest.raises(error, match=words):
        born_host().tracker.command(NODE, device, metric, value, T0)


def test_read_only_metrics_are_refused() -> None:
    host = Host()
    read_only = {"readOnly": Property(DataType.BOOLEAN, True)}
    host.hears(node_birth(Metric("m", DataType.INT8, 1, T0, properties=read_only)))

    with pytest.raises(NotWritable, match="metric 'm': read only"):
        host.tracker.command(NODE, None, "m", 2, T0)


def test_nodes_and_devices_that_are_not_there_are_refused() -> None:
    host = born_host()
    host.hears(device_death(seq=2))
    with pytest.raises(NodeOffline, match="device 'filler' is offline"):
        host.tracker.command(NODE, "filler", "speed", 1.0, T0)
    host.hears(node_death(0))
    with pytest.raises(NodeOffline, match="plant/line-1 is offline"):
        host.tracker.command(NODE, None, "count", 1, T0)
    host.hears(node_birth(COUNT, bd_seq=1, at_ms=T0 + 5), device_birth(SPEED, at_ms=T0 + 5))
    command = host.tracker.command(NODE, "filler", "speed", 1.0, T0)
    assert command.topic == "spBv1.0/plant/DCMD/line-1/filler"


def test_nodes_never_heard_of_are_refused() -> None:
    stranger = NodeId("no", "body")
    tracker = Host().tracker
    with pytest.raises(UnknownMetric, match="no/body: never heard of"):
        tracker.command(stranger, None, "m", 1, T0)
    with pytest.raises(UnknownMetric, match="no/body: never heard of"):
        tracker.rebirth(stranger, T0)
