"""The bytes of one answer to a column of values, by struct layouts compiled once per block.

Registers are unpacked by one ``struct`` call per layer, not value by value. A layer is a set of
points that do not overlap and share a byte order; nearly every block has one. Pure.

The four word orders are two endiannesses over two buffers, the answer's own bytes and the same
with the bytes of each word swapped: ABCD is big-endian, DCBA little-endian, BADC big-endian of
the swapped bytes, CDAB little-endian of the swapped bytes.
"""

from array import array
from collections.abc import Callable, Sequence
from functools import partial
from itertools import chain
from operator import itemgetter
from struct import Struct
from typing import Any

from edge_node.drivers.base import RawValue
from edge_node.drivers.modbus.plan import Block
from edge_node.drivers.modbus.points import Point
from proto.control.modbus import TextEncoding

STRUCT_CODES = {
    "int16": "h",
    "uint16": "H",
    "int32": "i",
    "uint32": "I",
    "int64": "q",
    "uint64": "Q",
    "float16": "e",
    "float32": "f",
    "float64": "d",
    "bcd16": "H",
    "bcd32": "I",
    "bcd64": "Q",
}
BCD = frozenset({"bcd16", "bcd32", "bcd64"})
_HIGHEST_INT8 = 127
_BITS_OF_BYTE = tuple(tuple(bool(byte >> bit & 1) for bit in range(8)) for byte in range(256))

Layer = Callable[[bytes, bytes], Sequence[RawValue]]
"""Takes the answer's bytes and the same with each word's bytes swapped."""


class BlockDecoder:
    """Turns the data bytes of a block's answer into values.

    Attributes:
        order: the indexes of the points, in the order of the decoded values.
        partial: whether a value may be ``None``, because its bytes mean nothing.
        size: how many data bytes an answer must have.
    """

    __slots__ = ("_layers", "_needs_swap", "order", "partial", "size")

    def __init__(self, block: Block, points: Sequence[Point]) -> None:
        self._needs_swap = False
        self.partial = any(
            points[i].datatype in BCD or points[i].encoding is not None for i in block.indexes
        )
        if block.table.is_bits:
            self.size = (block.count + 7) // 8
            self.order = block.indexes
            self._layers: list[Layer] = [_bits_layer(block, points)]
            return
        self.size = 2 * block.count
        plain: dict[tuple[bool, str], list[int]] = {}
        flags: list[int] = []
        halves: list[int] = []
        for index in block.indexes:
            point = points[index]
            if point.bit is not None:
                flags.append(index)
            elif point.byte is not None:
                halves.append(index)
            else:
                plain.setdefault(_byte_order(point), []).append(index)
        self._layers = []
        order: list[int] = []
        for (swapped, endian), indexes in plain.items():
            self._needs_swap |= swapped
            for layer in _without_overlap(indexes, points):
                order += layer
                self._layers.append(_registers_layer(block, points, layer, endian, swapped))
        if flags:
            order += flags
            self._layers.append(_flags_layer(block, points, flags))
        if halves:
            order += halves
            self._layers.append(_halves_layer(block, points, halves))
        self.order = tuple(order)

    def __call__(self, data: bytes) -> Sequence[RawValue]:
        """Decode an answer of exactly ``size`` bytes."""
        swapped = _swap_words(data) if self._needs_swap else b""
        if len(self._layers) == 1:
            return self._layers[0](data, swapped)
        return list(chain.from_iterable(layer(data, swapped) for layer in self._layers))


def _byte_order(point: Point) -> tuple[bool, str]:
    if point.datatype == "string":
        return point.word_order.endswith("-swapped"), ">"
    if point.count == 1:  # a lone register has no word order (Modbus V1.1b3 4.2: big-endian)
        return point.swap_bytes, ">"
    endian = ">" if point.word_order.startswith("big") else "<"
    return point.word_order in {"little", "big-swapped"}, endian


