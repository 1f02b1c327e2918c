"""The metrics of an edge node and its devices: definitions, aliases, current values, their bytes.

A device's metrics are one ``MetricTable``; ``AliasPool`` keeps aliases unique over the node and all
its devices and gives the same metric the same alias for as long as the session lives, so that an
old alias never comes to mean another metric. Knows nothing of connections, seq and births' order.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from proto.sparkplug import samples
from proto.sparkplug.datatypes import METRIC_TYPES, DataType
from proto.sparkplug.edge_events import EdgeOptions, Reading
from proto.sparkplug.errors import InvalidMetric, UnknownMetric, ValueOutOfRange, WrongType
from proto.sparkplug.metrics import (
    BD_SEQ,
    QUALITY_BAD,
    QUALITY_GOOD,
    QUALITY_PROPERTY,
    QUALITY_STALE,
    READ_ONLY_PROPERTY,
    REBIRTH,
    Metric,
    Property,
    Template,
    Value,
    quality_property,
)
from proto.sparkplug.templates import merge_instance
from proto.sparkplug.values import check_property, check_value

_TEMPLATE: Final = DataType.TEMPLATE
_QUALITIES: Final = frozenset({QUALITY_BAD, QUALITY_GOOD, QUALITY_STALE})


class AliasPool:
    """Gives out aliases, from 1 up, one for each (device, metric) there ever was."""

    def __init__(self) -> None:
        self._aliases: dict[tuple[str | None, str], int] = {}

    def take(self, device: str | None, name: str) -> int:
        """The alias of a metric; a new one when it has none yet."""
        return self._aliases.setdefault((device, name), len(self._aliases) + 1)


@dataclass(slots=True)
class MetricSlot:
    """One metric: its definition and its current value.

    Attributes:
        key: the field that names it in data, ready to send.
        sent_quality: what hosts last heard; data repeats it only while it is not good or changed.
    """

    definition: Metric
    name: str
    datatype: DataType
    alias: int
    key: bytes
    encode: samples.ValueEncoder
    value: Value
    timestamp_ms: int | None
    quality: int = QUALITY_GOOD
    sent_quality: int = QUALITY_GOOD

    @property
    def writable(self) -> bool:
        """Whether the definition leaves it open to be written: ``readOnly`` is not true."""
        properties = self.definition.properties
        read_only = properties.get(READ_ONLY_PROPERTY) if properties else None
        return read_only is None or read_only.value is not True

    def birth(self, now_ms: int, *, with_alias: bool) -> Metric:
        """The metric as births carry it: everything that is known of it."""
        properties = self.definition.properties
        if self.quality != QUALITY_GOOD:
            properties = {**(properties or {}), QUALITY_PROPERTY: quality_property(self.quality)}
        return Metric(
            name=self.name,
            datatype=self.datatype,
            value=self.value,
            timestamp_ms=now_ms if self.timestamp_ms is None else self.timestamp_ms,
            alias=self.alias if with_alias else None,
            is_transient=self.definition.is_transient,
            properties=properties,
            metadata=self.definition.metadata,
        )


class MetricTable:
    """The metrics of one device, or of the node itself (``device`` is ``None``)."""

    def __init__(
        self,
        device: str | None,
        metrics: Sequence[Metric],
        aliases: AliasPool,
        options: EdgeOptions,
    ) -> None:
        self.device = device
        self.by_name: dict[str, MetricSlot] = {}
        self.by_alias: dict[int, MetricSlot] = {}
        self._options = options
        subject = "node" if device is None else f"device {device!r}"
        folded: dict[str, str] = {}
        for metric in metrics:
            name, datatype = _check_definition(subject, metric, on_node=device is None)
            if (twin := folded.setdefault(name.casefold(), name)) != name or name in self.by_name:
                raise InvalidMetric(
                    f"{subject}: metrics {twin!r} and {name!r}, "
                    "expected names that differ in more than case"
                )
            slot = self._slot(subject, metric, name, datatype, aliases.take(device, name))
            self.by_name[name] = slot
            self.by_alias[slot.alias] = slot

    def _slot(
        self, subject: str, metric: Metric, name: str, datatype: DataType, alias: int
    ) -> MetricSlot:
        where = f"{subject} metric {name!r}"
        properties = dict(metric.properties or {})
        check_property(DataType.PROPERTY_SET, properties, where)
        quality = _take_quality(properties, where)
        encoders = (
            samples.LONG_UINT32_ENCODERS if self._options.uint32_as_long else samples.VALUE_ENCODERS
        )
        by_alias = self._options.aliases
        return MetricSlot(
            definition=Metric(
                name,
                datatype,
                is_transient=metric.is_transient,
                properties=properties or None,
                metadata=metric.metadata,
            ),
            name=name,
            datatype=datatype,
            alias=alias,
            key=samples.alias_field(alias) if by_alias else samples.name_field(name),
            encode=encoders[datatype],
            value=check_value(datatype, metric.value, where),
            timestamp_ms=metric.timestamp_ms,
            quality=quality,
        )

    def slot(self, alias: int) -> MetricSlot:
        """The metric of an alias.

        Raises:
            UnknownMetric: no metric of this device has it.
        """
        slot = self.by_alias.get(alias)
        if slot is None:
            raise self._unknown(alias)
        return slot

    def births(self, now_ms: int) -> list[Metric]:
        """Every metric with its current value; hosts know the qualities from here on."""
        for slot in self.by_alias.values():
            slot.sent_quality = slot.quality
        return [
            slot.birth(now_ms, with_alias=self._options.aliases) for slot in self.by_alias.values()
        ]

    def remember(self, readings: Iterable[Reading]) -> None:
        """Take current values without sending them. Raises as ``encode_live``."""
        for alias, value, timestamp_ms, quality in readings:
            slot = self.slot(alias)
            self._field(slot, value)  # births must find only what fits
            if quality != QUALITY_GOOD:
                _checked_quality(quality, slot.name)
            if slot.datatype is _TEMPLATE:  # may be a part; births need the whole
                value = merge_instance(slot.value, value)  # noqa: PLW2901  # told, then kept
            slot.value, slot.timestamp_ms, slot.quality = value, timestamp_ms, quality

    def encode_live(self, readings: Iterable[Reading]) -> list[bytes]:
        """The wire metrics of current values, in the order given; they are remembered.

        Raises:
            UnknownMetric: an alias of no metric here.
            WrongType: a value of another kind than its data type.
            ValueOutOfRange: a value or quality that does not fit.
        """
        parts: list[bytes] = []
        append = parts.append
        slots, heads = self.by_alias, samples.METRIC_HEADS
        timed_ms, timed = -1, b""
        for alias, value, timestamp_ms, quality in readings:
            slot = slots.get(alias)
            if slot is None:
                raise self._unknown(alias)
            if timestamp_ms != timed_ms:
                timed_ms, timed = timestamp_ms, samples.timestamp_field(timestamp_ms)
            try:  # what _field and wrap_metric do, without a call of them for each value
                field = samples.NULL_FIELD if value is None else slot.encode(value)
            except samples.REFUSED:
                field = self._field(slot, value)
            if quality != QUALITY_GOOD:
                _checked_quality(quality, slot.name)
            if slot.datatype is _TEMPLATE:
                slot.value = merge_instance(slot.value, value)  # births need the whole
            else:
                slot.value = value
            slot.timestamp_ms, slot.quality = timestamp_ms, quality
            if quality == QUALITY_GOOD and slot.sent_quality == QUALITY_GOOD:
                fields = slot.key + timed + field
            else:
                slot.sent_quality = quality
                fields = slot.key + timed + _with_quality(field, quality, value)
            size = len(fields)
            append(heads[size] + fields if size < 128 else samples.wrap_metric(fields))
        return parts

    def encode_historical(self, readings: Iterable[Reading]) -> list[bytes]:
        """The wire metrics of past values; current values stay as they are. Raises the same."""
        parts: list[bytes] = []
        for alias, value, timestamp_ms, quality in readings:
            slot = self.slot(alias)
            field = self._field(slot, value)
            if quality != QUALITY_GOOD:
                _checked_quality(quality, slot.name)
                field = _with_quality(field, quality, value)
            timed = samples.timestamp_field(timestamp_ms) + samples.HISTORICAL_FIELD
            parts.append(samples.wrap_metric(slot.key + timed + field))
        return parts

    def _field(self, slot: MetricSlot, value: Value) -> bytes:
        if value is None:
            return samples.NULL_FIELD
        try:
            return slot.encode(value)
        except samples.REFUSED:
            owner = "node" if self.device is None else f"device {self.device!r}"
            return samples.encode_refused(
                slot.datatype, value, f"{owner} metric {slot.name!r}", slot.encode
            )

    def _unknown(self, alias: int) -> UnknownMetric:
        owner = "the node" if self.device is None else f"device {self.device!r}"
        return UnknownMetric(f"alias {alias}: no metric of {owner} has it")


def _check_definition(subject: str, metric: Metric, *, on_node: bool) -> tuple[str, DataType]:
    name, datatype = metric.name, metric.datatype
    if not name or datatype not in METRIC_TYPES:
        raise InvalidMetric(f"{subject}: metric {name!r} of type {datatype!r}, expected both")
    if name in {BD_SEQ, REBIRTH}:
        raise InvalidMetric(f"{subject}: metric {name!r} is the session's own")
    if metric.alias is not None or metric.is_historical:
        raise InvalidMetric(
            f"{subject} metric {name!r}: alias {metric.alias}, historical {metric.is_historical}, "
            "expected a definition: the session gives aliases, births carry current values"
        )
    if isinstance(metric.value, Template) and metric.value.is_definition and not on_node:
        raise InvalidMetric(f"{subject} metric {name!r}: template definitions belong to the node")
    return name, datatype


def _take_quality(properties: dict[str, Property], where: str) -> int:
    """The quality lives in the slot, where it changes; definitions keep the other properties."""
    prop = properties.pop(QUALITY_PROPERTY, None)
    if prop is None:
        return QUALITY_GOOD
    if prop.datatype is not DataType.INT32 or not isinstance(prop.value, int):
        raise WrongType(f"{where}: Quality is {prop!r}, expected Int32")
    return _checked_quality(prop.value, where)


def _checked_quality(quality: int, where: str) -> int:
    if quality not in _QUALITIES:
        raise ValueOutOfRange(f"{where}: quality is {quality}, expected 0, 192 or 500")
    return quality


def _with_quality(field: bytes, quality: int, value: Value) -> bytes:
    """The field with a quality beside it, in the order of field numbers."""
    prop = samples.quality_field(quality)
    return field + prop if value is None else prop + field
