"""What an edge session's births and deaths hold, and the seq they share with data."""

import pytest

from proto.sparkplug.codec import Metric, decode_payload, parse
from proto.sparkplug.datatypes import DataType
from proto.sparkplug.edge_events import EdgeOptions, RebirthDone
from proto.sparkplug.edge_session import EdgeSession
from proto.sparkplug.errors import (
    InvalidId,
    InvalidMetric,
    StateError,
    UnknownMetric,
    ValueOutOfRange,
    WrongType,
)
from proto.sparkplug.metrics import (
    MetaData,
    Property,
    Template,
    TemplateParameter,
    quality_property,
)
from proto.sparkplug.topics import MessageType
from tests.unit.proto.sparkplug.edge_world import (
    NODE,
    READ_ONLY,
    T0,
    born_session,
    command,
    events,
    is_type,
    make_session,
    metrics_of,
    short,
    shorts,
)

REBIRTH = Metric("Node Control/Rebirth", DataType.BOOLEAN, True, T0)
NCMD = "spBv1.0/plant/NCMD/line-1"


@pytest.mark.tck(
    "topics-nbirth-mqtt",
    "topics-dbirth-mqtt",
    "topics-ndata-mqtt",
    "topics-ddata-mqtt",
    "topics-ddeath-mqtt",
    "payloads-nbirth-qos",
    "payloads-nbirth-retain",
    "payloads-dbirth-qos",
    "payloads-dbirth-retain",
    "payloads-ndata-qos",
    "payloads-ndata-retain",
    "payloads-ddata-qos",
    "payloads-ddata-retain",
    "message-flow-edge-node-birth-publish-nbirth-qos",
    "message-flow-edge-node-birth-publish-nbirth-retained",
    "message-flow-device-birth-publish-dbirth-qos",
    "message-flow-device-birth-publish-dbirth-retained",
)
def test_all_but_the_node_death_is_qos_0_and_nothing_is_retained() -> None:
    session = make_session()
    session.connect(T0)
    messages = [
        *session.connected(T0),
        session.data(None, [(session.alias(None, "uptime"), 1, T0, 192)], T0),
        session.data("filler", [(session.alias("filler", "speed"), 1.0, T0, 192)], T0),
        *session.disconnect(T0),
    ]

    for message in messages:
        assert message is not None
        assert message.qos == (1 if is_type(message, MessageType.NDEATH) else 0)
        assert not message.retain


@pytest.mark.tck(
    "message-flow-edge-node-birth-publish-nbirth-topic",
    "message-flow-edge-node-birth-publish-nbirth-payload",
    "message-flow-edge-node-birth-publish-nbirth-payload-bdSeq",
    "message-flow-edge-node-birth-publish-nbirth-payload-seq",
    "message-flow-device-birth-publish-nbirth-wait",
    "message-flow-device-birth-publish-dbirth-topic",
    "message-flow-device-birth-publish-dbirth-match-edge-node-topic",
    "message-flow-device-birth-publish-dbirth-payload",
    "message-flow-device-birth-publish-dbirth-payload-seq",
    "payloads-dbirth-order",
    "payloads-nbirth-seq",
    "payloads-sequence-num-req-nbirth",
    "payloads-dbirth-seq",
    "payloads-dbirth-seq-inc",
    "topics-nbirth-seq-num",
    "topics-dbirth-seq",
    "topics-nbirth-bdseq-included",
    "topics-nbirth-bdseq-matching",
    "payloads-nbirth-bdseq",
    "payloads-nbirth-bdseq-repeat",
)
def test_births_are_the_node_then_its_online_devices() -> None:
    session = make_session(bd_seq=9)
    session.device_online("capper", T0)
    session.connect(T0)

    births = session.connected(T0 + 5)

    assert [birth.topic for birth in births] == [
        "spBv1.0/plant/NBIRTH/line-1",
        "spBv1.0/plant/DBIRTH/line-1/filler",
        "spBv1.0/plant/DBIRTH/line-1/capper",
    ]
    assert [decode_payload(birth.payload).seq for birth in births] == [0, 1, 2]
    assert metrics_of(births[0])["bdSeq"] == Metric("bdSeq", DataType.INT64, 9, T0 + 5, alias=0)


