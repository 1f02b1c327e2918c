import math
from typing import Any

import pytest

from edge_node.writes import MAX_WAITING, WriteEnd, WriteOrder, WriteQueue, agree
from proto.sparkplug.datatypes import DataType
from proto.sparkplug.metrics import DataSet, Metric, Template


@pytest.mark.parametrize(
    ("datatype", "written", "found", "same"),
    [
        (DataType.FLOAT, 0.1, 0.10000000149011612, True),
        (DataType.FLOAT, 0.1, 0.1000001, False),
        (DataType.FLOAT, 1e300, math.inf, True),
        (DataType.DOUBLE, 0.1, 0.1, True),
        (DataType.DOUBLE, 0.1, 0.10000000149011612, False),
        (DataType.DOUBLE, math.nan, math.nan, True),
        (DataType.FLOAT, 1.0, math.nan, False),
        (DataType.FLOAT, 5, 5.0, True),
        (DataType.INT16, 5, 5, True),
        (DataType.INT16, 5, 6, False),
        (DataType.INT16, 5, None, False),
        (DataType.BOOLEAN, True, True, True),
        (DataType.BOOLEAN, True, 1, False),
        (DataType.STRING, "on", "on", True),
        (DataType.STRING, "on", "on ", False),
        (DataType.BYTES, b"\0", b"\0", True),
        (DataType.FLOAT_ARRAY, [0.1, 2], [0.10000000149011612, 2.0], True),
        (DataType.INT16_ARRAY, [1, 2], [1], False),
        (DataType.INT16_ARRAY, [1, 2], 1, False),
    ],
)
def test_what_a_device_gives_back_is_compared_as_exactly_as_its_type_can(
    datatype: DataType, written: Any, found: Any, same: bool
) -> None:
    assert agree(datatype, written, found) is same


HELD = DataSet(("x", "y"), (DataType.FLOAT, DataType.INT16), ((0.10000000149011612, 2),))


@pytest.mark.parametrize(
    ("written", "same"),
    [
        (DataSet(("y",), (DataType.INT64,), ((2,),)), True),
        (DataSet(("x",), (DataType.DOUBLE,), ((0.1,),)), True),
        (DataSet(("x",), (DataType.DOUBLE,), ((0.2,),)), False),
        (DataSet(("y", "z[1]"), (DataType.INT64, DataType.STRING), ((2, None),)), True),
        (DataSet(("z",), (DataType.INT64,), ((2,),)), False),
        (DataSet(("y",), (DataType.INT64,), ((2,), (3,))), False),
        (2, False),
    ],
)
def test_a_table_has_what_was_written_of_it(written: Any, same: bool) -> None:
    assert agree(DataType.DATASET, written, HELD) is same


def test_an_instance_has_the_members_that_were_written() -> None:
    held = Template((Metric("x", DataType.FLOAT, 0.5), Metric("y", DataType.INT16, 2)), "Point")
    one = Template((Metric("y", DataType.INT16, 2),), "Point")
    other = Template((Metric("z", DataType.INT16, 2),), "Point")
    assert agree(DataType.TEMPLATE, one, held)
    assert not agree(DataType.TEMPLATE, other, held)
    assert not agree(DataType.TEMPLATE, one, None)


def test_each_order_ends_once_and_in_its_order() -> None:
    ends: list[tuple[int, WriteEnd]] = []
    queue = WriteQueue()
    for number in range(MAX_WAITING + 1):
        queue.put(WriteOrder("t", number, 0.0, lambda end, n=number: ends.append((n, end))))  # type: ignore[misc]
    assert ends == [(MAX_WAITING, WriteEnd("refused", "1000 writes wait already"))]
    assert [queue.take().value for _ in range(3)] == [0, 1, 2]
    queue.refuse_all("over")
    assert [number for number, _ in ends[1:]] == list(range(3, MAX_WAITING))
    assert len(queue) == 0
