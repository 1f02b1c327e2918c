"""Births, data and deaths make the host's picture of a node."""

import math

import pytest

from proto.sparkplug.codec import Compression, Metric, Payload, compress, encode_payload
from proto.sparkplug.datatypes import DataType
from proto.sparkplug.host_events import (
    DeviceBorn,
    DeviceDied,
    MetricsChanged,
    NodeBorn,
    NodeDied,
    ViolationKind,
)
from proto.sparkplug.messages import Publish
from proto.sparkplug.metrics import Property, Template, quality_property
from proto.sparkplug.topics import MessageType, NodeId
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
    device_death,
    events,
    message,
    node_birth,
    node_death,
    rebirth_requests,
    violations,
)


class TestBirths:
    def test_births_are_the_picture(self) -> None:
        host = Host(now_ms=T0 + 50)

        actions = host.hears(node_birth(COUNT, bd_seq=4), device_birth(SPEED, LEVEL))

        assert actions == [NodeBorn(NODE), DeviceBorn(NODE, "filler")]
        assert (host.view.online, host.view.bd_seq, host.view.since_ms) == (True, 4, T0)
        assert list(host.tracker.nodes) == [NODE]
        assert len(host.tracker.nodes) == 1
        count_view = host.metric("count")
        assert (count_view.value, count_view.datatype) == (2**64 - 1, DataType.UINT64)
        assert (count_view.alias, count_view.timestamp_ms, count_view.stale) == (2, T0, False)
        assert host.metric("level", "filler").value == -5
        assert [(d, m.name) for d, m in host.view.all_metrics()] == [
            (None, "Node Control/Rebirth"),
            (None, "bdSeq"),
            (None, "count"),
            ("filler", "speed"),
            ("filler", "level"),
        ]

    def test_views_live_on_over_births_and_go_with_the_metrics_no_birth_names(self) -> None:
        host = born_host()
        kept = host.metric("speed", "filler")

        host.hears(
            node_birth(COUNT, at_ms=T0 + 9),
            device_birth(Metric("speed", DataType.FLOAT, 9.0, T0 + 9, alias=1), at_ms=T0 + 9),
        )

        assert host.metric("speed", "filler") is kept
        assert (kept.value, kept.datatype) == (9.0, DataType.FLOAT)
        assert host.view.metric("filler", "level") is None

    def test_properties_quality_and_writability_come_from_the_birth(self) -> None:
        host = Host()
        properties = {
            "engUnit": Property(DataType.STRING, "bar"),
            "readOnly": Property(DataType.BOOLEAN, True),
            "Quality": quality_property(0),
        }
        host.hears(
            node_birth(
                Metric("p", DataType.DOUBLE, 1.0, T0, properties=properties, is_transient=True),
                Metric("q", DataType.DOUBLE, None, T0),
            )
        )

        p, q = host.metric("p"), host.metric("q")
        assert p.properties == properties
        assert (p.quality, p.writable, p.is_transient) == (0, False, True)
        assert (q.quality, q.writable, q.value) == (192, True, None)
        assert not host.metric("bdSeq").writable

    def test_property_sets_that_are_alike_are_kept_once(self) -> None:
        host = Host()
        unit = {"engUnit": Property(DataType.STRING, "bar")}
        host.hears(
            node_birth(*(Metric(f"m{i}", DataType.INT8, i, T0, properties=unit) for i in range(2)))
        )

        assert host.metric("m0").properties is host.metric("m1").properties

    @pytest.mark.tck("payloads-template-definition-nbirth", "topics-nbirth-templates")
    def test_templates_are_values_like_others(self) -> None:
        host = Host()
        motor = Template((Metric("on", DataType.BOOLEAN),), is_definition=True)
        host.hears(node_birth(Metric("Motor", DataType.TEMPLATE, motor, T0)))

        assert host.metric("Motor").value == motor

    def test_metrics_without_a_time_are_as_old_as_the_payload_or_else_the_message(self) -> None:
        host = Host(now_ms=T0 + 7)
        host.hears(node_birth(Metric("m", DataType.INT8, 1), at_ms=T0 + 3))
        assert host.metric("m").timestamp_ms == T0 + 3

        payload = encode_payload(Payload(None, 0, (Metric("m", DataType.INT8, 1),)))
        host.hears(Publish("spBv1.0/plant/NBIRTH/line-1", payload))
        assert host.metric("m").timestamp_ms == T0 + 7

    def test_devices_are_offline_from_the_node_birth_to_their_own(self) -> None:
        host = born_host()

        host.hears(node_birth(COUNT, at_ms=T0 + 5))

        device, speed = host.view.devices["filler"], host.metric("speed", "filler")
        seen = [(device.online, speed.stale)]
        host.hears(device_birth(SPEED, at_ms=T0 + 5))
        seen.append((device.online, speed.stale))

        assert seen == [(False, True), (True, False)]

    def test_compressed_births_are_births(self) -> None:
        host = Host()
        birth = node_birth(COUNT)

        host.hears(Publish(birth.topic, compress(birth.payload, Compression.GZIP)))

        assert host.metric("count").value == 2**64 - 1


