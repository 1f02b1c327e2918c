"""Addresses as other gateways' configurations write them, to be imported: Neuron's and UMH's.

Both hold more than an address: the unit, the word order, the datatype, even the name. They are read
into the keys of a tag; a configuration of ours has them apart. Pure.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from edge_node.drivers.modbus.address import Address, Table, parse_address


@dataclass(frozen=True, slots=True)
class ForeignAddress:
    """What an address of another gateway says.

    Attributes:
        unit_id: ``None`` where it says none.
        cells: keys of a tag.
    """

    unit_id: int | None
    cells: Mapping[str, object]


_NEURON: Final = re.compile(
    r"(\d{1,3})!([0134]\d{4,5})(?:\.(\d{1,3})([HLDE])?)?(?:#([BL]{1,2}))?(?:\.(\d{1,3})([HLDE])?)?",
    re.IGNORECASE,
)
_NEURON_ORDERS: Final = {
    "BB": "big",
    "BL": "big-swapped",
    "LL": "little-swapped",
    "LB": "little",
}
"""The first letter is the order of the words, the second that of the bytes in them."""
_UMH: Final = re.compile(
    r"([^.:]+)\.(coil|discrete|holding|input)\.(\d{1,5})\.([A-Z]+\d*[LH]?)((?::\w+=[^:]*)*)"
)
_UMH_TYPES: Final[Mapping[str, Mapping[str, object]]] = {
    "BIT": {"datatype": "bool"},
    "INT8L": {"datatype": "int8"},
    "INT8H": {"datatype": "int8", "byte": "high"},
    "UINT8L": {"datatype": "uint8"},
    "UINT8H": {"datatype": "uint8", "byte": "high"},
    "STRING": {"datatype": "string"},
    **{
        name: {"datatype": name.lower()}
        for name in (
            *("INT16", "UINT16", "INT32", "UINT32", "INT64", "UINT64"),
            *("FLOAT16", "FLOAT32", "FLOAT64"),
        )
    },
}
_UMH_OPTIONS: Final = frozenset({"slaveID", "bit", "length", "scale", "output"})


def is_umh(text: str) -> bool:
    """Whether a text is an address as UMH writes it, name and all."""
    return _UMH.fullmatch(text.strip()) is not None


def read_foreign(text: str, datatype: str | None) -> ForeignAddress | None:
    """Read an address of Neuron or UMH, or return nothing for one that is neither.

    Args:
        text: ``1!400101.3``, ``1!300001#LB``, ``1!400001.10`` or
            ``name.holding.100.INT16:slaveID=1``.
        datatype: as the table has it beside, to tell Neuron's bits from its lengths.

    Raises:
        ValueError: it is one of theirs and cannot be; without a subject.
    """
    if found := _NEURON.fullmatch(text.strip()):
        return _read_neuron(found, text, datatype)
    if found := _UMH.fullmatch(text.strip()):
        return _read_umh(found, text)
    return None


def _read_neuron(found: re.Match[str], text: str, datatype: str | None) -> ForeignAddress:
    unit, number, bit, bit_kind, order, length, kind = found.groups()
    address = parse_address(number)
    cells: dict[str, object] = {}
    if datatype == "string":
        # a string's length follows the address, or the order
        length, kind = (length, kind) if length else (bit, bit_kind)
        bit = None
        if (kind or "H").upper() in {"D", "E"}:
            raise ValueError(f"{text!r} has one character to a register, expected encoding utf-16")
        if length:
            cells["length"] = int(length)
        cells["swap_bytes"] = (kind or "H").upper() == "L"
    elif length or bit_kind:
        raise ValueError(f"{text!r} has a length, expected datatype string with it")
    if bit is not None:
        address = parse_address(f"{address}.{bit}")
    if order is not None:
        if len(order) == 1:
            cells |= _neuron_single(order.upper(), datatype)
        else:
            cells["word_order"] = _NEURON_ORDERS[order.upper()]
    return ForeignAddress(int(unit), {"address": str(address), **cells})


def _neuron_single(order: str, datatype: str | None) -> dict[str, object]:
    if datatype in {"int16", "uint16"}:
        return {"swap_bytes": order == "L"}
    return {"word_order": "big" if order == "B" else "little-swapped"}


def _read_umh(found: re.Match[str], text: str) -> ForeignAddress:
    name, table, number, kind, rest = found.groups()
    if kind not in _UMH_TYPES:
        raise ValueError(f"{text!r} has type {kind}, expected one of {', '.join(_UMH_TYPES)}")
    options = dict(pair.split("=", 1) for pair in rest.split(":")[1:])
    if unknown := sorted(set(options) - _UMH_OPTIONS):
        known = ", ".join(sorted(_UMH_OPTIONS))
        raise ValueError(f"{text!r} has option {unknown[0]!r}, expected one of {known}")
    bit = options.get("bit")
    where = Table(table)
    if kind == "BIT" and not where.is_bits:
        bit = bit or "0"
    address = parse_address(str(Address(where, int(number))) + (f".{bit}" if bit else ""))
    cells: dict[str, object] = {"name": name, "address": str(address), **_UMH_TYPES[kind]}
    if "length" in options:
        cells["length"] = 2 * int(options["length"])  # theirs counts registers
    if "scale" in options and float(options["scale"]):
        cells["scale"] = float(options["scale"])
    unit = options.get("slaveID")
    return ForeignAddress(None if unit is None else int(unit), cells)
