"""Declarations of a data block and where they lie: the layout of standard (not optimized) access.

The rules are those of STEP 7: a BOOL takes the next bit, a byte the next byte, everything else
begins at an even byte; arrays and structures also end at one. Knows nothing of file formats.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Final

from edge_node.drivers.s7.address import DATATYPES, Address, Area
from edge_node.drivers.s7.exports.symbol import LeftOut, Symbol
from edge_node.drivers.s7.points import canonical, size_of, stride_of
from proto.control.s7 import S7Datatype

_ARRAY: Final = re.compile(r"ARRAY\s*\[(.+?)\]\s*OF\s+(.+)", re.IGNORECASE | re.DOTALL)
_RANGE: Final = re.compile(r"\s*(-?\d+)\s*\.\.\s*(-?\d+)\s*")
_STRING: Final = re.compile(r"(W?STRING)(?:\s*\[\s*(\d+)\s*\])?", re.IGNORECASE)
_LONGEST: Final = 254
_MOST_ELEMENTS: Final = 65_536
_DEEPEST: Final = 32
"""TIA Portal nests eight; types that contain themselves nest without end."""
_BYTE: Final = 8
_WORD: Final = 16

_OPAQUE: Final = {
    "ANY": 10,
    "POINTER": 6,
    "TIMER": 2,
    "COUNTER": 2,
    "BLOCK_FB": 2,
    "BLOCK_FC": 2,
    "BLOCK_DB": 2,
    "BLOCK_SDB": 2,
}
"""Bytes of parameter types, which take room and hold nothing to read."""
_NAMES: Final = {name: kind for name, kind in DATATYPES.items() if len(name) > 2 or name == "DT"}
"""The shorter ones are notations of addresses and no names of types."""


@dataclass(frozen=True, slots=True)
class Declaration:
    """A line of a declaration table.

    Attributes:
        type: as written: ``Real``, ``Array[0..9] of Int``, ``String[20]``, ``"Motor"``, ``Struct``.
        members: of a structure, or of a PLC data type that the export spells out.
        bit: where it lies in its block, in bits, when the export says so.
    """

    name: str
    type: str
    members: tuple["Declaration", ...] = ()
    comment: str = ""
    bit: int | None = None


Types = Mapping[str, Sequence[Declaration]]
"""PLC data types (UDT): name in upper case, without quotes → members."""


def place(
    area: Area, block: int, folder: str, members: Sequence[Declaration], types: Types
) -> Iterator[Symbol | LeftOut]:
    """Yield what declarations hold, in the order of their addresses.

    Args:
        area: where they lie.
        block: number of the data block, 0 outside of them.
        folder: comes before their names; nothing when empty.
        members: what is declared.
        types: the PLC data types that members may name.

    Raises:
        ValueError: the layout cannot be known, with the member.
    """
    yield from _Layout(area, block, types).place(folder, members)


def level(name: str) -> str:
    """Return a PLC's name as one level of a tag's name."""
    return re.sub(r"[/+#]", "_", name.strip().strip('"'))


class _LayoutUnknown(Exception):
    """A declaration's size is not known, and so neither where the following ones lie."""


