"""Files of an export to tags: finds out what each is, puts them together, places what they hold.

A tag table, a symbol table, data blocks and the types they use may come as files of their own.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Final

from pydantic import ValidationError

from edge_node.drivers.base import ConfigError
from edge_node.drivers.s7.address import DATATYPES, Area, parse_address
from edge_node.drivers.s7.exports import tables, workbook
from edge_node.drivers.s7.exports.declaration import Declaration, level, place
from edge_node.drivers.s7.exports.parts import DataBlock, Parts, Row
from edge_node.drivers.s7.exports.simatic import parse_xml
from edge_node.drivers.s7.exports.source import is_source, parse_source
from edge_node.drivers.s7.exports.symbol import LeftOut, Symbol
from edge_node.drivers.s7.points import compile_point
from proto.control.s7 import S7Datatype, S7Tag

_SUFFIXES: Final = frozenset({".xml", ".xlsx", ".sdf", ".asc", ".seq", ".db", ".udt", ".awl"})
_NO_VALUE: Final = re.compile(r"(DB|FB|FC|OB|UDT|SFB|SFC|VAT|SDB)(\d+)")
_BY_WIDTH: Final[dict[str, S7Datatype]] = {"B": "byte", "W": "word", "D": "dword"}
_INSTANCE: Final = "is an instance of {}, whose declaration is not among the files"


@dataclass(frozen=True, slots=True)
class Export:
    """What became of an export."""

    tags: Sequence[S7Tag]
    left_out: Sequence[LeftOut]


def is_export(name: str, data: bytes) -> bool:
    """Whether a file is one of TIA Portal's or STEP 7's, and not a plain table of tags."""
    if PurePath(name).suffix.lower() in _SUFFIXES or workbook.is_workbook(data):
        return True
    text = _decode(data)
    return (
        is_source(text) or tables.is_asc(text) or text.lstrip().startswith("<") or _has_head(text)
    )


def _has_head(text: str) -> bool:
    try:
        return tables.find_head(tables.split_cells(text.partition("\n")[0]))
    except ValueError:
        return False


def read_export(files: Sequence[tuple[str, bytes]], numbers: Mapping[str, int]) -> Export:
    """Return the tags of all files together.

    Args:
        files: name and content of each.
        numbers: name of a data block → its number, where the export does not tell it.

    Raises:
        ConfigError: every file or block that cannot be used, with its name.
    """
    parts = Parts()
    mistakes: list[str] = []
    for name, data in files:
        try:
            parts.add(_parse(name, data))
        except ValueError as exc:
            mistakes.append(f"{name}: {exc}")
    found: list[Symbol | LeftOut] = []
    if not mistakes:
        joined = _Joined(parts, numbers)
        for block in parts.blocks:
            try:
                found += joined.place_block(block)
            except ValueError as exc:
                mistakes.append(str(exc))
        found += joined.place_rows(parts.rows)
    symbols = [one for one in found if isinstance(one, Symbol)]
    mistakes += _find_twins(symbols)
    if mistakes:
        raise ConfigError(mistakes)
    tags = [_to_tag(symbol) for symbol in symbols]
    left_out = [one for one in (*found, *tags) if isinstance(one, LeftOut)]
    return Export([tag for tag in tags if isinstance(tag, S7Tag)], left_out)


def _to_tag(symbol: Symbol) -> S7Tag | LeftOut:
    """Return a tag that the driver takes, or why there is none."""
    try:
        tag = symbol.to_tag()
        compile_point(tag)
    except ValidationError as exc:
        return LeftOut(symbol.name, exc.errors()[0]["msg"])
    except ValueError as exc:
        return LeftOut(symbol.name, str(exc))
    return tag


def _parse(name: str, data: bytes) -> Parts:
    text = "" if workbook.is_workbook(data) else _decode(data)
    if text.lstrip().startswith("<"):
        return parse_xml(data)
    if is_source(text):
        return parse_source(text)
    return Parts(rows=list(_parse_rows(PurePath(name).suffix.lower(), text, data)))


def _parse_rows(suffix: str, text: str, data: bytes) -> Iterator[Row]:
    """Read a table; a workbook has no text."""
    if tables.is_asc(text):
        return tables.parse_asc(text)
    if suffix == ".seq":
        return tables.parse_seq(text)
    if suffix == ".sdf":
        return tables.parse_sdf(text)
    rows = tables.split_cells(text) if text else workbook.read_rows(data)
    if not tables.find_head(rows):
        found = ", ".join(rows[0]) if rows else "nothing"
        raise ValueError(
            f"begins with {found}, expected Name, Data Type and Logical Address, or a data block"
        )
    return tables.parse_cells(rows)


def _decode(data: bytes) -> str:
    """Return text: Unicode where it is, else Windows' Western European, as STEP 7 writes it."""
    unicode = "utf-16" if data.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    try:
        text = data.decode(unicode)
    except UnicodeDecodeError:
        text = data.decode("cp1252", errors="replace")
    return text.replace("\r\n", "\n").replace("\r", "\n")


