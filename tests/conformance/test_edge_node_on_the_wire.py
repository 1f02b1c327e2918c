"""One session of a real edge node on the simulated plant, as it appears on a real broker.

The statements that one connection can show, seen from outside the process. Its sequence: births, a
rebirth, a write, the loss of all devices, a clean end.
"""

import itertools
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import pytest

from deploy.local.broker import MqttBroker
from deploy.local.plant_document import read_example
from proto.sparkplug.codec import Metric, Payload, decode_payload, encode_payload
from proto.sparkplug.datatypes import DataType
from proto.sparkplug.metrics import BD_SEQ, REBIRTH
from proto.sparkplug.topics import MessageType, NodeId, Topic, format_topic, parse_topic
from tests.conformance.recording import Message, Recording
from tests.interop.roles import EdgeNode, Plant

NODE = NodeId("interop", "wire")
DEVICES = {device.name for device in read_example().devices}
BIRTHS = {MessageType.NBIRTH, MessageType.DBIRTH}
DATA = {MessageType.NDATA, MessageType.DDATA}
Protocol = Literal["3.1.1", "5"]
tck = pytest.mark.tck


@dataclass(frozen=True, slots=True)
class Said:
    """One Sparkplug message of the node, decoded."""

    topic: Topic
    payload: Payload
    message: Message

    @property
    def kind(self) -> MessageType:
        return self.topic.message_type


@dataclass(frozen=True, slots=True)
class Session:
    """What the node said, and everything that was on the broker."""

    protocol: Protocol
    said: list[Said]
    messages: list[Message]

    def of(self, *kinds: MessageType) -> list[Said]:
        return [said for said in self.said if said.kind in kinds]


@pytest.fixture(scope="module", params=["3.1.1", "5"])
def session(
    request: pytest.FixtureRequest,
    start_mqtt_broker: Callable[[], MqttBroker],
    tmp_path_factory: pytest.TempPathFactory,
) -> Session:
    protocol: Protocol = request.param
    folder = tmp_path_factory.mktemp("wire")
    broker = start_mqtt_broker()
    with Plant(folder) as plant, Recording(broker.port) as recording:
        configuration = plant.configuration(NODE.edge, broker.url, folder)
        mqtt = configuration.mqtt.model_copy(update={"protocol": protocol})
        with EdgeNode(folder, configuration.model_copy(update={"mqtt": mqtt})) as edge:
            _wait(recording, MessageType.DBIRTH, len(DEVICES))
            _wait(recording, MessageType.DDATA, 1)
            _command(recording, None, REBIRTH, DataType.BOOLEAN, value=True)
            _wait(recording, MessageType.DBIRTH, 2 * len(DEVICES))
            _command(recording, "Filler", "Setpoints/Bowl Level", DataType.FLOAT, value=63.5)
            _wait(recording, MessageType.DDATA, 2)
            plant.stop()
            _wait(recording, MessageType.DDEATH, len(DEVICES))
            edge.stop()
        # With MQTT 5 the broker publishes the will as well.
        _wait(recording, MessageType.NDEATH, 1 if protocol == "3.1.1" else 2)
    broker.stop()
    return Session(protocol, _said(recording.messages), recording.messages)


def _said(messages: list[Message]) -> list[Said]:
    found = []
    for message in messages:
        if message.topic.startswith("spBv1.0/") and "CMD/" not in message.topic:
            topic = parse_topic(message.topic)
            found.append(Said(topic, decode_payload(message.payload), message))
    return found


def _wait(recording: Recording, kind: MessageType, count: int) -> None:
    def is_there(messages: list[Message]) -> bool:
        return sum(f"/{kind}/" in message.topic for message in messages) >= count

    recording.wait(f"{count} {kind}", is_there)


def _command(
    recording: Recording,
    device: str | None,
    name: str,
    datatype: DataType,
    *,
    value: bool | float,
) -> None:
    kind = MessageType.NCMD if device is None else MessageType.DCMD
    now_ms = time.time_ns() // 1_000_000
    payload = Payload(now_ms, None, (Metric(name, datatype, value, now_ms),))
    recording.publish(format_topic(kind, NODE, device), encode_payload(payload))


