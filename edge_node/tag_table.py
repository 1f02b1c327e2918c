"""Tags as a table: the CSV that engineers keep their register lists in, and the TOML of the edge.

Pure. Every row is checked like the document it becomes, every mistake is told with its row.
"""

import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, cast

from pydantic import ValidationError

from edge_node.drivers.base import ConfigError
from edge_node.drivers.modbus.address import parse_address
from edge_node.drivers.s7.points import compile_point
from proto.control.device import ModbusTag, Tag
from proto.control.s7 import S7Tag

_DELIMITERS = ",;\t"
_Cells = Mapping[str | None, object]
_TRUE = frozenset({"true", "yes", "1", "x"})
_FALSE = frozenset({"false", "no", "0"})


def _check_modbus(tag: Tag) -> None:
    if isinstance(tag, ModbusTag):
        parse_address(tag.address)


def _check_s7(tag: Tag) -> None:
    if isinstance(tag, S7Tag):
        compile_point(tag)


@dataclass(frozen=True, slots=True)
class _Kind:
    """A driver's tags.

    Attributes:
        check: raises ``ValueError`` for what only the driver can see.
        columns: that a table must have.
    """

    model: type[Tag]
    check: Callable[[Tag], object]
    columns: frozenset[str]


_KINDS: Final[Mapping[str, _Kind]] = {
    "modbus": _Kind(ModbusTag, _check_modbus, frozenset({"name", "address", "datatype"})),
    "s7": _Kind(S7Tag, _check_s7, frozenset({"name", "address"})),
}
DRIVERS: Final = tuple(_KINDS)


def parse_table(text: str, name: str, driver: str = "modbus") -> list[Tag]:
    """Read tags from CSV, separated by commas, semicolons or tabs, with a line of column names.

    The columns are those of a tag: ``name``, ``address``, ``datatype``, and any other. Empty cells
    are left out. A JSON list of objects with the same keys does as well, be it the ``tags`` of an
    object.

    Args:
        text: the table.
        name: what messages call it.
        driver: whose tags they are, one of ``DRIVERS``.

    Raises:
        ConfigError: every mistake, each with its line.
    """
    kind = _KINDS[driver]
    columns, rows = _rows_of(text.removeprefix("\ufeff"), name)
    if missing := kind.columns - set(columns):
        found, expected = ", ".join(columns) or "none", ", ".join(sorted(missing))
        raise ConfigError([f"{name}: columns are {found}, expected also {expected}"])
    tags: list[Tag] = []
    mistakes: list[str] = []
    for place, row in rows:
        where = f"{name}: {place}"
        try:
            tags.append(_tag(row, kind))
        except ValidationError as exc:
            mistakes += [_explain(where, detail["loc"], detail["msg"]) for detail in exc.errors()]
        except ValueError as exc:
            mistakes.append(f"{where}: {exc}")
    if not tags and not mistakes:
        mistakes.append(f"{name}: no rows, expected one for each tag")
    if mistakes:
        raise ConfigError(mistakes)
    return tags


def _rows_of(text: str, name: str) -> tuple[list[str], Iterator[tuple[str, _Cells]]]:
    """Return a table's columns and its rows, each with its place."""
    if text.lstrip().startswith(("[", "{")):
        return _json_rows(text, name)
    first = text.partition("\n")[0]
    delimiter = max(_DELIMITERS, key=first.count)
    reader = csv.DictReader(io.StringIO(text), delimiter=delimiter)
    columns = [column.strip() for column in reader.fieldnames or ()]
    reader.fieldnames = columns
    return columns, ((f"line {reader.line_num}", row) for row in reader)


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
    return json.dumps(value, ensure_ascii=False)


def format_table(rows: Sequence[Mapping[str, object]]) -> str:
    """Return rows as CSV that ``parse_table`` reads; all rows have the first one's columns."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]) if rows else ["name", "address", "datatype"])
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().replace("\r\n", "\n")


def _tag(row: _Cells, kind: _Kind) -> Tag:
    more = row.get(None)
    if more is not None:
        raise ValueError(f"{len(cast('Sequence[str]', more))} cells more than columns")
    cells: dict[str, object] = {}
    for column, cell in row.items():
        value = cell.strip() if isinstance(cell, str) else cell
        if column is not None and value not in {None, ""}:
            parse = _PARSERS.get(column) if isinstance(value, str) else None
            cells[column] = parse(str(value)) if parse else value
    tag = kind.model.model_validate(cells)
    kind.check(tag)
    return tag


def _boolean(text: str) -> bool:
    if text.lower() in _TRUE:
        return True
    if text.lower() in _FALSE:
        return False
    raise ValueError(f"writable is {text!r}, expected true or false")


def _enumeration(text: str) -> dict[str, str]:
    """Read ``0=stopped|1=running``."""
    pairs = [pair.partition("=") for pair in text.split("|")]
    if not all(equals for _, equals, _ in pairs):
        raise ValueError(f"enumeration is {text!r}, expected for example 0=stopped|1=running")
    return {number.strip(): name.strip() for number, _, name in pairs}


_PARSERS: Final[Mapping[str, Callable[[str], object]]] = {
    "writable": _boolean,
    "enumeration": _enumeration,
}


def _explain(where: str, location: tuple[int | str, ...], message: str) -> str:
    column = ".".join(map(str, location))
    plain = message.removeprefix("Value error, ")
    return f"{where}: {column}: {plain}" if column else f"{where}: {plain}"
