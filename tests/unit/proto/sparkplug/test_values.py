"""What fits a data type and what does not."""

import math

import pytest

from proto.sparkplug.datatypes import (
    ARRAY_ELEMENT,
    BASIC_TYPES,
    BY_LABEL,
    INTEGER_RANGE,
    METRIC_TYPES,
    DataType,
)
from proto.sparkplug.errors import LocalError, ValueOutOfRange, WrongType
from proto.sparkplug.metrics import (
    DataSet,
    Metric,
    Property,
    Template,
    TemplateParameter,
    is_control,
    quality_property,
)
from proto.sparkplug.values import check_property, check_value


@pytest.mark.tck("payloads-metric-datatype-value", "payloads-metric-datatype-value-type")
def test_data_types_have_the_numbers_and_names_of_the_specification() -> None:
    assert [int(datatype) for datatype in DataType] == list(range(1, 35))
    assert BY_LABEL["Int8"] == 1
    assert BY_LABEL["UInt64"] == 8
    assert BY_LABEL["DateTime"] == 13
    assert BY_LABEL["UUID"] == 15
    assert BY_LABEL["PropertySetList"] == 21
    assert DataType.DATETIME_ARRAY.label == "DateTimeArray"


def test_properties_alone_are_no_metrics() -> None:
    assert DataType.PROPERTY_SET not in METRIC_TYPES
    assert len(BASIC_TYPES) == 14

    with pytest.raises(WrongType, match="is not for metrics"):
        check_value(DataType.PROPERTY_SET, {})


@pytest.mark.parametrize("datatype", INTEGER_RANGE)
def test_integers_are_held_to_their_range(datatype: DataType) -> None:
    low, high = INTEGER_RANGE[datatype]

    assert check_value(datatype, low) == low
    assert check_value(datatype, high) == high
    for beyond in (low - 1, high + 1):
        with pytest.raises(
            ValueOutOfRange, match=rf"speed: {beyond} does not fit {datatype.label}"
        ):
            check_value(datatype, beyond, "speed")


@pytest.mark.parametrize(
    ("datatype", "value", "expected"),
    [
        (DataType.INT32, True, "an integer"),
        (DataType.INT32, 1.0, "an integer"),
        (DataType.DOUBLE, True, "a number"),
        (DataType.DOUBLE, "1", "a number"),
        (DataType.BOOLEAN, 1, "true or false"),
        (DataType.STRING, b"x", "text"),
        (DataType.STRING, "\ud800", "no lone surrogates"),
        (DataType.UUID, "not a uuid", "32 hexadecimal digits"),
        (DataType.BYTES, "x", "bytes"),
        (DataType.INT8_ARRAY, 5, "a list"),
        (DataType.STRING_ARRAY, ["a\x00b"], "without NUL"),
        (DataType.DATASET, {}, "a DataSet"),
        (DataType.TEMPLATE, {}, "a Template"),
    ],
)
def test_another_kind_of_value_is_refused(datatype: DataType, value: object, expected: str) -> None:
    with pytest.raises(WrongType, match=expected):
        check_value(datatype, value)


@pytest.mark.parametrize("datatype", sorted(METRIC_TYPES))
def test_null_fits_every_data_type(datatype: DataType) -> None:
    assert check_value(datatype, None) is None


def test_integers_become_floats_where_floats_are_wanted() -> None:
    assert check_value(DataType.DOUBLE, 3) == 3.0
    assert isinstance(check_value(DataType.DOUBLE, 3), float)


def test_float_comes_back_as_the_wire_will_give_it() -> None:
    assert check_value(DataType.FLOAT, 0.1) == pytest.approx(0.1, rel=1e-7)
    assert check_value(DataType.FLOAT, 0.1) != 0.1


@pytest.mark.parametrize("value", [math.inf, -math.inf])
def test_infinities_are_floats(value: float) -> None:
    assert check_value(DataType.FLOAT, value) == value
    assert check_value(DataType.DOUBLE, value) == value


def test_nan_is_a_float() -> None:
    found = check_value(DataType.FLOAT, math.nan)

    assert isinstance(found, float)
    assert math.isnan(found)


@pytest.mark.parametrize(
    ("datatype", "value"), [(DataType.FLOAT, 1e39), (DataType.DOUBLE, 10**400)]
)
def test_numbers_beyond_a_float_are_refused(datatype: DataType, value: float) -> None:
    with pytest.raises(ValueOutOfRange, match="expected within"):
        check_value(datatype, value)


@pytest.mark.parametrize("datatype", ARRAY_ELEMENT)
def test_arrays_hold_what_their_element_holds(datatype: DataType) -> None:
    bad: object = object()

    assert check_value(datatype, ()) == []
    with pytest.raises(WrongType, match=r"value\[0\]"):
        check_value(datatype, [bad])


