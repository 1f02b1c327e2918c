"""Whether a value to be written is in the engineering range that the birth told."""

from proto.sparkplug.metrics import HIGH_PROPERTY, LOW_PROPERTY
from proto.sparkplug.node_view import MetricView


def find_range_fault(metric: MetricView, value: object) -> str | None:
    """Say why a value may not be written, None when it may.

    A birth without limits, or with limits that make no range, limits nothing.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    low, high = _limit(metric, LOW_PROPERTY), _limit(metric, HIGH_PROPERTY)
    if low is not None and high is not None and low >= high:
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