@pytest.mark.tck(
    "topics-nbirth-timestamp",
    "topics-dbirth-timestamp",
    "topics-ndata-timestamp",
    "topics-ddata-timestamp",
    "payloads-nbirth-timestamp",
    "payloads-dbirth-timestamp",
    "payloads-ndata-timestamp",
    "payloads-ddata-timestamp",
    "payloads-ddeath-timestamp",
    "payloads-timestamp-in-UTC",
    "payloads-metric-timestamp-in-UTC",
)
def test_messages_carry_the_time_they_were_made_at() -> None:
    session = make_session()
    session.connect(T0)
    messages = [
        *session.connected(T0 + 7),
        session.data(None, [(session.alias(None, "uptime"), 1, T0, 192)], T0 + 7),
        session.data("filler", [(session.alias("filler", "speed"), 1.0, T0, 192)], T0 + 7),
        *session.device_offline("filler", T0 + 7),
    ]

    for message in messages:
        assert message is not None
        assert decode_payload(message.payload).timestamp_ms == T0 + 7


@pytest.mark.tck(
    "topics-nbirth-rebirth-metric",
    "payloads-nbirth-rebirth-req",
    "operational-behavior-data-commands-rebirth-name",
    "operational-behavior-data-commands-rebirth-datatype",
    "operational-behavior-data-commands-rebirth-value",
    "operational-behavior-data-commands-rebirth-name-aliases",
)
def test_node_birth_offers_rebirth_without_alias() -> None:
    session = make_session()
    session.connect(T0)

    metrics = metrics_of(session.connected(T0)[0])

    assert metrics["Node Control/Rebirth"] == Metric(
        "Node Control/Rebirth", DataType.BOOLEAN, False, T0
    )
    assert metrics["Node Control/Rebirth"].alias is None


@pytest.mark.tck(
    "topics-nbirth-metric-reqs",
    "topics-nbirth-metrics",
    "topics-dbirth-metric-reqs",
    "topics-dbirth-metrics",
    "operational-behavior-data-publish-nbirth",
    "operational-behavior-data-publish-dbirth",
    "operational-behavior-data-publish-nbirth-values",
    "operational-behavior-data-publish-dbirth-values",
    "payloads-alias-birth-requirement",
    "payloads-name-birth-data-requirement",
    "payloads-metric-datatype-req",
)
def test_births_carry_every_metric_with_name_alias_type_time_and_value() -> None:
    session = make_session()
    session.connect(T0)

    node, filler = session.connected(T0)

    assert metrics_of(node)["uptime"] == Metric(
        "uptime", DataType.UINT32, 5, T0, session.alias(None, "uptime"), properties=READ_ONLY
    )
    assert metrics_of(filler) == {
        "speed": Metric("speed", DataType.DOUBLE, 1.5, T0, session.alias("filler", "speed")),
        "state": Metric(
            "state",
            DataType.STRING,
            None,
            T0,
            session.alias("filler", "state"),
            properties=READ_ONLY,
        ),
    }


def test_births_carry_properties_metadata_and_transience() -> None:
    metric = Metric(
        "image",
        DataType.FILE,
        b"x",
        T0,
        is_transient=True,
        properties={"engUnit": Property(DataType.STRING, "px")},
        metadata=MetaData(file_name="a.png"),
    )
    session = EdgeSession(NODE, options=EdgeOptions(aliases=False))
    session.set_node_metrics([metric])
    session.connect(T0)

    assert metrics_of(session.connected(T0)[0])["image"] == metric


def test_metrics_without_a_time_are_as_old_as_the_birth() -> None:
    session = EdgeSession(NODE)
    session.set_node_metrics([Metric("m", DataType.INT8, 1)])
    session.connect(T0)

    assert metrics_of(session.connected(T0 + 3)[0])["m"].timestamp_ms == T0 + 3


