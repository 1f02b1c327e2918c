"""Tags as a table: the CSV that engineers keep their register lists in, and the TOML of the edge.

Pure. Every row is checked like the document it becomes, every mistake is told with its row.
"""

import csv
import io
import json
from collections.abc import Mapping, Sequence

from pydantic import ValidationError

from edge_node.drivers.base import ConfigError
from edge_node.drivers.modbus.address import parse_address
from proto.control.device import ModbusTag

_DELIMITERS = ",;\t"
_TRUE = frozenset({"true", "yes", "1", "x"})
_FALSE = frozenset({"false", "no", "0"})


def parse_table(text: str, name: str) -> list[ModbusTag]:
    """Read tags from CSV, separated by commas, semicolons or tabs, with a line of column names.

    The columns are those of a tag: ``name``, ``address``, ``datatype``, and any other. Empty cells
    are left out.

    Args:
        text: the table.
        name: what messages call it.

    Raises:
        ConfigError: every mistake, each with its line.
    """
    first = text.partition("\n")[0]
    delimiter = max(_DELIMITERS, key=first.count)
    reader = csv.DictReader(io.StringIO(text.removeprefix("\ufeff")), delimiter=delimiter)
    columns = [column.strip() for column in reader.fieldnames or ()]
    reader.fieldnames = columns
    if missing := {"name", "address", "datatype"} - set(columns):
        found, expected = ", ".join(columns) or "none", ", ".join(sorted(missing))
        raise ConfigError([f"{name}: columns are {found}, expected also {expected}"])
    tags: list[ModbusTag] = []
    mistakes: list[str] = []
    for row in reader:
        where = f"{name}: line {reader.line_num}"
        try:
            tags.append(_tag(row))
        except ValidationError as exc:
            mistakes += [_explain(where, detail["loc"], detail["msg"]) for detail in exc.errors()]
        except ValueError as exc:
            mistakes.append(f"{where}: {exc}")
    if not tags and not mistakes:
        mistakes.append(f"{name}: no rows, expected one for each tag")
    if mistakes:
        raise ConfigError(mistakes)
    return tags


def format_tags_toml(tags: Sequence[ModbusTag]) -> str:
    """Return tags as ``[[devices.tags]]`` tables, ready to follow a device's section."""
    return "\n".join(
        "[[devices.tags]]\n"
        + "".join(
            f"{key} = {json.dumps(value, ensure_ascii=False)}\n"
            for key, value in tag.model_dump(mode="json", exclude_defaults=True).items()
        )
        for tag in tags
    )


def format_table(rows: Sequence[Mapping[str, object]]) -> str:
    """Return rows as CSV that ``parse_table`` reads; all rows have the first one's columns."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]) if rows else ["name", "address", "datatype"])
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().replace("\r\n", "\n")


def _tag(row: Mapping[str | None, str | list[str] | None]) -> ModbusTag:
    if None in row:
        raise ValueError(f"{len(row[None] or ())} cells more than columns")
    cells: dict[str, object] = {}
    for column, cell in row.items():
        if column is None or not isinstance(cell, str) or not (value := cell.strip()):
            continue
        cells[column] = _boolean(value) if column == "writable" else value
    tag = ModbusTag.model_validate(cells)
    parse_address(tag.address)
    return tag


def _boolean(text: str) -> bool:
    if text.lower() in _TRUE:
        return True
    if text.lower() in _FALSE:
        return False
    raise ValueError(f"writable is {text!r}, expected true or false")


def _explain(where: str, location: tuple[int | str, ...], message: str) -> str:
    column = ".".join(map(str, location))
    plain = message.removeprefix("Value error, ")
    return f"{where}: {column}: {plain}" if column else f"{where}: {plain}"