@tck("principles-birth-certificates-order", "message-flow-edge-node-birth-publish-connect")
def test_the_birth_is_the_first_thing_that_the_node_publishes(session: Session) -> None:
    first = session.messages[0]

    assert first.topic == format_topic(MessageType.NBIRTH, NODE)


@tck(
    *(f"topics-{kind}-mqtt" for kind in ("nbirth", "dbirth", "ddata", "ddeath")),
    *(f"payloads-{kind}-qos" for kind in ("nbirth", "dbirth", "ddata")),
    *(f"payloads-{kind}-retain" for kind in ("nbirth", "dbirth", "ddata")),
    "message-flow-edge-node-birth-publish-nbirth-qos",
    "message-flow-edge-node-birth-publish-nbirth-retained",
    "message-flow-device-birth-publish-dbirth-qos",
    "message-flow-device-birth-publish-dbirth-retained",
)
def test_births_data_and_device_deaths_are_qos_0_and_not_retained(session: Session) -> None:
    said = session.of(*BIRTHS, *DATA, MessageType.DDEATH)

    assert {(each.message.qos, each.message.retain) for each in said} == {(0, False)}


@pytest.mark.rule("edge-3")
@tck("payloads-ndeath-will-message-qos", "payloads-ndeath-will-message-retain")
def test_the_death_is_qos_1_and_not_retained(session: Session) -> None:
    said = session.of(MessageType.NDEATH)

    assert {(each.message.qos, each.message.retain) for each in said} == {(1, False)}


@pytest.mark.rule("edge-9")
@tck(
    "topics-nbirth-seq-num",
    "topics-ddata-seq-num",
    "topics-dbirth-seq",
    "topics-ddeath-seq-num",
    "payloads-sequence-num-always-included",
    "payloads-sequence-num-incrementing",
    "payloads-dbirth-seq-inc",
    "payloads-ddata-seq-inc",
    "payloads-ddeath-seq-inc",
    "payloads-ndeath-seq",
)
def test_one_sequence_number_counts_everything_but_the_node_death(session: Session) -> None:
    expected = itertools.count()
    for said in session.said:
        if said.kind is MessageType.NDEATH:
            assert said.payload.seq is None
            continue
        if said.kind is MessageType.NBIRTH:
            expected = itertools.count()
        assert said.payload.seq == next(expected) % 256


@pytest.mark.rule("edge-5")
@tck(
    "payloads-timestamp-in-UTC",
    "payloads-nbirth-timestamp",
    "payloads-dbirth-timestamp",
    "payloads-ddata-timestamp",
    "payloads-ddeath-timestamp",
)
def test_payloads_carry_the_time_of_publishing_never_one_ahead(session: Session) -> None:
    for said in session.said:
        if session.protocol == "5" and said is session.said[-1]:
            continue  # the will, written when the node connected
        assert said.payload.timestamp_ms is not None
        assert 0 <= said.message.arrived_ms - said.payload.timestamp_ms < 5_000


@pytest.mark.rule("edge-5", "edge-16")
@tck(
    "payloads-name-birth-data-requirement",
    "payloads-metric-timestamp-in-UTC",
    "operational-behavior-data-publish-nbirth-order",
    "operational-behavior-data-publish-dbirth-order",
)
def test_metrics_carry_their_time_in_chronological_order(session: Session) -> None:
    for said in session.of(*BIRTHS, *DATA):
        times = [metric.timestamp_ms or 0 for metric in said.payload.metrics]
        assert min(times) > 0
        assert times == sorted(times)
        assert times[-1] <= said.message.arrived_ms


