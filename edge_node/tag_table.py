"""Tags as a table: the CSV that engineers keep their register lists in, and the TOML of the edge.

Pure. Every row is checked like the document it becomes, every mistake is told with its row.
"""

import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, cast

from pydantic import ValidationError

from edge_node.drivers.base import ConfigError
from edge_node.drivers.modbus.address import parse_address
from edge_node.drivers.modbus.foreign import is_umh, read_foreign
from edge_node.drivers.opcua.nodes import parse_address as parse_node
from edge_node.drivers.s7.address import parse_address as parse_place
from edge_node.drivers.s7.points import compile_point
from edge_node.mistakes import explain
from proto.control.device import Tag
from proto.control.modbus import ModbusTag
from proto.control.opcua import OpcUaTag
from proto.control.s7 import S7Tag

_DELIMITERS = ",;\t"
_Cells = Mapping[str | None, object]
MAY_WRITE: Final = "may_write"
"""Column of a browse: whether the device lets this user write. It opens no tag by itself."""
_COLUMNS: Final = {"type": "datatype"}
"""Columns that other programs call otherwise."""
_DATATYPES: Final = {"bit": "bool", "float": "float32", "double": "float64"}
"""Neuron's names that differ from ours in more than their case."""
_TRUE = frozenset({"true", "yes", "1", "x"})
_FALSE = frozenset({"false", "no", "0"})


def _check_modbus(tag: Tag) -> None:
    if isinstance(tag, ModbusTag):
        parse_address(tag.address)


def _check_s7(tag: Tag) -> None:
    if isinstance(tag, S7Tag):
        compile_point(tag)


def _check_opcua(tag: Tag) -> None:
    if isinstance(tag, OpcUaTag):
        parse_node(tag.address)


@dataclass(frozen=True, slots=True)
class _Kind:
    """A driver's tags.

    Attributes:
        address: reads an address; raises ``ValueError`` for what is none.
        check: raises ``ValueError`` for what only the driver can see.
        columns: that a table must have.
    """

    model: type[Tag]
    address: Callable[[str], object]
    check: Callable[[Tag], object]
    columns: frozenset[str]


_KINDS: Final[Mapping[str, _Kind]] = {
    "modbus": _Kind(
        ModbusTag, parse_address, _check_modbus, frozenset({"name", "address", "datatype"})
    ),
    "opcua": _Kind(OpcUaTag, parse_node, _check_opcua, frozenset({"name", "address", "datatype"})),
    "s7": _Kind(S7Tag, parse_place, _check_s7, frozenset({"name", "address"})),
}
DRIVERS: Final = tuple(_KINDS)


def parse_table(
    text: str,
    name: str,
    driver: str | None = None,
    unit_id: int | None = None,
    *,
    writable: bool = False,
) -> list[Tag]:
    """Read tags from CSV, separated by commas, semicolons or tabs, with a line of column names.

    The columns are those of a tag: ``name``, ``address``, ``datatype``, and any other. Empty cells
    are left out. A JSON list of objects with the same keys does as well, be it the ``tags`` of an
    object. Modbus addresses may be those of Neuron or UMH; UMH's, which tell everything, need
    no columns: one stands on each line.

    Args:
        text: the table.
        name: what messages call it.
        driver: whose tags they are, one of ``DRIVERS``; ``modbus`` when it is not said.
        unit_id: of rows that tell a Modbus unit, only this unit's are taken.
        writable: whether what a device lets be written (``MAY_WRITE``) is to be writable.

    Raises:
        ConfigError: every mistake, each with its line.
    """
    columns, found_rows = _rows_of(text.removeprefix("\ufeff"), name)
    rows = list(found_rows)
    driver = driver or _default_driver(name, rows)
    kind = _KINDS[driver]
    if missing := kind.columns - set(columns):
        found, expected = ", ".join(columns) or "none", ", ".join(sorted(missing))
        raise ConfigError([f"{name}: columns are {found}, expected also {expected}"])
    tags: list[Tag] = []
    mistakes: list[str] = []
    units: set[int] = set()
    for place, row in rows:
        where = f"{name}: {place}"
        try:
            cells = _cells_of(row)
            unit = _translate(cells) if driver == "modbus" else None
            if unit is not None and unit != unit_id:
                units.add(unit)
                if unit_id is not None:
                    continue
            tags.append(_tag(cells, kind, writable=writable))
        except ValidationError as exc:
            mistakes += [f"{where}: {mistake}" for mistake in explain(exc, cells, kind.model)]
        except ValueError as exc:
            mistakes.append(f"{where}: {exc}")
    if not mistakes and (mistake := _check_units(units, unit_id, found=bool(tags))):
        mistakes.append(f"{name}: {mistake}")
    if mistakes:
        raise ConfigError(mistakes)
    return tags


def _default_driver(name: str, rows: Sequence[tuple[str, _Cells]]) -> str:
    """Return ``modbus``, unless the first address is none of its and one of another driver."""
    place, row = rows[0] if rows else ("", {})
    address = row.get("address")
    if not isinstance(address, str) or _is_modbus(address.strip()):
        return "modbus"
    for driver, kind in _KINDS.items():
        try:
            kind.address(address.strip())
        except ValueError:
            continue
        where = f"{name}: {place}: address {address!r} is of driver {driver}"
        raise ConfigError([f"{where}, expected modbus, or --driver {driver}"])
    return "modbus"


def _is_modbus(address: str) -> bool:
    try:
        if read_foreign(address, None) is None:
            parse_address(address)
    except ValueError:
        return False
    return True


