"""How an edge session connects, waits, leaves, and counts its connections."""

import pytest

from proto.sparkplug.codec import Metric, Payload, decode_payload, parse
from proto.sparkplug.datatypes import DataType
from proto.sparkplug.edge_events import (
    PrimaryHostOffline,
    PrimaryHostOnline,
    Rejected,
)
from proto.sparkplug.edge_session import EdgeSession, EdgeState
from proto.sparkplug.errors import InvalidId, StateError
from proto.sparkplug.messages import Publish
from proto.sparkplug.topics import NodeId
from tests.unit.proto.sparkplug.edge_world import (
    NODE,
    STATE_TOPIC,
    T0,
    born_session,
    events,
    host_state,
    make_session,
    metrics_of,
    shorts,
)


def bd_seq_of(message: Publish) -> object:
    return metrics_of(message)["bdSeq"].value


@pytest.mark.tck(
    "message-flow-edge-node-birth-publish-will-message",
    "message-flow-edge-node-birth-publish-will-message-topic",
    "message-flow-edge-node-birth-publish-will-message-payload",
    "message-flow-edge-node-birth-publish-will-message-payload-bdSeq",
    "message-flow-edge-node-birth-publish-will-message-qos",
    "message-flow-edge-node-birth-publish-will-message-will-retained",
    "payloads-ndeath-will-message",
    "payloads-ndeath-will-message-qos",
    "payloads-ndeath-will-message-retain",
    "payloads-ndeath-seq",
    "payloads-ndeath-bdseq",
    "topics-ndeath-payload",
    "topics-ndeath-seq",
)
def test_will_is_a_death_with_nothing_but_the_bd_seq() -> None:
    will = make_session(bd_seq=7).connect(T0).will

    assert will.topic == "spBv1.0/plant/NDEATH/line-1"
    assert (will.qos, will.retain) == (1, False)
    assert decode_payload(will.payload) == Payload(
        T0, None, (Metric("bdSeq", DataType.INT64, 7, T0),)
    )
    assert parse(will.payload).metrics[0].WhichOneof("value") == "long_value"


@pytest.mark.tck(
    "principles-persistence-clean-session-311", "principles-persistence-clean-session-50"
)
def test_every_connection_starts_clean() -> None:
    assert make_session().connect(T0).clean_session


@pytest.mark.tck("message-flow-edge-node-ncmd-subscribe", "message-flow-device-dcmd-subscribe")
def test_commands_are_subscribed_at_qos_1() -> None:
    assert make_session().connect(T0).subscriptions == (
        ("spBv1.0/plant/NCMD/line-1", 1),
        ("spBv1.0/plant/DCMD/line-1/#", 1),
    )


@pytest.mark.tck(
    "message-flow-edge-node-birth-publish-phid-wait-id",
    "operational-behavior-primary-application-state-with-multiple-servers-state-subs",
)
def test_state_of_the_primary_host_alone_is_subscribed() -> None:
    subscriptions = make_session(primary_host="scada").connect(T0).subscriptions

    assert subscriptions[2:] == (("spBv1.0/STATE/scada", 1),)


@pytest.mark.tck("topics-nbirth-bdseq-increment", "topics-nbirth-bdseq-matching")
def test_bd_seq_starts_at_0_and_rises_with_every_connect_whether_it_succeeds_or_not() -> None:
    session = make_session()
    found = []
    for succeeds in (True, False, True):
        connect = session.connect(T0)
        found.append(bd_seq_of(connect.will))
        if succeeds:
            assert bd_seq_of(session.connected(T0)[0]) == found[-1]
        session.disconnected()

    assert found == [0, 1, 2]
    assert session.next_bd_seq == 3


@pytest.mark.tck("topics-nbirth-bdseq-increment")
def test_bd_seq_starts_over_after_255() -> None:
    session = make_session(bd_seq=255)
    assert bd_seq_of(session.connect(T0).will) == 255
    session.disconnected()

    assert bd_seq_of(session.connect(T0).will) == 0


def test_next_bd_seq_is_what_outlives_the_process() -> None:
    session = make_session(bd_seq=41)
    assert session.next_bd_seq == 41

    session.connect(T0)

    assert (session.bd_seq, session.next_bd_seq) == (41, 42)