@pytest.mark.rule("edge-10", "edge-11")
@tck(
    "payloads-name-requirement",
    "payloads-metric-datatype-req",
    "payloads-alias-birth-requirement",
    "payloads-alias-uniqueness",
    "operational-behavior-data-commands-rebirth-name-aliases",
    "topics-nbirth-metrics",
    "topics-dbirth-metrics",
)
def test_births_define_every_metric_with_an_alias_of_its_own(session: Session) -> None:
    owners: dict[int, tuple[str | None, str]] = {}
    for said in session.of(*BIRTHS):
        for metric in said.payload.metrics:
            assert metric.name
            assert metric.datatype is not None
            assert (metric.alias is None) == (metric.name == REBIRTH)
            if metric.alias is not None:
                owner = (said.topic.device, metric.name)
                assert owners.setdefault(metric.alias, owner) == owner


@pytest.mark.rule("edge-10")
@tck(
    "payloads-alias-data-cmd-requirement",
    "payloads-metric-datatype-not-req",
    "topics-dbirth-metric-reqs",
    "operational-behavior-data-publish-dbirth",
)
def test_data_goes_by_the_alias_of_a_birth_alone(session: Session) -> None:
    born: dict[str | None, set[int | None]] = {}
    for said in session.of(*BIRTHS, *DATA):
        aliases = {metric.alias for metric in said.payload.metrics}
        if said.kind in BIRTHS:
            born[said.topic.device] = aliases
            continue
        assert aliases <= born[said.topic.device] - {None}
        assert all(metric.name is None for metric in said.payload.metrics)
        assert all(metric.datatype is None for metric in said.payload.metrics)


@pytest.mark.rule("edge-2")
@tck(
    "operational-behavior-data-commands-rebirth-action-1",
    "operational-behavior-data-commands-rebirth-action-2",
    "operational-behavior-data-commands-rebirth-action-3",
    "topics-nbirth-rebirth-metric",
)
def test_a_rebirth_is_all_births_without_data_between(session: Session) -> None:
    first, second = (i for i, s in enumerate(session.said) if s.kind is MessageType.NBIRTH)
    again = session.said[second : second + 1 + len(DEVICES)]
    numbers = [_metric(session.said[i], BD_SEQ).value for i in (first, second)]

    assert [said.kind for said in again[1:]] == [MessageType.DBIRTH] * len(DEVICES)
    assert {said.topic.device for said in again[1:]} == DEVICES
    assert numbers[0] == numbers[1] == 0
    assert _metric(again[0], REBIRTH).value is False


@pytest.mark.rule("edge-17")
@tck("operational-behavior-device-ddeath", "payloads-ddeath-seq-number")
def test_every_lost_device_is_declared_dead_once(session: Session) -> None:
    dead = [said.topic.device for said in session.of(MessageType.DDEATH)]

    assert sorted(filter(None, dead)) == sorted(DEVICES)


@pytest.mark.rule("edge-4")
@tck(
    "operational-behavior-edge-node-intentional-disconnect-ndeath",
    "operational-behavior-edge-node-intentional-disconnect-packet",
    "payloads-ndeath-will-message-publisher",
    "payloads-ndeath-will-message-publisher-disconnect-mqtt311",
    "payloads-ndeath-will-message-publisher-disconnect-mqtt50",
    "payloads-ndeath-bdseq",
    "topics-ndeath-payload",
)
def test_a_clean_end_is_a_death_and_a_disconnect(session: Session) -> None:
    deaths = session.of(MessageType.NDEATH)

    # A DISCONNECT of MQTT 3.1.1 discards the will; the one of MQTT 5 asks for it.
    assert len(deaths) == (1 if session.protocol == "3.1.1" else 2)
    assert session.said[-len(deaths) :] == deaths
    for death in deaths:
        (metric,) = death.payload.metrics
        assert (metric.name, metric.datatype, metric.value) == (BD_SEQ, DataType.INT64, 0)


def test_the_status_of_every_device_ends_offline(session: Session) -> None:
    last = {m.topic: m.payload for m in session.messages if m.topic.endswith("/_status")}

    assert len(last) == len(DEVICES)
    assert not any(json.loads(payload)["online"] for payload in last.values())


def _metric(said: Said, name: str) -> Metric:
    (found,) = (metric for metric in said.payload.metrics if metric.name == name)
    return found
