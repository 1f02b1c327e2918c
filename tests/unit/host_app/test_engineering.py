from typing import Any

import pytest

from host_app.engineering import choose, find_range_fault, read_enumeration
from proto.sparkplug.datatypes import DataType
from proto.sparkplug.metrics import Property
from proto.sparkplug.node_view import MetricView


@pytest.mark.parametrize(
    ("limits", "value", "fault"),
    [
        ({}, 1e9, None),
        ({"engLow": 0.0, "engHigh": 90.0}, 0, None),
        ({"engLow": 0.0, "engHigh": 90.0}, 90.0, None),
        ({"engLow": 0.0, "engHigh": 90.0}, 90.5, "expected at most 90"),
        ({"engLow": 0.0, "engHigh": 90.0}, -1, "expected at least 0"),
        ({"engLow": 0.0, "engHigh": 90.0}, float("nan"), "value is NaN"),
        ({"engLow": 0.0, "engHigh": 90.0}, [0, 90.0], None),
        ({"engLow": 0.0, "engHigh": 90.0}, [0, 90, 91], "element 2: value 91 is above"),
        ({"engLow": 0.0, "engHigh": 90.0}, (float("nan"),), "element 0: value is NaN"),
        ({}, [1e9], None),
        ({"engLow": 0.0, "engHigh": 90.0}, True, None),
        ({"engLow": 0.0, "engHigh": 90.0}, "text", None),
        ({"engLow": 0.0, "engHigh": 0.0}, 5, None),
        ({"engHigh": 90.0}, -1e9, None),
        ({"engHigh": 90.0}, 91, "expected at most 90"),
        ({"engHigh": None}, 91, None),
        ({"engHigh": "90"}, 91, None),
        ({}, float("nan"), None),
    ],
)
def test_value_outside_the_births_range_is_a_fault(
    limits: dict[str, Any], value: object, fault: str | None
) -> None:
    metric = MetricView("setpoint", DataType.DOUBLE)
    metric.properties = {name: Property(DataType.DOUBLE, v) for name, v in limits.items()}
    found = find_range_fault(metric, value)
    assert found is None if fault is None else found is not None and fault in found


NAMES = '{"0": "stopped", "1": "running", "7": "fault"}'


def _state(datatype: DataType, told: object = NAMES) -> MetricView:
    metric = MetricView("state", datatype)
    metric.properties = {"Enumeration": Property(DataType.STRING, told)}  # type: ignore[arg-type]
    return metric


@pytest.mark.parametrize(
    ("datatype", "value", "sent"),
    [
        (DataType.UINT16, 7, 7),
        (DataType.UINT16, "fault", 7),
        (DataType.INT64, "stopped", 0),
        (DataType.STRING, "running", "running"),
        (DataType.BOOLEAN, True, True),
        (DataType.BOOLEAN, "stopped", False),
    ],
)
def test_value_of_an_enumeration_is_sent_as_the_metrics_type(
    datatype: DataType, value: object, sent: object
) -> None:
    found = choose(_state(datatype), value)
    assert found == sent
    assert type(found) is type(sent)


@pytest.mark.parametrize(
    ("datatype", "value"),
    [
        (DataType.UINT16, 3),
        (DataType.UINT16, "broken"),
        (DataType.UINT16, True),
        (DataType.UINT16, "7"),
        (DataType.STRING, 7),
        (DataType.STRING, "7"),
        (DataType.BOOLEAN, 1),
        (DataType.UINT16, None),
    ],
)
def test_value_outside_the_births_enumeration_is_refused_with_the_choices(
    datatype: DataType, value: object
) -> None:
    with pytest.raises(ValueError, match=r"expected 0 \(stopped\), 1 \(running\), 7 \(fault\)"):
        choose(_state(datatype), value)


@pytest.mark.parametrize("told", ["", "[]", "{}", "no json", '{"a": "b"}', '{"0": 1}', 5, None])
def test_enumeration_that_cannot_be_read_limits_nothing(told: object) -> None:
    metric = _state(DataType.UINT16, told)
    assert read_enumeration(metric) is None
    assert choose(metric, 99) == 99
