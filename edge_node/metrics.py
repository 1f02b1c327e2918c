"""A device's tags as Sparkplug metrics: definitions and current values for births."""

from collections.abc import Sequence
from typing import Final

from edge_node.drivers.base import QUALITY_BAD
from edge_node.pipeline.tags import DeviceTags, TagSpec
from proto.sparkplug.datatypes import DataType
from proto.sparkplug.edge_events import Reading
from proto.sparkplug.errors import LocalError
from proto.sparkplug.metrics import (
    DESCRIPTION_PROPERTY,
    ENUMERATION_PROPERTY,
    HIGH_PROPERTY,
    LOW_PROPERTY,
    READ_ONLY_PROPERTY,
    UNIT_PROPERTY,
    UNS_PATH_PROPERTY,
    Metric,
    Property,
)
from proto.sparkplug.values import check_value

DEVICE_REBIRTH: Final = "Device Control/Rebirth"
"""Written true, the device is born again."""
_READ_ONLY: Final = {each: Property(DataType.BOOLEAN, each) for each in (False, True)}


def define_metrics(tags: DeviceTags, uns_path: str | None) -> list[Metric]:
    """Return the metrics of a device, without values: its tags and ``Device Control/Rebirth``.

    Args:
        tags: the device's.
        uns_path: where they stand in the Unified Namespace, ``None`` where there is none.
    """
    metrics = [
        Metric(tag.name, tag.datatype, properties=_properties(tag, uns_path)) for tag in tags.tags
    ]
    return [*metrics, Metric(DEVICE_REBIRTH, DataType.BOOLEAN, False)]


def _properties(tag: TagSpec, uns_path: str | None) -> dict[str, Property]:
    properties = {READ_ONLY_PROPERTY: _READ_ONLY[not tag.writable]}
    if tag.unit is not None:
        properties[UNIT_PROPERTY] = Property(DataType.STRING, tag.unit)
    if tag.low is not None:
        properties[LOW_PROPERTY] = Property(DataType.DOUBLE, tag.low)
    if tag.high is not None:
        properties[HIGH_PROPERTY] = Property(DataType.DOUBLE, tag.high)
    if tag.description is not None:
        properties[DESCRIPTION_PROPERTY] = Property(DataType.STRING, tag.description)
    if tag.enumeration is not None:
        properties[ENUMERATION_PROPERTY] = Property(DataType.STRING, tag.enumeration.to_json())
    if uns_path is not None:
        properties[UNS_PATH_PROPERTY] = Property(DataType.STRING, f"{uns_path}/{tag.name}")
    return properties


def current_readings(tags: DeviceTags, aliases: Sequence[int], now_ms: int) -> list[Reading]:
    """Return what was last reported of every tag, for a birth.

    Args:
        tags: the device's.
        aliases: aligned with ``tags.tags``.
        now_ms: stands in where nothing was ever reported.
    """
    readings: list[Reading] = []
    for group in tags.groups.values():
        reporter = group.reporter
        readings += [
            (
                aliases[group.base + index],
                reporter.values[index],
                reporter.timestamps_ms[index] or now_ms,
                max(reporter.qualities[index], QUALITY_BAD),
            )
            for index in range(len(group.tags))
        ]
    return readings


def misfit(tag: TagSpec, reading: Reading) -> str | None:
    """Return why a reading does not fit its tag's data type, ``None`` when it does."""
    try:
        check_value(tag.datatype, reading[1], f"tag {tag.name!r}")
    except LocalError as exc:
        return str(exc)
    return None