@pytest.mark.parametrize("bd_seq", [-1, 256])
def test_bd_seq_beyond_its_range_is_refused(bd_seq: int) -> None:
    with pytest.raises(StateError, match="expected 0 to 255"):
        EdgeSession(NODE, bd_seq=bd_seq)


def test_there_is_no_bd_seq_before_the_first_connect() -> None:
    with pytest.raises(StateError, match="before the first connect"):
        _ = make_session().bd_seq


def test_ids_that_no_topic_can_carry_are_refused() -> None:
    with pytest.raises(InvalidId):
        EdgeSession(NodeId("a/b", "e"))


@pytest.mark.tck(
    "message-flow-edge-node-birth-publish-connect", "principles-birth-certificates-order"
)
def test_nothing_is_said_before_the_connection_and_births_come_first() -> None:
    session = make_session()
    assert session.data("filler", [(2, 1.0, T0, 192)], T0) is None
    assert session.device_offline("filler", T0) == []
    assert session.device_online("filler", T0) == []
    assert session.rebirth(T0) == []
    assert session.disconnect(T0) == []

    session.connect(T0)
    assert session.data("filler", [(2, 1.0, T0, 192)], T0) is None

    assert shorts(session.connected(T0)) == ["NBIRTH 0", "DBIRTH filler 1"]


def test_calls_out_of_order_are_the_callers_mistake() -> None:
    session = make_session()
    with pytest.raises(StateError, match="connected while offline, expected connecting"):
        session.connected(T0)
    session.connect(T0)
    with pytest.raises(StateError, match="connect while connecting, expected offline"):
        session.connect(T0)


@pytest.mark.tck(
    "operational-behavior-edge-node-intentional-disconnect-ndeath",
    "payloads-ndeath-will-message-publisher",
    "payloads-ndeath-will-message-publisher-disconnect-mqtt311",
)
def test_leaving_says_the_deaths_of_devices_and_node_with_the_time_of_now() -> None:
    session = born_session()

    farewell = session.disconnect(T0 + 100_000)

    assert shorts(farewell) == ["DDEATH filler 2", "NDEATH"]
    assert decode_payload(farewell[-1].payload).timestamp_ms == T0 + 100_000
    assert (farewell[-1].qos, farewell[-1].retain) == (1, False)
    assert session.state is EdgeState.ENDED
    assert session.data("filler", [(2, 1.0, T0, 192)], T0) is None
    assert session.disconnect(T0) == []


def test_a_lost_connection_says_nothing_and_births_follow_the_next() -> None:
    session = born_session()

    session.disconnected()
    session.connect(T0 + 5)

    assert shorts(session.connected(T0 + 6)) == ["NBIRTH 0", "DBIRTH filler 1"]


