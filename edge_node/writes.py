"""Writes to one device: a bounded queue in the order they came, each ended exactly once.

Knows neither MQTT nor drivers. Nothing is merged: two values for one tag are written one after the
other, as was asked.
"""

import math
import struct
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from edge_node.drivers.base import RawValue
from edge_node.pipeline.tags import TagSpec
from proto.control.command import Outcome
from proto.sparkplug.datatypes import DataType
from proto.sparkplug.metrics import DataSet, Template, Value

MAX_WAITING: Final = 1000
_DOUBLE_TOLERANCE: Final = 1e-12
_FLOAT32: Final = struct.Struct("<f")


@dataclass(frozen=True, slots=True)
class WriteEnd:
    """What became of a write.

    Attributes:
        reason: why it is not as it should be.
        value: what was read back, an engineering value.
        returned: what a method gave back, by the names of its output arguments.
    """

    outcome: Outcome
    reason: str | None = None
    value: Value = None
    returned: Mapping[str, Value] | None = None

    @property
    def ok(self) -> bool:
        """Whether the device has the value, as far as was to be found out."""
        return self.outcome in {"written", "verified"}


@dataclass(frozen=True, slots=True)
class WriteOrder:
    """A write that was asked for.

    Attributes:
        tag: name.
        value: engineering value.
        deadline: on trio's clock; what has not begun by then is not done.
        on_end: is told, once, what became of it; must not block.
    """

    tag: str
    value: object
    deadline: float
    on_end: Callable[[WriteEnd], None]


class WriteQueue:
    """The writes that wait for one device."""

    def __init__(self) -> None:
        self._orders: deque[WriteOrder] = deque()

    def __len__(self) -> int:
        return len(self._orders)

    def put(self, order: WriteOrder) -> bool:
        """Add an order at the end; one more than there is room for is refused.

        Returns:
            Whether it waits now.
        """
        if len(self._orders) >= MAX_WAITING:
            order.on_end(WriteEnd("refused", f"{MAX_WAITING} writes wait already"))
            return False
        self._orders.append(order)
        return True

    def take(self) -> WriteOrder:
        """Remove and return the order that came first; there is one."""
        return self._orders.popleft()

    def refuse_all(self, reason: str) -> None:
        """End everything that waits."""
        while self._orders:
            self._orders.popleft().on_end(WriteEnd("refused", reason))


def compare(spec: TagSpec, written: RawValue, found: RawValue) -> WriteEnd:
    """Return how a write ended whose tag was read back; both values are raw ones."""
    if agree(spec.raw_datatype, written, found):
        return WriteEnd("verified", None, spec.engineering_value(found))
    value = spec.engineering_value(found)
    return WriteEnd("different", f"the device gives {value!r} back", value)


def agree(datatype: DataType, written: RawValue, found: RawValue) -> bool:
    """Whether a device gives back what was written to it, as exactly as its data type can."""
    if isinstance(written, list):
        if not isinstance(found, list) or len(written) != len(found):
            return False
        pairs: Iterable[tuple[Any, Any]] = zip(written, found, strict=True)
        return all(agree(datatype, one, other) for one, other in pairs)
    if isinstance(written, DataSet | Template):
        return _agree_in_parts(written, found)
    if isinstance(written, bool) or isinstance(found, bool):
        return written is found
    if isinstance(written, int | float) and isinstance(found, float):
        return _are_close(datatype, written, found)
    return written == found


def _agree_in_parts(written: DataSet | Template, found: RawValue) -> bool:
    if isinstance(written, DataSet):
        return isinstance(found, DataSet) and _have_same_rows(written, found)
    return isinstance(found, Template) and _have_same_members(written, found)


def _have_same_rows(written: DataSet, found: DataSet) -> bool:
    """Whether a table has what was written of it; columns that were not are the device's own."""
    if len(written.rows) != len(found.rows):
        return False
    types = dict(zip(found.columns, found.types, strict=True))
    for one, other in zip(written.rows, found.rows, strict=True):
        held = dict(zip(found.columns, other, strict=True))
        for column, cell in zip(written.columns, one, strict=True):
            if not agree(types.get(column, DataType.STRING), cell, held.get(column)):
                return False
    return True


def _have_same_members(written: Template, found: Template) -> bool:
    held = {member.name: member for member in found.metrics}
    return all(
        (other := held.get(member.name)) is not None
        and agree(other.datatype or DataType.STRING, member.value, other.value)
        for member in written.metrics
    )


def _are_close(datatype: DataType, written: float, found: float) -> bool:
    if math.isnan(written) or math.isnan(found):
        return math.isnan(written) and math.isnan(found)
    if datatype in {DataType.FLOAT, DataType.FLOAT_ARRAY}:
        return _as_float32(written) == _as_float32(found)
    return math.isclose(written, found, rel_tol=_DOUBLE_TOLERANCE)


def _as_float32(value: float) -> float:
    try:
        number: float = _FLOAT32.unpack(_FLOAT32.pack(value))[0]
    except OverflowError:
        return math.copysign(math.inf, value)
    return number
