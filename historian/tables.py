"""What a session's births say about the values that follow: alias and name → metric. Pure.

A metric of a session has a slot in the arrays of its table. Slot 0 is nobody's: it stands for what
the births do not tell of.
"""

from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from historian.catalogue import MetricKey, metric_key
from historian.exact import EXACT_DOUBLE
from historian.wire import BOOLEAN, DOUBLE, FLOAT, INTEGER, OTHER, Bytes, Longs
from proto import sparkplug_b_pb2 as pb
from proto.sparkplug.datatypes import INTEGER_RANGE, DataType
from proto.sparkplug.topics import Topic

_SPARSE: Final = 8
"""Aliases that leave more than so many free for each in use are looked up by searching."""


class Kind(IntEnum):
    """Which numbers of the wire are plain values of a metric. Everything else takes care."""

    ODD = 0
    BOOLEAN = 1
    FLOAT = 2
    DOUBLE = 3
    INT8 = 4
    INT16 = 5
    INT32 = 6
    UINT8 = 7
    UINT16 = 8
    UINT32 = 9
    LONG = 10


_KINDS: Final = {
    **{DataType[kind.name]: kind for kind in Kind if Kind.ODD < kind < Kind.LONG},
    DataType.INT64: Kind.LONG,
    DataType.UINT64: Kind.LONG,
    DataType.DATETIME: Kind.LONG,
}


class Range(NamedTuple):
    """How integers of a kind stand on the wire, as arrays over all kinds.

    Attributes:
        form: of :mod:`historian.wire`.
        low: least value.
        high: greatest value.
        span: what negative values are increased by, in the width of the data type.
    """

    form: Bytes
    low: Longs
    high: Longs
    span: Longs


def _make_range() -> Range:
    forms = [OTHER, BOOLEAN, FLOAT, DOUBLE, *[INTEGER] * (len(Kind) - 4)]
    limits = [(0, 1)] * 4
    for datatype, kind in _KINDS.items():
        if Kind.DOUBLE < kind < Kind.LONG:
            limits.append(INTEGER_RANGE[datatype])
    # Negative ones of 64 bits are longer than what is read at once.
    limits.append((0, EXACT_DOUBLE))
    low, high = np.array(limits, np.int64).T
    return Range(np.array(forms, np.uint8), low, high, high - low + 1)


RANGE: Final = _make_range()


class Table:
    """The metrics of one node or device in one session.

    Args:
        metrics: row in the database and data type of each.
        by_name: name → slot; slots count from 1 in the order of ``metrics``.
        by_alias: alias → slot.

    Attributes:
        metric_id: by slot, the row in the database.
        kind: by slot, a :class:`Kind`.
        latest_ms: by slot, time of the newest value seen; what is not newer is checked for
            duplicates.
    """

    __slots__ = (
        "_aliases",
        "_datatypes",
        "_slots",
        "by_alias",
        "by_name",
        "kind",
        "latest_ms",
        "metric_id",
    )

    def __init__(
        self,
        metrics: Sequence[tuple[int, DataType]],
        by_name: Mapping[str, int],
        by_alias: Mapping[int, int],
    ) -> None:
        self.by_name = by_name
        self.by_alias = by_alias
        self._datatypes = [datatype for _, datatype in metrics]
        self.metric_id = np.array([0, *(metric_id for metric_id, _ in metrics)], np.int32)
        kinds = [_KINDS.get(datatype, Kind.ODD) for datatype in self._datatypes]
        self.kind: Bytes = np.array([Kind.ODD, *kinds], np.uint8)
        self.latest_ms: Longs = np.zeros(len(metrics) + 1, np.int64)
        # Aliases beyond what is read at once are found through by_alias only.
        known = sorted(alias for alias in by_alias if alias < 2**56)
        slots = [by_alias[alias] for alias in known]
        self._aliases: Longs | None = None
        if known and known[-1] >= _SPARSE * len(known) + 1024:
            self._aliases = np.array(known, np.int64)
            self._slots = np.array(slots, np.int64)
        else:
            self._slots = np.zeros(known[-1] + 2 if known else 1, np.int64)
            self._slots[known] = slots

    def datatype(self, slot: int) -> DataType:
        """The data type that the birth gave a metric."""
        return self._datatypes[slot - 1]

    def find_slots(self, aliases: Longs) -> npt.NDArray[np.int64]:
        """The slots of aliases, 0 for those of no birth."""
        if self._aliases is None:
            # The last element is free.
            return self._slots[np.minimum(aliases, len(self._slots) - 1)]
        places = np.minimum(np.searchsorted(self._aliases, aliases), len(self._aliases) - 1)
        return np.where(self._aliases[places] == aliases, self._slots[places], 0)


def make_table(topic: Topic, birth: pb.Payload, ids: Mapping[MetricKey, int]) -> Table:
    """Build the table that a birth announces.

    An alias that stands for two names stands for none: such metrics go by name only.
    """
    metrics: list[tuple[int, DataType]] = []
    by_name: dict[str, int] = {}
    by_alias: dict[int, int] = {}
    ambiguous: set[int] = set()
    for metric in birth.metrics:
        key = metric_key(topic, metric)
        metric_id = None if key is None else ids.get(key)
        if metric_id is None:
            continue
        metrics.append((metric_id, DataType(metric.datatype)))
        by_name[metric.name] = slot = len(metrics)
        if metric.HasField("alias"):
            if metric.alias in by_alias:
                ambiguous.add(metric.alias)
            by_alias[metric.alias] = slot
    for alias in ambiguous:
        del by_alias[alias]
    return Table(metrics, by_name, by_alias)