class TestPrimaryHost:
    """Births wait for the primary host, and end with it."""

    @pytest.mark.tck(
        "message-flow-edge-node-birth-publish-phid-wait",
        "message-flow-edge-node-birth-publish-phid-wait-online",
        "operational-behavior-edge-node-birth-sequence-wait",
    )
    def test_births_wait_for_online(self) -> None:
        session = make_session(primary_host="scada")
        session.connect(T0)
        assert session.connected(T0) == []
        assert session.state is EdgeState.WAITING

        actions = session.receive(STATE_TOPIC, host_state(True, T0), T0)

        assert shorts(actions) == ["NBIRTH 0", "DBIRTH filler 1"]
        assert events(actions) == [PrimaryHostOnline(T0)]

    def test_online_that_comes_before_the_subscriptions_are_confirmed_counts(self) -> None:
        session = make_session(primary_host="scada")
        session.connect(T0)
        session.receive(STATE_TOPIC, host_state(True, T0), T0)

        assert shorts(session.connected(T0)) == ["NBIRTH 0", "DBIRTH filler 1"]

    def test_online_heard_on_the_last_connection_does_not_count_on_the_next(self) -> None:
        session = make_session(primary_host="scada")
        session.connect(T0)
        session.receive(STATE_TOPIC, host_state(True, T0), T0)
        session.disconnected()
        session.connect(T0)

        assert session.connected(T0) == []

    def test_waiting_is_silent(self) -> None:
        session = make_session(primary_host="scada")
        session.connect(T0)
        session.connected(T0)

        assert session.device_online("capper", T0) == []
        assert session.data("filler", [(2, 1.0, T0, 192)], T0) is None
        assert session.disconnect(T0) == []  # no death without a birth

    @pytest.mark.tck(
        "message-flow-edge-node-birth-publish-phid-offline",
        "operational-behavior-edge-node-termination-host-offline",
    )
    @pytest.mark.parametrize("later_ms", [0, 5_000])
    def test_offline_ends_the_session(self, later_ms: int) -> None:
        session = self.born()

        actions = session.receive(STATE_TOPIC, host_state(False, T0 + later_ms), T0 + 9)

        assert shorts(actions) == ["NDEATH"]
        assert events(actions) == [PrimaryHostOffline(T0 + later_ms, must_disconnect=True)]
        assert session.state is EdgeState.ENDED
        assert session.data("filler", [(2, 1.0, T0, 192)], T0) is None

    @pytest.mark.tck(
        "operational-behavior-primary-application-state-with-multiple-servers-single-server"
    )
    def test_the_next_connection_needs_the_end_of_the_last(self) -> None:
        session = self.born()
        session.receive(STATE_TOPIC, host_state(False, T0), T0)
        with pytest.raises(StateError):
            session.connect(T0)

        session.disconnected()
        session.connect(T0 + 1)

        assert session.connected(T0 + 1) == []

    @pytest.mark.tck(
        "operational-behavior-edge-node-termination-host-offline-timestamp",
        "message-flow-edge-node-birth-publish-phid-wait-timestamp",
    )
    def test_older_states_do_not_count(self) -> None:
        session = self.born()

        actions = session.receive(STATE_TOPIC, host_state(False, T0 - 1), T0)

        assert isinstance(actions[0], Rejected)
        assert session.state is EdgeState.BORN

    @pytest.mark.tck("message-flow-edge-node-birth-publish-phid-wait-timestamp")
    def test_the_last_timestamp_is_remembered_over_connections(self) -> None:
        session = self.born()
        session.disconnected()
        session.connect(T0)
        session.connected(T0)

        old = session.receive(STATE_TOPIC, host_state(True, T0 - 1), T0)
        new = session.receive(STATE_TOPIC, host_state(True, T0), T0)

        assert shorts(old) == []
        assert shorts(new) == ["NBIRTH 0", "DBIRTH filler 1"]

    def test_offline_while_waiting_is_told_and_nothing_else(self) -> None:
        session = make_session(primary_host="scada")
        session.connect(T0)
        session.connected(T0)

        actions = session.receive(STATE_TOPIC, host_state(False, T0), T0)

        assert actions == [PrimaryHostOffline(T0, must_disconnect=False)]
        assert session.state is EdgeState.WAITING

    def test_online_again_while_born_changes_nothing(self) -> None:
        session = self.born()

        assert session.receive(STATE_TOPIC, host_state(True, T0 + 1), T0) == [
            PrimaryHostOnline(T0 + 1)
        ]

    def test_broken_states_are_rejected(self) -> None:
        session = self.born()

        (rejected,) = session.receive(STATE_TOPIC, b"ONLINE", T0)

        assert isinstance(rejected, Rejected)
        assert session.state is EdgeState.BORN

    def test_states_after_the_end_are_nothing(self) -> None:
        session = self.born()
        session.disconnect(T0)

        assert session.receive(STATE_TOPIC, host_state(True, T0 + 1), T0) == []

    def test_states_of_other_hosts_are_nothing(self) -> None:
        session = self.born()

        actions = session.receive("spBv1.0/STATE/other", host_state(False, T0 + 9), T0)

        assert shorts(actions) == []
        assert session.state is EdgeState.BORN

    def born(self) -> EdgeSession:
        session = make_session(primary_host="scada")
        session.connect(T0)
        session.connected(T0)
        session.receive(STATE_TOPIC, host_state(True, T0), T0)
        assert session.state is EdgeState.BORN
        return session