class TestData:
    @pytest.mark.tck("payloads-alias-data-cmd-requirement")
    def test_values_change_in_place(self) -> None:
        host = born_host()
        view = host.metric("count")

        (changed,) = host.hears(data(count(7, T0 + 9), seq=2))

        assert changed == MetricsChanged(NODE, None, [view])
        assert (view.value, view.timestamp_ms, view.quality) == (7, T0 + 9, 192)

    def test_data_may_go_by_name_and_tell_its_type(self) -> None:
        host = born_host()

        host.hears(
            data(Metric("speed", DataType.DOUBLE, 2.5, T0), seq=2, device="filler"),
            data(Metric("level", None, 9, T0), seq=3, device="filler"),
        )

        assert host.metric("speed", "filler").value == 2.5
        assert host.metric("level", "filler").value == 9

    def test_null_is_a_value(self) -> None:
        host = born_host()

        host.hears(data(count(None), seq=2))

        assert (host.metric("count").value, host.metric("count").quality) == (None, 192)

    def test_nan_is_a_value(self) -> None:
        host = born_host()

        host.hears(data(Metric(alias=1, value=math.nan), seq=2, device="filler"))

        value = host.metric("speed", "filler").value
        assert isinstance(value, float)
        assert math.isnan(value)

    @pytest.mark.tck("payloads-propertyset-quality-value-value")
    def test_quality_holds_until_data_come_without(self) -> None:
        host = born_host()
        bad = Metric(alias=2, value=7, properties={"Quality": quality_property(0)})
        seen = []
        for i, metric in enumerate((bad, count(8))):
            host.hears(data(metric, seq=2 + i))
            seen.append(host.metric("count").quality)

        assert seen == [0, 192]

    def test_properties_that_changed_are_taken_over(self) -> None:
        host = Host()
        before = {
            "engUnit": Property(DataType.STRING, "bar"),
            "engLow": Property(DataType.DOUBLE, 0.0),
        }
        host.hears(node_birth(Metric("p", DataType.INT8, 1, T0, 5, properties=before)))

        unit = {"engUnit": Property(DataType.STRING, "psi")}
        host.hears(data(Metric(alias=5, value=2, properties=unit), seq=1))

        assert host.metric("p").properties == {**before, **unit}
        assert before["engUnit"].value == "bar"

    def test_past_values_are_counted_and_leave_the_live_one_alone(self) -> None:
        host = born_host()
        host.hears(data(count(7, T0 + 9), seq=2))

        actions = host.hears(
            data(count(5, T0 + 3, is_historical=True), seq=3),
            data(count(6, T0 + 99, is_historical=True), seq=4),
        )

        assert actions == []
        assert (host.metric("count").value, host.metric("count").timestamp_ms) == (7, T0 + 9)
        assert host.view.diagnostics.historical == 2

    def test_alias_0_is_an_alias_and_no_alias_is_none(self) -> None:
        host = Host()
        host.hears(node_birth(Metric("m", DataType.INT8, 1, T0, alias=0)))

        host.hears(data(Metric(alias=0, value=2), seq=1))
        assert host.metric("m").value == 2
        host.hears(data(Metric(value=3), seq=2))
        assert host.metric("m").value == 2

    def test_counters_tell_what_was_taken_over(self) -> None:
        host = born_host()
        host.hears(
            data(count(1), count(2), seq=2),
            data(Metric(alias=1, value=1.0), seq=3, device="filler"),
        )

        diagnostics = host.view.diagnostics
        assert (diagnostics.messages, diagnostics.metrics) == (4, 3)
        assert (diagnostics.births, diagnostics.device_births) == (1, 1)
        assert diagnostics.violation_count == 0


