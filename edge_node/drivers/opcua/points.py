"""A device document compiled to points: which node, as what, told how.

All that only an OPC UA driver can judge about a document is judged here, every mistake at once.
Pure.
"""

import math
from dataclasses import dataclass
from typing import Final

from edge_node.drivers.base import ConfigError, TagInfo
from edge_node.drivers.opcua.kinds import KINDS, Kind
from edge_node.drivers.opcua.nodes import Address, NodeName, parse_address
from proto.control.opcua import OpcUaDevice, OpcUaField, OpcUaGroup, OpcUaTag
from proto.sparkplug.datatypes import DataType
from proto.sparkplug.metrics import Metric, Template

_SPARE_SAMPLES: Final = 2
"""What a server's queue holds beyond what its sampling brings in one interval."""


@dataclass(frozen=True, slots=True)
class Method:
    """What writing a tag calls.

    Attributes:
        object_address: whose method it is.
        address: the method's.
        arguments: their types in order.
        gives: the output argument that the tag has, by name or number; ``None`` where it calls.
    """

    object_address: Address
    address: Address
    arguments: tuple[OpcUaField, ...]
    gives: str | None = None

    def is_of(self, other: "Method") -> bool:
        """Whether both are the same method of the same object."""
        return (self.object_address, self.address) == (other.object_address, other.address)


@dataclass(frozen=True, slots=True)
class Point:
    """One tag as the driver sees it.

    Attributes:
        group: its poll group.
        index: its position in the group.
        kind: its built-in type, ``None`` for a structure.
        sampling_ms: how often the server looks at it.
        queue_size: how many changes the server keeps.
        deadband: in raw units, for the server to apply; 0 for none.
        trigger: what makes the server tell: 0 status, 1 value too, 2 time too (OPC 10000-4 7.22.2).
        method: what writing it calls, or whose output it has; such a tag has no node to be read.
    """

    name: str
    group: str
    index: int
    address: Address
    kind: Kind | None
    array: bool
    sampling_ms: float
    queue_size: int
    deadband: float
    trigger: int
    read_back: bool
    method: Method | None
    fields: tuple[OpcUaField, ...]
    template: str | None

    @property
    def datatype(self) -> DataType:
        """Sparkplug datatype of the value."""
        if self.kind is None:
            return DataType.DATASET if self.template is None else DataType.TEMPLATE
        if self.array:
            assert self.kind.array is not None  # noqa: S101  # the document was checked
            return self.kind.array
        return self.kind.datatype

    @property
    def info(self) -> TagInfo:
        """What the edge node must know of the tag."""
        definition = None
        if self.template is not None:
            members = tuple(Metric(f.name, field_datatype(f)) for f in self.fields)
            template = Template(members, is_definition=True)
            definition = Metric(self.template, DataType.TEMPLATE, template)
        return TagInfo(self.name, self.datatype, definition)


def field_datatype(field: OpcUaField) -> DataType:
    """Return the Sparkplug datatype of a structure's field."""
    kind = KINDS[field.datatype]
    return kind.array if field.array and kind.array is not None else kind.datatype


def compile_points(document: OpcUaDevice) -> dict[str, list[Point]]:
    """Return poll group name → points, in the order of the document.

    Raises:
        ConfigError: every mistake in the document's addresses, one line each.
    """
    groups = {group.name: group for group in document.poll_groups}
    default = document.poll_groups[0].name
    points: dict[str, list[Point]] = {name: [] for name in groups}
    mistakes: list[str] = []
    for tag in document.tags:
        group = groups[tag.poll_group or default]
        column = points[group.name]
        try:
            column.append(_compile(tag, group, len(column)))
        except ValueError as exc:
            mistakes.append(f"{document.name} tag {tag.name!r}: {exc}")
    if mistakes:
        raise ConfigError(mistakes)
    return {name: column for name, column in points.items() if column}


def _compile(tag: OpcUaTag, group: OpcUaGroup, index: int) -> Point:
    for field in tag.fields:
        if field.array and KINDS[field.datatype].array is None:
            raise ValueError(f"field {field.name!r}: arrays of {field.datatype} have no type")
    interval_s = tag.sampling_interval_s
    if interval_s is None:
        interval_s = group.sampling_interval_s
    sampling_s = group.interval_s if interval_s is None else interval_s
    return Point(
        name=tag.name,
        group=group.name,
        index=index,
        address=parse_address(tag.address),
        kind=None if tag.datatype == "structure" else KINDS[tag.datatype],
        array=tag.array,
        sampling_ms=1000 * sampling_s,
        queue_size=group.queue_size or _queue_size(group.interval_s, sampling_s),
        deadband=tag.absolute_deadband / abs(tag.scale) if tag.server_deadband else 0.0,
        trigger={"status": 0, "value": 1, "timestamp": 2}[tag.report],
        read_back=tag.read_back,
        method=_compile_method(tag),
        fields=tag.fields,
        template=tag.structure,
    )


def _queue_size(interval_s: float, sampling_s: float) -> int:
    """Return how many changes of a tag a server must keep from one message to the next."""
    if sampling_s >= interval_s:
        return 1
    return math.ceil(interval_s / max(sampling_s, 0.01)) + _SPARE_SAMPLES


def _compile_method(tag: OpcUaTag) -> Method | None:
    if tag.method is None:
        return None
    address = parse_address(tag.method)
    if not isinstance(address, NodeName) and str(address) == tag.address:
        raise ValueError(f"method is {tag.method!r}, the object itself")
    arguments = tag.fields
    if tag.datatype != "structure":
        value = OpcUaField(name="value", datatype=tag.datatype, array=tag.array)
        arguments = () if tag.method_takes == "nothing" else (value,)
    return Method(parse_address(tag.address), address, arguments, tag.method_gives)
