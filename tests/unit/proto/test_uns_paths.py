import pytest

from proto.uns.paths import (
    check_topic,
    format_device_path,
    format_meta_topic,
    format_status_topic,
    format_tag_topic,
)


def test_topics_read_like_the_plant() -> None:
    path = format_device_path("uns", ("acme", "bottling", "line-1"), "filler")
    assert path == "uns/acme/bottling/line-1/filler"
    assert format_tag_topic(path, "tank/temperature") == f"{path}/tank/temperature"
    assert format_meta_topic(path) == f"{path}/_meta"
    assert format_status_topic(path) == f"{path}/_status"


def test_a_device_path_may_have_levels_of_its_own() -> None:
    assert format_device_path("uns", (), "cell-3/press") == "uns/cell-3/press"


@pytest.mark.parametrize("name", ["_meta", "_status"])
def test_a_tag_cannot_hide_the_namespaces_own_topics(name: str) -> None:
    with pytest.raises(ValueError, match="name of the namespace itself"):
        format_tag_topic("uns/press", name)
    assert format_tag_topic("uns/press", f"folder/{name}")


@pytest.mark.parametrize(
    ("topic", "message"),
    [
        ("$SYS/a", "begins with '\\$'"),
        ("a//b", "empty level"),
        ("/a", "empty level"),
        ("a/", "empty level"),
        ("a/+", "level '\\+' has '\\+'"),
        ("a/b#c", "level 'b#c' has '#'"),
        ("a/\x00", "has '\\\\x00'"),
        ("a/" + "ü" * 40_000, "80002 bytes is above 65535"),
    ],
)
def test_what_cannot_be_a_topic_is_refused_with_the_reason(topic: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_topic(topic)