class TestDeaths:
    @pytest.mark.tck(
        "operational-behavior-edge-node-termination-host-action-ndeath-node-offline",
        "operational-behavior-edge-node-termination-host-action-ndeath-node-tags-stale",
        "operational-behavior-edge-node-termination-host-action-ndeath-devices-offline",
        "operational-behavior-edge-node-termination-host-action-ndeath-devices-tags-stale",
    )
    def test_node_death_takes_its_devices_along_at_the_hosts_time(self) -> None:
        host = born_host()
        host.now_ms = T0 + 70_000

        actions = host.hears(node_death(0, at_ms=T0))

        assert events(actions) == [NodeDied(NODE, "NDEATH")]
        device = host.view.devices["filler"]
        assert (host.view.online, host.view.since_ms) == (False, T0 + 70_000)
        assert (device.online, device.since_ms) == (False, T0 + 70_000)
        assert all(metric.stale for _, metric in host.view.all_metrics())

    @pytest.mark.tck("payloads-ndeath-bdseq")
    def test_a_death_of_another_connection_does_not_count(self) -> None:
        host = Host()
        host.hears(node_birth(COUNT, bd_seq=5))

        actions = host.hears(node_death(4))

        assert host.view.online
        assert violations(actions) == [ViolationKind.BD_SEQ_MISMATCH]

    def test_a_death_counts_once(self) -> None:
        host = born_host()

        assert len(events(host.hears(node_death(0), node_death(0)))) == 1
        assert host.view.diagnostics.deaths == 1

    def test_bd_seq_is_read_whatever_its_type(self) -> None:
        host = born_host()
        death = message(MessageType.NDEATH, None, (Metric("bdSeq", DataType.UINT8, 0),), None, T0)

        assert events(host.hears(death)) == [NodeDied(NODE, "NDEATH")]

    def test_a_death_without_bd_seq_counts_and_is_a_violation(self) -> None:
        host = born_host()

        actions = host.hears(node_death(None))

        assert not host.view.online
        assert ViolationKind.NO_BD_SEQ in violations(actions)

    def test_a_birth_without_bd_seq_is_shown_and_any_death_ends_it(self) -> None:
        host = Host()

        actions = host.hears(node_birth(COUNT, bd_seq=None))

        assert violations(actions) == [ViolationKind.NO_BD_SEQ]
        host.hears(node_death(77))
        assert not host.view.online

    def test_a_death_of_a_node_never_heard_of_is_nothing(self) -> None:
        host = Host()

        assert host.hears(node_death(0)) == []
        assert len(host.tracker.nodes) == 0

    def test_a_birth_after_the_death_revives(self) -> None:
        host = born_host()
        host.hears(node_death(0), node_birth(COUNT, bd_seq=1, at_ms=T0 + 9))

        assert host.view.online
        assert not host.metric("count").stale
        assert not host.view.devices["filler"].online

    @pytest.mark.tck(
        "operational-behavior-edge-node-termination-host-action-ddeath-devices-offline",
        "operational-behavior-edge-node-termination-host-action-ddeath-devices-tags-stale",
    )
    def test_device_death_takes_the_device_alone_at_its_own_time(self) -> None:
        host = born_host()
        host.now_ms = T0 + 70_000

        actions = host.hears(device_death(seq=2, at_ms=T0 + 5))

        device = host.view.devices["filler"]
        assert actions == [DeviceDied(NODE, "filler")]
        assert (device.online, device.since_ms) == (False, T0 + 5)
        assert host.metric("speed", "filler").stale
        assert host.view.online
        assert not host.metric("count").stale

    def test_data_of_a_dead_device_ask_for_births(self) -> None:
        host = born_host()
        host.hears(device_death(seq=2))

        actions = host.hears(data(Metric(alias=1, value=9.0), seq=3, device="filler"))

        assert rebirth_requests(actions) == 1
        assert host.metric("speed", "filler").value == 1.5


class TestOwnConnection:
    def test_losing_it_makes_everything_stale(self) -> None:
        host = born_host()

        actions = host.tracker.lost_connection(T0 + 5)

        assert actions == [NodeDied(NODE, "the host lost its connection")]
        assert all(metric.stale for _, metric in host.view.all_metrics())
        assert host.tracker.next_deadline_ms is None

    def test_afterwards_nodes_are_asked_one_by_one(self) -> None:
        host = Host()
        nodes = [NodeId("g", f"e{i}") for i in range(3)]
        birth = node_birth(COUNT).payload
        for node in nodes:
            host.hears(Publish(f"spBv1.0/g/NBIRTH/{node.edge}", birth))
        host.tracker.lost_connection(T0)
        host.tracker.reconnected(T0)
        host.hears(Publish("spBv1.0/g/NBIRTH/e1", node_birth(COUNT, bd_seq=1).payload))

        actions = host.waits(2_100)

        asked = [action.topic for action in actions if isinstance(action, Publish)]
        assert asked == ["spBv1.0/g/NCMD/e0", "spBv1.0/g/NCMD/e2"]

    def test_forgotten_nodes_are_gone_until_they_speak(self) -> None:
        host = born_host()
        host.tracker.forget(NODE)
        assert len(host.tracker.nodes) == 0

        host.hears(data(count(1), seq=2))
        assert NODE in host.tracker.nodes
