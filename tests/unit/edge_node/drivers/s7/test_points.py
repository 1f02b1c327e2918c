from typing import Any

import pytest

from edge_node.drivers.base import ConfigError
from edge_node.drivers.s7.points import Point, compile_points
from proto.control.s7 import S7Device
from proto.sparkplug.datatypes import DataType


def compiled(*tags: dict[str, Any]) -> list[Point]:
    document = S7Device.model_validate(
        {"name": "Mixer", "driver": "s7", "connection": {"host": "h"}, "tags": tags}
    )
    return compile_points(document)["default"]


@pytest.mark.parametrize(
    ("tag", "address", "datatype", "size"),
    [
        ({"address": "DB1,REAL100"}, "DB1.DBD100", DataType.FLOAT, 4),
        ({"address": "DB1.DBD100", "datatype": "real"}, "DB1.DBD100", DataType.FLOAT, 4),
        ({"address": "DB1.DBX5.2"}, "DB1.DBX5.2", DataType.BOOLEAN, 1),
        ({"address": "DB1.DBX8.0", "datatype": "lreal"}, "DB1.DBB8", DataType.DOUBLE, 8),
        ({"address": "DB1.DBB8", "datatype": "string"}, "DB1.DBB8", DataType.STRING, 256),
        ({"address": "DB1.S8.10"}, "DB1.DBB8", DataType.STRING, 12),
        ({"address": "DB1.DBB8", "datatype": "wstring", "length": 5}, "DB1.DBB8", None, 14),
        ({"address": "T5"}, "T5", DataType.INT32, 2),
        ({"address": "DB1.DBD8:REAL[10]"}, "DB1.DBD8", DataType.FLOAT_ARRAY, 40),
        (
            {"address": "DB1.DBW8", "datatype": "int", "count": 3},
            "DB1.DBW8",
            DataType.INT16_ARRAY,
            6,
        ),
        ({"address": "DB1.DBX8.6[4]"}, "DB1.DBX8.6", DataType.BOOLEAN_ARRAY, 2),
        ({"address": "DB1.S8.3[4]"}, "DB1.DBB8", DataType.STRING_ARRAY, 23),
        (
            {"address": "DB1.DBB8", "datatype": "dt", "count": 2},
            "DB1.DBB8",
            DataType.DATETIME_ARRAY,
            16,
        ),
        ({"address": "T5", "count": 4}, "T5", DataType.INT32_ARRAY, 8),
        ({"address": "DB1.DBB8", "datatype": "dtl"}, "DB1.DBB8", DataType.DATETIME, 12),
    ],
)
def test_a_tag_becomes_a_point(
    tag: dict[str, Any], address: str, datatype: DataType | None, size: int
) -> None:
    (point,) = compiled({"name": "t", **tag})
    assert (str(point.address), point.size) == (address, size)
    assert datatype is None or point.info.datatype is datatype


@pytest.mark.parametrize(
    ("tag", "mistake"),
    [
        ({"address": "DB1.DBD0"}, "datatype is missing and address 'DB1.DBD0' does not tell it"),
        ({"address": "DB1.DBD0", "datatype": "int"}, "'int' takes 2 bytes, DB1.DBD0 has 4"),
        ({"address": "DB1.DBD0:REAL", "datatype": "dint"}, "says 'real'"),
        (
            {"address": "DB1.DBD0", "datatype": "bool"},
            "names no bit, expected for example DB1.DBX0.0",
        ),
        ({"address": "DB1.DBX0.3", "datatype": "int"}, "expected bool for a bit"),
        ({"address": "T5", "datatype": "int"}, "expected 's5time'"),
        ({"address": "T5", "writable": True}, "writable at T5, expected a data block, M or Q"),
        ({"address": "IW0", "datatype": "int", "writable": True}, "writable at IW0"),
        ({"address": "MB65535", "datatype": "lreal"}, "ends above byte 65535"),
        ({"address": "DB1.DBB0:STRING(300)"}, "length is 300, expected at most 254"),
        ({"address": "DB1.DBX0.0", "scale": 2}, "do not apply to datatype 'bool'"),
        ({"address": "MW0:INT[3]", "count": 4}, "count is 4, address 'MW0:INT[3]' says 3"),
        ({"address": "MD0:REAL[2]", "deadband": 1}, "deadband does not apply to arrays"),
        ({"address": "MB65530:REAL[2]"}, "array of 2 real at MD65530 ends above byte 65535"),
        ({"address": "DB1.S0.10", "length": 12}, "length is 12, address 'DB1.S0.10' says 10"),
        ({"address": "DB1.DBX0.0", "length": 2}, "length is 2 for bool"),
    ],
)
def test_a_mistake_is_told_with_its_tag(tag: dict[str, Any], mistake: str) -> None:
    with pytest.raises(ConfigError) as caught:
        compiled({"name": "t", **tag})
    assert caught.value.mistakes[0].startswith("Mixer tag 't': ")
    assert mistake in str(caught.value)


def test_every_mistake_is_told_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        compiled({"name": "a", "address": "x"}, {"name": "b", "address": "y"})
    assert len(caught.value.mistakes) == 2
