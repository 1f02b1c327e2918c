"""The bytes of one block to a column of values, by struct layouts compiled once.

Everything is big-endian. Single values that do not overlap are unpacked by one ``struct`` call,
each array by one of its own. Pure.
"""

from collections.abc import Callable, Sequence
from itertools import chain
from struct import Struct
from typing import Any, cast

from edge_node.drivers.base import RawValue
from edge_node.drivers.s7.plan import Block
from edge_node.drivers.s7.points import Point
from edge_node.drivers.s7.values import DECODERS, LAYOUTS

Layer = Callable[[bytes], Sequence[RawValue]]
_BITS = range(8)


class BlockDecoder:
    """Turns a block's bytes into values.

    Attributes:
        order: the indexes of the points, in the order of the decoded values.
        span: where the values stand in the column, if one after the other and all with a value
            whatever the bytes are.
    """

    __slots__ = ("_layers", "order", "span")

    def __init__(self, block: Block, points: Sequence[Point]) -> None:
        arrays = [i for i in block.indexes if points[i].count is not None]
        single = [i for i in block.indexes if points[i].count is None]
        flags = [i for i in single if points[i].datatype == "bool"]
        layers = _without_overlap([i for i in single if points[i].datatype != "bool"], points)
        self._layers = [_values_layer(block, points, layer) for layer in layers]
        if flags:
            self._layers.append(_flags_layer(block, points, flags))
        self._layers += [_array_layer(block, points[i]) for i in arrays]
        self.order = (*chain.from_iterable(layers), *flags, *arrays)
        first, count = self.order[0], len(self.order)
        is_whole = self.order == tuple(range(first, first + count))
        may_fail = any(points[i].datatype in DECODERS for i in self.order)
        self.span = slice(first, first + count) if is_whole and not may_fail else None

    def __call__(self, data: bytes) -> Sequence[RawValue]:
        """Decode exactly the block's bytes; ``None`` where they mean nothing."""
        if len(self._layers) == 1:
            return self._layers[0](data)
        return list(chain.from_iterable(layer(data) for layer in self._layers))


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


def _values_layer(block: Block, points: Sequence[Point], indexes: Sequence[int]) -> Layer:
    parts = [">"]
    at = block.start
    mend: list[tuple[int, Callable[[Any], RawValue]]] = []
    for position, index in enumerate(indexes):
        point = points[index]
        parts.append(f"{point.start - at}x")
        parts.append(_code_of(point))
        if (decode := DECODERS.get(point.datatype)) is not None:
            mend.append((position, decode))
        at = point.end
    unpack = Struct("".join(parts)).unpack_from
    if not mend:
        return unpack

    def layer(data: bytes) -> list[RawValue]:
        values = list(unpack(data))
        for position, decode in mend:
            values[position] = decode(values[position])
        return values

    return layer


def _flags_layer(block: Block, points: Sequence[Point], indexes: Sequence[int]) -> Layer:
    places = [(points[i].start - block.start, 1 << (points[i].address.bit or 0)) for i in indexes]
    return lambda data: [data[at] & mask != 0 for at, mask in places]


def _array_layer(block: Block, point: Point) -> Layer:
    at, count = point.start - block.start, point.count or 0
    if point.datatype == "bool":
        first = point.address.bit or 0

        def bits(data: bytes) -> list[RawValue]:
            single = [byte >> bit & 1 == 1 for byte in data[at : at + point.size] for bit in _BITS]
            return [single[first : first + count]]

        return bits
    code, pad = _code_of(point), point.stride - point.element_size
    element = f"{code}{pad}x" if pad else code
    layout = (
        f"{at}x{element * (count - 1)}{code}" if pad or len(code) > 1 else f"{at}x{count}{code}"
    )
    unpack = Struct(f">{layout}").unpack_from
    decode = DECODERS.get(point.datatype)
    if decode is None:
        return lambda data: [list(unpack(data))]

    def layer(data: bytes) -> list[RawValue]:
        values = [decode(value) for value in unpack(data)]
        # Sparkplug ends each string of an array with NUL (6.4.17)
        if any(value is None or (isinstance(value, str) and "\0" in value) for value in values):
            return [None]
        return [cast("RawValue", values)]

    return layer


def _code_of(point: Point) -> str:
    if point.datatype in {"string", "wstring"}:
        return f"{point.element_size}s"
    return LAYOUTS[point.datatype][0]
