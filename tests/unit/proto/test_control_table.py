"""Tables as scripts write them."""

from typing import Any

import pytest

from proto.control.command import read_value
from proto.control.table import read_table
from proto.sparkplug.datatypes import DataType
from proto.sparkplug.metrics import DataSet, Metric, Template
from proto.uns.payload import to_json

D = DataType


def test_an_object_is_a_row_with_a_column_for_all_that_lies_in_it() -> None:
    deep: Any = {"x": 1.5, "deep": {"y": 2}}
    table = read_table({"name": "jam", "to": deep, "via": [1, 2], "on": True})
    assert table.columns == ("name", "to.x", "to.deep.y", "via[0]", "via[1]", "via[2]", "on")
    assert table.types == (D.STRING, D.DOUBLE, D.INT64, D.INT64, D.INT64, D.STRING, D.BOOLEAN)
    assert table.rows == (("jam", 1.5, 2, 1, 2, None, True),)


def test_a_list_of_objects_is_a_table() -> None:
    table = read_table([{"x": 1, "y": 2**63}, {"x": 2.5, "z": None}])
    assert table.columns == ("x", "y", "z")
    assert table.types == (D.DOUBLE, D.UINT64, D.STRING)
    assert table.rows == ((1, 2**63, None), (2.5, None, None))
    assert read_table([]) == DataSet((), (), ())


def test_what_the_mirror_shows_of_a_table_can_be_sent() -> None:
    shown = to_json(DataSet(("a.b", "c[0]"), (D.INT16, D.STRING), ((1, "x"), (2, "y"))))
    assert to_json(read_table(shown)) == shown


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (5, "found 5, expected an object with the fields, or a list of them"),
        ({}, "found an empty object"),
        ([[1]], r"found \[1\], expected an object"),
        ([{"x": 1}, {"x": "a"}], "x: found values of several kinds, expected one"),
        ([{"x": True}, {"x": 1}], "x: found values of several kinds"),
        ({"x": 2**64}, "x: found 18446744073709551616 to 18446744073709551616, more than 64 bits"),
        ([{"x": -1}, {"x": 2**63}], "more than 64 bits hold"),
    ],
)
def test_what_is_no_table_is_refused(value: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_table(value)


def test_an_object_is_an_instance_of_the_template_that_is_known() -> None:
    members = (Metric("x", D.DOUBLE), Metric("key", D.BYTES), Metric("via", D.INT32_ARRAY))
    definition = Metric("Point", D.TEMPLATE, Template(members, is_definition=True))
    told = read_value(D.TEMPLATE, {"key": "AP8=", "via": [1, 2]}, definition)
    key, via = Metric("key", D.BYTES, b"\0\xff"), Metric("via", D.INT32_ARRAY, [1, 2])
    assert told == Template((key, via), "Point")
    with pytest.raises(ValueError, match="found 'z', expected x, key, via"):
        read_value(D.TEMPLATE, {"z": 1}, definition)
    with pytest.raises(ValueError, match="found no object, expected one with x, key, via"):
        read_value(D.TEMPLATE, 5, definition)
    with pytest.raises(ValueError, match="an empty object"):
        read_value(D.TEMPLATE, {}, definition)
    with pytest.raises(ValueError, match="Sparkplug command only"):
        read_value(D.TEMPLATE, {"x": 1})