@pytest.mark.tck("payloads-alias-uniqueness")
def test_aliases_are_unique_over_the_node_and_all_its_devices() -> None:
    session = make_session()
    session.device_online("capper", T0)
    session.connect(T0)

    aliases = [
        metric.alias
        for birth in session.connected(T0)
        for metric in metrics_of(birth).values()
        if metric.alias is not None
    ]

    assert len(aliases) == 6
    assert len(set(aliases)) == 6


def test_a_metric_keeps_its_alias_and_a_new_one_never_takes_an_old() -> None:
    session = make_session()
    speed, state = session.alias("filler", "speed"), session.alias("filler", "state")
    session.set_device("filler", [Metric("flow", DataType.DOUBLE), Metric("speed", DataType.FLOAT)])

    assert session.alias("filler", "speed") == speed
    assert session.alias("filler", "flow") not in {speed, state}
    with pytest.raises(UnknownMetric, match="'state'"):
        session.alias("filler", "state")


def test_births_name_no_aliases_where_none_are_used() -> None:
    session = make_session(aliases=False)
    session.connect(T0)

    for birth in session.connected(T0):
        assert all(metric.alias is None for metric in metrics_of(birth).values())


@pytest.mark.tck(
    "operational-behavior-data-publish-nbirth-order",
    "operational-behavior-data-publish-dbirth-order",
)
def test_births_list_metrics_in_chronological_order() -> None:
    session = make_session()
    session.update("filler", session.alias("filler", "speed"), 2.0, T0 + 10)
    session.update("filler", session.alias("filler", "state"), "on", T0 + 5)
    session.connect(T0)

    births = session.connected(T0 + 20)

    for birth in births:
        times = [metric.timestamp_ms or 0 for metric in decode_payload(birth.payload).metrics]
        assert times == sorted(times)
    assert list(metrics_of(births[1])) == ["state", "speed"]


def test_births_carry_what_was_measured_while_nobody_listened() -> None:
    session = make_session()
    alias = session.alias("filler", "speed")
    session.data("filler", [(alias, 9.5, T0 + 1, 0)], T0 + 1)
    session.connect(T0)

    speed = metrics_of(session.connected(T0 + 2)[1])["speed"]

    assert (speed.value, speed.timestamp_ms) == (9.5, T0 + 1)
    assert speed.properties == {"Quality": quality_property(0)}


@pytest.mark.tck(
    "operational-behavior-data-commands-rebirth-action-2",
    "operational-behavior-data-commands-rebirth-action-3",
    "payloads-nbirth-bdseq-repeat",
    "topics-nbirth-seq-num",
)
@pytest.mark.parametrize("aliases", [True, False])
def test_rebirth_repeats_all_births_with_the_same_bd_seq_and_seq_from_0(aliases: bool) -> None:
    session = born_session(aliases=aliases)
    alias = session.alias("filler", "speed")
    session.data("filler", [(alias, 7.0, T0 + 1, 192)], T0 + 1)

    actions = session.receive(NCMD, command(REBIRTH), T0 + 2)

    assert shorts(actions) == ["NBIRTH 0", "DBIRTH filler 1"]
    assert events(actions) == [RebirthDone(2)]
    births = [action for action in actions if not isinstance(action, RebirthDone)]
    assert metrics_of(births[0])["bdSeq"].value == 0  # type: ignore[arg-type]  # publications
    assert metrics_of(births[1])["speed"].value == 7.0  # type: ignore[arg-type]  # publications
    assert shorts([session.data("filler", [(alias, 8.0, T0 + 3, 192)], T0 + 3)]) == [
        "DDATA filler 2"
    ]
    assert session.next_bd_seq == 1


@pytest.mark.tck("operational-behavior-data-commands-rebirth-action-1")
def test_no_data_stands_between_a_rebirth_request_and_its_births() -> None:
    session = born_session()

    actions = session.receive(NCMD, command(REBIRTH), T0)

    assert all("DATA" not in each for each in shorts(actions))


