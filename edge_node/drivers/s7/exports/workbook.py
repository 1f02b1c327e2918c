"""The first sheet of an Excel workbook (ECMA-376) as rows of text: all that tag tables use."""

import io
import re
from typing import Final
from xml.etree import ElementTree as ET
from zipfile import BadZipFile, ZipFile

_NAMESPACE: Final = re.compile(r"\{[^}]*\}")
_COLUMN: Final = re.compile(r"[A-Z]+")
_LARGEST: Final = 64 * 2**20
"""Bytes of one part when unpacked; a tag table has a few megabytes at most."""
_MOST_COLUMNS: Final = 256


def is_workbook(data: bytes) -> bool:
    """Whether a file may be a workbook."""
    return data.startswith(b"PK\x03\x04")


def read_rows(data: bytes) -> list[list[str]]:
    """Return the cells of the first sheet.

    Raises:
        ValueError: it is no workbook.
    """
    try:
        with ZipFile(io.BytesIO(data)) as archive:
            sheets = sorted(
                name for name in archive.namelist() if name.startswith("xl/worksheets/sheet")
            )
            if not sheets:
                raise ValueError("workbook has no sheet")
            shared = (
                ["".join(item.itertext()) for item in _parse(archive, "xl/sharedStrings.xml")]
                if "xl/sharedStrings.xml" in archive.namelist()
                else []
            )
            sheet = _parse(archive, min(sheets, key=lambda name: (len(name), name)))
    except (BadZipFile, ET.ParseError, KeyError) as exc:
        raise ValueError(f"is no workbook: {exc}") from exc
    return [_cells(row, shared) for row in sheet.iter("row")]


def _parse(archive: ZipFile, name: str) -> ET.Element:
    size = archive.getinfo(name).file_size
    if size > _LARGEST:
        raise ValueError(f"{name} has {size} bytes, expected at most {_LARGEST}")
    data = archive.read(name)
    if b"<!DOCTYPE" in data or b"<!ENTITY" in data:
        raise ValueError(f"{name} declares entities, expected none")
    root = ET.fromstring(data)  # noqa: S314  # no entities; expat bounds the rest
    for element in root.iter():
        element.tag = _NAMESPACE.sub("", element.tag)
    return root


def _cells(row: ET.Element, shared: list[str]) -> list[str]:
    cells: list[str] = []
    for cell in row.iter("c"):
        at = _column(cell.get("r", ""), len(cells))
        cells += [""] * (at + 1 - len(cells))
        cells[at] = _text(cell, shared)
    return cells


def _column(reference: str, following: int) -> int:
    """Return the index of a column: 0 for ``A7``; the following one where the cell tells none."""
    found = _COLUMN.match(reference)
    if found is None:
        return following
    index = 0
    for letter in found[0]:
        index = 26 * index + ord(letter) - ord("A") + 1
    if index > _MOST_COLUMNS:
        raise ValueError(f"cell {reference} is beyond column {_MOST_COLUMNS}")
    return index - 1


def _text(cell: ET.Element, shared: list[str]) -> str:
    if cell.get("t") == "inlineStr":
        inside = cell.find("is")
        return "" if inside is None else "".join(inside.itertext())
    value = cell.findtext("v") or ""
    if cell.get("t") != "s":
        return value
    index = int(value) if value.isdecimal() else len(shared)
    if index >= len(shared):
        raise ValueError(f"cell {cell.get('r')} names shared text {value}, of {len(shared)}")
    return shared[index]
