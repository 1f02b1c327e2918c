import math
from typing import Any

import pytest

from edge_node.writes import MAX_WAITING, WriteEnd, WriteOrder, WriteQueue, agree
from proto.sparkplug.datatypes import DataType


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