def _check_units(units: set[int], wanted: int | None, *, found: bool) -> str | None:
    """Return what is wrong with the Modbus units that rows are of."""
    listed = ", ".join(map(str, sorted(units)))
    if wanted is None and len(units) > 1:
        return f"rows are of units {listed}, expected one: --unit"
    if found:
        return None
    if units:
        return f"rows are of unit {listed}, none of unit {wanted}"
    return "no rows, expected one for each tag"


def _rows_of(text: str, name: str) -> tuple[list[str], Iterator[tuple[str, _Cells]]]:
    """Return a table's columns and its rows, each with its place."""
    if text.lstrip().startswith(("[", "{")):
        return _json_rows(text, name)
    first = text.partition("\n")[0]
    if is_umh(_bare(first)):
        return _plain_rows(text)
    delimiter = max(_DELIMITERS, key=first.count)
    reader = csv.DictReader(io.StringIO(text), delimiter=delimiter)
    columns = [_COLUMNS.get(c := column.strip(), c) for column in reader.fieldnames or ()]
    reader.fieldnames = columns
    return columns, ((f"line {reader.line_num}", row) for row in reader)


def _plain_rows(text: str) -> tuple[list[str], Iterator[tuple[str, _Cells]]]:
    lines = [(number, _bare(line)) for number, line in enumerate(text.splitlines(), 1)]
    rows: list[tuple[str, _Cells]] = [
        (f"line {number}", {"address": line}) for number, line in lines if line
    ]
    return ["name", "address", "datatype"], iter(rows)


def _bare(line: str) -> str:
    """Return a line without what makes it an item of a YAML list."""
    return line.strip().removeprefix("- ").strip().strip("\"'")


def _json_rows(text: str, name: str) -> tuple[list[str], Iterator[tuple[str, _Cells]]]:
    try:
        rows = json.loads(text)
    except json.JSONDecodeError as exc:
        raise ConfigError([f"{name}: line {exc.lineno} is no JSON: {exc.msg}"]) from exc
    if isinstance(rows, dict):
        rows = rows.get("tags")
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ConfigError([f"{name}: expected a list of objects, or an object with such 'tags'"])
    columns = sorted({column for row in rows for column in row})
    return columns, ((f"row {number}", row) for number, row in enumerate(rows, 1))


def format_tags_toml(tags: Sequence[Tag]) -> str:
    """Return tags as ``[[devices.tags]]`` tables, ready to follow a device's section."""
    return "\n".join(
        "[[devices.tags]]\n"
        + "".join(
            f"{key} = {_format_value(value)}\n"
            for key, value in tag.model_dump(mode="json", exclude_defaults=True).items()
        )
        for tag in tags
    )


def _format_value(value: object) -> str:
    """Return a value as TOML has it, which is JSON but for tables."""
    if isinstance(value, Mapping):
        pairs = (f"{json.dumps(key)} = {_format_value(item)}" for key, item in value.items())
        return "{ " + ", ".join(pairs) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_format_value, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def format_table(rows: Sequence[Mapping[str, object]]) -> str:
    """Return rows as CSV that ``parse_table`` reads; all rows have the first one's columns."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]) if rows else ["name", "address", "datatype"])
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().replace("\r\n", "\n")


def _cells_of(row: _Cells) -> dict[str, object]:
    more = row.get(None)
    if more is not None:
        raise ValueError(f"{len(cast('Sequence[str]', more))} cells more than columns")
    cells: dict[str, object] = {}
    for column, cell in row.items():
        value = cell.strip() if isinstance(cell, str) else cell
        if column is not None and value is not None and value != "":
            parse = _PARSERS.get(column) if isinstance(value, str) else None
            cells[column] = parse(str(value)) if parse else value
    return cells


def _translate(cells: dict[str, object]) -> int | None:
    """Put an address of another gateway into the keys of ours; return the unit it tells."""
    address, datatype = cells.get("address"), cells.get("datatype")
    if isinstance(datatype, str):
        datatype = _DATATYPES.get(datatype.lower(), datatype.lower())
    if not isinstance(address, str):
        return None
    foreign = read_foreign(address, datatype if isinstance(datatype, str) else None)
    if foreign is None:
        return None
    if datatype is not None:
        cells["datatype"] = datatype
    for key, value in foreign.cells.items():
        # what a column says besides is what was meant; the address is always ours then
        if key == "address" or key not in cells:
            cells[key] = value
    return foreign.unit_id


def _tag(cells: dict[str, object], kind: _Kind, *, writable: bool) -> Tag:
    if cells.pop(MAY_WRITE, False) and writable:
        cells["writable"] = True
    tag = kind.model.model_validate(cells)
    kind.check(tag)
    return tag


def _boolean(column: str, text: str) -> bool:
    if text.lower() in _TRUE:
        return True
    if text.lower() in _FALSE:
        return False
    raise ValueError(f"{column} is {text!r}, expected true or false")


def _enumeration(text: str) -> dict[str, str]:
    """Read ``0=stopped|1=running``."""
    pairs = [pair.partition("=") for pair in text.split("|")]
    if not all(equals for _, equals, _ in pairs):
        raise ValueError(f"enumeration is {text!r}, expected for example 0=stopped|1=running")
    return {number.strip(): name.strip() for number, _, name in pairs}


_PARSERS: Final[Mapping[str, Callable[[str], object]]] = {
    "array": partial(_boolean, "array"),
    MAY_WRITE: partial(_boolean, MAY_WRITE),
    "writable": partial(_boolean, "writable"),
    "enumeration": _enumeration,
}
