"""What an edge session's data messages hold."""

import pytest

from proto.sparkplug.codec import Metric, decode_payload
from proto.sparkplug.edge_events import Reading
from proto.sparkplug.edge_session import EdgeSession
from proto.sparkplug.errors import UnknownMetric, ValueOutOfRange, WrongType
from proto.sparkplug.messages import Publish
from proto.sparkplug.metrics import QUALITY_BAD, QUALITY_GOOD, quality_property
from tests.unit.proto.sparkplug.edge_world import (
    T0,
    born_session,
    make_session,
    metrics_of,
    short,
)


def send(session: EdgeSession, *readings: Reading, historical: bool = False) -> Publish:
    message = session.data("filler", readings, T0 + 99, historical=historical)
    assert message is not None
    return message


@pytest.mark.tck(
    "topics-ddata-payload",
    "topics-ndata-payload",
    "operational-behavior-data-publish-nbirth-change",
    "operational-behavior-data-publish-dbirth-change",
    "principles-rbe-recommended",
    "payloads-alias-data-cmd-requirement",
    "payloads-metric-datatype-not-req",
    "payloads-name-birth-data-requirement",
    "payloads-ndata-order",
    "payloads-ddata-order",
)
def test_data_carries_what_changed_by_alias_and_time_alone() -> None:
    session = born_session()
    speed, uptime = session.alias("filler", "speed"), session.alias(None, "uptime")

    device = send(session, (speed, 2.5, T0 + 3, QUALITY_GOOD))
    node = session.data(None, [(uptime, 7, T0 + 4, QUALITY_GOOD)], T0 + 99)

    assert short(device) == "DDATA filler 2"
    assert decode_payload(device.payload).metrics == (
        Metric(alias=speed, value=2.5, timestamp_ms=T0 + 3),
    )
    assert node is not None
    assert short(node) == "NDATA 3"
    assert decode_payload(node.payload).metrics == (
        Metric(alias=uptime, value=7, timestamp_ms=T0 + 4),
    )


@pytest.mark.tck("payloads-name-requirement")
def test_data_goes_by_name_where_no_aliases_are_used() -> None:
    session = born_session(aliases=False)

    message = send(session, (session.alias("filler", "speed"), 2.5, T0, QUALITY_GOOD))

    assert decode_payload(message.payload).metrics == (Metric("speed", value=2.5, timestamp_ms=T0),)


@pytest.mark.tck(
    "operational-behavior-data-publish-nbirth-order",
    "operational-behavior-data-publish-dbirth-order",
)
@pytest.mark.parametrize("historical", [False, True])
def test_data_is_in_chronological_order(historical: bool) -> None:
    session = born_session()
    speed, state = session.alias("filler", "speed"), session.alias("filler", "state")

    message = send(
        session,
        (speed, 3.0, T0 + 3, QUALITY_GOOD),
        (state, "a", T0 + 1, QUALITY_GOOD),
        (speed, 2.0, T0 + 2, QUALITY_GOOD),
        historical=historical,
    )

    assert [metric.value for metric in decode_payload(message.payload).metrics] == ["a", 2.0, 3.0]


def test_nothing_changed_is_no_message_and_takes_no_seq() -> None:
    session = born_session()

    assert session.data("filler", [], T0) is None
    assert session.data("filler", [], T0, historical=True) is None
    speed = session.alias("filler", "speed")
    assert short(send(session, (speed, 1.0, T0, QUALITY_GOOD))) == "DDATA filler 2"


def test_null_is_flagged() -> None:
    session = born_session()
    speed = session.alias("filler", "speed")

    metric = metrics_of(send(session, (speed, None, T0, QUALITY_GOOD)))[speed]

    assert metric == Metric(alias=speed, value=None, timestamp_ms=T0)


