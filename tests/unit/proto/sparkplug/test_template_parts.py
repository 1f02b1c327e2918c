"""Parts of template instances: births are whole all the same, hosts keep what was not told."""

import pytest

from proto.sparkplug.codec import Metric, parse
from proto.sparkplug.datatypes import DataType
from proto.sparkplug.edge_events import Rejected, WriteRequested
from proto.sparkplug.edge_session import EdgeSession
from proto.sparkplug.messages import Publish
from proto.sparkplug.metrics import Property, Template, TemplateParameter, Value, quality_property
from proto.sparkplug.templates import merge_instance
from tests.unit.proto.sparkplug.edge_world import NODE, READ_ONLY, T0, command, metrics_of
from tests.unit.proto.sparkplug.host_world import Host, data, device_birth, node_birth

DCMD = "spBv1.0/plant/DCMD/line-1/d"
SIZE = TemplateParameter("size", DataType.INT32, 4)
DEFINITION = Template(
    (Metric("speed", DataType.INT16), Metric("on", DataType.BOOLEAN)),
    is_definition=True,
    version="1",
    parameters=(SIZE,),
)
UNIT = {"engUnit": Property(DataType.STRING, "1/min")}
WHOLE = Template(
    (
        Metric("speed", DataType.INT16, -5, T0, properties=UNIT),
        Metric("on", DataType.BOOLEAN, False, T0, properties=READ_ONLY),
    ),
    "Motor",
    version="1",
    parameters=(TemplateParameter("size", DataType.INT32, 2),),
)


def part(*members: Metric, ref: str | None = "Motor") -> Template:
    return Template(members, ref)


def values(instance: Value) -> dict[str | None, Value]:
    assert isinstance(instance, Template)
    return {member.name: member.value for member in instance.metrics}


def without_types(payload: bytes) -> bytes:
    """A payload whose members tell no data type, as some nodes and hosts have it."""
    parsed = parse(payload)
    for metric in parsed.metrics:
        for member in metric.template_value.metrics:
            member.ClearField("datatype")
    return parsed.SerializeToString()


def born_session(folder: str = "") -> EdgeSession:
    session = EdgeSession(NODE)
    session.set_node_metrics([Metric(f"{folder}Motor", DataType.TEMPLATE, DEFINITION, T0)])
    session.set_device("d", [Metric("m1", DataType.TEMPLATE, WHOLE, T0)])
    session.device_online("d", T0)
    session.connect(T0)
    session.connected(T0)
    return session


class TestMerging:
    def test_members_that_are_not_told_stay(self) -> None:
        merged = merge_instance(WHOLE, part(Metric("on", DataType.BOOLEAN, True, T0 + 1)))

        assert values(merged) == {"speed": -5, "on": True}
        assert isinstance(merged, Template)
        assert (merged.template_ref, merged.version) == ("Motor", "1")
        assert merged.parameters == WHOLE.parameters

    def test_members_keep_properties_but_for_the_quality(self) -> None:
        bad = Metric("speed", value=None, properties={"Quality": quality_property(0)})
        known = merge_instance(WHOLE, part(bad))
        assert isinstance(known, Template)
        assert known.metrics[0] == Metric(
            "speed",
            DataType.INT16,
            None,
            T0,
            properties={**UNIT, "Quality": quality_property(0)},
        )

        good = merge_instance(known, part(Metric("speed", value=7, timestamp_ms=T0 + 9)))

        assert isinstance(good, Template)
        assert good.metrics[0] == Metric("speed", DataType.INT16, 7, T0 + 9, properties=UNIT)

    def test_members_of_members_are_merged(self) -> None:
        line = Template((Metric("m", DataType.TEMPLATE, WHOLE, T0),), "Line")
        told = Template(
            (Metric("m", DataType.TEMPLATE, part(Metric("on", DataType.BOOLEAN, True))),), "Line"
        )

        merged = merge_instance(line, told)

        assert values(values(merged)["m"]) == {"speed": -5, "on": True}

    def test_members_that_no_birth_told_of_are_left_out(self) -> None:
        told = part(Metric("other", DataType.INT8, 1), Metric(None, DataType.INT8, 1))

        assert merge_instance(WHOLE, told) == WHOLE

    def test_members_go_by_the_alias_of_their_birth(self) -> None:
        known = part(Metric("speed", DataType.INT16, 1, alias=9))

        merged = merge_instance(known, part(Metric(None, DataType.INT16, 2, alias=9)))

        assert merged == part(Metric("speed", DataType.INT16, 2, alias=9))

    def test_parameters_that_are_told_replace_those_known(self) -> None:
        told = Template((), "Motor", parameters=(SIZE,))

        merged = merge_instance(WHOLE, told)

        assert isinstance(merged, Template)
        assert merged.parameters == (SIZE,)

    @pytest.mark.parametrize(
        ("known", "told"),
        [
            (None, WHOLE),
            (WHOLE, None),
            (WHOLE, part(ref="Pump")),
            (WHOLE, DEFINITION),
        ],
    )
    def test_what_is_no_part_stands_for_itself(self, known: Value, told: Value) -> None:
        assert merge_instance(known, told) is told