class _Joined:
    """What files know of each other: types by their symbols, blocks by their numbers."""

    def __init__(self, parts: Parts, numbers: Mapping[str, int]) -> None:
        self._types = dict(parts.types)
        self._numbers = {name.casefold(): number for name, number in numbers.items()}
        for row in parts.rows:
            kind = _NO_VALUE.fullmatch(re.sub(r"\s+", "", row.address.upper()))
            if kind is None:
                continue
            if kind[1] == "DB":
                self._numbers.setdefault(row.name.casefold(), int(kind[2]))
            elif kind[0] in self._types:
                self._types.setdefault(row.name.upper(), self._types[kind[0]])

    def place_block(self, block: DataBlock) -> list[Symbol | LeftOut]:
        """Return what a data block holds.

        Raises:
            ValueError: its number or layout is not known.
        """
        if block.optimized:
            return [
                LeftOut(
                    block.name,
                    "is an optimized block, which has no addresses: switch off 'Optimized block"
                    " access' in its attributes, compile, download and export again",
                )
            ]
        members = block.members
        if block.of_type:
            declared = self._types.get(block.of_type.upper())
            if declared is None:
                return [LeftOut(block.name, _INSTANCE.format(block.of_type))]
            members = declared
        number = self._numbers.get(block.name.casefold(), block.number)
        if number is None:
            raise ValueError(
                f"data block {block.name!r} has no number in the export, expected for example"
                f" --block '{block.name}=1'"
            )
        return list(place(Area.DB, number, level(block.name), members, self._types))

    def place_rows(self, rows: Sequence[Row]) -> Iterator[Symbol | LeftOut]:
        """Yield what tag and symbol tables hold."""
        for row in rows:
            if _NO_VALUE.fullmatch(re.sub(r"\s+", "", row.address.upper())):
                continue  # the name of a block is no value
            try:
                yield from self._place_row(row)
            except ValueError as exc:
                yield LeftOut(level(row.name), str(exc))

    def _place_row(self, row: Row) -> Iterator[Symbol | LeftOut]:
        if row.address.upper() == "CONSTANT":
            raise ValueError("is a constant")
        parsed = parse_address(row.address)
        address, kind = parsed.address, row.type
        if address.area.is_elements:
            datatype: S7Datatype = "s5time" if address.area is Area.TIMER else "counter"
            yield Symbol(level(row.name), address, datatype, comment=row.comment)
            return
        if not kind:
            told = parsed.datatype or _BY_WIDTH.get(address.width)
            kind = "BOOL" if address.bit is not None and told is None else str(told or "").upper()
        start = 8 * address.byte + (address.bit or 0)
        declared = Declaration(row.name, kind, comment=row.comment, bit=start)
        for one in place(address.area, address.block, "", [declared], self._types):
            if isinstance(one, Symbol) and kind.upper() in DATATYPES:
                _check_width(address.width, one)
            yield one


def _check_width(width: str, symbol: Symbol) -> None:
    """Refuse a type whose bytes are not those of its address."""
    if width in {"W", "D"} and symbol.address.width != width:
        raise ValueError(f"{symbol.datatype} at an address of width {width}, expected another type")


def _find_twins(symbols: Sequence[Symbol]) -> Iterator[str]:
    seen: dict[str, Symbol] = {}
    for symbol in symbols:
        twin = seen.setdefault(symbol.name, symbol)
        if twin is not symbol:
            yield f"{symbol.name} stands twice, at {twin.address} and {symbol.address}"
