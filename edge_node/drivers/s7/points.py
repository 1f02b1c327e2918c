"""A device document compiled to points: what is read where, and how it is laid out.

All that only an S7 driver can judge about a document is judged here, every mistake at once.
Knows nothing of requests or sockets.
"""

from dataclasses import dataclass, replace
from typing import Final

from edge_node.drivers.base import ConfigError, TagInfo
from edge_node.drivers.s7.address import HIGHEST_BYTE, Address, Area, Parsed, parse_address
from edge_node.drivers.s7.values import LAYOUTS, SIZES
from proto.control.s7 import UNSCALED, S7Datatype, S7Device, S7Tag
from proto.sparkplug.datatypes import ARRAY_ELEMENT, DataType

_WIDTHS: Final = {"B": 1, "W": 2, "D": 4}
_LETTERS: Final = {1: "B", 2: "W", 4: "D"}
_LONGEST_STRING: Final = 254
_ARRAY_OF: Final = {element: array for array, element in ARRAY_ELEMENT.items()}
_READ_ONLY: Final = frozenset({Area.TIMER, Area.COUNTER, Area.INPUT, Area.PERIPHERAL_INPUT})


@dataclass(frozen=True, slots=True)
class Point:
    """One tag as the driver sees it.

    Attributes:
        start: first byte; timers and counters take two bytes each.
        size: bytes.
        length: characters of a string.
        count: elements of an array; ``None`` of a single value.
    """

    name: str
    address: Address
    datatype: S7Datatype
    start: int
    size: int
    length: int = 0
    writable: bool = False
    count: int | None = None

    @property
    def element_size(self) -> int:
        """Bytes of one value, of an array of one element."""
        return size_of(self.datatype, self.length)

    @property
    def stride(self) -> int:
        """Bytes from one element of an array to the next; not for ``bool``, which has bits."""
        return stride_of(self.datatype, self.length)

    @property
    def end(self) -> int:
        """The byte after the last."""
        return self.start + self.size

    @property
    def place(self) -> tuple[Area, int]:
        """What must be equal for two points to be neighbours: area and data block."""
        return self.address.area, self.address.block

    @property
    def info(self) -> TagInfo:
        """What the edge node must know of the tag."""
        if self.datatype == "bool":
            datatype = DataType.BOOLEAN
        elif self.datatype in {"string", "wstring"}:
            datatype = DataType.STRING
        else:
            datatype = LAYOUTS[self.datatype][1]
        return TagInfo(self.name, datatype if self.count is None else _ARRAY_OF[datatype])


def compile_points(document: S7Device) -> dict[str, list[Point]]:
    """Return poll group name → points, in the order of the document.

    Raises:
        ConfigError: every mistake in the document's addresses, one line each.
    """
    groups: dict[str, list[Point]] = {group.name: [] for group in document.poll_groups}
    default_group = document.poll_groups[0].name
    mistakes: list[str] = []
    for tag in document.tags:
        try:
            point = compile_point(tag)
        except ValueError as exc:
            mistakes.append(f"{document.name} tag {tag.name!r}: {exc}")
        else:
            groups[tag.poll_group or default_group].append(point)
    if mistakes:
        raise ConfigError(mistakes)
    return {name: points for name, points in groups.items() if points}


def size_of(datatype: S7Datatype, length: int = 0) -> int:
    """Return how many bytes a value takes; ``length`` is a string's, in characters."""
    if datatype == "bool":
        return 1
    if datatype == "string":
        return 2 + length
    if datatype == "wstring":
        return 4 + 2 * length
    return SIZES[datatype]


def stride_of(datatype: S7Datatype, length: int = 0) -> int:
    """Return the bytes from one element of an array to the next; strings begin at even ones."""
    size = size_of(datatype, length)
    return size + size % 2 if datatype == "string" else size


