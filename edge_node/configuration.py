"""A configuration that was checked, and what it keeps of its devices: drivers and tags.

Devices are made of what was told of them, or kept of the configuration that runs. Knows no files.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from edge_node.drivers.base import ConfigError, Driver
from edge_node.drivers.registry import Drivers
from edge_node.pipeline.tags import DeviceTags, TagSpec, find_misnamed
from edge_node.templates import Instances
from proto.control.device import Device, Tag
from proto.control.devices import DeviceDocument
from proto.control.node import NodeDocument

_DEVICE: Final[TypeAdapter[Any]] = TypeAdapter(DeviceDocument)


def mark(data: object) -> bytes:
    """Return what tells data from others; the order of keys counts."""
    return blake2b(repr(data).encode(errors="surrogatepass"), digest_size=16).digest()


@dataclass(frozen=True, slots=True)
class Marks:
    """What tells one version of a device from another, in the place of the whole of it.

    Attributes:
        words: of what was told of it.
        content: of the document that became of that.
    """

    words: bytes
    content: bytes


@dataclass(frozen=True, slots=True)
class Configuration:
    """A checked configuration, with the drivers that were made from it.

    Attributes:
        document: with the members of template instances as ordinary tags.
        drivers: by device.
        tags: by device.
        instances: what those members belong to, by device.
        makers: made the drivers, and makes those of the next configuration of the same process.
        marks: by device.
        templates: the mark of what was told of the templates.
        data: what was checked.
        restart_needed: sections that are another now, which counts from the next start on.
    """

    document: NodeDocument
    drivers: Mapping[str, Driver]
    tags: Mapping[str, DeviceTags]
    instances: Instances = field(default_factory=dict)
    makers: Drivers = field(default_factory=Drivers)
    marks: Mapping[str, Marks] = field(default_factory=dict)
    templates: bytes = b""
    data: Mapping[str, Any] = field(default_factory=dict)
    restart_needed: tuple[str, ...] = ()

    def settled(self) -> "Configuration":
        """Return the same with documents of devices that have lost their tags, also in the data.

        ``tags`` and ``marks`` have what is needed of them later; they themselves would be most of
        the memory that a large plant takes.
        """
        devices = tuple(d.model_copy(update={"tags": ()}) for d in self.document.devices)
        document = self.document.model_copy(update={"devices": devices})
        return replace(self, document=document, data={**self.data, "devices": list(devices)})


class DeviceMaker:
    """The devices of a configuration that is being checked: made, or kept of the one that runs.

    Args:
        current: what runs, ``None`` at the start.
        instances: of templates, by device.

    Attributes:
        makers: make the drivers.
        drivers: by device.
        tags: by device.
        contents: the marks of the documents, by device.
    """

    def __init__(self, current: Configuration | None, instances: Instances) -> None:
        self.makers = Drivers() if current is None else current.makers
        self.drivers: dict[str, Driver] = {}
        self.tags: dict[str, DeviceTags] = {}
        self.contents: dict[str, bytes] = {}
        self._current = current
        self._instances = instances

    def take(self, devices: Any, *, whole: bool) -> list[str]:
        """Make every device that is sound by itself, and put its document in its place.

        Args:
            devices: as told, or as documents; changed.
            whole: whether the documents keep their tags.

        Returns:
            What only the drivers can object to.
        """
        objections: list[str] = []
        for place, item in enumerate(devices if isinstance(devices, list) else ()):
            if isinstance(item, Device):  # it runs, and is the same
                self._keep(item.name)
                continue
            try:
                device = _DEVICE.validate_python(item)
            except ValidationError:
                continue  # told with the whole document
            objections += [f"devices[{device.name}]: {mistake}" for mistake in self._add(device)]
            devices[place] = device if whole else device.model_copy(update={"tags": ()})
        return objections

    def _add(self, device: DeviceDocument) -> list[str]:
        name = device.name
        device = device.model_copy(update={"instances": ()})
        content = mark(device.model_dump(exclude_defaults=True))
        known = None if self._current is None else self._current.marks.get(name)
        if known is not None and known.content == content and self._has_same_instances(name):
            self._keep(name)
            return []
        try:
            driver = self.makers.make(device)
        except ConfigError as exc:
            return list(exc.mistakes)
        self.drivers[name], self.contents[name] = driver, content
        self.tags[name] = DeviceTags(device.tags, driver.groups)
        return find_misnamed(device.tags, driver.groups)

    def tag_names(self, device: DeviceDocument) -> list[str]:
        """Return the names of a device's tags, which a settled document does not have."""
        own: Iterable[Tag | TagSpec] = device.tags or self.tags[device.name].tags
        return [tag.name for tag in own]

    def _has_same_instances(self, name: str) -> bool:
        before = {} if self._current is None else self._current.instances
        return self._instances.get(name, []) == before.get(name, [])

    def _keep(self, name: str) -> None:
        assert self._current is not None  # noqa: S101  # it is known
        self.drivers[name] = self._current.drivers[name]
        self.tags[name] = self._current.tags[name]
        self.contents[name] = self._current.marks[name].content