def test_rebirth_on_our_own_account_is_the_same() -> None:
    assert shorts(born_session().rebirth(T0)) == ["NBIRTH 0", "DBIRTH filler 1"]


@pytest.mark.tck(
    "operational-behavior-device-ddeath",
    "payloads-ddeath-seq",
    "payloads-ddeath-seq-inc",
    "payloads-ddeath-seq-number",
    "topics-ddeath-seq-num",
)
def test_a_device_dies_when_it_is_lost_and_is_born_when_it_returns() -> None:
    session = born_session()

    messages = [
        *session.device_offline("filler", T0),
        *session.device_offline("filler", T0),
        *session.device_online("filler", T0),
        *session.device_online("filler", T0),
    ]

    assert shorts(messages) == ["DDEATH filler 2", "DBIRTH filler 3"]
    assert decode_payload(messages[0].payload).metrics == ()


def test_a_device_that_is_lost_says_nothing_but_remembers() -> None:
    session = born_session()
    alias = session.alias("filler", "speed")
    session.device_offline("filler", T0)

    assert session.data("filler", [(alias, 4.0, T0 + 1, 192)], T0 + 1) is None

    (birth,) = session.device_online("filler", T0 + 2)
    assert metrics_of(birth)["speed"].value == 4.0


def test_a_device_comes_online_with_its_readings() -> None:
    session = born_session()
    alias = session.alias("capper", "speed")

    (birth,) = session.device_online("capper", T0 + 2, [(alias, 3.0, T0 + 1, 192)])

    assert metrics_of(birth)["speed"].value == 3.0
    assert session.devices == {"filler": True, "capper": True}


@pytest.mark.tck(
    "payloads-sequence-num-always-included",
    "payloads-sequence-num-incrementing",
    "payloads-ndata-seq",
    "payloads-ndata-seq-inc",
    "payloads-ddata-seq",
    "payloads-ddata-seq-inc",
    "topics-ndata-seq-num",
    "topics-ddata-seq-num",
)
def test_one_seq_counts_all_messages_and_starts_over_after_255() -> None:
    session = born_session()
    uptime, speed = session.alias(None, "uptime"), session.alias("filler", "speed")
    seqs = []
    for i in range(130):
        for device, reading in (
            (None, (uptime, i, T0 + i, 192)),
            ("filler", (speed, float(i), T0 + i, 192)),
        ):
            message = session.data(device, [reading], T0 + i)
            assert message is not None
            seqs.append(decode_payload(message.payload).seq)

    assert seqs == [n % 256 for n in range(2, 262)]


