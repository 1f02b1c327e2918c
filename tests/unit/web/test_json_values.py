import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proto.sparkplug.datatypes import DataType
from proto.sparkplug.metrics import DataSet, Metric, Template, Value
from web.json_values import ValueNotUnderstood, value_from_json, value_to_json


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (None, None),
        (True, True),
        (7, 7),
        (2**53, 2**53),
        (2**53 + 1, "9007199254740993"),
        (-(2**63), "-9223372036854775808"),
        (1.5, 1.5),
        (math.nan, "NaN"),
        (math.inf, "Infinity"),
        (-math.inf, "-Infinity"),
        ("text", "text"),
        (b"\x00\xff", "AP8="),
        ([1, 2**60], [1, "1152921504606846976"]),
        ([math.nan], ["NaN"]),
        (
            DataSet(("a", "b"), (DataType.INT8, DataType.STRING), ((1, "x"), (None, "y"))),
            [{"a": 1, "b": "x"}, {"a": None, "b": "y"}],
        ),
        (
            Template((Metric("x", DataType.DOUBLE, math.inf),), template_ref="t"),
            {"x": "Infinity"},
        ),
    ],
)
def test_value_becomes_json_that_loses_nothing(value: Value, told: Any) -> None:
    assert value_to_json(value) == told
    json.dumps(value_to_json(value), allow_nan=False)


@given(st.integers(-(2**63), 2**64 - 1))
def test_integers_survive_the_way_to_a_browser_and_back(value: int) -> None:
    told = json.loads(json.dumps(value_to_json(value)))
    assert not isinstance(told, int) or float(told) == told, "JavaScript would round it"
    assert value_from_json(DataType.INT64, told) == value


@given(st.floats())
def test_floats_survive_the_way_to_a_browser_and_back(value: float) -> None:
    told = json.loads(json.dumps(value_to_json(value), allow_nan=False))
    back = value_from_json(DataType.DOUBLE, told)
    assert back == value or (math.isnan(value) and isinstance(back, float) and math.isnan(back))


@given(st.binary(max_size=50))
def test_bytes_survive_the_way_to_a_browser_and_back(value: bytes) -> None:
    assert value_from_json(DataType.BYTES, value_to_json(value)) == value


@pytest.mark.parametrize(
    ("datatype", "told", "value"),
    [
        (DataType.INT32, 5.0, 5),
        (DataType.INT32, 5.5, 5.5),
        (DataType.INT32, "12", 12),
        (DataType.STRING, "12", "12"),
        (DataType.UINT64_ARRAY, ["18446744073709551615", 1], [2**64 - 1, 1]),
        (DataType.BOOLEAN, False, False),
        (DataType.DOUBLE, None, None),
    ],
)
def test_json_becomes_what_the_client_meant(datatype: DataType, told: Any, value: Value) -> None:
    assert value_from_json(datatype, told) == value


@pytest.mark.parametrize(
    ("datatype", "told", "message"),
    [
        (DataType.INT32, "1e3", "expected digits"),
        (DataType.INT32, "", "expected digits"),
        (DataType.INT64, "9" * 5000, "expected digits"),
        (DataType.INT64, "\u0661", "expected digits"),
        (DataType.DOUBLE, "1.5", "expected a number"),
        (DataType.BYTES, "*", "no base64"),
        (DataType.BYTES, 5, "no base64"),
        (DataType.DOUBLE, {}, "expected a Double"),
        (DataType.DOUBLE_ARRAY, 1.0, "expected a list"),
        (DataType.DATASET, [], "cannot be written"),
        (DataType.TEMPLATE, {}, "cannot be written"),
    ],
)
def test_json_that_means_nothing_is_refused_with_what_was_expected(
    datatype: DataType, told: Any, message: str
) -> None:
    with pytest.raises(ValueNotUnderstood, match=message):
        value_from_json(datatype, told)
