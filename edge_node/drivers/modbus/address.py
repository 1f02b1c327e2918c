"""Modbus addresses: every notation the field writes, and the one canonical form.

Canonical is ``<table>:<number>[.<bit>]``, 0-based as on the wire: ``holding:100``, ``coil:0``,
``holding:100.5`` for bit 5 of a register (bit 0 is the least significant).
Knows nothing of devices, datatypes or requests.
"""

import re
from dataclasses import dataclass
from enum import StrEnum

HIGHEST_ADDRESS = 65_535
_HIGHEST_BIT = 15

EXPECTED = "holding:100, input:7, coil:0, discrete:3, holding:100.5, 40101, 400101, 4x101 or %MW100"


class Table(StrEnum):
    """The four tables of the Modbus data model (Modbus V1.1b3 4.3)."""

    COIL = "coil"
    DISCRETE = "discrete"
    INPUT = "input"
    HOLDING = "holding"

    @property
    def is_bits(self) -> bool:
        """Whether an address of the table holds one bit; else it holds 16."""
        return self in {Table.COIL, Table.DISCRETE}

    @property
    def is_writable(self) -> bool:
        """Whether the protocol can write to the table."""
        return self in {Table.COIL, Table.HOLDING}


@dataclass(frozen=True, slots=True)
class Address:
    """Where a value starts, 0-based as on the wire."""

    table: Table
    number: int
    bit: int | None = None

    def __str__(self) -> str:
        """Return the canonical form."""
        suffix = "" if self.bit is None else f".{self.bit}"
        return f"{self.table}:{self.number}{suffix}"


_NAMES = {
    "coil": Table.COIL,
    "coils": Table.COIL,
    "c": Table.COIL,
    "co": Table.COIL,
    "discrete": Table.DISCRETE,
    "discrete-input": Table.DISCRETE,
    "discrete-inputs": Table.DISCRETE,
    "di": Table.DISCRETE,
    "input": Table.INPUT,
    "input-register": Table.INPUT,
    "input-registers": Table.INPUT,
    "ir": Table.INPUT,
    "holding": Table.HOLDING,
    "holding-register": Table.HOLDING,
    "holding-registers": Table.HOLDING,
    "hr": Table.HOLDING,
}
_DIGITS = {"0": Table.COIL, "1": Table.DISCRETE, "3": Table.INPUT, "4": Table.HOLDING}
_IEC = {"MW": Table.HOLDING, "IW": Table.INPUT, "M": Table.COIL, "I": Table.DISCRETE}

_NAMED = re.compile(r"([a-z_ -]+?)\s*:\s*(0x[0-9a-f]+|\d+)(?:[.:](\d+))?", re.IGNORECASE)
_NUMBERED = re.compile(r"([0134])(?:x(\d{1,6})|(\d{4,5}))(?:[.:](\d+))?", re.IGNORECASE)
_IEC_FORM = re.compile(r"%(MW|IW|M|I)(\d+)(?:[.:]x?(\d+))?", re.IGNORECASE)


def parse_address(text: str) -> Address:
    """Read an address in any notation of the field.

    * ``holding:100`` (also ``hr:100``, ``holding_register:0x64``), 0-based; ``.5`` adds a bit.
    * ``40101``, ``400101``, ``4x101``: Modicon's, 1-based; ``0`` coil, ``1`` discrete input,
      ``3`` input register, ``4`` holding register.
    * ``%MW100``, ``%MW100:X5``, ``%IW7``, ``%M0``, ``%I3``: IEC 61131-3 as
      Schneider maps it, 0-based.

    Raises:
        ValueError: what was found and what was expected, without a subject.
    """
    stripped = text.strip()
    if found := _NAMED.fullmatch(stripped):
        name, digits, bit = found.groups()
        table = _NAMES.get(re.sub(r"[_ -]+", "-", name.lower()))
        if table is None:
            raise ValueError(
                f"table {name!r} is unknown, expected holding, input, coil or discrete"
            )
        number = int(digits, 0) if digits[:2].lower() == "0x" else int(digits)
    elif found := _NUMBERED.fullmatch(stripped):
        digit, with_x, without_x, bit = found.groups()
        table = _DIGITS[digit]
        one_based = int(with_x or without_x)
        if one_based == 0:
            raise ValueError(
                f"address {text!r} counts from 0, expected 1 or above in this notation"
            )
        number = one_based - 1
    elif found := _IEC_FORM.fullmatch(stripped):
        area, digits, bit = found.groups()
        table, number = _IEC[area.upper()], int(digits)
    else:
        raise ValueError(f"address {text!r} is not understood, expected {EXPECTED}")
    return _checked(table, number, bit)


def _checked(table: Table, number: int, bit: str | None) -> Address:
    if number > HIGHEST_ADDRESS:
        raise ValueError(f"address {number} is above {HIGHEST_ADDRESS}")
    if bit is None:
        return Address(table, number)
    if table.is_bits:
        raise ValueError(f"bit {bit} of a {table} is asked for, expected a register's bit")
    if int(bit) > _HIGHEST_BIT:
        raise ValueError(f"bit {bit} is above {_HIGHEST_BIT}, a register has 16 bits")
    return Address(table, number, int(bit))