class TestDefinitions:
    """What cannot be a node, device or metric is refused when it is defined."""

    @pytest.mark.parametrize("name", ["bdSeq", "Node Control/Rebirth"])
    def test_the_sessions_own_metrics_cannot_be_defined(self, name: str) -> None:
        with pytest.raises(InvalidMetric, match="the session's own"):
            EdgeSession(NODE).set_node_metrics([Metric(name, DataType.BOOLEAN, False)])

    @pytest.mark.tck("payloads-name-requirement", "payloads-metric-datatype-req")
    @pytest.mark.parametrize(
        "metric",
        [
            Metric(None, DataType.INT8, 1),
            Metric("", DataType.INT8, 1),
            Metric("m", None, 1),
            Metric("m", DataType.PROPERTY_SET),
        ],
    )
    def test_metrics_need_a_name_and_a_type(self, metric: Metric) -> None:
        with pytest.raises(InvalidMetric, match="expected both"):
            EdgeSession(NODE).set_node_metrics([metric])

    @pytest.mark.tck("case-sensitivity-metric-names")
    @pytest.mark.parametrize("name", ["Speed", "speed"])
    def test_metric_names_differ_in_more_than_case(self, name: str) -> None:
        metrics = [Metric("speed", DataType.INT8), Metric(name, DataType.INT8)]

        with pytest.raises(InvalidMetric, match="differ in more than case"):
            EdgeSession(NODE).set_device("d", metrics)

    @pytest.mark.tck("case-sensitivity-sparkplug-ids", "topic-structure-namespace-unique-device-id")
    def test_device_ids_differ_in_more_than_case(self) -> None:
        with pytest.raises(InvalidMetric, match="'filler' and 'Filler'"):
            make_session().set_device("Filler", [])

    def test_device_ids_are_checked(self) -> None:
        with pytest.raises(InvalidId, match="device id"):
            make_session().set_device("a/b", [])

    def test_aliases_and_history_do_not_belong_to_definitions(self) -> None:
        for metric in (
            Metric("m", DataType.INT8, alias=5),
            Metric("m", DataType.INT8, is_historical=True),
        ):
            with pytest.raises(InvalidMetric, match="expected a definition"):
                EdgeSession(NODE).set_node_metrics([metric])

    def test_values_fit(self) -> None:
        with pytest.raises(ValueOutOfRange, match="device 'd' metric 'm': 300"):
            EdgeSession(NODE).set_device("d", [Metric("m", DataType.INT8, 300)])

    @pytest.mark.parametrize(
        ("quality", "error"),
        [
            (Property(DataType.INT64, 192), WrongType),
            (Property(DataType.INT32, 7), ValueOutOfRange),
        ],
    )
    def test_quality_is_one_of_three(self, quality: Property, error: type[Exception]) -> None:
        with pytest.raises(error):
            EdgeSession(NODE).set_node_metrics(
                [Metric("m", DataType.INT8, 1, properties={"Quality": quality})]
            )

    def test_a_born_device_is_not_redefined_or_removed(self) -> None:
        session = born_session()
        with pytest.raises(StateError, match="defined anew"):
            session.set_device("filler", [])
        with pytest.raises(StateError, match="removed"):
            session.remove_device("filler")

    def test_a_lost_device_is_redefined_and_removed(self) -> None:
        session = born_session()
        session.device_offline("filler", T0)

        session.set_device("filler", [Metric("flow", DataType.DOUBLE, 1.0, T0)])
        (birth,) = session.device_online("filler", T0)
        assert list(metrics_of(birth)) == ["flow"]

        session.remove_device("capper")
        assert list(session.devices) == ["filler"]

    def test_new_node_metrics_want_a_rebirth_before_data(self) -> None:
        session = born_session()
        session.set_node_metrics([Metric("load", DataType.DOUBLE, 1.0, T0)])
        alias = session.alias(None, "load")
        with pytest.raises(StateError, match="expected rebirth"):
            session.data(None, [(alias, 2.0, T0, 192)], T0)

        assert "load" in metrics_of(session.rebirth(T0)[0])
        message = session.data(None, [(alias, 2.0, T0, 192)], T0)
        assert message is not None
        assert short(message) == "NDATA 2"

    def test_unknown_devices_are_the_callers_mistake(self) -> None:
        session = make_session()
        for call in (
            lambda: session.device_online("nix", T0),
            lambda: session.device_offline("nix", T0),
            lambda: session.remove_device("nix"),
            lambda: session.alias("nix", "speed"),
            lambda: session.data("nix", [], T0),
        ):
            with pytest.raises(UnknownMetric, match="device 'nix'"):
                call()


