"""S7 addresses: every notation the field writes, and the one canonical form.

Canonical is the English classic form: ``DB1.DBD100``, ``DB1.DBX5.2``, ``MW20``, ``I0.1``,
``PIW256``, ``T5``, ``C3``. Knows nothing of devices or requests.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from proto.control.s7 import S7Datatype

HIGHEST_BYTE: Final = 65_535
HIGHEST_BLOCK: Final = 65_535
_HIGHEST_ELEMENT: Final = 32_767

EXPECTED: Final = "DB1.DBD100, DB1.DBX5.2, MW20, I0.1, T5, %DB1.DBD100:REAL or DB1,REAL100"


class Area(StrEnum):
    """The memory areas that the protocol reads."""

    DB = "DB"
    MEMORY = "M"
    INPUT = "I"
    OUTPUT = "Q"
    PERIPHERAL_INPUT = "PI"
    PERIPHERAL_OUTPUT = "PQ"
    TIMER = "T"
    COUNTER = "C"

    @property
    def is_elements(self) -> bool:
        """Whether the area is counted in elements of two bytes instead of bytes."""
        return self in {Area.TIMER, Area.COUNTER}


@dataclass(frozen=True, slots=True)
class Address:
    """Where a value starts.

    Attributes:
        block: number of the data block, 0 outside of them.
        byte: first byte; of a timer or counter, its number.
        bit: 0 the least significant.
        width: ``B``, ``W`` or ``D`` where the address says how much it means, else empty.
    """

    area: Area
    block: int
    byte: int
    bit: int | None = None
    width: str = ""

    def __str__(self) -> str:
        """Return the canonical form."""
        if self.area.is_elements:
            return f"{self.area}{self.byte}"
        place = f"{self.byte}" if self.bit is None else f"{self.byte}.{self.bit}"
        width = self.width or ("B" if self.bit is None else "")
        if self.area is Area.DB:
            return f"DB{self.block}.DB{width or 'X'}{place}"
        return f"{self.area}{width}{place}"


@dataclass(frozen=True, slots=True)
class Parsed:
    """What an address text tells.

    Attributes:
        datatype: when the text names it.
        length: characters of a string, when the text names them.
        count: elements, when the text names an array.
    """

    address: Address
    datatype: S7Datatype | None = None
    length: int | None = None
    count: int | None = None


_WIDTHS: Final = {
    "": "",
    "X": "X",
    "B": "B",
    "W": "W",
    "D": "D",
    "DW": "D",
    "BYTE": "B",
    "WORD": "W",
    "DWORD": "D",
}
DATATYPES: Final[dict[str, S7Datatype]] = {
    "BOOL": "bool",
    "BIT": "bool",
    "BYTE": "byte",
    "WORD": "word",
    "DWORD": "dword",
    "LWORD": "lword",
    "SINT": "sint",
    "USINT": "usint",
    "INT": "int",
    "I": "int",
    "UINT": "uint",
    "DINT": "dint",
    "DI": "dint",
    "UDINT": "udint",
    "LINT": "lint",
    "ULINT": "ulint",
    "REAL": "real",
    "R": "real",
    "LREAL": "lreal",
    "LR": "lreal",
    "CHAR": "char",
    "C": "char",
    "WCHAR": "wchar",
    "STRING": "string",
    "S": "string",
    "WSTRING": "wstring",
    "WS": "wstring",
    "TIME": "time",
    "LTIME": "ltime",
    "S5TIME": "s5time",
    "DATE": "date",
    "TIME_OF_DAY": "tod",
    "TOD": "tod",
    "LTIME_OF_DAY": "ltod",
    "LTOD": "ltod",
    "DATE_AND_TIME": "dt",
    "DT": "dt",
    "DTL": "dtl",
    "DATE_AND_LTIME": "ldt",
    "LDT": "ldt",
    "TIMER": "s5time",
    "COUNTER": "counter",
}
"""What the field calls datatypes, in addresses and in exports."""
_AREAS: Final = {
    "M": Area.MEMORY,
    "MK": Area.MEMORY,
    "I": Area.INPUT,
    "E": Area.INPUT,
    "Q": Area.OUTPUT,
    "A": Area.OUTPUT,
    "PI": Area.PERIPHERAL_INPUT,
    "PE": Area.PERIPHERAL_INPUT,
    "PQ": Area.PERIPHERAL_OUTPUT,
    "PA": Area.PERIPHERAL_OUTPUT,
}
_IMAGES: Final = {"PE": Area.INPUT, "PA": Area.OUTPUT, "MK": Area.MEMORY}
"""Process images, as Snap7 and Telegraf name them, with a dot: ``PE.W0``."""

_ARRAY: Final = re.compile(r"(.+):ARRAY\[(-?\d+)\.\.(-?\d+)\]OF(.+)")
_STRING_LENGTH: Final = re.compile(r"(?<=STRING)\[(\d+)\]")
"""TIA's brackets around a string's length, which others use for an array's."""
_COUNTED: Final = re.compile(r"(.+)\[(\d+)\]")
_TYPED: Final = re.compile(r"(.+):([A-Z_]\w*)(?:\((\d+)\))?")
_BLOCK: Final = re.compile(r"DB(\d+)[.,:](?:DB)?([A-Z_]*?|S5TIME)(\d+)(?:\.(\d+))?")
_ELEMENT: Final = re.compile(r"(TM|T|CT|C|Z)[.:]?(\d+)")
_IMAGE: Final = re.compile(r"(PE|PA|MK)\.([A-Z]+)(\d+)(?:\.(\d+))?")
_PLAIN: Final = re.compile(r"(PI|PE|PQ|PA|M|I|E|Q|A|V)([A-Z_]*?|S5TIME)(\d+)(?:\.(\d+))?")


