"""What a test read shows people."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_node.drivers.base import RawValue
from edge_node.probe_text import LONGEST_SHOWN, format_bytes, format_value
from proto.sparkplug.datatypes import DataType
from proto.sparkplug.metrics import DataSet


@pytest.mark.parametrize(
    ("value", "datatype", "text"),
    [
        (319.9999694824219, DataType.FLOAT, "319.99997"),
        (0.10000000149011612, DataType.FLOAT, "0.1"),
        (0.1, DataType.DOUBLE, "0.1"),
        (float("nan"), DataType.FLOAT, "nan"),
        (1795711529000, DataType.DATETIME, "2026-11-26 16:45:29.000 UTC"),
        (-1, DataType.DATETIME, "1969-12-31 23:59:59.999 UTC"),
        (2**62, DataType.DATETIME, f"{2**62} ms"),
        (1795711529000, DataType.INT64, "1795711529000"),
        ([0.10000000149011612, 2.0], DataType.FLOAT_ARRAY, "[0.1, 2.0]"),
        ("Plum", DataType.STRING, "'Plum'"),
        (b"\x01\xff", DataType.BYTES, "01 ff"),
        (b"", DataType.BYTES, "no bytes"),
        (None, DataType.DATASET, "no value"),
        (
            DataSet(("Name", "Speed"), (DataType.STRING, DataType.DOUBLE), (("Plum", 1.5),)),
            DataType.DATASET,
            '[{"Name": "Plum", "Speed": 1.5}]',
        ),
    ],
)
def test_values_are_shown_as_people_write_them(
    value: RawValue, datatype: DataType, text: str
) -> None:
    assert format_value(value, datatype) == text


@given(st.floats(width=32, allow_nan=False))
def test_a_shown_float_is_still_the_same_with_32_bits(value: float) -> None:
    shown = float(format_value(value, DataType.FLOAT))
    assert struct.pack("f", shown) == struct.pack("f", value)


def test_a_long_frame_is_cut_and_says_how_long_it_is() -> None:
    whole = bytes(LONGEST_SHOWN)
    assert format_bytes(whole) == whole.hex(" ")
    assert format_bytes(whole + b"\x01") == f"{whole.hex(' ')} … {LONGEST_SHOWN + 1} bytes"
