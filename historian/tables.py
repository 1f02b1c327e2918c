"""What a session's births say about the values that follow: alias and name → metric. Pure.

``Kind`` tells the packing loop which field of the wire holds a value; everything that is not a
plain number is ``ODD`` and takes the careful way.
"""

from collections.abc import Mapping
from enum import IntEnum
from typing import Final

from historian.catalogue import MetricKey, metric_key
from proto import sparkplug_b_pb2 as pb
from proto.sparkplug.datatypes import DataType
from proto.sparkplug.topics import Topic


class Kind(IntEnum):
    """Where the packing loop finds a number."""

    ODD = 0
    DOUBLE = 1
    FLOAT = 2
    UNSIGNED = 3
    SIGNED = 4
    SHORT = 5
    BOOLEAN = 6
    LONG = 7


_KINDS: Final = {
    DataType.DOUBLE: Kind.DOUBLE,
    DataType.FLOAT: Kind.FLOAT,
    DataType.INT32: Kind.SIGNED,
    DataType.INT16: Kind.SHORT,
    DataType.UINT8: Kind.UNSIGNED,
    DataType.UINT16: Kind.UNSIGNED,
    DataType.UINT32: Kind.UNSIGNED,
    DataType.BOOLEAN: Kind.BOOLEAN,
    DataType.INT64: Kind.LONG,
    DataType.UINT64: Kind.LONG,
    DataType.DATETIME: Kind.LONG,
}


class Entry:
    """One metric of a session.

    Attributes:
        metric_id: its row in the database.
        kind: a :class:`Kind`, as a plain number.
        datatype: of the birth.
        latest_ms: time of the newest value seen; what is not newer is checked for duplicates.
    """

    __slots__ = ("datatype", "kind", "latest_ms", "metric_id")

    def __init__(self, metric_id: int, datatype: DataType) -> None:
        self.metric_id = metric_id
        self.datatype = datatype
        self.kind = int(_KINDS.get(datatype, Kind.ODD))
        self.latest_ms = 0


class Table:
    """The metrics of one node or device in one session."""

    __slots__ = ("by_alias", "by_name")

    def __init__(self) -> None:
        self.by_alias: dict[int, Entry] = {}
        self.by_name: dict[str, Entry] = {}


def make_table(topic: Topic, birth: pb.Payload, ids: Mapping[MetricKey, int]) -> Table:
    """Build the table that a birth announces.

    An alias that stands for two names stands for none: such metrics go by name only.
    """
    table = Table()
    ambiguous: set[int] = set()
    for metric in birth.metrics:
        key = metric_key(topic, metric)
        metric_id = None if key is None else ids.get(key)
        if metric_id is None:
            continue
        entry = Entry(metric_id, DataType(metric.datatype))
        table.by_name[metric.name] = entry
        if metric.HasField("alias"):
            if metric.alias in table.by_alias:
                ambiguous.add(metric.alias)
            table.by_alias[metric.alias] = entry
    for alias in ambiguous:
        del table.by_alias[alias]
    return table
