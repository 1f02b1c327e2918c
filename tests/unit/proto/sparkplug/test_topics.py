"""Topics ⇄ what they name."""

import pytest

from proto.sparkplug.errors import InvalidId, TopicError
from proto.sparkplug.topics import (
    MessageType,
    NodeId,
    Topic,
    check_id,
    command_filters,
    format_topic,
    parse_state_topic,
    parse_topic,
    state_topic,
)

NODE = NodeId("Plant 1", "Line/ä".replace("/", "-"))

TOPICS = [
    (f"spBv1.0/Plant 1/{kind}/Line-ä{'/Filler' if kind.is_device else ''}", kind)
    for kind in MessageType
]


@pytest.mark.tck(
    "topic-structure",
    "topic-structure-namespace-a",
    "topic-structure-namespace-device-id-associated-message-types",
    "topics-nbirth-topic",
    "topics-ndata-topic",
    "topics-ndeath-topic",
    "topics-ncmd-topic",
    "topics-dbirth-topic",
    "topics-ddata-topic",
    "topics-ddeath-topic",
    "topics-dcmd-topic",
)
@pytest.mark.parametrize(("topic", "kind"), TOPICS)
def test_topics_are_written_and_read(topic: str, kind: MessageType) -> None:
    device = "Filler" if kind.is_device else None

    assert format_topic(kind, NODE, device) == topic
    assert parse_topic(topic) == Topic(kind, NODE, device)
    assert str(parse_topic(topic)) == topic


@pytest.mark.tck(
    "topic-structure-namespace-device-id-non-associated-message-types",
    "topic-structure-namespace-device-id-associated-message-types",
)
@pytest.mark.parametrize("kind", MessageType)
def test_a_device_stands_exactly_where_it_belongs(kind: MessageType) -> None:
    device = None if kind.is_device else "Filler"

    with pytest.raises(InvalidId, match="device"):
        format_topic(kind, NODE, device)


@pytest.mark.tck(
    "intro-group-id-string",
    "intro-group-id-chars",
    "intro-edge-node-id-string",
    "intro-edge-node-id-chars",
    "intro-device-id-string",
    "intro-device-id-chars",
    "topic-structure-namespace-valid-group-id",
    "topic-structure-namespace-valid-edge-node-id",
    "topic-structure-namespace-valid-device-id",
)
@pytest.mark.parametrize("identifier", ["", "a/b", "a+", "#", "a\x00b", "\ud800"])
def test_ids_that_no_topic_can_carry_are_refused(identifier: str) -> None:
    for node, device in (
        (NodeId(identifier, "e"), "d"),
        (NodeId("g", identifier), "d"),
        (NodeId("g", "e"), identifier),
    ):
        with pytest.raises(InvalidId, match="expected UTF-8 text without"):
            format_topic(MessageType.DDATA, node, device)


@pytest.mark.tck("topic-structure-namespace-duplicate-device-id-across-edge-node")
def test_devices_of_two_nodes_may_have_one_id() -> None:
    one = format_topic(MessageType.DDATA, NodeId("g", "a"), "d")
    other = format_topic(MessageType.DDATA, NodeId("g", "b"), "d")

    assert one != other


def test_ids_keep_blanks_case_and_every_language() -> None:
    assert check_id("Łódź 第一", "group") == "Łódź 第一"


@pytest.mark.parametrize(
    "topic",
    [
        "",
        "spBv1.0",
        "spAv1.0/g/NDATA/e",
        "spBv1.0/g/NDATA",
        "spBv1.0/g/NDATA/e/d",
        "spBv1.0/g/DDATA/e",
        "spBv1.0/g/DDATA/e/d/x",
        "spBv1.0/g/DDATA/e/",
        "spBv1.0//NDATA/e",
        "spBv1.0/g/XDATA/e",
        "spBv1.0/g/ndata/e",
        "spBv1.0/g/NDATA/\x00",
        "spBv1.0/STATE/host",
    ],
)
def test_foreign_topics_are_refused(topic: str) -> None:
    with pytest.raises(TopicError, match="topic"):
        parse_topic(topic)


@pytest.mark.tck(
    "host-topic-phid-birth-topic",
    "host-topic-phid-death-topic",
    "operational-behavior-host-application-connect-birth-topic",
    "operational-behavior-host-application-death-topic",
)
def test_state_topics_are_written_and_read() -> None:
    assert state_topic("scada-1") == "spBv1.0/STATE/scada-1"
    assert parse_state_topic("spBv1.0/STATE/scada-1") == "scada-1"


@pytest.mark.parametrize("topic", ["spBv1.0/STATE/", "spBv1.0/STATE/a/b", "STATE/a", "x"])
def test_other_topics_are_no_state_topics(topic: str) -> None:
    assert parse_state_topic(topic) is None


def test_host_id_is_checked() -> None:
    with pytest.raises(InvalidId, match="host id"):
        state_topic("a/b")


def test_commands_of_a_node_are_two_filters() -> None:
    assert command_filters(NodeId("g", "e")) == ("spBv1.0/g/NCMD/e", "spBv1.0/g/DCMD/e/#")


def test_node_reads_as_its_descriptor() -> None:
    assert str(NodeId("g", "e")) == "g/e"
