"""The bytes of one block to a column of values, by struct layouts compiled once.

Everything is big-endian. Points that do not overlap are unpacked by one ``struct`` call. Pure.
"""

from collections.abc import Callable, Sequence
from itertools import chain
from struct import Struct
from typing import Any

from edge_node.drivers.base import RawValue
from edge_node.drivers.s7.plan import Block
from edge_node.drivers.s7.points import Point
from edge_node.drivers.s7.values import DECODERS, LAYOUTS

Layer = Callable[[bytes], Sequence[RawValue]]


class BlockDecoder:
    """Turns a block's bytes into values.

    Attributes:
        order: the indexes of the points, in the order of the decoded values.
    """

    __slots__ = ("_layers", "order")

    def __init__(self, block: Block, points: Sequence[Point]) -> None:
        flags = [i for i in block.indexes if points[i].datatype == "bool"]
        layers = _without_overlap([i for i in block.indexes if i not in set(flags)], points)
        self._layers = [_values_layer(block, points, layer) for layer in layers]
        if flags:
            self._layers.append(_flags_layer(block, points, flags))
        self.order = (*chain.from_iterable(layers), *flags)

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
        is_text = point.datatype in {"string", "wstring"}
        parts.append(f"{point.size}s" if is_text else LAYOUTS[point.datatype][0])
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
