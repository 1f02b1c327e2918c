"""The data types of Sparkplug B, by their numbers (specification 6.4.16), and what each can hold.

Knows nothing of payloads; ``values`` says whether a value fits.
"""

from enum import IntEnum
from typing import Final

from proto import sparkplug_b_pb2


class DataType(IntEnum):
    """The specification's data types. ``Unknown`` (0) is no type and is not listed."""

    INT8 = 1
    INT16 = 2
    INT32 = 3
    INT64 = 4
    UINT8 = 5
    UINT16 = 6
    UINT32 = 7
    UINT64 = 8
    FLOAT = 9
    DOUBLE = 10
    BOOLEAN = 11
    STRING = 12
    DATETIME = 13
    TEXT = 14
    UUID = 15
    DATASET = 16
    BYTES = 17
    FILE = 18
    TEMPLATE = 19
    PROPERTY_SET = 20
    PROPERTY_SET_LIST = 21
    INT8_ARRAY = 22
    INT16_ARRAY = 23
    INT32_ARRAY = 24
    INT64_ARRAY = 25
    UINT8_ARRAY = 26
    UINT16_ARRAY = 27
    UINT32_ARRAY = 28
    UINT64_ARRAY = 29
    FLOAT_ARRAY = 30
    DOUBLE_ARRAY = 31
    BOOLEAN_ARRAY = 32
    STRING_ARRAY = 33
    DATETIME_ARRAY = 34

    @property
    def label(self) -> str:
        """The name as the specification spells it: ``UInt16``, ``DataSet``, ``FloatArray``."""
        return LABELS[self]


_NUMBERS: Final = sparkplug_b_pb2.DataType.DESCRIPTOR.values_by_number

LABELS: Final[dict[DataType, str]] = {datatype: _NUMBERS[datatype].name for datatype in DataType}

BY_LABEL: Final[dict[str, DataType]] = {label: datatype for datatype, label in LABELS.items()}

INTEGER_RANGE: Final[dict[DataType, tuple[int, int]]] = {
    DataType.INT8: (-(2**7), 2**7 - 1),
    DataType.INT16: (-(2**15), 2**15 - 1),
    DataType.INT32: (-(2**31), 2**31 - 1),
    DataType.INT64: (-(2**63), 2**63 - 1),
    DataType.UINT8: (0, 2**8 - 1),
    DataType.UINT16: (0, 2**16 - 1),
    DataType.UINT32: (0, 2**32 - 1),
    DataType.UINT64: (0, 2**64 - 1),
    DataType.DATETIME: (0, 2**64 - 1),
}
"""Smallest and largest value, both inclusive. A DateTime is milliseconds since the epoch, UTC."""

ARRAY_ELEMENT: Final[dict[DataType, DataType]] = {
    DataType.INT8_ARRAY: DataType.INT8,
    DataType.INT16_ARRAY: DataType.INT16,
    DataType.INT32_ARRAY: DataType.INT32,
    DataType.INT64_ARRAY: DataType.INT64,
    DataType.UINT8_ARRAY: DataType.UINT8,
    DataType.UINT16_ARRAY: DataType.UINT16,
    DataType.UINT32_ARRAY: DataType.UINT32,
    DataType.UINT64_ARRAY: DataType.UINT64,
    DataType.FLOAT_ARRAY: DataType.FLOAT,
    DataType.DOUBLE_ARRAY: DataType.DOUBLE,
    DataType.BOOLEAN_ARRAY: DataType.BOOLEAN,
    DataType.STRING_ARRAY: DataType.STRING,
    DataType.DATETIME_ARRAY: DataType.DATETIME,
}

BASIC_TYPES: Final = frozenset(DataType(number) for number in range(1, 15))
"""Int8 … Text: what data set columns and template parameters may be (6.4.13, 6.4.15)."""

PROPERTY_TYPES: Final = BASIC_TYPES | {DataType.PROPERTY_SET, DataType.PROPERTY_SET_LIST}
"""What properties may be (6.4.9)."""

METRIC_TYPES: Final = frozenset(DataType) - {DataType.PROPERTY_SET, DataType.PROPERTY_SET_LIST}
"""What metrics may be."""
