"""Whatever arrives, the host goes on; what is wrong is told once in a while and counted always."""

import random

import pytest

from proto import sparkplug_b_pb2 as pb
from proto.sparkplug.codec import Metric
from proto.sparkplug.datatypes import DataType
from proto.sparkplug.host_events import Violation, ViolationKind
from proto.sparkplug.messages import Publish
from proto.sparkplug.topics import MessageType
from tests.unit.proto.sparkplug.host_world import (
    COUNT,
    LEVEL,
    NODE,
    SPEED,
    T0,
    Host,
    born_host,
    count,
    data,
    device_birth,
    message,
    node_birth,
    violations,
)

NDATA = "spBv1.0/plant/NDATA/line-1"
NBIRTH = "spBv1.0/plant/NBIRTH/line-1"


def raw_birth(*metrics: pb.Payload.Metric) -> Publish:
    wire = pb.Payload.FromString(node_birth().payload)
    wire.metrics.extend(metrics)
    return Publish(NBIRTH, wire.SerializeToString())


@pytest.mark.parametrize("topic", ["", "x", "spBv1.0/a", "spBv1.0/a/NOPE/b", "spAv1.0/a/NDATA/b"])
def test_foreign_topics_are_nobodys_violation(topic: str) -> None:
    host = Host()

    (violation,) = host.tracker.receive(topic, b"", T0)

    assert isinstance(violation, Violation)
    assert (violation.node, violation.kind) == (None, ViolationKind.TOPIC)
    assert host.tracker.foreign_violations == 1


@pytest.mark.parametrize(
    "topic",
    [
        "spBv1.0/STATE/scada",
        "spBv1.0/STATE/other",
        "spBv1.0/plant/NCMD/line-1",
        "spBv1.0/plant/DCMD/line-1/filler",
    ],
)
def test_states_and_commands_are_nothing_to_the_tracker(topic: str) -> None:
    host = Host()

    assert host.tracker.receive(topic, b"\xff", T0) == []
    assert len(host.tracker.nodes) == 0


@pytest.mark.parametrize("kind", ["NBIRTH", "NDATA", "NDEATH"])
def test_broken_payloads_are_violations_and_change_nothing(kind: str) -> None:
    host = born_host()

    actions = host.tracker.receive(f"spBv1.0/plant/{kind}/line-1", b"\xff\xff", T0)

    assert violations(actions) == [ViolationKind.PAYLOAD]
    assert host.view.online
    assert host.view.diagnostics.last_violation is not None


def test_a_violation_is_told_once_an_interval_and_counted_always() -> None:
    host = born_host()
    told = []
    for second in range(25):
        told += host.tracker.receive(NDATA, b"\xff", T0 + second * 1_000)

    assert len(told) == 3
    assert host.view.diagnostics.violations[ViolationKind.PAYLOAD] == 25
    assert host.view.diagnostics.violation_count == 25


@pytest.mark.parametrize(
    ("metric", "kind"),
    [
        (pb.Payload.Metric(datatype=1, int_value=1), ViolationKind.NO_NAME),
        (pb.Payload.Metric(name="count", datatype=1, int_value=1), ViolationKind.DUPLICATE_NAME),
        (pb.Payload.Metric(name="m", datatype=99), ViolationKind.DATATYPE),
        (pb.Payload.Metric(name="m"), ViolationKind.DATATYPE),
        (pb.Payload.Metric(name="m", datatype=1, int_value=300), ViolationKind.VALUE),
        (pb.Payload.Metric(name="m", datatype=12, int_value=300), ViolationKind.VALUE),
        (
            pb.Payload.Metric(name="m", datatype=1, properties=pb.Payload.PropertySet(keys=["a"])),
            ViolationKind.PROPERTIES,
        ),
        (pb.Payload.Metric(name="m", alias=2, datatype=1), ViolationKind.DUPLICATE_ALIAS),
    ],
)
def test_a_bad_metric_in_a_birth_does_not_spoil_its_neighbours(
    metric: pb.Payload.Metric, kind: ViolationKind
) -> None:
    host = Host()
    good = pb.Payload.Metric(name="count", alias=2, datatype=8, long_value=5)
    last = pb.Payload.Metric(name="z", alias=3, datatype=8, long_value=6)

    actions = host.hears(raw_birth(good, metric, last))

    assert violations(actions) == [kind]
    assert host.metric("count").value == 5
    assert host.metric("z").value == 6
    host.hears(data(count(7), seq=1))
    assert host.metric("count").value == 7


