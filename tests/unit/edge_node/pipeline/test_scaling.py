import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_node.drivers.base import RawValue
from edge_node.pipeline.scaling import Scaling, make_scaling, scale_column, scaled_datatype
from proto.sparkplug.datatypes import DataType


def made(scale: float, offset: float = 0.0) -> Scaling:
    scaling = make_scaling(scale, offset)
    assert scaling is not None
    return scaling


def test_identity_is_no_scaling() -> None:
    assert make_scaling(1.0, 0.0) is None


@pytest.mark.parametrize(
    ("scale", "offset", "raw", "value"),
    [
        (0.1, 0.0, 3, 0.3),
        (0.1, 0.0, 235, 23.5),
        (0.01, -40.0, 6000, 20.0),
        (10.0, 0.0, 7, 70.0),
        (1.0, 5.0, 7, 12.0),
        (-0.5, 1.0, 4, -1.0),
        (0.3, 0.0, 10, 3.0),
    ],
)
def test_engineering_values_are_as_people_write_them(
    scale: float, offset: float, raw: int, value: float
) -> None:
    assert made(scale, offset).apply(raw) == value


def test_a_tenth_never_shows_binary_noise() -> None:
    raws = range(-1000, 1000)
    assert [made(0.1).apply(raw) for raw in raws] == [float(f"{raw / 10:.1f}") for raw in raws]


@given(
    raw=st.integers(-(2**31), 2**32),
    scale=st.sampled_from([0.1, 0.01, 0.001, 0.25, 3.0, -2.5, 1 / 3, 1000.0]),
    offset=st.sampled_from([0.0, 100.0, -273.15]),
)
def test_writing_back_what_was_read_gives_the_same_raw_integer(
    raw: int, scale: float, offset: float
) -> None:
    scaling = make_scaling(scale, offset)
    assert scaling is not None
    assert scaling.invert(scaling.apply(raw), DataType.INT64) == raw


def test_raw_floats_are_not_rounded() -> None:
    assert made(2.0).invert(5.0, DataType.FLOAT) == 2.5


def test_an_infinite_value_has_no_raw_integer() -> None:
    with pytest.raises(OverflowError):
        made(2.0).invert(float("inf"), DataType.INT16)


def test_scaled_integers_are_doubles_and_scaled_floats_stay_floats() -> None:
    assert scaled_datatype(DataType.INT16, None) is DataType.INT16
    assert scaled_datatype(DataType.UINT32, made(0.1)) is DataType.DOUBLE
    assert scaled_datatype(DataType.FLOAT, made(0.1)) is DataType.FLOAT


def test_a_column_is_scaled_where_it_has_values() -> None:
    column: list[RawValue] = [10, None, "text", 10]
    scale_column(column, [(0, made(0.1)), (1, made(0.1)), (2, made(2.0))])
    assert column == [1.0, None, "text", 10]


def test_arrays_are_scaled_element_by_element() -> None:
    scaling = make_scaling(0.1, 1.0)
    assert scaling is not None
    column: list[RawValue] = [[10, 20, 30], [1]]
    scale_column(column, [(0, scaling)])
    assert column == [[2.0, 3.0, 4.0], [1]]
    assert scaled_datatype(DataType.INT16_ARRAY, scaling) is DataType.DOUBLE_ARRAY
    assert scaled_datatype(DataType.FLOAT_ARRAY, scaling) is DataType.FLOAT_ARRAY
