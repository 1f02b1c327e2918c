"""A structure that is written is what the node held, with what was given new."""

from typing import Any

import pytest
from asyncua import ua
from asyncua.ua.ua_binary import struct_to_binary
from hypothesis import assume, given
from hypothesis import strategies as st

from edge_node.drivers.opcua.rewriting import read_given, rewrite
from edge_node.drivers.opcua.structures import Field, Layout, Layouts, make_dataset
from edge_node.drivers.opcua.wire import Opaque
from proto.sparkplug.datatypes import INTEGER_RANGE, DataType
from proto.sparkplug.metrics import DataSet

BOOL, INT16, INT32, DOUBLE, STRING, BYTES, TEXT = 1, 4, 6, 11, 12, 15, 21
POINT = Layout("Point", (Field("x", DOUBLE), Field("y", INT16)))
MOVE = Layout(
    "Move",
    (
        Field("name", STRING),
        Field("to", 22, nested=POINT),
        Field("via", DOUBLE, array=True),
        Field("stops", 22, array=True, nested=POINT),
    ),
)
NOTE = Layout("Note", (Field("text", STRING), Field("level", INT32, optional=True)))
CHOICE = Layout("Choice", (Field("number", INT32), Field("at", 22, nested=POINT)), union=True)


def write(layout: Layout, held: bytes | None, **columns: Any) -> bytes:
    return rewrite(layout, held, {name.replace("__", "."): v for name, v in columns.items()})


def read(layout: Layout, body: bytes) -> dict[str, Any]:
    layouts = Layouts()
    layouts.add("it", layout)
    table = make_dataset([layouts.flatten(Opaque("it", body))])
    return dict(zip(table.columns, table.rows[0], strict=True))


LEFT = rewrite(
    MOVE,
    None,
    {"name": "left", "to.x": 1.5, "to.y": 2, "via": [1.0, 2.0], "stops[0].x": 9, "stops[0].y": 8},
)


def test_what_was_not_given_stays() -> None:
    changed = read(MOVE, write(MOVE, LEFT, to__y=7))
    assert changed == {**read(MOVE, LEFT), "to.y": 7}
    assert rewrite(MOVE, LEFT, {}) == LEFT


def test_a_texts_locale_outlives_the_write_of_its_neighbour() -> None:
    layout = Layout("Sign", (Field("text", TEXT), Field("lit", BOOL)))
    text = struct_to_binary(ua.LocalizedText("Käse", "de"))
    assert write(layout, text + b"\0", lit=True) == text + b"\1"


def test_arrays_grow_shrink_and_end_where_null_was_given() -> None:
    def via(**columns: Any) -> list[Any]:
        told = read(MOVE, rewrite(MOVE, LEFT, {k.replace("_", "["): v for k, v in columns.items()}))
        return [value for name, value in told.items() if name.startswith("via")]

    assert via(**{"via_2]": 3.0}) == [1.0, 2.0, 3.0]
    assert via(**{"via_1]": None}) == [1.0]
    assert via(**{"via_0]": None, "via_1]": None}) == []
    assert via(via=[5.0]) == [5.0]
    assert via(via=[]) == []
    with pytest.raises(ValueError, match=r"via\[3\] fit no field, which are name, to, via, stops"):
        via(**{"via_3]": 1.0})
    stops = rewrite(MOVE, LEFT, {"stops[1].x": 3.0, "stops[1].y": 4})
    assert read(MOVE, stops)["stops[1].y"] == 4
    with pytest.raises(ValueError, match=r"field 'stops\[1\]\.y' is missing"):
        rewrite(MOVE, LEFT, {"stops[1].x": 3.0})


def test_an_optional_field_is_there_as_it_was_given() -> None:
    plain = write(NOTE, None, text="hot")
    assert read(NOTE, plain) == {"text": "hot", "level": None}
    loud = write(NOTE, plain, level=3)
    assert read(NOTE, loud) == {"text": "hot", "level": 3}
    assert read(NOTE, write(NOTE, loud, text="cold")) == {"text": "cold", "level": 3}
    assert write(NOTE, loud, level=None) == plain


