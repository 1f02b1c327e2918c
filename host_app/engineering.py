"""What a birth told of the values that may be written: an engineering range, names of numbers."""

import json
from collections.abc import Mapping
from typing import Final

from proto.sparkplug.datatypes import DataType
from proto.sparkplug.metrics import ENUMERATION_PROPERTY, HIGH_PROPERTY, LOW_PROPERTY
from proto.sparkplug.node_view import MetricView

_SHOWN: Final = 12


def find_range_fault(metric: MetricView, value: object) -> str | None:
    """Say why a value may not be written, None when it may.

    A birth without limits, or with limits that make no range, limits nothing. Of an array each
    element must lie within.
    """
    low, high = _limit(metric, LOW_PROPERTY), _limit(metric, HIGH_PROPERTY)
    if low is not None and high is not None and low >= high:
        return None
    if not isinstance(value, list | tuple):
        return _find_fault(value, low, high)
    faults = ((index, _find_fault(element, low, high)) for index, element in enumerate(value))
    return next((f"element {index}: {fault}" for index, fault in faults if fault), None)


def _find_fault(value: object, low: float | None, high: float | None) -> str | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if value != value:  # noqa: PLR0124  # NaN
        return "value is NaN, expected a number" if low is not None or high is not None else None
    if low is not None and value < low:
        return f"value {value} is below the engineering range, expected at least {low:g}"
    if high is not None and value > high:
        return f"value {value} is above the engineering range, expected at most {high:g}"
    return None


def _limit(metric: MetricView, name: str) -> float | None:
    told = metric.properties.get(name)
    if told is None or isinstance(told.value, bool) or not isinstance(told.value, int | float):
        return None
    return told.value


def read_enumeration(metric: MetricView) -> Mapping[int, str] | None:
    """Return number → name as the birth told it; None where it told none that can be read."""
    told = metric.properties.get(ENUMERATION_PROPERTY)
    if told is None or not isinstance(told.value, str):
        return None
    try:
        names = json.loads(told.value)
        if not isinstance(names, dict) or not all(isinstance(n, str) for n in names.values()):
            return None
        return {int(number): name for number, name in names.items()} or None
    except ValueError:
        return None


def choose(metric: MetricView, value: object) -> object:
    """Return what is sent for a value: for a name its number, where the metric is a number.

    Raises:
        ValueError: the metric has an enumeration, and the value is not in it.
    """
    names = read_enumeration(metric)
    if names is None:
        return value
    if metric.datatype in {DataType.STRING, DataType.TEXT}:
        if value in names.values():
            return value
    else:
        is_flag = metric.datatype is DataType.BOOLEAN
        for number, name in names.items():
            if value == name or (value == number and isinstance(value, bool) == is_flag):
                return bool(number) if is_flag else number
    known = [f"{number} ({name})" for number, name in names.items()]
    more = f" and {len(known) - _SHOWN} more" if len(known) > _SHOWN else ""
    raise ValueError(f"found {value!r}, expected {', '.join(known[:_SHOWN])}{more}")