def parse_address(text: str) -> Parsed:
    """Read an address in any notation of the field.

    * Classic and TIA: ``DB1.DBD100``, ``DB1.DBX5.2``, ``MW20``, ``M5.2``, ``%QB3``, ``PIW256``,
      ``T5``, ``C3``, ``P#DB1.DBX30.0``; German ``EW4``, ``A0.1``, ``PEW256``, ``Z3``.
    * PLC4X: ``%DB1.DBD100:REAL``, ``%DB1:100:REAL``, ``%DB1.DBB30:STRING(10)``.
    * Kepware: ``DB1,REAL100``, ``DB1,X5.2``, ``DB1,STRING30.10``; Telegraf: ``DB1.R100``,
      ``DB1.S30.10``, ``PE.W0``, ``MK.X5.2``.
    * LOGO! and S7-200: ``VW1118``, ``VD4``, ``V5.2``, which lie in ``DB1``.
    * Arrays: ``DB1.DBD100:REAL[10]``, ``DB1,REAL100[10]``, ``DB1.DBD100:ARRAY[0..9] OF REAL``.

    Raises:
        ValueError: what was found and what was expected, without a subject.
    """
    bare = re.sub(r"\s+", "", text.upper()).removeprefix("P#").removeprefix("%")
    bare, count = _take_count(bare, text)
    told: S7Datatype | None = None
    length: int | None = None
    if (found := _TYPED.fullmatch(bare)) and found[2] in DATATYPES:
        bare, told = found[1], DATATYPES[found[2]]
        length = int(found[3]) if found[3] else None
    if told in {"string", "wstring"} and length is None:
        length, count = count, None  # STRING[10] is a string of ten characters
    if length is not None and told not in {"string", "wstring"}:
        raise ValueError(f"address {text!r} has a length, which is for strings: {told}[{length}]?")
    parsed = _parse_bare(bare, text)
    if told is not None and parsed.datatype not in {None, told}:
        raise ValueError(f"address {text!r} names {parsed.datatype} and {told}, expected one")
    return Parsed(parsed.address, told or parsed.datatype, length or parsed.length, count)


def _take_count(bare: str, text: str) -> tuple[str, int | None]:
    """Take a number of elements off an address: ``…[10]`` or ``…:ARRAY[0..9] OF …``."""
    if found := _ARRAY.fullmatch(bare):
        rest, first, last, kind = found.groups()
        if int(last) < int(first):
            raise ValueError(
                f"address {text!r} is an array of {first}..{last}, expected first..last"
            )
        return _mark_length(f"{rest}:{kind}"), int(last) - int(first) + 1
    if found := _COUNTED.fullmatch(bare):
        return _mark_length(found[1]), int(found[2])
    return bare, None


def _mark_length(bare: str) -> str:
    return _STRING_LENGTH.sub(r"(\1)", bare)


def _parse_bare(bare: str, text: str) -> Parsed:
    if found := _BLOCK.fullmatch(bare):
        block, letters, byte, rest = found.groups()
        return _placed(Area.DB, int(block), (letters, byte, rest), text)
    if found := _ELEMENT.fullmatch(bare):
        area = Area.TIMER if found[1].startswith("T") else Area.COUNTER
        number = int(found[2])
        if number > _HIGHEST_ELEMENT:
            raise ValueError(f"{area}{number} is above {area}{_HIGHEST_ELEMENT}")
        return Parsed(Address(area, 0, number), "s5time" if area is Area.TIMER else "counter")
    if found := _IMAGE.fullmatch(bare):
        name, letters, byte, rest = found.groups()
        return _placed(_IMAGES[name], 0, (letters, byte, rest), text)
    if found := _PLAIN.fullmatch(bare):
        name, letters, byte, rest = found.groups()
        if name == "V":
            return _placed(Area.DB, 1, (letters, byte, rest), text)
        return _placed(_AREAS[name], 0, (letters, byte, rest), text)
    hint = ", symbolic names need the absolute address" if '"' in text else ""
    raise ValueError(f"address {text!r} is not understood{hint}, expected {EXPECTED}")


def _placed(area: Area, block: int, found: tuple[str, str, str | None], text: str) -> Parsed:
    letters, digits, rest = found
    byte = int(digits)
    width = _WIDTHS.get(letters)
    datatype = None if width is not None else DATATYPES.get(letters)
    if width is None and datatype is None:
        raise ValueError(f"address {text!r} is not understood, expected {EXPECTED}")
    if area is Area.DB and not 1 <= block <= HIGHEST_BLOCK:
        raise ValueError(f"data block is {block}, expected 1 to {HIGHEST_BLOCK}")
    if byte > HIGHEST_BYTE:
        raise ValueError(f"byte {byte} is above {HIGHEST_BYTE}")
    if datatype in {"string", "wstring"}:
        return Parsed(Address(area, block, byte), datatype, int(rest) if rest else None)
    if rest is None:
        if width == "X" or datatype == "bool":
            raise ValueError(
                f"address {text!r} names no bit, expected for example {text.strip()}.0"
            )
        return Parsed(Address(area, block, byte, width=width or ""), datatype)
    if width not in {"", "X"} and datatype != "bool":
        raise ValueError(f"address {text!r} has a bit and a width, expected one of them")
    if int(rest) > 7:  # a byte's last bit
        raise ValueError(f"bit {rest} is above 7, a byte has 8 bits")
    return Parsed(Address(area, block, byte, int(rest)), datatype)