class TestEdge:
    @pytest.mark.tck(
        "payloads-template-instance-members-data", "payloads-template-instance-members-birth"
    )
    def test_births_are_whole_after_data_of_parts(self) -> None:
        session = born_session()
        alias = session.alias("d", "m1")
        on = part(Metric("on", DataType.BOOLEAN, True, T0 + 1))

        message = session.data("d", [(alias, on, T0 + 1, 192)], T0 + 1)
        _, birth = session.rebirth(T0 + 2)

        assert message is not None
        assert metrics_of(message)[alias].value == on
        instance = metrics_of(birth)["m1"].value
        assert values(instance) == {"speed": -5, "on": True}

    def test_parts_that_could_not_be_sent_are_in_the_birth(self) -> None:
        session = born_session()
        session.device_offline("d", T0)
        alias = session.alias("d", "m1")
        fast = part(Metric("speed", DataType.INT16, 900, T0 + 1))

        (birth,) = session.device_online("d", T0 + 2, [(alias, fast, T0 + 1, 192)])

        assert values(metrics_of(birth)["m1"].value) == {"speed": 900, "on": False}

    @pytest.mark.tck("payloads-template-is-definition-instance", "payloads-template-ref-instance")
    def test_parts_say_that_they_are_instances_and_of_what(self) -> None:
        session = born_session()
        on = part(Metric("on", DataType.BOOLEAN, True, T0 + 1))

        message = session.data("d", [(session.alias("d", "m1"), on, T0 + 1, 192)], T0 + 1)

        assert message is not None
        wire = parse(message.payload).metrics[0].template_value
        assert wire.HasField("is_definition")
        assert not wire.is_definition
        assert wire.template_ref == "Motor"

    def test_definitions_in_the_types_folder_are_referred_to_with_and_without_it(self) -> None:
        session = born_session("_types_/")

        session.set_device("e", [Metric("m", DataType.TEMPLATE, part(*WHOLE.metrics), T0)])
        full = part(*WHOLE.metrics, ref="_types_/Motor")
        session.set_device("f", [Metric("m", DataType.TEMPLATE, full, T0)])

        assert set(session.devices) == {"d", "e", "f"}

    def test_a_command_names_the_members_to_be_written(self) -> None:
        session = born_session()
        alias = session.alias("d", "m1")
        typed = part(Metric("speed", DataType.INT16, -7))
        payload = command(Metric("m1", DataType.TEMPLATE, typed))

        for told in (payload, without_types(payload)):
            assert session.receive(DCMD, told, T0) == [
                WriteRequested("d", "m1", alias, DataType.TEMPLATE, typed)
            ]

    @pytest.mark.parametrize(
        ("told", "reason"),
        [
            (
                part(Metric("speed", DataType.INT16, 1), Metric("on", DataType.BOOLEAN, True)),
                "metric 'm1' member 'on' is read only",
            ),
            (
                part(Metric("speed", DataType.INT16, 1), Metric("nix", DataType.INT16, 1)),
                "metric 'm1' member 'nix': the birth has none of that name",
            ),
            (
                part(Metric("speed", DataType.INT16, None)),
                "metric 'm1' member 'speed': null, expected a value of type Int16",
            ),
            (
                part(Metric("speed", DataType.INT32, 40_000)),
                "metric 'm1' member 'speed': 40000 does not fit Int16, expected -32768 to 32767",
            ),
            (part(), "metric 'm1': no members, expected those to be written"),
            (
                part(Metric("speed", DataType.INT16, 1), ref="Pump"),
                "metric 'm1': instance of 'Pump', expected 'Motor'",
            ),
            (
                None,
                "metric 'm1': no template instance, expected one with the members to be written",
            ),
        ],
    )
    def test_a_command_that_cannot_be_done_whole_is_rejected_whole(
        self, told: Template | None, reason: str
    ) -> None:
        session = born_session()

        answer = session.receive(DCMD, command(Metric("m1", DataType.TEMPLATE, told)), T0)

        assert answer == [Rejected(DCMD, "d", "m1", reason)]

    def test_a_command_with_another_kind_of_value_is_rejected(self) -> None:
        (answer,) = born_session().receive(DCMD, command(Metric("m1", DataType.INT8, 3)), T0)

        assert isinstance(answer, Rejected)

    def test_a_member_cannot_be_written_by_a_name_that_no_birth_told(self) -> None:
        metric = Metric("m1/speed", DataType.INT16, 3)

        (answer,) = born_session().receive(DCMD, command(metric), T0)

        assert isinstance(answer, Rejected)
        assert "no birth told of it" in answer.reason


