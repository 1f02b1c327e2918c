from typing import Any

import pytest

from host_app.engineering import find_range_fault
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
