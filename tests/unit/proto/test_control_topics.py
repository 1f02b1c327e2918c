"""The suite's own topics, there and back."""

import pytest

from proto.control.topics import (
    command_result_topic,
    command_topic,
    configuration_topic,
    parse_command_topic,
    parse_configuration_topic,
    parse_result_topic,
)
from proto.sparkplug.topics import NodeId

NODE = NodeId("plant", "line-1")


@pytest.mark.parametrize("prefix", ["$nexus", "nexus", "site/nexus"])
@pytest.mark.parametrize("tag", ["speed", "doors/left/open", "result/x", "résultat"])
def test_commands_and_results_come_back_as_what_they_were(prefix: str, tag: str) -> None:
    topic = command_topic(prefix, NODE, "press", tag)
    assert parse_command_topic(topic, prefix, NODE) == ("press", tag)
    assert parse_result_topic(topic, prefix) is None
    result = command_result_topic(prefix, NODE, "press", tag)
    assert parse_command_topic(result, prefix, NODE) is None
    assert parse_result_topic(result, prefix) == (NODE, "press", tag)


@pytest.mark.parametrize(
    "topic",
    [
        "$nexus/cmd/plant/line-1/press",
        "$nexus/cmd/plant/line-1/press/result",
        "$nexus/cmd/plant/line-1//x",
        "$nexus/cmd/plant/line-1/press/",
        "$nexus/cmd/plant/line-2/press/x",
        "$nexus/status/plant/line-1",
        "other/cmd/plant/line-1/press/x",
    ],
)
def test_what_is_no_command_for_this_node_is_none(topic: str) -> None:
    assert parse_command_topic(topic, "$nexus", NODE) is None
    assert parse_result_topic(topic, "$nexus") is None


def test_a_device_is_configured_on_a_topic_of_its_own() -> None:
    topic = configuration_topic("$nexus", NODE, "press")
    assert parse_configuration_topic(topic, "$nexus", NODE) == "press"
    for other in ("$nexus/config/devices/plant/line-1/a/b", "$nexus/config/devices/plant/line-2/a"):
        assert parse_configuration_topic(other, "$nexus", NODE) is None