def _without_overlap(indexes: Sequence[int], points: Sequence[Point]) -> list[list[int]]:
    layers: list[list[int]] = []
    for index in indexes:
        for layer in layers:
            if points[layer[-1]].end <= points[index].start:
                layer.append(index)
                break
        else:
            layers.append([index])
    return layers


def _registers_layer(
    block: Block, points: Sequence[Point], indexes: Sequence[int], endian: str, swapped: bool
) -> Layer:
    parts = [endian]
    at = block.start
    mend: list[tuple[int, Callable[[Any], RawValue]]] = []
    for position, index in enumerate(indexes):
        point = points[index]
        if point.start > at:
            parts.append(f"{2 * (point.start - at)}x")
        if point.datatype == "string":
            parts.append(f"{point.length}s" + "x" * (point.length % 2))
            mend.append((position, partial(decode_text, encoding=point.encoding)))
        else:
            parts.append(STRUCT_CODES[point.datatype])
            if point.datatype in BCD:
                mend.append((position, decode_bcd))
        at = point.end
    unpack = Struct("".join(parts)).unpack_from

    if not mend:
        return (lambda _, words: unpack(words)) if swapped else (lambda data, _: unpack(data))

    def layer(data: bytes, words: bytes) -> list[RawValue]:
        values = list(unpack(words if swapped else data))
        for position, decode in mend:
            values[position] = decode(values[position])
        return values

    return layer


def _flags_layer(block: Block, points: Sequence[Point], indexes: Sequence[int]) -> Layer:
    places = [
        (2 * (p.start - block.start) + (p.bit < 8), 1 << p.bit % 8)
        for p in (points[i] for i in indexes)
        if p.bit is not None
    ]
    return lambda data, _: [data[at] & mask != 0 for at, mask in places]


def _halves_layer(block: Block, points: Sequence[Point], indexes: Sequence[int]) -> Layer:
    places = [
        (2 * (p.start - block.start) + p.byte, 256 if p.datatype == "int8" else 0)
        for p in (points[i] for i in indexes)
        if p.byte is not None
    ]
    return lambda data, _: [
        data[at] - wrap if data[at] > _HIGHEST_INT8 else data[at] for at, wrap in places
    ]


def _bits_layer(block: Block, points: Sequence[Point]) -> Layer:
    offsets = [points[i].start - block.start for i in block.indexes]

    def all_bits(data: bytes) -> list[bool]:
        return list(chain.from_iterable(map(_BITS_OF_BYTE.__getitem__, data)))

    if offsets == list(range(block.count)):
        count = block.count
        return lambda data, _: all_bits(data)[:count]
    pick = itemgetter(*offsets) if len(offsets) > 1 else None
    first = offsets[0]
    return lambda data, _: pick(all_bits(data)) if pick else [all_bits(data)[first]]


def _swap_words(data: bytes) -> bytes:
    words = array("H", data)
    words.byteswap()
    return words.tobytes()


def decode_bcd(digits: int) -> int | None:
    """Decode binary coded decimals, or return nothing when a digit is above 9."""
    text = f"{digits:x}"
    return int(text) if text.isdecimal() else None


def decode_text(data: bytes, encoding: TextEncoding | None = None) -> str | None:
    """Decode a string up to its first NUL, without padding blanks.

    Without an encoding it is UTF-8, and Latin-1 for the devices that were there before it: no byte
    is ever lost. With one, bytes that are no text in it are nothing.
    """
    if encoding is not None:
        try:
            text = data.decode("utf-16-be" if encoding == "utf-16" else encoding)
        except UnicodeDecodeError:
            return None
        return text.split("\0", 1)[0].rstrip(" ")
    return _decode_any(data)


def _decode_any(data: bytes) -> str:
    text = data.split(b"\0", 1)[0].rstrip(b" ")
    try:
        return text.decode()
    except UnicodeDecodeError:
        return text.decode("latin-1")
