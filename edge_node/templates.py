"""Template instances on their way out: tags become members of one Sparkplug metric, and back.

The drivers, the pipeline and the UNS mirror know the members as ordinary tags; only here, between
the publisher's readings and the session, do they come together. Knows no connection.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final, Literal

from edge_node.drivers.base import Driver
from edge_node.pipeline.tags import DeviceTags, TagSpec
from proto.control.node import NodeDocument
from proto.control.template import ParameterType, ParameterValue, TemplateDocument
from proto.control.template_expansion import Instance
from proto.sparkplug.datatypes import DataType
from proto.sparkplug.edge_events import Reading
from proto.sparkplug.edge_templates import TYPES_FOLDER
from proto.sparkplug.metrics import (
    BD_SEQ,
    QUALITY_GOOD,
    QUALITY_PROPERTY,
    READ_ONLY_PROPERTY,
    Metric,
    Property,
    Template,
    TemplateParameter,
    Value,
    is_control,
    quality_property,
)

Instances = Mapping[str, Sequence[Instance]]
"""The template instances of each device."""

TemplateNames = Literal["plain", "types-folder"]

_PARAMETER_TYPES: Final[Mapping[ParameterType, DataType]] = {
    "integer": DataType.INT64,
    "float": DataType.DOUBLE,
    "string": DataType.STRING,
    "boolean": DataType.BOOLEAN,
}


def find_template_clashes(
    document: NodeDocument,
    drivers: Mapping[str, Driver],
    tags: Mapping[str, DeviceTags],
    instances: Instances,
) -> list[str]:
    """Return what keeps instances from being published as such; nothing when they are flattened.

    Structures that drivers publish as instances of their own are never flattened.

    Args:
        document: the node's.
        drivers: of the devices that are sound by themselves.
        tags: of the same devices.
        instances: by device.
    """
    flattened = document.sparkplug.templates == "flattened"
    names = () if flattened else tuple(template.name for template in document.templates)
    mistakes = _find_definition_clashes(document, drivers, names)
    if flattened:
        return mistakes
    mistakes += [
        f"templates[{template.name}].name: is a name of the node's own metrics"
        for template in document.templates
        if template.name == BD_SEQ
        or is_control(template.name)
        or template.name.startswith("Node Info/")
    ]
    types: dict[tuple[str, str], tuple[DataType, str]] = {}
    for device in document.devices:
        if device.name not in tags:
            continue
        own = tags[device.name]
        for instance in instances.get(device.name, ()):
            for member, tag in instance.members.items():
                found = own.tags[own.columns[tag]].datatype
                where = f"devices[{device.name}].instances[{instance.name}]"
                first, other = types.setdefault((instance.template.name, member), (found, where))
                if found is not first:
                    mistakes.append(
                        f"{where}.members[{member}]: is published as {found.label}, expected "
                        f"{first.label} as in {other}: scale and offset make the difference"
                    )
    return mistakes


def _find_definition_clashes(
    document: NodeDocument, drivers: Mapping[str, Driver], templates: Collection[str]
) -> list[str]:
    """Return structures that are called the same and are not."""
    mistakes: list[str] = []
    first: dict[str, tuple[Metric, str]] = {}
    for device in document.devices:
        groups = drivers[device.name].groups if device.name in drivers else {}
        for info in (info for infos in groups.values() for info in infos):
            own = info.definition
            if own is None or own.name is None:
                continue
            where = f"devices[{device.name}].tags[{info.name}].structure"
            if own.name in templates:
                mistakes.append(f"{where}: {own.name!r} is a template of the node")
            known, other = first.setdefault(own.name, (own, where))
            if known != own:
                mistakes.append(f"{where}: {own.name!r} has other fields than in {other}")
    return mistakes


def define_templates(
    devices: Mapping[str, DeviceTags], instances: Instances, names: TemplateNames
) -> list[Metric]:
    """Return the definitions of the templates that devices have instances of, for the NBIRTH.

    Args:
        devices: the tags of each enabled device.
        instances: by device.
        names: what the definitions are called.
    """
    folder = TYPES_FOLDER if names == "types-folder" else ""
    definitions: dict[str, Metric] = {}
    read_only = {READ_ONLY_PROPERTY: Property(DataType.BOOLEAN, True)}
    for device, tags in devices.items():
        for tag in tags.tags:
            if (own := tag.definition) is not None and own.name is not None:
                definitions[folder + own.name] = replace(
                    own, name=folder + own.name, properties=read_only
                )
        for instance in instances.get(device, ()):
            name = folder + instance.template.name
            if name not in definitions:
                value = _define(instance, tags)
                definitions[name] = Metric(name, DataType.TEMPLATE, value, properties=read_only)
    return list(definitions.values())


def _define(instance: Instance, tags: DeviceTags) -> Template:
    template = instance.template
    return Template(
        metrics=tuple(
            Metric(member, tags.tags[tags.columns[tag]].datatype)
            for member, tag in instance.members.items()
        ),
        is_definition=True,
        version=template.version,
        parameters=_parameters(
            template, {parameter.name: parameter.default for parameter in template.parameters}
        ),
    )


def _parameters(
    template: TemplateDocument, values: Mapping[str, ParameterValue | None]
) -> tuple[TemplateParameter, ...]:
    return tuple(
        TemplateParameter(
            parameter.name, _PARAMETER_TYPES[parameter.datatype], values[parameter.name]
        )
        for parameter in template.parameters
    )


class InstancePacker:
    """One device's instances: metrics for its birth, readings of members made readings of them.

    Members have numbers of their own in readings, below 0, where other metrics have aliases.
    """

    def __init__(self, tags: DeviceTags, instances: Sequence[Instance]) -> None:
        self._instances = instances
        self._members: dict[int, tuple[Instance, str, TagSpec]] = {}
        self._numbers: dict[str, int] = {}
        self._aliases: dict[str, int] = {}
        for instance in instances:
            for member, name in instance.members.items():
                column = tags.columns[name]
                number = -1 - column
                self._members[number] = (instance, member, tags.tags[column])
                self._numbers[name] = number

    @property
    def numbers(self) -> Mapping[str, int]:
        """The numbers of the members by their tags' names."""
        return self._numbers

    def count(self, tags: int) -> int:
        """Return how many metrics a number of tags, the members among them, make."""
        return tags - len(self._members) + len(self._instances)

    @property
    def names(self) -> list[str]:
        """The names of the instances' metrics."""
        return [instance.name for instance in self._instances]

    def define(self, metrics: Iterable[Metric]) -> list[Metric]:
        """Return a device's metrics with each instance's members gathered in one.

        Args:
            metrics: the device's, the members among them by their tags' names.
        """
        by_name = {metric.name: metric for metric in metrics}
        gathered = []
        for instance in self._instances:
            members = []
            for member, tag in instance.members.items():
                metric = by_name.pop(tag)
                members.append(Metric(member, metric.datatype, properties=metric.properties))
            writable = any(
                self._members[self._numbers[tag]][2].writable for tag in instance.members.values()
            )
            gathered.append(
                Metric(
                    instance.name,
                    DataType.TEMPLATE,
                    Template(
                        tuple(members),
                        instance.template.name,
                        version=instance.template.version,
                        parameters=_parameters(instance.template, instance.parameters),
                    ),
                    properties={READ_ONLY_PROPERTY: Property(DataType.BOOLEAN, not writable)},
                )
            )
        return [*by_name.values(), *gathered]

    def attach(self, aliases: Mapping[str, int]) -> None:
        """Take the aliases of the instances' metrics, by name."""
        self._aliases = dict(aliases)

    def pack(self, readings: Sequence[Reading]) -> list[Reading]:
        """Return readings with those of members gathered: one an instance and time, in order.

        A member whose quality is not good says so; the instance itself is good, since other
        members are.
        """
        packed: list[Reading | _Part] = []
        parts: dict[tuple[str, int], _Part] = {}
        for reading in readings:
            number, value, timestamp_ms, quality = reading
            found = self._members.get(number)
            if found is None:
                packed.append(reading)
                continue
            instance, member, tag = found
            part = parts.get((instance.name, timestamp_ms))
            if part is None or member in part.members:
                part = _Part(instance, timestamp_ms)
                parts[instance.name, timestamp_ms] = part
                packed.append(part)
            part.members[member] = _member_metric(member, tag, value, timestamp_ms, quality)
        told = [
            each.reading(self._aliases[each.instance.name]) if isinstance(each, _Part) else each
            for each in packed
        ]
        return sorted(told, key=_time_of)


class _Part:
    """What is told of one instance at one time."""

    __slots__ = ("instance", "members", "timestamp_ms")

    def __init__(self, instance: Instance, timestamp_ms: int) -> None:
        self.instance = instance
        self.timestamp_ms = timestamp_ms
        self.members: dict[str, Metric] = {}

    def reading(self, alias: int) -> Reading:
        template = self.instance.template
        value = Template(tuple(self.members.values()), template.name, version=template.version)
        return alias, value, self.timestamp_ms, QUALITY_GOOD


def _time_of(reading: Reading) -> int:
    return reading[2]


def _member_metric(
    name: str, tag: TagSpec, value: Value, timestamp_ms: int, quality: int
) -> Metric:
    properties = None if quality == QUALITY_GOOD else {QUALITY_PROPERTY: quality_property(quality)}
    return Metric(name, tag.datatype, value, timestamp_ms, properties=properties)


def member_writes(metric: str, value: Value) -> list[tuple[str, Value]]:
    """Return the tags that a command writes, with their values: each member of an instance."""
    if not isinstance(value, Template):
        return [(metric, value)]
    return [(f"{metric}/{member.name}", member.value) for member in value.metrics]
