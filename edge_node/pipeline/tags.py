"""A device's tags as columns: what each is, and how its poll groups are processed.

Built once from the document and the driver's view of it; a poll then passes through
:meth:`GroupPipeline.process` as one batch.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from edge_node.drivers.base import (
    QUALITY_BAD,
    Changes,
    PollResult,
    RawValue,
    Reason,
    TagInfo,
)
from edge_node.errors import EdgeError
from edge_node.pipeline.enumeration import Enumeration, name_column
from edge_node.pipeline.limits import Limits, limit_column
from edge_node.pipeline.report import Report, Reporter, ReportRule
from edge_node.pipeline.scaling import (
    Scaling,
    make_scaling,
    scale_column,
    scale_value,
    scaled_datatype,
)
from proto.control.device import Tag
from proto.sparkplug.datatypes import DataType
from proto.sparkplug.errors import LocalError
from proto.sparkplug.metrics import DataSet, Metric, Template
from proto.sparkplug.values import check_value

_NUMBER_BYTES: Final = 12
_MEMBER_BYTES: Final = 24
_ENUMERABLE: Final = frozenset(
    {
        DataType.BOOLEAN,
        DataType.INT8,
        DataType.INT16,
        DataType.INT32,
        DataType.INT64,
        DataType.UINT8,
        DataType.UINT16,
        DataType.UINT32,
        DataType.UINT64,
    }
)


class ValueRefused(EdgeError):
    """A value that must not be written; the message says why."""


@dataclass(frozen=True, slots=True)
class TagSpec:
    """One tag of a device: what is needed of its document, which is not kept.

    Attributes:
        raw_datatype: what the driver reads and writes.
        datatype: what is published.
        scaling: between the two, ``None`` where they are the same.
        group: its poll group.
        index: its position in the group.
        definition: defines the template that its values are instances of.
        enumeration: what its numbers mean, where they have names.
        is_named: whether names are published in the place of numbers.

    The others are as in :class:`~proto.control.device.Tag`.
    """

    name: str
    raw_datatype: DataType
    datatype: DataType
    scaling: Scaling | None
    group: str
    index: int
    definition: Metric | None = None
    enumeration: Enumeration | None = None
    is_named: bool = False
    unit: str | None = None
    description: str | None = None
    low: float | None = None
    high: float | None = None
    writable: bool = False
    read_back: bool = False

    def raw_value(self, value: object) -> RawValue:
        """Return what the driver has to write for an engineering value.

        Raises:
            ValueRefused: not writable, null, outside ``low`` … ``high`` or the enumeration, of the
                wrong kind, or more than its data type holds.
        """
        if not self.writable:
            raise ValueRefused("the tag is not writable")
        if value is None or not isinstance(
            value, bool | int | float | str | bytes | list | DataSet | Template
        ):
            raise ValueRefused(f"found {value!r}, expected a {self.datatype.label}")
        if self.enumeration is not None:
            try:
                return self.enumeration.number(value)
            except ValueError as exc:
                raise ValueRefused(str(exc)) from exc
        if isinstance(value, Template) and self.definition is not None:
            # a host may leave out what it is an instance of, or name it as the birth does
            value = replace(value, template_ref=self.definition.name)
        try:
            check_value(self.datatype, value)
        except LocalError as exc:
            raise ValueRefused(str(exc)) from exc
        return self._invert(value)

    def engineering_value(self, raw: RawValue) -> RawValue:
        """Return what is published of a raw value."""
        value = raw if self.scaling is None else scale_value(raw, self.scaling)
        if self.is_named and self.enumeration is not None:
            return self.enumeration.name(value)
        return value

    def _invert(
        self, value: bool | float | str | bytes | DataSet | Template | list[Any]
    ) -> RawValue:
        if isinstance(value, list):
            return [self._invert(item) for item in value]  # type: ignore[return-value]  # one kind
        if isinstance(value, int | float) and not isinstance(value, bool):
            return self._raw_number(value)
        return value

    def _raw_number(self, value: float) -> int | float:
        if self.low is not None and not value >= self.low:
            raise ValueRefused(f"{value!r} is below low, {self.low:g}")
        if self.high is not None and not value <= self.high:
            raise ValueRefused(f"{value!r} is above high, {self.high:g}")
        if self.scaling is None:
            return value
        try:
            return self.scaling.invert(value, self.raw_datatype)
        except (OverflowError, ValueError) as exc:
            raise ValueRefused(f"{value!r} has no raw value: {exc}") from exc


class GroupPipeline:
    """Everything between one poll group's raw values and what is published of them.

    Attributes:
        base: where the group begins in the device's columns.
        tags: in the order of the driver's values.
        reporter: what was last reported.
    """

    __slots__ = ("_beyond", "_enumerations", "_limits", "_scalings", "base", "reporter", "tags")

    def __init__(self, base: int, tags: Sequence[TagSpec], documents: Sequence[Tag]) -> None:
        self.base = base
        self.tags = tuple(tags)
        self._scalings = [(t.index, t.scaling) for t in tags if t.scaling is not None]
        self._limits = [
            (index, limits)
            for index, document in enumerate(documents)
            if (limits := _limits_of(document)) is not None
        ]
        self._beyond: dict[int, str] = {}
        self._enumerations = [
            (t.index, t.enumeration) for t in tags if t.is_named and t.enumeration is not None
        ]
        self.reporter = Reporter([_report_rule(document) for document in documents])

    def process(self, poll: PollResult) -> Report | None:
        """Return what a poll has to tell.

        Its values become engineering values in place; those beyond their limits may become bad.
        """
        if self._scalings:
            scale_column(poll.values, self._scalings)
        if self._limits:
            poll.bad = limit_column(poll.values, poll.bad, self._limits)
        if self._enumerations:
            name_column(poll.values, self._enumerations)
        return self.reporter.report(
            poll.timestamp_ms, poll.values, poll.bad, poll.uncertain, poll.timestamps_ms
        )

    def process_changes(self, changes: Changes, now_ms: int) -> Report | None:
        """Return what a subscription's batch has to tell; what is beyond its limits becomes bad."""
        values, stamps = changes.values, changes.stamps
        if self._scalings:
            values = [
                value if (scaling := self.tags[i].scaling) is None else scale_value(value, scaling)
                for i, value in zip(changes.indices, values, strict=True)
            ]
        if self._limits:
            values, stamps = self._limit_changes(changes, values)
        if self._enumerations:
            named = dict(self._enumerations)
            values = [
                named[i].name(value) if i in named else value
                for i, value in zip(changes.indices, values, strict=True)
            ]
        return self.reporter.report_changes(
            now_ms, zip(changes.indices, values, stamps, strict=True)
        )

    def _limit_changes(
        self, changes: Changes, values: Sequence[RawValue]
    ) -> tuple[list[RawValue], list[tuple[int, int]]]:
        limits = dict(self._limits)
        limited: list[RawValue] = []
        stamps: list[tuple[int, int]] = []
        for i, value, stamp in zip(changes.indices, values, changes.stamps, strict=True):
            new = limits[i].apply(value) if i in limits and stamp[1] != QUALITY_BAD else value
            if isinstance(new, Reason):
                self._beyond[i] = new
                limited.append(None)
                stamps.append((stamp[0], QUALITY_BAD))
            else:
                self._beyond.pop(i, None)
                limited.append(new)
                stamps.append(stamp)
        if self._beyond:
            changes.bad = {**self._beyond, **changes.bad}
        return limited, stamps

    def remind(self, now_ms: int) -> Report | None:
        """Return what was silent for too long, of a group whose changes come by subscription."""
        return self.reporter.report_changes(now_ms, ())