@pytest.mark.tck("payloads-dataset-types-num", "payloads-dataset-column-num-headers")
def test_data_set_has_as_many_types_as_columns() -> None:
    with pytest.raises(WrongType, match="2 columns and 1 types"):
        check_value(DataType.DATASET, DataSet(("a", "b"), (DataType.INT8,)))


@pytest.mark.tck("payloads-dataset-types-value", "payloads-dataset-types-type")
def test_data_set_columns_are_of_basic_types() -> None:
    with pytest.raises(WrongType, match="expected a basic type"):
        check_value(DataType.DATASET, DataSet(("a",), (DataType.BYTES,)))


def test_data_set_rows_are_as_wide_as_the_columns_and_of_their_types() -> None:
    with pytest.raises(WrongType, match="row 0: 2 elements, expected 1"):
        check_value(DataType.DATASET, DataSet(("a",), (DataType.INT8,), ((1, 2),)))
    with pytest.raises(ValueOutOfRange, match=r"value\[0\]\.a: 300"):
        check_value(DataType.DATASET, DataSet(("a",), (DataType.INT8,), ((300,),)))


@pytest.mark.tck("payloads-template-definition-ref", "payloads-template-ref-definition")
def test_template_definition_has_no_reference() -> None:
    with pytest.raises(WrongType, match="expected no reference"):
        check_value(DataType.TEMPLATE, Template(template_ref="Motor", is_definition=True))


@pytest.mark.tck("payloads-template-instance-ref", "payloads-template-ref-instance")
def test_template_instance_has_a_reference() -> None:
    with pytest.raises(WrongType, match="expected a definition's"):
        check_value(DataType.TEMPLATE, Template())


@pytest.mark.tck(
    "payloads-template-parameter-type-value",
    "payloads-template-parameter-type-req",
    "payloads-template-parameter-name-required",
)
@pytest.mark.parametrize(
    "parameter",
    [TemplateParameter("p", DataType.BYTES), TemplateParameter("", DataType.INT8, 1)],
)
def test_template_parameter_needs_a_name_and_a_basic_type(parameter: TemplateParameter) -> None:
    with pytest.raises(WrongType, match="expected a name and a basic type"):
        check_value(DataType.TEMPLATE, Template(is_definition=True, parameters=(parameter,)))


def test_template_members_have_name_and_type_and_fit() -> None:
    with pytest.raises(WrongType, match="needs a name and a data type"):
        check_value(DataType.TEMPLATE, Template((Metric("m"),), is_definition=True))
    with pytest.raises(ValueOutOfRange, match=r"pump\.m: 300"):
        check_value(
            DataType.TEMPLATE, Template((Metric("m", DataType.INT8, 300),), "Motor"), "pump"
        )


@pytest.mark.tck("payloads-metric-propertyvalue-type-value")
@pytest.mark.parametrize("datatype", [DataType.UUID, DataType.BYTES, DataType.INT8_ARRAY])
def test_properties_are_of_basic_types_or_property_sets(datatype: DataType) -> None:
    with pytest.raises(WrongType, match="expected a basic type or a property set"):
        check_property(datatype, None)


def test_property_sets_nest() -> None:
    nested = {"a": Property(DataType.PROPERTY_SET_LIST, [{"b": Property(DataType.INT8, 5)}])}

    assert check_property(DataType.PROPERTY_SET, nested) == nested


@pytest.mark.parametrize(
    ("datatype", "value"),
    [
        (DataType.PROPERTY_SET, 5),
        (DataType.PROPERTY_SET, {"a": 5}),
        (DataType.PROPERTY_SET_LIST, {}),
        (DataType.PROPERTY_SET_LIST, ["a"]),
        (DataType.PROPERTY_SET, {"a": Property(DataType.INT8, 300)}),
    ],
)
def test_what_is_no_property_set_is_refused(datatype: DataType, value: object) -> None:
    with pytest.raises(LocalError):
        check_property(datatype, value)


@pytest.mark.tck("payloads-propertyset-quality-value-type")
def test_quality_is_an_int32_property() -> None:
    assert quality_property(192) == Property(DataType.INT32, 192)


@pytest.mark.parametrize(
    ("name", "control"),
    [
        ("bdSeq", True),
        ("Node Control/Rebirth", True),
        ("Device Control/Reboot", True),
        ("Node Controller/x", False),
        ("speed", False),
    ],
)
def test_control_metrics_are_told_apart(name: str, control: bool) -> None:
    assert is_control(name) is control


def test_long_values_are_shortened_in_messages() -> None:
    with pytest.raises(WrongType) as caught:
        check_value(DataType.INT8, "x" * 1000)

    assert len(str(caught.value)) < 150
