"""Tables in JSON, as scripts write them: an object a row, with objects and lists within.

What the Unified Namespace shows of a data set can be sent as it is. Pure.
"""

from collections.abc import Iterator
from typing import Final

from pydantic import JsonValue

from proto.sparkplug.datatypes import INTEGER_RANGE, DataType
from proto.sparkplug.metrics import Basic, DataSet

_LOW_INT64, _HIGH_INT64 = INTEGER_RANGE[DataType.INT64]
_HIGH_UINT64: Final = INTEGER_RANGE[DataType.UINT64][1]


def read_table(value: JsonValue) -> DataSet:
    """Return an object, or a list of objects, as a data set of one row each.

    Objects and lists within become columns of their own: ``to.x``, ``via[0]``; a null column after
    a list's last one says that it ends there. Columns have the widest type of their kind, since
    JSON tells none.

    Raises:
        ValueError: it is something else, or a column has values of several kinds.
    """
    objects = value if isinstance(value, list) else [value]
    rows: list[dict[str, Basic]] = []
    for each in objects:
        if not isinstance(each, dict) or not each:
            raise ValueError(
                f"found {_name(each)}, expected an object with the fields, or a list of them"
            )
        rows.append(dict(_flatten(each, "")))
    columns = dict.fromkeys(column for row in rows for column in row)
    types = {column: _type_of(column, [row.get(column) for row in rows]) for column in columns}
    return DataSet(
        tuple(columns),
        tuple(types.values()),
        tuple(tuple(row.get(column) for column in columns) for row in rows),
    )


def _flatten(value: JsonValue, name: str) -> Iterator[tuple[str, Basic]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _flatten(inner, f"{name}.{key}" if name else key)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _flatten(inner, f"{name}[{index}]")
        yield f"{name}[{len(value)}]", None
    else:
        yield name, value


def _type_of(column: str, cells: list[Basic]) -> DataType:
    kinds = {type(cell) for cell in cells if cell is not None}
    if kinds <= {str}:
        return DataType.STRING
    if kinds == {bool}:
        return DataType.BOOLEAN
    if kinds == {int}:
        numbers = [cell for cell in cells if isinstance(cell, int)]
        low, high = min(numbers), max(numbers)
        if low >= _LOW_INT64 and high <= _HIGH_INT64:
            return DataType.INT64
        if low >= 0 and high <= _HIGH_UINT64:
            return DataType.UINT64
        raise ValueError(f"{column}: found {low} to {high}, more than 64 bits hold")
    if kinds <= {int, float}:
        return DataType.DOUBLE
    raise ValueError(f"{column}: found values of several kinds, expected one")


def _name(value: JsonValue) -> str:
    return "an empty object" if value == {} else f"{value!r:.60}"
