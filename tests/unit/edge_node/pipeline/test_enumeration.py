import json
from typing import Any

import pytest
from pydantic import ValidationError

from edge_node.drivers.base import PollResult, TagInfo
from edge_node.metrics import define_metrics
from edge_node.pipeline.enumeration import Enumeration
from edge_node.pipeline.tags import DeviceTags, ValueRefused, find_misnamed
from proto.control.modbus import ModbusTag
from proto.sparkplug.datatypes import DataType
from proto.sparkplug.metrics import ENUMERATION_PROPERTY

STATES = {0: "stopped", 1: "running", 7: "fault"}


def tag(**changes: Any) -> ModbusTag:
    return ModbusTag.model_validate(
        {
            "name": "state",
            "address": "holding:0",
            "datatype": "uint16",
            "writable": True,
            "enumeration": STATES,
        }
        | changes
    )


def tags_of(document: ModbusTag, datatype: DataType = DataType.UINT16) -> DeviceTags:
    return DeviceTags([document], {"g": [TagInfo("state", datatype)]})


def test_names_and_numbers_find_each_other() -> None:
    states = Enumeration.of(STATES)
    assert [states.name(number) for number in (0, 1, 7, True)] == [
        "stopped",
        "running",
        "fault",
        "running",
    ]
    assert states.name(3) == "3"
    assert states.name(None) is None
    assert [states.number(value) for value in ("fault", 7, 7.0, True)] == [7, 7, 7, 1]


@pytest.mark.parametrize("value", ["Fault", 3, 0.5, None, "", [1], float("nan")])
def test_what_is_not_of_the_enumeration_is_refused_with_what_is(value: object) -> None:
    with pytest.raises(ValueError, match=r"expected 'stopped' \(0\), 'running' \(1\), 'fault'"):
        Enumeration.of(STATES).number(value)


def test_a_long_enumeration_is_not_told_in_full() -> None:
    with pytest.raises(ValueError, match=r"'n11' \(11\) and 88 more$"):
        Enumeration.of({i: f"n{i}" for i in range(100)}).number("x")


def test_a_number_stays_one_and_its_meaning_is_told_in_the_birth() -> None:
    tags = tags_of(tag())
    report = tags.groups["g"].process(PollResult(5, [7]))
    assert report is not None
    assert report.values == [7]
    metric = define_metrics(tags, None)[0]
    assert metric.datatype is DataType.UINT16
    assert metric.properties is not None
    told = metric.properties[ENUMERATION_PROPERTY].value
    assert isinstance(told, str)
    assert json.loads(told) == {"0": "stopped", "1": "running", "7": "fault"}


def test_a_name_is_published_in_the_place_of_its_number_where_that_is_wanted() -> None:
    tags = tags_of(tag(enumeration_as="text"))
    assert define_metrics(tags, None)[0].datatype is DataType.STRING
    group = tags.groups["g"]
    told = [group.process(PollResult(at, [value])) for at, value in enumerate([0, 0, 7, 9])]
    assert [report and report.values for report in told] == [["stopped"], None, ["fault"], ["9"]]
    bad = group.process(PollResult(9, [None], bad={0: "no answer"}))
    assert bad is not None
    assert (bad.values, bad.qualities) == (["9"], {0: 0})


@pytest.mark.parametrize("published_as", ["number", "text"])
def test_writes_take_names_and_numbers_and_nothing_else(published_as: str) -> None:
    spec = tags_of(tag(enumeration_as=published_as)).tags[0]
    assert spec.raw_value("running") == 1
    assert spec.raw_value(7) == 7
    with pytest.raises(ValueRefused, match="found 'idle', expected 'stopped'"):
        spec.raw_value("idle")
    with pytest.raises(ValueRefused, match="found 2, expected 'stopped'"):
        spec.raw_value(2)


def test_a_bit_has_names_too() -> None:
    doors = tag(
        address="holding:0.3",
        datatype="bool",
        enumeration={0: "closed", 1: "open"},
        enumeration_as="text",
    )
    report = tags_of(doors, DataType.BOOLEAN).groups["g"].process(PollResult(5, [True]))
    assert report is not None
    assert report.values == ["open"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scale": 0.1}, "enumeration does not go with scale"),
        ({"low": 0.0}, "enumeration does not go with scale, offset, deadband, low and high"),
        ({"deadband": 1}, "enumeration does not go with"),
        ({"enumeration": {0: "on", 1: "on"}}, "enumeration has 'on' more than once"),
        ({"enumeration": {}, "enumeration_as": "text"}, "expected an enumeration with it"),
        ({"enumeration": {"a": "on"}}, "enumeration.a"),
        ({"enumeration": {0: ""}}, "at least 1 character"),
    ],
)
def test_what_makes_no_sense_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        tag(**changes)


def test_only_whole_numbers_and_bits_have_names() -> None:
    document = tag(datatype="float32")
    groups = {"g": [TagInfo("state", DataType.FLOAT)]}
    assert find_misnamed([document], groups) == [
        "tag 'state': enumeration is of whole numbers and true or false, found a Float"
    ]
    assert find_misnamed([tag()], {"g": [TagInfo("state", DataType.UINT16)]}) == []