class DeviceTags:
    """All tags of a device, group after group.

    Attributes:
        groups: by name.
        tags: the groups' tags one after the other; a tag's position here is its column.
        columns: tag name → column.
    """

    __slots__ = ("_by_base", "columns", "groups", "tags")

    def __init__(self, documents: Sequence[Tag], groups: Mapping[str, Sequence[TagInfo]]) -> None:
        by_name = {tag.name: tag for tag in documents}
        self.groups: dict[str, GroupPipeline] = {}
        self.tags: list[TagSpec] = []
        for group, infos in groups.items():
            own = [by_name[info.name] for info in infos]
            specs = [
                _make_spec(document, info, group, index)
                for index, (document, info) in enumerate(zip(own, infos, strict=True))
            ]
            self.groups[group] = GroupPipeline(len(self.tags), specs, own)
            self.tags += specs
        self._by_base = {group.base: group for group in self.groups.values()}
        self.columns: dict[str, int] = {tag.name: column for column, tag in enumerate(self.tags)}

    def qualities_at(self, base: int) -> Sequence[int]:
        """Return the last reported qualities of the group that begins at a column."""
        return self._by_base[base].reporter.qualities

    def text_sizes(self) -> Iterator[int]:
        """Return how many bytes each text, array or table among the last reported values takes."""
        for group in self.groups.values():
            for value in group.reporter.values:
                if size := _size_of(value):
                    yield size

    def restart(self) -> None:
        """Have everything reported by the next polls, as after a device's loss."""
        for group in self.groups.values():
            group.reporter.restart()


