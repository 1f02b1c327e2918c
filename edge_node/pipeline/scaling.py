"""Raw value ⇄ engineering value: ``engineering = raw * scale + offset``.

Knows numbers only; which tag a number belongs to is its column's business.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from edge_node.drivers.base import RawValue
from proto.sparkplug.datatypes import ARRAY_ELEMENT, DataType

_INTEGER_TYPES: Final = frozenset(
    {
        DataType.INT8,
        DataType.INT16,
        DataType.INT32,
        DataType.INT64,
        DataType.UINT8,
        DataType.UINT16,
        DataType.UINT32,
        DataType.UINT64,
        DataType.INT8_ARRAY,
        DataType.INT16_ARRAY,
        DataType.INT32_ARRAY,
        DataType.INT64_ARRAY,
        DataType.UINT8_ARRAY,
        DataType.UINT16_ARRAY,
        DataType.UINT32_ARRAY,
        DataType.UINT64_ARRAY,
    }
)
_WHOLE_TOLERANCE: Final = 1e-9


@dataclass(frozen=True, slots=True)
class Scaling:
    """One tag's scaling, with the reciprocal where that is exact.

    A scale of 0.1 is a division by 10: 3 * 0.1 is 0.30000000000000004, 3 / 10 is 0.3.
    """

    factor: float
    divisor: float
    offset: float

    def apply(self, raw: float) -> float:
        """Return the engineering value of a raw one."""
        return raw * self.factor / self.divisor + self.offset

    def invert(self, value: float, datatype: DataType) -> int | float:
        """Return the raw value to write; whole where the raw type is an integer.

        Args:
            value: engineering value.
            datatype: of the raw value.

        Raises:
            OverflowError: an infinite value for an integer type.
            ValueError: NaN for an integer type.
        """
        raw = (value - self.offset) * self.divisor / self.factor
        return round(raw) if datatype in _INTEGER_TYPES else raw


def make_scaling(scale: float, offset: float) -> Scaling | None:
    """Return the scaling, ``None`` where engineering and raw value are the same.

    Args:
        scale: factor, not 0.
        offset: added after the factor.
    """
    if scale == 1.0 and offset == 0.0:
        return None
    reciprocal = 1.0 / scale
    if abs(scale) < 1 and math.isclose(
        reciprocal, round(reciprocal), rel_tol=_WHOLE_TOLERANCE, abs_tol=0.0
    ):
        return Scaling(1.0, float(round(reciprocal)), offset)
    return Scaling(scale, 1.0, offset)


def scaled_datatype(raw: DataType, scaling: Scaling | None) -> DataType:
    """Return the data type of the engineering value.

    A scaled Float stays one, since the device's precision is no better; scaled integers become
    Double, which holds every 32-bit integer times a factor.
    """
    if scaling is None or raw in {DataType.FLOAT, DataType.FLOAT_ARRAY}:
        return raw
    return DataType.DOUBLE_ARRAY if raw in ARRAY_ELEMENT else DataType.DOUBLE


def scale_column(values: list[RawValue], scalings: Sequence[tuple[int, Scaling]]) -> None:
    """Scale a column in place.

    Args:
        values: one poll of a group.
        scalings: index and scaling of the tags that have one.
    """
    for index, scaling in scalings:
        raw = values[index]
        if isinstance(raw, int | float):
            values[index] = raw * scaling.factor / scaling.divisor + scaling.offset
        elif isinstance(raw, list):
            values[index] = scale_value(raw, scaling)


def scale_value(raw: RawValue, scaling: Scaling) -> RawValue:
    """Return the engineering value of one raw value; arrays element by element."""
    if isinstance(raw, int | float):
        return scaling.apply(raw)
    if isinstance(raw, list):
        return [scaling.apply(item) for item in raw if isinstance(item, int | float)]
    return raw