class _Layout:
    def __init__(self, area: Area, block: int, types: Types) -> None:
        self._area = area
        self._block = block
        self._types = types
        self._bit = 0
        self._depth = 0

    def place(self, folder: str, members: Sequence[Declaration]) -> Iterator[Symbol | LeftOut]:
        if self._depth == _DEEPEST:
            raise ValueError(f"{folder}: {_DEEPEST} structures in each other, expected fewer")
        self._depth += 1
        for member in members:
            name = f"{folder}/{level(member.name)}" if folder else level(member.name)
            try:
                if member.bit is not None:
                    self._go_to(member.bit)
                yield from self._place(name, member, member.type.strip())
            except _LayoutUnknown as exc:
                raise ValueError(f"{name}: {exc}") from exc
        self._depth -= 1

    def _go_to(self, bit: int) -> None:
        """Trust the export's own offset, unless it cannot be."""
        if bit < self._bit:
            raise _LayoutUnknown(f"offset is {_shown(bit)}, expected {_shown(self._bit)} or above")
        self._bit = bit

    def _align(self, bits: int) -> None:
        self._bit = -(-self._bit // bits) * bits

    def _begin(self, member: Declaration, bits: int) -> None:
        """Go to where a member begins, unless the export has told."""
        if member.bit is None:
            self._align(bits)

    def _place(self, name: str, member: Declaration, kind: str) -> Iterator[Symbol | LeftOut]:
        if array := _ARRAY.fullmatch(kind):
            self._begin(member, _WORD)
            yield from self._place_array(name, member, array[1], array[2].strip())
            self._align(_WORD)
        elif (members := self._members_of(member, kind)) is not None:
            self._begin(member, _WORD)
            yield from self.place(name, members)
            self._align(_WORD)
        elif kind.upper() in _OPAQUE:
            self._begin(member, _WORD)
            self._bit += _BYTE * _OPAQUE[kind.upper()]
            yield LeftOut(name, f"{kind} holds no value to read")
        else:
            datatype, length = _parse_datatype(kind)
            size = size_of(datatype, length)
            if datatype != "bool":
                self._begin(member, _BYTE if size == 1 else _WORD)
            yield self._symbol(name, member, datatype, length)
            self._bit += 1 if datatype == "bool" else _BYTE * size

    def _members_of(self, member: Declaration, kind: str) -> Sequence[Declaration] | None:
        """Return a structure's members; DTL has some as well, but is read as a time."""
        if kind.upper() in _NAMES:
            return None
        if kind.upper() == "STRUCT" or member.members:
            return member.members
        return self._types.get(kind.strip('"').upper())

    def _place_array(
        self, name: str, member: Declaration, bounds: str, kind: str
    ) -> Iterator[Symbol | LeftOut]:
        ranges = _parse_bounds(bounds)
        if (members := self._members_of(member, kind)) is not None:
            for index in product(*ranges):
                yield from self.place(f"{name}/{_joined(index)}", members)
                self._align(_WORD)
            return
        if kind.upper() in _OPAQUE:
            self._bit += _BYTE * _OPAQUE[kind.upper()] * prod(map(len, ranges))
            yield LeftOut(name, f"{kind} holds no value to read")
            return
        datatype, length = _parse_datatype(kind)
        *outer, last = ranges
        for index in product(*outer):
            row = f"{name}/{_joined(index)}" if index else name
            yield self._symbol(row, member, datatype, length, len(last))
            if datatype == "bool":  # the bits of each row begin at a byte of their own
                self._bit += len(last)
                self._align(_BYTE)
            else:
                self._bit += _BYTE * stride_of(datatype, length) * len(last)

    def _symbol(
        self,
        name: str,
        member: Declaration,
        datatype: S7Datatype,
        length: int,
        count: int | None = None,
    ) -> Symbol:
        byte, bit = divmod(self._bit, _BYTE)
        address = Address(self._area, self._block, byte, bit if datatype == "bool" else None)
        return Symbol(
            name,
            canonical(address, datatype, size_of(datatype, length)),
            datatype,
            length=length or None,
            count=count,
            comment=member.comment,
        )


def _parse_datatype(kind: str) -> tuple[S7Datatype, int]:
    """Return the datatype and, of a string, its declared length, else 0."""
    if found := _STRING.fullmatch(kind):
        length = int(found[2] or _LONGEST)
        if not 1 <= length <= _LONGEST:
            raise _LayoutUnknown(f"{kind} is not supported, expected 1 to {_LONGEST} characters")
        return ("string" if found[1].upper() == "STRING" else "wstring"), length
    datatype = _NAMES.get(kind.upper())
    if datatype is None:
        raise _LayoutUnknown(
            f"type {kind} is not known, and so neither where the next ones lie;"
            " expected its declaration among the files"
        )
    return datatype, 0


def _parse_bounds(text: str) -> list[range]:
    ranges: list[range] = []
    for part in text.split(","):
        found = _RANGE.fullmatch(part)
        if found is None:
            raise _LayoutUnknown(f"array bounds are {text.strip()}, expected numbers as in 0..9")
        first, last = int(found[1]), int(found[2])
        if last < first:
            raise _LayoutUnknown(f"array bounds are {first}..{last}, expected the lower first")
        ranges.append(range(first, last + 1))
    if prod(map(len, ranges)) > _MOST_ELEMENTS:
        raise _LayoutUnknown(f"array has more than {_MOST_ELEMENTS} elements, expected fewer")
    return ranges


def _joined(index: Sequence[int]) -> str:
    return "/".join(map(str, index))


def _shown(bit: int) -> str:
    return f"{bit // _BYTE}.{bit % _BYTE}"
