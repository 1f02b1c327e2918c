"""Messages out of order are held, missing ones are given up, births are asked for in moderation."""

from itertools import pairwise

import pytest

from proto.sparkplug.codec import Metric, decode_payload
from proto.sparkplug.datatypes import DataType
from proto.sparkplug.host_events import (
    DeviceBorn,
    MetricsChanged,
    NodeBorn,
    RebirthRequested,
    TrackerOptions,
    ViolationKind,
)
from proto.sparkplug.host_tracker import HostTracker
from proto.sparkplug.messages import Publish
from proto.sparkplug.metrics import BD_SEQ
from proto.sparkplug.rebirth import RebirthCause
from proto.sparkplug.topics import MessageType
from tests.unit.proto.sparkplug.host_world import (
    COUNT,
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


@pytest.mark.tck(
    "operational-behavior-data-commands-ncmd-rebirth-verb",
    "operational-behavior-data-commands-ncmd-rebirth-name",
    "operational-behavior-data-commands-ncmd-rebirth-value",
    "topics-ncmd-mqtt",
    "topics-ncmd-timestamp",
    "topics-ncmd-payload",
    "payloads-ncmd-timestamp",
    "payloads-ncmd-seq",
    "payloads-ncmd-qos",
    "payloads-ncmd-retain",
)
def test_a_rebirth_request_is_an_ncmd() -> None:
    host = Host()

    actions = host.hears(data(count(1), seq=5))

    (request,) = [action for action in actions if isinstance(action, Publish)]
    assert request.topic == "spBv1.0/plant/NCMD/line-1"
    assert (request.qos, request.retain) == (0, False)
    payload = decode_payload(request.payload)
    assert (payload.timestamp_ms, payload.seq) == (T0, None)
    assert payload.metrics == (Metric("Node Control/Rebirth", DataType.BOOLEAN, True, T0),)
    assert RebirthRequested(NODE, "NDATA before NBIRTH") in actions


@pytest.mark.tck(
    "operational-behavior-host-reordering-start", "operational-behavior-host-reordering-success"
)
def test_an_early_message_waits_for_the_missing_one() -> None:
    host = born_host()

    early = host.hears(data(count(3), seq=3))
    assert early == []
    assert host.metric("count").value == COUNT.value
    assert host.tracker.next_deadline_ms == T0 + 2_000
    host.waits(1_999)
    late = host.hears(data(count(2), seq=2))

    assert len(late) == 2
    assert host.metric("count").value == 3
    assert host.waits(10_000) == []
    assert host.view.diagnostics.gaps == 0


@pytest.mark.tck(
    "operational-behavior-host-reordering-rebirth", "operational-behavior-host-reordering-param"
)
def test_a_message_that_stays_away_is_given_up_and_births_asked_for_once() -> None:
    host = born_host()
    host.hears(data(count(3), seq=3), data(count(4), seq=4))

    actions = host.waits(2_000)

    assert rebirth_requests(actions) == 1
    assert ViolationKind.GAP in violations(actions)
    assert [type(event) for event in events(actions)] == [
        MetricsChanged,
        MetricsChanged,
        RebirthRequested,
    ]
    assert host.metric("count").value == 4
    assert host.view.diagnostics.gaps == 1
    host.hears(data(count(5), seq=5))
    assert host.metric("count").value == 5


@pytest.mark.tck("operational-behavior-host-reordering-param")
def test_the_reorder_timeout_is_a_parameter() -> None:
    host = born_host()
    host.tracker = HostTracker(host_id="h", options=TrackerOptions(reorder_timeout_ms=50))
    host.hears(node_birth(COUNT), data(count(3), seq=2))

    assert host.tracker.next_deadline_ms == T0 + 50


def test_a_second_gap_has_its_own_time() -> None:
    host = born_host()
    host.hears(data(count(3), seq=3))
    host.waits(1_500)
    host.hears(data(count(5), seq=5), data(count(2), seq=2))
    assert host.metric("count").value == 3

    assert rebirth_requests(host.waits(1_999)) == 0
    assert rebirth_requests(host.waits(1)) == 1


def test_a_birth_closes_every_gap() -> None:
    host = born_host()
    host.hears(data(count(3), seq=3))

    host.hears(node_birth(COUNT, at_ms=T0 + 5), device_birth(SPEED, at_ms=T0 + 5))

    assert rebirth_requests(host.waits(60_000)) == 0
    assert host.metric("count").value == COUNT.value


def test_seq_starts_over_after_255() -> None:
    host = Host()
    host.hears(node_birth(COUNT, seq=254))

    for seq, value in ((255, 1), (0, 2), (2, 4), (1, 3)):
        host.hears(data(count(value), seq=seq))

    assert host.metric("count").value == 4
    assert host.view.diagnostics.held == 1


def test_duplicates_are_counted_and_change_nothing() -> None:
    host = born_host()
    host.hears(data(count(2), seq=2), data(count(3), seq=3))

    assert host.hears(data(count(2), seq=2)) == []
    assert host.metric("count").value == 3
    assert host.view.diagnostics.duplicates == 1


def test_a_birth_that_comes_again_changes_nothing() -> None:
    host = born_host()
    host.hears(data(count(2), seq=2))

    assert host.hears(node_birth(COUNT)) == []
    assert host.metric("count").value == 2
    assert host.view.diagnostics.late == 1


def test_a_birth_that_comes_again_after_the_death_does_not_revive() -> None:
    host = born_host()
    host.hears(node_death(0))

    assert host.hears(node_birth(COUNT)) == []
    assert not host.view.online


def test_a_birth_behind_its_successor_changes_nothing() -> None:
    host = Host()
    host.hears(node_birth(COUNT, bd_seq=1, at_ms=T0 + 500))

    assert host.hears(node_birth(COUNT, bd_seq=0, at_ms=T0)) == []
    assert host.view.bd_seq == 1


def test_a_birth_of_some_sessions_ago_changes_nothing() -> None:
    host = Host()
    host.hears(node_birth(COUNT, bd_seq=2, at_ms=T0 + 9))

    actions = host.hears(
        node_birth(COUNT, bd_seq=0), node_death(0), data(count(1), seq=1, at_ms=T0 + 10)
    )

    assert rebirth_requests(actions) == 0
    assert (host.view.bd_seq, host.view.online, host.view.diagnostics.late) == (2, True, 1)


def test_data_from_before_the_birth_in_force_change_nothing() -> None:
    host = Host()
    host.hears(node_birth(COUNT, at_ms=T0 + 500))

    assert host.hears(data(count(9), seq=1, at_ms=T0 + 400)) == []
    host.hears(data(count(1), seq=1, at_ms=T0 + 600))
    assert host.metric("count").value == 1


def test_a_clock_that_was_set_back_is_believed() -> None:
    host = Host()
    host.hears(node_birth(COUNT, at_ms=T0))

    host.hears(data(count(9), seq=1, at_ms=T0 - 3_600_000))
    assert host.metric("count").value == 9
    host.hears(node_birth(COUNT, at_ms=T0 - 3_500_000))
    assert host.view.birth_ms == T0 - 3_500_000


def test_a_birth_that_was_lost_in_a_session_is_noticed_although_seq_fell_behind() -> None:
    host = born_host()
    for seq in range(2, 100):
        host.hears(data(count(seq), seq=seq, at_ms=T0 + seq))

    host.hears(data(count(1), seq=1, at_ms=T0 + 500), data(count(2), seq=2, at_ms=T0 + 501))
    actions = host.waits(2_000)

    assert rebirth_requests(actions) == 1
    assert host.metric("count").value == 2
    host.hears(data(count(3), seq=3, at_ms=T0 + 2_500))
    assert host.metric("count").value == 3


def test_births_that_overtook_the_rebirth_they_belong_to_are_applied_after_it() -> None:
    host = born_host()
    for seq in range(2, 150):
        host.hears(data(count(seq), seq=seq, at_ms=T0 + seq))

    host.hears(device_birth(SPEED, seq=1, at_ms=T0 + 500), node_birth(COUNT, at_ms=T0 + 500))

    assert host.view.devices["filler"].online
    assert rebirth_requests(host.waits(10_000)) == 0


def test_what_overtook_its_birth_is_applied_after_it() -> None:
    host = Host()

    host.hears(data(Metric(alias=1, value=9.0), seq=2, device="filler"), device_birth(SPEED))
    actions = host.hears(node_birth(COUNT))

    assert [type(event) for event in events(actions)] == [NodeBorn, DeviceBorn, MetricsChanged]
    assert host.metric("speed", "filler").value == 9.0


def test_what_was_held_for_a_birth_that_never_came_is_forgotten() -> None:
    host = Host()
    host.hears(device_birth(SPEED))
    host.waits(2_000)

    host.hears(node_birth(COUNT, at_ms=T0))

    assert "filler" not in host.view.devices


@pytest.mark.parametrize(
    "message",
    [
        data(count(1), seq=1),
        data(count(1), seq=None),
        data(Metric(alias=1, value=1.0), seq=1, device="filler"),
        device_birth(SPEED),
        device_birth(SPEED, seq=None),
        device_death(seq=1),
    ],
)
def test_anything_before_the_node_birth_asks_for_births(message: Publish) -> None:
    actions = Host().hears(message)

    assert rebirth_requests(actions) == 1
    assert ViolationKind.UNKNOWN_NODE in violations(actions)


@pytest.mark.parametrize(
    "message",
    [
        data(Metric(alias=99, value=1), seq=2),
        data(Metric("nix", value=1), seq=2),
        data(
            Metric(alias=2, value=1), seq=2, device="filler"
        ),  # the node's alias, not the device's
        data(Metric(alias=1, value=1.0), seq=2, device="nix"),
        device_death(seq=2, device="nix"),
    ],
)
def test_anything_no_birth_told_of_asks_for_births(message: Publish) -> None:
    assert rebirth_requests(born_host().hears(message)) == 1


def test_known_metrics_beside_an_unknown_one_are_taken_over() -> None:
    host = born_host()

    actions = host.hears(data(Metric(alias=99, value=1), count(7), seq=2))

    assert rebirth_requests(actions) == 1
    assert host.metric("count").value == 7


class TestRequests:
    """Asking is throttled: at once, then ever more rarely, and never after a death."""

    def test_many_reasons_are_one_request(self) -> None:
        host = Host()

        actions = host.hears(*(data(count(i), seq=i) for i in range(100)))

        assert rebirth_requests(actions) == 1

    def test_an_unanswered_request_is_repeated_ever_more_rarely(self) -> None:
        host = Host()
        host.hears(data(count(1), seq=1))
        times = []
        while host.now_ms < T0 + 3_600_000:
            requests = rebirth_requests(host.waits(1_000))
            times += [host.now_ms - T0] * requests

        assert times[:4] == [5_000, 15_000, 35_000, 75_000]
        assert 300_000 in {later - earlier for earlier, later in pairwise(times)}
        assert len(times) < 20

    def test_a_birth_answers(self) -> None:
        host = Host()
        host.hears(data(count(1), seq=1), node_birth(COUNT))

        assert rebirth_requests(host.waits(3_600_000)) == 0

    def test_a_node_that_births_but_does_not_behave_is_asked_ever_more_rarely(self) -> None:
        host = Host()
        requests = 0
        for second in range(3_600):
            at_ms = T0 + second * 1_000
            requests += rebirth_requests(
                host.hears(
                    node_birth(COUNT, at_ms=at_ms),
                    data(Metric(alias=99, value=1), seq=1, at_ms=at_ms),
                )
            )
            requests += rebirth_requests(host.waits(1_000))

        assert 10 < requests < 30

    def test_a_node_that_behaved_for_a_while_is_asked_at_once(self) -> None:
        host = born_host()
        host.hears(data(Metric(alias=99, value=1), seq=2))
        host.hears(node_birth(COUNT, at_ms=T0 + 9))
        host.waits(60_000)

        unknown = data(Metric(alias=99, value=1), seq=1, at_ms=host.now_ms)
        assert rebirth_requests(host.hears(unknown)) == 1

    def test_a_death_ends_the_asking(self) -> None:
        host = born_host()
        host.hears(data(count(4), seq=4))
        host.waits(2_000)

        host.hears(node_death(0))

        assert rebirth_requests(host.waits(3_600_000)) == 0

    def test_one_nodes_trouble_is_not_anothers(self) -> None:
        host = born_host()
        host.hears(data(count(4), seq=4))

        other = host.tracker.receive("spBv1.0/plant/NDATA/line-2", b"", T0)

        assert rebirth_requests(other) == 1
        host.hears(data(count(2), seq=2), data(count(3), seq=3))
        assert host.metric("count").value == 4

    def test_a_person_may_ask_at_any_time(self) -> None:
        host = born_host()

        assert rebirth_requests([host.tracker.rebirth(NODE, T0)]) == 1
        assert rebirth_requests([host.tracker.rebirth(NODE, T0)]) == 1
        assert host.view.diagnostics.rebirth_requests == 2

    def test_each_request_is_counted_under_its_cause(self) -> None:
        host = Host(T0)
        host.hears(data(count(1), seq=1))  # no NBIRTH yet
        host.hears(node_birth(COUNT), device_birth(SPEED))
        host.waits(60_000)
        host.hears(data(Metric(alias=99, value=1), seq=2, at_ms=host.now_ms))
        host.hears(node_birth(COUNT, at_ms=host.now_ms))
        host.waits(60_000)
        host.hears(data(Metric(alias=1, value=1.0), seq=1, device="filler", at_ms=host.now_ms))
        host.hears(node_birth(COUNT, at_ms=host.now_ms))
        host.waits(60_000)
        host.hears(data(count(4), seq=4, at_ms=host.now_ms))
        host.waits(2_000)
        asked_ms = host.now_ms
        host.hears(node_birth(COUNT, at_ms=asked_ms))
        host.waits(60_000)

        diagnostics = host.view.diagnostics
        assert diagnostics.rebirths == {
            RebirthCause.UNKNOWN_NODE: 1,
            RebirthCause.UNKNOWN_METRIC: 1,
            RebirthCause.UNKNOWN_DEVICE: 1,
            RebirthCause.GAP: 1,
        }
        assert diagnostics.last_rebirth == "seq 1 did not arrive within 2000 ms"
        assert diagnostics.last_rebirth_ms == asked_ms

    def test_a_node_whose_birth_promises_no_rebirth_is_asked_all_the_same(self) -> None:
        """A missing message MUST lead to a request (5.11), which needs no knowledge of births."""
        bare = (Metric(BD_SEQ, DataType.INT64, 0, T0), COUNT)
        host = Host()
        host.hears(message(MessageType.NBIRTH, None, bare, 0, T0))
        host.hears(data(count(4), seq=4))

        asked = host.waits(2_000)

        assert rebirth_requests(asked) == 1
        assert host.view.diagnostics.violations[ViolationKind.NO_REBIRTH_METRIC] == 1
        assert rebirth_requests([host.tracker.rebirth(NODE, host.now_ms)]) == 1
        ignored = [rebirth_requests(host.waits(60_000)) for _ in range(60)]
        assert 10 < sum(ignored) < 20, "the throttle holds where asking does not help"


class TestNodesThatCountAsTheyLike:
    """seq for each device, or none at all: shown, with what is wrong, and not delayed for ever."""

    def test_messages_without_seq_are_taken_as_they_come(self) -> None:
        host = Host()
        host.hears(node_birth(COUNT, seq=None), device_birth(SPEED, seq=None))

        actions = host.hears(data(Metric(alias=1, value=8.0), seq=None, device="filler"))

        assert host.metric("speed", "filler").value == 8.0
        assert host.view.diagnostics.violations[ViolationKind.NO_SEQ] == 3
        assert rebirth_requests(actions) == 0

    def test_seq_beyond_255_is_a_violation_and_counts_on(self) -> None:
        host = Host()
        host.hears(node_birth(COUNT, seq=256))

        actions = host.hears(data(count(1), seq=257))

        assert host.metric("count").value == 1
        assert violations(actions) == []
        assert host.view.diagnostics.violations[ViolationKind.BAD_SEQ] == 2

    def test_a_node_with_a_seq_for_each_device_is_shown_without_delay_after_a_while(self) -> None:
        host = born_host()
        host.hears(device_birth(Metric("flow", DataType.DOUBLE, 0.0, T0, 9), device="b", seq=2))
        for i in range(60):
            at_ms = T0 + 1 + i * 1_000
            host.hears(
                data(Metric(alias=1, value=float(i)), seq=i % 256, device="filler", at_ms=at_ms),
                data(Metric(alias=9, value=float(i)), seq=(i + 60) % 256, device="b", at_ms=at_ms),
            )
            host.waits(1_000)

        assert host.metric("speed", "filler").value == 59.0
        assert host.metric("flow", "b").value == 59.0
        assert host.view.diagnostics.violations[ViolationKind.GAP] > 0
        assert rebirth_requests(host.said) < 8

    def test_such_a_nodes_older_messages_do_not_win(self) -> None:
        host = born_host()
        for i in range(60):
            host.hears(data(count(i), seq=(i * 100) % 256, at_ms=T0 + 1 + i * 1_000))
            host.waits(1_000)
        assert host.metric("count").value == 59

        host.hears(data(count(1), seq=(59 * 100 - 9) % 256, at_ms=T0 + 5_000))

        assert host.metric("count").value == 59

    def test_such_a_nodes_messages_of_one_time_all_count(self) -> None:
        host = born_host()
        for i in range(20):
            host.hears(data(count(i), seq=(i * 100) % 256, at_ms=T0 + 1 + i * 1_000))
            host.waits(1_000)

        behind = (19 * 100 - 9) % 256
        host.hears(data(count(77), seq=behind, at_ms=T0 + 1 + 19 * 1_000))

        assert host.metric("count").value == 77