def test_a_union_has_one_of_its_fields() -> None:
    number = write(CHOICE, None, number=5)
    assert read(CHOICE, number) == {"number": 5, "at.x": None, "at.y": None}
    at = write(CHOICE, number, at__x=1.0, at__y=2, number=None)
    assert read(CHOICE, at) == {"number": None, "at.x": 1.0, "at.y": 2}
    assert read(CHOICE, write(CHOICE, at, at__y=3))["at.y"] == 3
    nothing = write(CHOICE, at, at__x=None)
    assert read(CHOICE, nothing) == {"number": None, "at.x": None, "at.y": None}
    assert write(CHOICE, at) == at
    with pytest.raises(ValueError, match="found number, at, expected one of them"):
        write(CHOICE, at, number=1, at__x=2.0)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"to.y": 40_000}, "field 'to.y': found 40000, expected int16, -32768 to 32767"),
        ({"to.y": "high"}, "field 'to.y': found 'high', expected int16"),
        ({"name": None}, "field 'name': found None, expected string"),
        ({"speed": 1}, "speed fit no field, which are name, to, via, stops"),
        ({"name": ["a"]}, "name fit no field"),
        ({"via": 3.0}, "via fit no field"),
    ],
)
def test_what_does_not_fit_is_refused(columns: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        rewrite(MOVE, LEFT, columns)


def test_a_new_element_needs_all_its_fields() -> None:
    with pytest.raises(ValueError, match="field 'y' is missing, and the node holds none to keep"):
        write(POINT, None, x=1.0)


def test_bytes_are_given_as_they_are_shown() -> None:
    layout = Layout("Key", (Field("key", BYTES),))
    assert read(layout, write(layout, None, key="00ff")) == {"key": "00ff"}
    assert read(layout, write(layout, None, key=b"\1")) == {"key": "01"}
    assert read(layout, write(layout, None, key=None)) == {"key": None}
    with pytest.raises(ValueError, match="found 'zz', expected hexadecimal digits"):
        write(layout, None, key="zz")


def test_a_table_has_one_row_where_the_node_has_one_structure() -> None:
    table = DataSet(("x",), (DataType.DOUBLE,), ((1.0,), (2.0,)))
    assert read_given(table, array=True) == [{"x": 1.0}, {"x": 2.0}]
    with pytest.raises(ValueError, match="found 2 rows, expected one"):
        read_given(table, array=False)
    with pytest.raises(ValueError, match=r"found 5, expected a structure"):
        read_given(5, array=False)


VALUES = {
    BOOL: st.booleans(),
    INT16: st.integers(*INTEGER_RANGE[DataType.INT16]),
    INT32: st.integers(*INTEGER_RANGE[DataType.INT32]),
    DOUBLE: st.floats(allow_nan=False),
    STRING: st.text(),
    BYTES: st.binary().map(bytes.hex),
}


@st.composite
def layouts(draw: Any, depth: int = 2) -> Layout:
    """A layout whose columns are told apart by their names."""
    union = draw(st.booleans())
    fields = []
    for number in range(draw(st.integers(1, 4))):
        nested = draw(layouts(depth - 1)) if depth and draw(st.booleans()) else None
        code = 22 if nested else draw(st.sampled_from(sorted(VALUES)))
        array = draw(st.booleans())
        optional = not union and draw(st.booleans())
        fields.append(Field(f"f{number}", code, array, optional, nested))
    return Layout("Any", tuple(fields), union)


def fill(draw: Any, layout: Layout, prefix: str, given: dict[str, Any]) -> None:
    """Give every field a value, or one where only one may be."""
    fields = [draw(st.sampled_from(layout.fields))] if layout.union else layout.fields
    for field in fields:
        if field.optional and draw(st.booleans()):
            continue
        name = f"{prefix}{field.name}"
        names = [name]
        if field.array:
            names = [f"{name}[{index}]" for index in range(draw(st.integers(0, 3)))]
        for each in names:
            if field.nested is not None:
                fill(draw, field.nested, f"{each}.", given)
            else:
                given[each] = draw(VALUES[field.code])


@given(st.data())
def test_what_is_read_can_be_written_and_changes_nothing(data: st.DataObject) -> None:
    layout = data.draw(layouts())
    columns: dict[str, Any] = {}
    fill(data.draw, layout, "", columns)
    try:
        body = rewrite(layout, None, columns)
    except ValueError:
        assume(False)  # an element without a column of its own: nothing tells that it is there
    shown = read(layout, body)
    assert {name: value for name, value in shown.items() if value is not None} == columns
    assert rewrite(layout, body, shown) == body
    assert rewrite(layout, body, {}) == body
