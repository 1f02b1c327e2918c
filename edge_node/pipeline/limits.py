"""Values outside a tag's range: left as they are, brought to the limit, or no values at all.

A broken wire reads as the end of a scale, not as an error; who knows the range can tell. Knows
numbers only; which tag they belong to is their column's business.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edge_node.drivers.base import OpcQuality, RawValue, Reason


@dataclass(frozen=True, slots=True)
class Limits:
    """One tag's range, in engineering units; a side without a limit is infinite.

    Attributes:
        clamp: whether the limit stands in for what is beyond it; else there is no value.
    """

    low: float
    high: float
    clamp: bool

    def apply(self, value: RawValue) -> RawValue:
        """Return what becomes of a value; a :class:`Reason` where it is none any more."""
        if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value):
            return value
        if self.low <= value <= self.high:
            return value
        limit = self.low if value < self.low else self.high
        if self.clamp:
            return type(value)(limit) if float(limit).is_integer() else limit
        side = "below low" if value < self.low else "above high"
        return Reason(f"{value!r} is {side}, {limit:g}", OpcQuality.SENSOR_FAILURE)


def limit_column(
    values: list[RawValue], bad: Mapping[int, str], limits: Sequence[tuple[int, Limits]]
) -> Mapping[int, str]:
    """Hold a column against its limits, in place.

    Args:
        values: one poll of a group, in engineering units.
        bad: index → why there is no value.
        limits: index and limits of the tags that have any.

    Returns:
        ``bad`` with what has become none.
    """
    found: dict[int, str] = {}
    for index, limit in limits:
        value = limit.apply(values[index])
        if isinstance(value, Reason):
            found[index] = value
            values[index] = None
        else:
            values[index] = value
    return {**bad, **found} if found else bad
