"""Commands that reach an edge session: written, or rejected with the reason; never raised."""

import pytest

from proto.sparkplug.codec import Metric, parse
from proto.sparkplug.datatypes import DataType
from proto.sparkplug.edge_events import Rejected, WriteRequested
from proto.sparkplug.edge_session import EdgeSession
from tests.unit.proto.sparkplug.edge_world import (
    NODE,
    T0,
    born_session,
    command,
    make_session,
    shorts,
)

NCMD = "spBv1.0/plant/NCMD/line-1"
DCMD = "spBv1.0/plant/DCMD/line-1/filler"


@pytest.mark.tck("operational-behavior-data-commands-dcmd-metric-name")
def test_a_write_is_told_whether_by_name_or_by_alias() -> None:
    session = born_session()
    alias = session.alias("filler", "speed")
    expected = [WriteRequested("filler", "speed", alias, DataType.DOUBLE, 2.5)]

    for metric in (
        Metric("speed", DataType.DOUBLE, 2.5, T0),
        Metric("speed", value=2.5),
        Metric(alias=alias, value=2.5),
        Metric(None, DataType.FLOAT, 2.5, alias=alias),
    ):
        assert session.receive(DCMD, command(metric), T0) == expected


def test_many_writes_in_one_command_are_told_in_order() -> None:
    session = EdgeSession(NODE)
    session.set_node_metrics([Metric("a", DataType.INT8), Metric("b", DataType.STRING)])
    session.connect(T0)
    session.connected(T0)

    told = session.receive(
        NCMD,
        command(
            Metric("b", DataType.STRING, "x"),
            Metric("nix", DataType.INT8, 1),
            Metric("a", DataType.INT64, -5),
        ),
        T0,
    )

    assert [type(event) for event in told] == [WriteRequested, Rejected, WriteRequested]
    assert told[0] == WriteRequested(None, "b", session.alias(None, "b"), DataType.STRING, "x")
    assert told[2] == WriteRequested(None, "a", session.alias(None, "a"), DataType.INT8, -5)


@pytest.mark.tck("operational-behavior-data-commands-dcmd-metric-value")
@pytest.mark.parametrize(
    ("metric", "reason"),
    [
        (Metric("nix", DataType.INT8, 1), "no birth told of it"),
        (Metric(alias=99, value=1), "'alias 99': no birth told of it"),
        (Metric(value=1), "no birth told of it"),
        (Metric("state", DataType.STRING, "x"), "read only"),
        (Metric("speed", DataType.STRING, "fast"), "expected a number"),
        (Metric("speed", value="fast"), "expected double_value"),
        (Metric("speed", DataType.DOUBLE, None), "null, expected a value"),
    ],
)
def test_a_write_that_cannot_be_done_is_rejected_with_the_reason(
    metric: Metric, reason: str
) -> None:
    (rejected,) = born_session().receive(DCMD, command(metric), T0)

    assert isinstance(rejected, Rejected)
    assert reason in rejected.reason
    assert (rejected.topic, rejected.device) == (DCMD, "filler")


@pytest.mark.parametrize("value", [256, -1])
def test_a_write_beyond_the_data_type_is_rejected(value: int) -> None:
    session = EdgeSession(NODE)
    session.set_node_metrics([Metric("level", DataType.UINT8, 0)])
    session.connect(T0)
    session.connected(T0)

    (rejected,) = session.receive(NCMD, command(Metric("level", DataType.INT32, value)), T0)

    assert isinstance(rejected, Rejected)
    assert f"{value} does not fit UInt8" in rejected.reason


def test_control_metrics_of_the_node_are_written_like_others() -> None:
    session = EdgeSession(NODE)
    session.set_node_metrics([Metric("Node Control/Reboot", DataType.BOOLEAN, False)])
    session.connect(T0)
    session.connected(T0)

    (event,) = session.receive(
        NCMD, command(Metric("Node Control/Reboot", DataType.BOOLEAN, True)), T0
    )

    assert isinstance(event, WriteRequested)
    assert event.metric == "Node Control/Reboot"


def test_rebirth_that_is_not_true_is_rejected() -> None:
    session = born_session()

    actions = session.receive(
        NCMD, command(Metric("Node Control/Rebirth", DataType.BOOLEAN, False)), T0
    )

    assert shorts(actions) == []
    assert isinstance(actions[0], Rejected)


def test_rebirth_goes_to_the_node_not_to_a_device() -> None:
    actions = born_session().receive(
        DCMD, command(Metric("Node Control/Rebirth", DataType.BOOLEAN, True)), T0
    )

    assert shorts(actions) == []
    assert isinstance(actions[0], Rejected)


def test_writes_beside_a_rebirth_follow_the_births() -> None:
    session = EdgeSession(NODE)
    session.set_node_metrics([Metric("a", DataType.INT8)])
    session.connect(T0)
    session.connected(T0)

    actions = session.receive(
        NCMD,
        command(
            Metric("a", DataType.INT8, 1), Metric("Node Control/Rebirth", DataType.BOOLEAN, True)
        ),
        T0,
    )

    assert shorts(actions) == ["NBIRTH 0"]
    assert isinstance(actions[-1], WriteRequested)


@pytest.mark.parametrize(
    "topic",
    [
        "spBv1.0/plant/NCMD/line-2",
        "spBv1.0/other/NCMD/line-1",
        "spBv1.0/plant/NDATA/line-1",
        "spBv1.0/plant/DCMD/line-1/nix",
        "spBv1.0/plant/DCMD/line-1/capper",
        "something/else",
        "",
    ],
)
def test_what_is_not_for_us_is_rejected(topic: str) -> None:
    (rejected,) = born_session().receive(topic, command(Metric("speed", DataType.DOUBLE, 1.0)), T0)

    assert isinstance(rejected, Rejected)


@pytest.mark.parametrize("payload", [b"\xff", b"\x12\x04\x0a\x02\xff\xfe"])
def test_broken_commands_are_rejected(payload: bytes) -> None:
    (rejected,) = born_session().receive(DCMD, payload, T0)

    assert isinstance(rejected, Rejected)


def test_an_empty_command_asks_for_nothing() -> None:
    assert born_session().receive(DCMD, b"", T0) == []
    assert len(parse(b"").metrics) == 0


def test_commands_before_the_births_are_rejected() -> None:
    session = make_session()
    session.connect(T0)

    (rejected,) = session.receive(NCMD, command(), T0)

    assert isinstance(rejected, Rejected)
    assert "connecting, expected born" in rejected.reason