def test_a_bad_value_is_shown_as_null_of_bad_quality() -> None:
    host = Host()
    host.hears(raw_birth(pb.Payload.Metric(name="m", datatype=1, int_value=300)))

    assert (host.metric("m").value, host.metric("m").quality) == (None, 0)


@pytest.mark.parametrize(
    ("field", "value", "datatype"),
    [
        ("int_value", 5, DataType.INT32),
        ("long_value", 5, DataType.INT64),
        ("double_value", 1.5, DataType.DOUBLE),
        ("string_value", "x", DataType.STRING),
    ],
)
def test_a_missing_data_type_is_guessed_from_the_field(
    field: str, value: object, datatype: DataType
) -> None:
    host = Host()
    metric = pb.Payload.Metric(name="m")
    setattr(metric, field, value)

    host.hears(raw_birth(metric))

    assert (host.metric("m").datatype, host.metric("m").value) == (datatype, value)


def test_aliases_that_start_over_with_each_device_are_a_violation_and_work() -> None:
    host = born_host()

    actions = host.hears(
        device_birth(Metric("flow", DataType.DOUBLE, 1.0, T0, alias=1), device="b", seq=2)
    )
    host.hears(
        data(Metric(alias=1, value=5.0), seq=3, device="b"),
        data(Metric(alias=1, value=6.0), seq=4, device="filler"),
    )

    assert violations(actions) == [ViolationKind.DUPLICATE_ALIAS]
    assert host.metric("flow", "b").value == 5.0
    assert host.metric("speed", "filler").value == 6.0


def test_a_device_born_anew_keeps_its_own_aliases_without_complaint() -> None:
    host = born_host()

    actions = host.hears(
        message(MessageType.DDEATH, "filler", (), 2, T0), device_birth(SPEED, LEVEL, seq=3)
    )

    assert violations(actions) == []


def test_a_second_device_birth_is_a_violation_and_counts() -> None:
    host = born_host()

    actions = host.hears(device_birth(Metric("flow", DataType.DOUBLE, 1.0), seq=2))

    assert violations(actions) == [ViolationKind.SECOND_DBIRTH]
    assert host.metric("flow", "filler").value == 1.0


def test_a_birth_without_rebirth_metric_is_a_violation() -> None:
    host = Host()
    bd_seq = Metric("bdSeq", DataType.INT64, 0)

    actions = host.hears(message(MessageType.NBIRTH, None, (bd_seq,), 0, T0))

    assert violations(actions) == [ViolationKind.NO_REBIRTH_METRIC]


@pytest.mark.tck("payloads-metric-datatype-not-req")
@pytest.mark.parametrize(
    ("metric", "value"),
    [
        (Metric(None, DataType.INT8, 7, alias=2), 7),
        (Metric(None, DataType.INT8, -7, alias=2), COUNT.value),
        (Metric(None, DataType.STRING, "7", alias=2), COUNT.value),
    ],
)
def test_data_of_another_type_count_when_they_fit(metric: Metric, value: object) -> None:
    host = born_host()

    actions = host.hears(data(metric, seq=2))

    assert ViolationKind.DATATYPE in violations(actions)
    assert host.metric("count").value == value


def test_a_bad_value_in_data_leaves_the_last_one() -> None:
    host = born_host()

    actions = host.hears(data(Metric(alias=3, value=2**20), seq=2, device="filler"))

    assert violations(actions) == [ViolationKind.VALUE]
    assert host.metric("level", "filler").value == -5


def test_bad_properties_in_data_leave_the_value() -> None:
    host = born_host()
    wire = pb.Payload(seq=2, timestamp=T0 + 1)
    wire.metrics.add(alias=2, long_value=7).properties.keys.append("a")

    actions = host.hears(Publish(NDATA, wire.SerializeToString()))

    assert violations(actions) == [ViolationKind.PROPERTIES]
    assert host.metric("count").value == 7


def test_noise_on_every_topic_never_raises() -> None:
    noise = random.Random(7)  # noqa: S311  # reproducible noise, no secret
    host = born_host()
    births = [node_birth(COUNT), device_birth(SPEED, LEVEL), data(count(5), seq=2)]
    kinds = [str(kind) for kind in MessageType]
    for i in range(3_000):
        kind = noise.choice(kinds)
        tail = "/filler" if kind[0] == "D" else ""
        payload = bytearray(noise.choice(births).payload)
        for _ in range(noise.randrange(4)):
            payload[noise.randrange(len(payload))] = noise.randrange(256)
        host.tracker.receive(f"spBv1.0/plant/{kind}/line-1{tail}", bytes(payload), T0 + i * 10)
        host.tracker.tick(T0 + i * 10)

    assert NODE in host.tracker.nodes