def _size_of(value: RawValue) -> int:
    """Return how many bytes a value takes at most beyond those that a number takes."""
    if isinstance(value, str | bytes):
        return 4 * len(value)
    if isinstance(value, list):
        return sum(_NUMBER_BYTES + _size_of(item) for item in value)
    if isinstance(value, DataSet):
        heads = sum(4 * len(column) + 4 for column in value.columns)
        return heads + sum(_NUMBER_BYTES + _size_of(cell) for row in value.rows for cell in row)
    if isinstance(value, Template):
        return sum(
            _MEMBER_BYTES + 4 * len(member.name or "") + _size_of(member.value)
            for member in value.metrics
        )
    return 0


def find_misnamed(documents: Sequence[Tag], groups: Mapping[str, Sequence[TagInfo]]) -> list[str]:
    """Return enumerations of values that are no whole numbers, one line each.

    Args:
        documents: a device's tags.
        groups: as its driver has them.
    """
    named = {tag.name for tag in documents if tag.enumeration}
    return [
        f"tag {info.name!r}: enumeration is of whole numbers and true or false, found a"
        f" {info.datatype.label}"
        for infos in groups.values()
        for info in infos
        if info.name in named and info.datatype not in _ENUMERABLE
    ]


def _make_spec(tag: Tag, info: TagInfo, group: str, index: int) -> TagSpec:
    scaling = make_scaling(tag.scale, tag.offset)
    enumeration = Enumeration.of(tag.enumeration) if tag.enumeration else None
    named = enumeration is not None and tag.enumeration_as == "text"
    return TagSpec(
        name=info.name,
        raw_datatype=info.datatype,
        datatype=DataType.STRING if named else scaled_datatype(info.datatype, scaling),
        scaling=scaling,
        group=group,
        index=index,
        definition=info.definition,
        enumeration=enumeration,
        is_named=named,
        unit=tag.unit,
        description=tag.description,
        low=tag.low,
        high=tag.high,
        writable=tag.writable,
        read_back=tag.read_back,
    )


def _limits_of(tag: Tag) -> Limits | None:
    if tag.out_of_range == "keep":
        return None
    low = -math.inf if tag.low is None else tag.low
    high = math.inf if tag.high is None else tag.high
    return Limits(low, high, tag.out_of_range == "clamp")


def _report_rule(tag: Tag) -> ReportRule:
    silence_ms = None if tag.max_silence_s is None else int(tag.max_silence_s * 1000)
    return ReportRule(tag.absolute_deadband, silence_ms)
