"""One look at one device: what is asked, what comes back and how long it takes.

For people in front of a PLC that does not do what its manual says. Publishes nothing.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal

from edge_node.config import load
from edge_node.drivers.base import ConfigError, DriverError, RawValue
from edge_node.drivers.registry import Drivers
from edge_node.pipeline.enumeration import Enumeration
from edge_node.pipeline.scaling import make_scaling, scale_value
from proto.control.device import Tag
from proto.control.devices import DeviceDocument
from proto.sparkplug.datatypes import DataType


@dataclass(frozen=True, slots=True)
class Frame:
    """Bytes that went over the wire, ``at_ms`` after the reading began."""

    at_ms: float
    direction: Literal["sent", "received"]
    data: bytes


@dataclass(frozen=True, slots=True)
class TagReading:
    """One tag.

    Attributes:
        datatype: of the raw value.
        raw: what the device holds.
        value: in engineering units.
        reason: why there is no value; absent when there is.
        doubt: why the value may not be what is at the device now; absent when it is.
    """

    name: str
    datatype: DataType
    unit: str | None
    raw: RawValue
    value: RawValue
    reason: str | None
    doubt: str | None = None


@dataclass(slots=True)
class Reading:
    """One look at a device.

    Attributes:
        error: why the device could not be read; absent when it could.
    """

    device: str
    error: str | None = None
    connect_ms: float = 0.0
    read_ms: float = 0.0
    requests: int = 0
    tags: list[TagReading] = field(default_factory=list)
    frames: list[Frame] = field(default_factory=list)

    @property
    def is_good(self) -> bool:
        """Whether every tag has a value."""
        return self.error is None and all(tag.reason is None for tag in self.tags)


def find_device(config: Path, name: str) -> DeviceDocument:
    """Return one device of a configuration file.

    Raises:
        ConfigurationRejected: the file cannot be used.
        ConfigError: there is no such device.
    """
    devices = {device.name: device for device in load(config).document.devices}
    if name not in devices:
        known = ", ".join(devices) or "none"
        raise ConfigError([f"{config}: device {name!r} is not there, expected one of: {known}"])
    return devices[name]


def choose_tags(document: DeviceDocument, patterns: Sequence[str]) -> DeviceDocument:
    """Return the device with only the tags that a name or glob names; all without any.

    Raises:
        ConfigError: a pattern names no tag.
    """
    if not patterns:
        return document
    names = [tag.name for tag in document.tags]
    unknown = [p for p in patterns if not any(fnmatchcase(name, p) for name in names)]
    if unknown:
        raise ConfigError(
            [f"{document.name} has no tag {p!r}, expected one of its {len(names)}" for p in unknown]
        )
    chosen = [tag for tag in document.tags if any(fnmatchcase(tag.name, p) for p in patterns)]
    return document.model_copy(update={"tags": tuple(chosen)})


async def read_device(document: DeviceDocument) -> Reading:
    """Connect, read every poll group once, and close.

    Raises:
        ConfigError: the document cannot work.
    """
    reading = Reading(document.name)
    began = time.perf_counter()

    def since() -> float:
        return 1000 * (time.perf_counter() - began)

    def trace(direction: Literal["sent", "received"], data: bytes) -> None:
        reading.frames.append(Frame(since(), direction, data))

    driver = Drivers(trace).make(document)
    tags: dict[str, Tag] = {tag.name: tag for tag in document.tags}
    try:
        await driver.open()
        reading.connect_ms = since()
        for group, infos in driver.groups.items():
            result = await driver.read(group)
            reading.requests += result.requests
            for index, (info, raw) in enumerate(zip(infos, result.values, strict=True)):
                tag = tags[info.name]
                bad, doubt = result.bad.get(index), result.uncertain.get(index)
                value = _engineering(tag, raw)
                reading.tags.append(
                    TagReading(tag.name, info.datatype, tag.unit, raw, value, bad, doubt)
                )
        reading.read_ms = since() - reading.connect_ms
    except DriverError as exc:
        reading.error = str(exc)
    finally:
        await driver.aclose()
    return reading


def _engineering(tag: Tag, raw: RawValue) -> RawValue:
    if tag.enumeration and tag.enumeration_as == "text":
        return Enumeration.of(tag.enumeration).name(raw)
    scaling = make_scaling(tag.scale, tag.offset)
    return raw if scaling is None else scale_value(raw, scaling)
