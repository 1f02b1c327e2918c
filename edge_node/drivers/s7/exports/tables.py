"""Tag and symbol tables: TIA's CSV, workbook and SDF, STEP 7's SDF, ASC and SEQ."""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from edge_node.drivers.s7.exports.parts import Row

_ASC_PREFIX: Final = "126,"
_ASC_SYMBOL, _ASC_ADDRESS, _ASC_TYPE = slice(4, 28), slice(28, 40), slice(40, 50)
_ASC_COMMENT: Final = slice(50, None)
_CLASSIC_FIELDS: Final = 4
_TIA_COMMENT: Final = 6
_DELIMITERS: Final = ",;\t"

_COLUMNS: Final[Mapping[str, str]] = {
    "name": "name",
    "data type": "type",
    "datentyp": "type",
    "logical address": "address",
    "logische adresse": "address",
    "comment": "comment",
    "kommentar": "comment",
}
"""What TIA Portal calls its columns, in English and German."""


def is_asc(text: str) -> bool:
    """Whether a text is an ASC symbol table."""
    return text.startswith(_ASC_PREFIX)


def parse_asc(text: str) -> Iterator[Row]:
    """Read columns of fixed width: symbol 24, address 12, type 10, comment 80."""
    for line in text.splitlines():
        if line.startswith(_ASC_PREFIX):
            yield Row(
                line[_ASC_SYMBOL].strip(),
                line[_ASC_ADDRESS].strip(),
                line[_ASC_TYPE].strip(),
                line[_ASC_COMMENT].strip(),
            )


def parse_seq(text: str) -> Iterator[Row]:
    """Read an assignment list: TAB address TAB symbol TAB comment; it has no types."""
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.split("\t")]
        if len(cells) > 2 and cells[1]:
            yield Row(cells[2], cells[1], "", cells[3] if len(cells) > 3 else "")


def parse_sdf(text: str) -> Iterator[Row]:
    """Read quoted cells without a head: four of STEP 7, nine of TIA Portal."""
    for cells in _cells(text, ","):
        if len(cells) < _CLASSIC_FIELDS:
            continue
        name, address, kind, *rest = (cell.strip() for cell in cells)
        if address.upper() == "ADDRESS":
            continue
        yield Row(name, address, kind, rest[0] if len(rest) == 1 else cells[_TIA_COMMENT])


def find_head(rows: Sequence[Sequence[str]]) -> bool:
    """Whether rows begin with the column names of a TIA tag table."""
    known = {_COLUMNS.get(cell.strip().lower()) for cell in rows[0]} if rows else set()
    return {"name", "address", "type"} <= known


def split_cells(text: str) -> list[list[str]]:
    """Return the cells of CSV, separated by commas, semicolons or tabs.

    Raises:
        ValueError: it is none.
    """
    first = text.partition("\n")[0]
    delimiter = max(_DELIMITERS, key=first.count)
    return _cells(text, delimiter)


def _cells(text: str, delimiter: str) -> list[list[str]]:
    try:
        return list(csv.reader(io.StringIO(text), delimiter=delimiter))
    except csv.Error as exc:
        raise ValueError(f"is no CSV: {exc}") from exc


def parse_cells(rows: Sequence[Sequence[str]]) -> Iterator[Row]:
    """Read the rows of a TIA tag table with its head."""
    columns = {_COLUMNS.get(cell.strip().lower(), ""): i for i, cell in enumerate(rows[0])}
    for cells in rows[1:]:
        found = {
            column: cells[i].strip() if i < len(cells) else "" for column, i in columns.items()
        }
        if found["name"]:
            yield Row(found["name"], found["address"], found["type"], found.get("comment", ""))
