import json
from math import inf, isfinite, nan
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proto.sparkplug.datatypes import DataType
from proto.sparkplug.metrics import DataSet, Metric, Template, Value
from proto.uns.payload import (
    TagDescription,
    encode_meta,
    encode_status,
    encode_unit,
    encode_value,
)


def read(value: Value, quality: int = 192, unit: str | None = "bar") -> dict[str, Any]:
    document: dict[str, Any] = json.loads(encode_value(1_700, value, quality, encode_unit(unit)))
    return document


def test_a_value_has_exactly_the_four_keys_in_a_readable_order() -> None:
    assert (
        encode_value(1_700, 2.5, 192, encode_unit("°C"))
        == '{"timestamp_ms": 1700, "value": 2.5, "quality": 192, "unit": "°C"}'.encode()
    )
    assert read(1, unit=None)["unit"] is None


@pytest.mark.parametrize(
    "value", [0, -1, 2**64 - 1, -(2**63), 0.1, 1e300, True, False, None, "", 'say "é"\n', [1, 2]]
)
def test_values_are_json_of_their_own_kind_and_exact(value: Value) -> None:
    found = read(value)["value"]
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize("value", [nan, inf, -inf])
def test_numbers_that_json_does_not_have_are_null_and_bad(value: float) -> None:
    assert (read(value)["value"], read(value)["quality"]) == (None, 0)


def test_bytes_data_sets_and_templates_have_plain_forms() -> None:
    assert read(b"\x00\xff")["value"] == "AP8="
    table = DataSet(("a", "b"), (DataType.INT8, DataType.DOUBLE), ((1, nan), (2, 0.5)))
    assert read(table)["value"] == [{"a": 1, "b": None}, {"a": 2, "b": 0.5}]
    inner = Template((Metric("x", DataType.INT8, 1),), "inner")
    outer = Template((Metric("i", DataType.TEMPLATE, inner), Metric("s", value="t")), "outer")
    assert read(outer)["value"] == {"i": {"x": 1}, "s": "t"}


@given(st.one_of(st.integers(-(2**63), 2**64 - 1), st.floats(), st.text(), st.booleans()))
def test_every_value_reads_back(value: float | str) -> None:
    found = read(value)["value"]
    if isinstance(value, float) and not isfinite(value):
        assert found is None
    else:
        assert found == value


def test_meta_says_what_each_tag_is_and_where_it_is_in_sparkplug() -> None:
    tags = [TagDescription("temp", DataType.FLOAT, "degC", "In the tank", 0, 100, True)]
    assert json.loads(encode_meta("plant", "line-1", "filler", tags)) == {
        "sparkplug": {"group": "plant", "edge": "line-1", "device": "filler"},
        "tags": {
            "temp": {
                "datatype": "Float",
                "unit": "degC",
                "description": "In the tank",
                "low": 0,
                "high": 100,
                "writable": True,
                "metric": "temp",
            }
        },
    }


def test_status_says_since_when_and_why() -> None:
    assert json.loads(encode_status(online=False, since_ms=5, reason="timeout")) == {
        "online": False,
        "since_ms": 5,
        "reason": "timeout",
    }
    assert json.loads(encode_status(online=True, since_ms=6))["reason"] is None
