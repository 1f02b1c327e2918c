"""A host application's own STATE: will, birth, told offline, death."""

import pytest

from proto.sparkplug.errors import InvalidId, StateError
from proto.sparkplug.host_state import HostStateSession
from proto.sparkplug.messages import Connect, Publish

TOPIC = "spBv1.0/STATE/scada"
T0 = 1_700_000_000_000


def online(timestamp_ms: int) -> Publish:
    payload = f'{{"online":true,"timestamp":{timestamp_ms}}}'.encode()
    return Publish(TOPIC, payload, qos=1, retain=True)


def offline(timestamp_ms: int) -> Publish:
    payload = f'{{"online":false,"timestamp":{timestamp_ms}}}'.encode()
    return Publish(TOPIC, payload, qos=1, retain=True)


def connected() -> HostStateSession:
    session = HostStateSession("scada")
    session.connect(T0)
    session.connected()
    return session


@pytest.mark.tck(
    "host-topic-phid-death-required",
    "host-topic-phid-death-topic",
    "host-topic-phid-death-qos",
    "host-topic-phid-death-retain",
    "host-topic-phid-death-payload",
    "host-topic-phid-death-payload-timestamp-connect",
    "operational-behavior-host-application-connect-will",
    "operational-behavior-host-application-connect-will-topic",
    "operational-behavior-host-application-connect-will-payload",
    "operational-behavior-host-application-connect-will-qos",
    "operational-behavior-host-application-connect-will-retained",
    "payloads-state-will-message",
    "payloads-state-will-message-qos",
    "payloads-state-will-message-retain",
    "payloads-state-will-message-payload",
    "host-topic-phid-birth-sub-required",
    "payloads-state-subscribe",
    "message-flow-phid-sparkplug-subscription",
    "message-flow-phid-sparkplug-clean-session-311",
    "message-flow-phid-sparkplug-clean-session-50",
)
def test_connect_has_an_offline_will_and_hears_all_of_sparkplug_and_its_own_state() -> None:
    connect = HostStateSession("scada").connect(T0)

    assert connect == Connect(
        will=offline(T0), subscriptions=(("spBv1.0/#", 1), (TOPIC, 1)), clean_session=True
    )


@pytest.mark.tck(
    "intro-sparkplug-host-state",
    "components-ph-state",
    "conformance-primary-host",
    "host-topic-phid-birth-message",
    "host-topic-phid-birth-required",
    "host-topic-phid-birth-topic",
    "host-topic-phid-birth-qos",
    "host-topic-phid-birth-retain",
    "host-topic-phid-birth-payload",
    "host-topic-phid-birth-payload-timestamp",
    "message-flow-phid-sparkplug-state-publish",
    "message-flow-phid-sparkplug-state-publish-payload",
    "message-flow-phid-sparkplug-state-publish-payload-timestamp",
    "operational-behavior-host-application-connect-birth",
    "operational-behavior-host-application-connect-birth-topic",
    "operational-behavior-host-application-connect-birth-payload",
    "operational-behavior-host-application-connect-birth-qos",
    "operational-behavior-host-application-connect-birth-retained",
    "operational-behavior-primary-application-state-with-multiple-servers-state",
    "payloads-state-birth",
    "payloads-state-birth-payload",
    "principles-birth-certificates-order",
)
def test_birth_is_the_first_message_and_has_the_time_of_the_connect() -> None:
    session = HostStateSession("scada")
    session.connect(T0)
    assert not session.online

    assert session.connected() == [online(T0)]
    assert session.online


@pytest.mark.tck("message-flow-hid-sparkplug-state-message-delivered")
@pytest.mark.parametrize("payload", [offline(T0 + 99).payload, offline(0).payload, b"OFFLINE"])
def test_told_offline_a_host_says_at_once_that_it_is_there(payload: bytes) -> None:
    assert connected().receive(TOPIC, payload) == [online(T0)]


def test_told_its_own_birth_or_anything_else_it_says_nothing() -> None:
    session = connected()

    assert session.receive(TOPIC, online(T0).payload) == []
    assert session.receive("spBv1.0/STATE/other", offline(T0).payload) == []
    assert session.receive("spBv1.0/g/NDATA/e", b"\xff") == []


def test_told_offline_before_its_birth_it_says_nothing() -> None:
    session = HostStateSession("scada")
    session.connect(T0)

    assert session.receive(TOPIC, offline(T0 - 5).payload) == []


@pytest.mark.tck(
    "host-topic-phid-death-payload-timestamp-disconnect-clean",
    "host-topic-phid-death-payload-timestamp-disconnect-with-no-disconnect-packet",
    "operational-behavior-host-application-termination",
    "operational-behavior-host-application-death-topic",
    "operational-behavior-host-application-death-payload",
    "operational-behavior-host-application-death-qos",
    "operational-behavior-host-application-death-retained",
    "operational-behavior-host-application-disconnect-intentional",
)
def test_leaving_says_offline_as_of_now() -> None:
    session = connected()

    assert session.disconnect(T0 + 60_000) == [offline(T0 + 60_000)]
    assert session.disconnect(T0 + 60_000) == []
    assert session.receive(TOPIC, offline(T0 + 60_000).payload) == []


@pytest.mark.tck("operational-behavior-host-application-multi-server-timestamp")
def test_each_broker_has_its_own_time() -> None:
    one, other = HostStateSession("scada"), HostStateSession("scada")
    one.connect(T0)
    other.connect(T0 + 5)

    assert (one.connected(), other.connected()) == ([online(T0)], [online(T0 + 5)])


def test_each_connection_has_its_own_time() -> None:
    session = connected()
    session.disconnected()
    assert not session.online
    session.connect(T0 + 5)

    assert session.connected() == [online(T0 + 5)]


def test_birth_without_connect_is_the_callers_mistake() -> None:
    with pytest.raises(StateError, match="connected without connect"):
        HostStateSession("scada").connected()


def test_host_id_is_checked() -> None:
    with pytest.raises(InvalidId):
        HostStateSession("a/b")