class TestHost:
    def born_host(self) -> Host:
        host = Host()
        host.hears(node_birth(Metric("Motor", DataType.TEMPLATE, DEFINITION, T0)))
        host.hears(device_birth(Metric("m1", DataType.TEMPLATE, WHOLE, T0, alias=5)))
        return host

    def hears(self, host: Host, *members: Metric, ref: str | None = "Motor") -> None:
        metric = Metric(None, None, part(*members, ref=ref), T0 + 1, alias=5)
        host.hears(data(metric, seq=2, device="filler"))

    def test_the_picture_is_whole_after_data_of_parts(self) -> None:
        host = self.born_host()

        self.hears(host, Metric("on", DataType.BOOLEAN, True, T0 + 1))

        assert values(host.metric("m1", "filler").value) == {"speed": -5, "on": True}
        assert host.metric("m1", "filler").timestamp_ms == T0 + 1

    def test_members_without_data_type_have_that_of_the_birth(self) -> None:
        host = self.born_host()

        told = part(Metric("speed", DataType.INT16, -9))
        message = data(Metric(None, None, told, T0, alias=5), seq=2, device="filler")
        host.hears(Publish(message.topic, without_types(message.payload)))

        assert values(host.metric("m1", "filler").value) == {"speed": -9, "on": False}

    def test_an_edge_session_and_a_host_agree(self) -> None:
        session = EdgeSession(NODE)
        session.set_node_metrics([Metric("Motor", DataType.TEMPLATE, DEFINITION, T0)])
        session.set_device("d", [Metric("m1", DataType.TEMPLATE, WHOLE, T0)])
        session.device_online("d", T0)
        session.connect(T0)
        host = Host()
        for birth in session.connected(T0):
            host.hears(birth)
        alias = session.alias("d", "m1")
        bad = Metric(
            "speed", DataType.INT16, None, T0 + 1, properties={"Quality": quality_property(0)}
        )
        good = Metric("on", DataType.BOOLEAN, True, T0 + 2)
        message = session.data(
            "d", [(alias, part(bad), T0 + 1, 192), (alias, part(good), T0 + 2, 192)], T0 + 2
        )
        assert isinstance(message, Publish)
        host.hears(message)

        _, birth = session.rebirth(T0 + 3)

        assert host.metric("m1", "d").value == metrics_of(birth)["m1"].value