def compile_point(tag: S7Tag) -> Point:
    """Return the point of one tag.

    Raises:
        ValueError: what cannot work, without a subject.
    """
    parsed = parse_address(tag.address)
    datatype = _datatype_of(tag, parsed)
    length = _length_of(tag, parsed, datatype)
    count = _count_of(tag, parsed)
    if datatype in UNSCALED and (tag.is_scaled or tag.deadband or tag.deadband_percent):
        raise ValueError(f"scale, offset and deadband do not apply to datatype {datatype!r}")
    if count is not None and (tag.deadband or tag.deadband_percent):
        raise ValueError("deadband does not apply to arrays, expected none")
    size = size_of(datatype, length)
    address = canonical(parsed.address, datatype, size)
    start = 2 * address.byte if address.area.is_elements else address.byte
    if count is not None and datatype == "bool":
        size = ((address.bit or 0) + count + 7) // 8
    elif count is not None:
        size = stride_of(datatype, length) * (count - 1) + size
    if not address.area.is_elements and start + size - 1 > HIGHEST_BYTE:
        what = datatype if count is None else f"array of {count} {datatype}"
        raise ValueError(f"{what} at {address} ends above byte {HIGHEST_BYTE}")
    if tag.writable and address.area in _READ_ONLY:
        raise ValueError(f"writable at {address}, expected a data block, M or Q")
    return Point(tag.name, address, datatype, start, size, length, tag.writable, count)


def _length_of(tag: S7Tag, parsed: Parsed, datatype: S7Datatype) -> int:
    if datatype not in {"string", "wstring"}:
        if tag.length is not None:
            raise ValueError(f"length is {tag.length} for {datatype}, expected it for strings only")
        return 0
    length = tag.length or parsed.length or _LONGEST_STRING
    if tag.length and parsed.length and tag.length != parsed.length:
        raise ValueError(f"length is {tag.length}, address {tag.address!r} says {parsed.length}")
    if length > _LONGEST_STRING:
        raise ValueError(f"length is {length}, expected at most {_LONGEST_STRING}")
    return length


def _count_of(tag: S7Tag, parsed: Parsed) -> int | None:
    if parsed.count == 0:
        raise ValueError(f"address {tag.address!r} is an array of 0, expected at least 1")
    if tag.count and parsed.count and tag.count != parsed.count:
        raise ValueError(f"count is {tag.count}, address {tag.address!r} says {parsed.count}")
    return tag.count or parsed.count


def _datatype_of(tag: S7Tag, parsed: Parsed) -> S7Datatype:
    told = parsed.datatype
    if told is None and parsed.address.bit is not None and tag.datatype is None:
        return "bool"
    if tag.datatype is None:
        if told is None:
            raise ValueError(
                f"datatype is missing and address {tag.address!r} does not tell it,"
                " expected for example datatype = 'real'"
            )
        return told
    if told not in {None, tag.datatype} and not parsed.address.area.is_elements:
        raise ValueError(f"datatype is {tag.datatype!r}, address {tag.address!r} says {told!r}")
    if parsed.address.area.is_elements and tag.datatype != told:
        raise ValueError(f"datatype {tag.datatype!r} at {parsed.address}, expected {told!r}")
    return tag.datatype


def canonical(address: Address, datatype: S7Datatype, size: int) -> Address:
    """Return the address with the width of its datatype.

    Args:
        address: as it was written.
        datatype: what lies there.
        size: bytes of one value.

    Raises:
        ValueError: they disagree.
    """
    if address.area.is_elements:
        return address
    if datatype == "bool":
        if address.bit is None:
            raise ValueError(
                f"bool at {address} names no bit, expected for example"
                f" {replace(address, bit=0, width='')}"
            )
        return address
    if address.bit is not None:
        # pointers to the start of a structure end in .0
        if address.bit or size in _LETTERS:
            raise ValueError(f"datatype {datatype!r} at {address}, expected bool for a bit")
        return replace(address, bit=None, width="B")
    if address.width in {"W", "D"} and _WIDTHS[address.width] != size:
        raise ValueError(
            f"datatype {datatype!r} takes {size} bytes, {address} has {_WIDTHS[address.width]}"
        )
    return replace(address, width=_LETTERS.get(size, "B"))