@pytest.mark.tck("payloads-propertyset-quality-value-value")
def test_quality_is_told_while_it_is_not_good_and_when_it_is_good_again() -> None:
    session = born_session()
    speed = session.alias("filler", "speed")
    told = []
    for quality in (QUALITY_GOOD, QUALITY_BAD, QUALITY_BAD, QUALITY_GOOD, QUALITY_GOOD):
        metric = metrics_of(send(session, (speed, 1.0, T0, quality)))[speed]
        told.append(metric.properties)

    bad, good = {"Quality": quality_property(0)}, {"Quality": quality_property(192)}
    assert told == [None, bad, bad, good, None]


def test_births_tell_the_quality_so_that_data_need_not() -> None:
    session = make_session()
    speed = session.alias("filler", "speed")
    session.update("filler", speed, 1.0, T0, QUALITY_BAD)
    session.connect(T0)
    session.connected(T0)

    recovered = metrics_of(send(session, (speed, 1.0, T0, QUALITY_GOOD)))[speed]
    after = metrics_of(send(session, (speed, 1.0, T0, QUALITY_GOOD)))[speed]

    assert recovered.properties == {"Quality": quality_property(192)}
    assert after.properties is None


def test_past_values_are_flagged_and_leave_the_current_one_alone() -> None:
    session = born_session()
    speed = session.alias("filler", "speed")
    send(session, (speed, 5.0, T0 + 5, QUALITY_GOOD))

    past = send(
        session,
        (speed, 1.0, T0 + 1, QUALITY_GOOD),
        (speed, None, T0 + 2, QUALITY_BAD),
        historical=True,
    )

    assert decode_payload(past.payload).metrics == (
        Metric(alias=speed, value=1.0, timestamp_ms=T0 + 1, is_historical=True),
        Metric(
            alias=speed,
            value=None,
            timestamp_ms=T0 + 2,
            is_historical=True,
            properties={"Quality": quality_property(0)},
        ),
    )
    assert metrics_of(session.rebirth(T0 + 9)[1])["speed"].value == 5.0


def test_past_values_wait_for_a_birth() -> None:
    session = make_session()
    speed = session.alias("filler", "speed")

    assert session.data("filler", [(speed, 1.0, T0, 192)], T0, historical=True) is None


@pytest.mark.parametrize("device", [None, "filler"])
@pytest.mark.parametrize("historical", [False, True])
def test_an_alias_of_another_is_the_callers_mistake(device: str | None, historical: bool) -> None:
    session = born_session()
    foreign = session.alias("capper", "speed")

    with pytest.raises(UnknownMetric, match=f"alias {foreign}"):
        session.data(device, [(foreign, 1.0, T0, 192)], T0, historical=historical)


@pytest.mark.parametrize(
    ("value", "quality", "error"),
    [("fast", 192, WrongType), (10**400, 192, ValueOutOfRange), (1.0, 7, ValueOutOfRange)],
)
@pytest.mark.parametrize("historical", [False, True])
def test_what_does_not_fit_is_refused_and_takes_no_seq(
    value: float, quality: int, error: type[Exception], historical: bool
) -> None:
    session = born_session()
    speed = session.alias("filler", "speed")

    with pytest.raises(error, match="speed"):
        session.data("filler", [(speed, value, T0, quality)], T0, historical=historical)

    assert short(send(session, (speed, 1.0, T0, QUALITY_GOOD))) == "DDATA filler 2"


@pytest.mark.parametrize(
    ("value", "quality", "error"), [("fast", 192, WrongType), (1.0, 7, ValueOutOfRange)]
)
def test_what_does_not_fit_is_not_remembered_either(
    value: float, quality: int, error: type[Exception]
) -> None:
    session = make_session()
    speed = session.alias("filler", "speed")
    for call in (
        lambda: session.update("filler", speed, value, T0, quality),
        lambda: session.data("filler", [(speed, value, T0, quality)], T0),
        lambda: session.device_online("filler", T0, [(speed, value, T0, quality)]),
    ):
        with pytest.raises(error, match="speed"):
            call()
    session.connect(T0)

    assert metrics_of(session.connected(T0)[1])["speed"].value == 1.5