class TestTemplates:
    """Definitions stand in the node's birth, instances keep to them."""

    MOTOR = Template(
        (Metric("speed", DataType.DOUBLE), Metric("on", DataType.BOOLEAN)),
        is_definition=True,
        parameters=(TemplateParameter("poles", DataType.INT32, 4),),
    )

    def session(self) -> EdgeSession:
        session = EdgeSession(NODE)
        session.set_node_metrics([Metric("Motor", DataType.TEMPLATE, self.MOTOR, T0)])
        return session

    def instance(self, *names: str, parameters: tuple[TemplateParameter, ...] = ()) -> Metric:
        types = {"speed": DataType.DOUBLE, "on": DataType.BOOLEAN, "other": DataType.INT8}
        members = tuple(Metric(name, types[name]) for name in names)
        return Metric("m1", DataType.TEMPLATE, Template(members, "Motor", parameters=parameters))

    @pytest.mark.tck(
        "topics-nbirth-templates",
        "payloads-template-definition-nbirth",
        "payloads-template-instance-members-birth",
        "payloads-template-definition-members",
    )
    def test_definition_is_in_the_node_birth_and_instances_have_all_members(self) -> None:
        session = self.session()
        session.set_device("d", [self.instance("speed", "on")])
        session.device_online("d", T0)
        session.connect(T0)

        node, device = session.connected(T0)

        assert metrics_of(node)["Motor"].value == self.MOTOR
        instance = parse(device.payload).metrics[0].template_value
        assert [member.name for member in instance.metrics] == ["speed", "on"]

    @pytest.mark.tck("payloads-template-definition-nbirth-only")
    def test_definition_on_a_device_is_refused(self) -> None:
        with pytest.raises(InvalidMetric, match="belong to the node"):
            self.session().set_device("d", [Metric("T", DataType.TEMPLATE, self.MOTOR)])

    @pytest.mark.tck("payloads-template-definition-nbirth", "payloads-template-instance-ref")
    def test_instance_of_nothing_is_refused(self) -> None:
        with pytest.raises(InvalidMetric, match="is not defined on the node"):
            EdgeSession(NODE).set_device("d", [self.instance("speed", "on")])

    @pytest.mark.tck(
        "payloads-template-instance-members",
        "payloads-template-instance-members-birth",
        "payloads-template-definition-members",
    )
    @pytest.mark.parametrize("names", [("speed",), ("speed", "on", "other")])
    def test_instance_with_other_members_is_refused(self, names: tuple[str, ...]) -> None:
        with pytest.raises(InvalidMetric, match="members are"):
            self.session().set_device("d", [self.instance(*names)])

    @pytest.mark.tck(
        "payloads-template-definition-parameters", "payloads-template-instance-parameters"
    )
    def test_instance_has_only_parameters_of_the_definition(self) -> None:
        session = self.session()
        poles = TemplateParameter("poles", DataType.INT32, 2)
        session.set_device("d", [self.instance("speed", "on", parameters=(poles,))])

        with pytest.raises(InvalidMetric, match="parameter 'size'"):
            session.set_device(
                "d",
                [
                    self.instance(
                        "speed", "on", parameters=(TemplateParameter("size", DataType.INT8),)
                    )
                ],
            )

    def test_instances_within_instances_are_held_to_the_same(self) -> None:
        session = EdgeSession(NODE)
        pump = Template((Metric("motor", DataType.TEMPLATE),), is_definition=True)
        good = Template((self.instance("speed", "on"),), "Line")
        bad = Template((self.instance("speed"),), "Line")
        line = Template((Metric("m1", DataType.TEMPLATE),), is_definition=True)
        session.set_node_metrics(
            [
                Metric("Motor", DataType.TEMPLATE, self.MOTOR),
                Metric("Pump", DataType.TEMPLATE, pump),
                Metric("Line", DataType.TEMPLATE, line),
                Metric("good", DataType.TEMPLATE, good),
            ]
        )

        with pytest.raises(InvalidMetric, match=r"m1: members are"):
            session.set_device("d", [Metric("bad", DataType.TEMPLATE, bad)])

    @pytest.mark.tck("payloads-template-instance-members-data")
    def test_data_may_carry_some_members_only(self) -> None:
        session = self.session()
        session.set_device("d", [self.instance("speed", "on")])
        session.device_online("d", T0)
        session.connect(T0)
        session.connected(T0)
        part = Template((Metric("on", DataType.BOOLEAN, True),), "Motor")

        message = session.data("d", [(session.alias("d", "m1"), part, T0, 192)], T0)

        assert message is not None
        assert decode_payload(message.payload).metrics[0].value == part
