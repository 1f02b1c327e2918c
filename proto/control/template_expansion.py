"""A node's data with the members of its template instances as ordinary tags of their devices.

Works on the data as it was read, before it is a document, so that members are checked as the tags
they become. What is no template, no instance, no list is left to the document's own check. Pure.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from proto.control.document import TagName
from proto.control.node import NodeDocument
from proto.control.template import (
    INSTANCE_NAME,
    InstanceDocument,
    ParameterType,
    ParameterValue,
    TemplateDocument,
    check_parameter,
)
from proto.control.template_text import check_text, fill_text, fill_value, has_placeholder

_TEXTS: Final = frozenset({"address", "description", "poll_group", "unit"})
"""Keys that want a text: a number that stands for it is written out."""
_SAME_FOR_ALL: Final = frozenset({"name", "datatype"})
"""Keys that make the type: they are the same in every instance."""
_NAME: Final[TypeAdapter[str]] = TypeAdapter(TagName)


@dataclass(frozen=True, slots=True)
class Instance:
    """An instance that was expanded.

    Attributes:
        parameters: every parameter of the template with its value.
        members: member name → tag name.
    """

    name: str
    template: TemplateDocument
    parameters: Mapping[str, ParameterValue]
    members: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Origin:
    """Where a tag comes from, to tell its mistakes where they were made."""

    in_template: str
    in_instance: str
    filled: frozenset[str]


@dataclass(slots=True)
class Expansion:
    """What became of a node's data.

    Attributes:
        data: with the instances' tags; otherwise as it was.
        instances: by device.
        mistakes: in the templates and instances themselves.
    """

    data: dict[str, Any]
    instances: dict[str, list[Instance]] = field(default_factory=dict)
    mistakes: list[str] = field(default_factory=list)
    _origins: dict[str, _Origin] = field(default_factory=dict)
    _without_tags: set[str] = field(default_factory=set)

    def retell(self, mistakes: Iterable[str]) -> list[str]:
        """Return mistakes of the expanded data as mistakes of what was written, each once."""
        told = (self._retell(mistake) for mistake in mistakes)
        return list(dict.fromkeys(mistake for mistake in told if mistake is not None))

    def _retell(self, mistake: str) -> str | None:
        place = mistake.partition(": ")[0]
        if place in self._without_tags:
            return None  # an echo: why the instances brought none is told already
        origin = self._origins.get(place)
        if origin is not None:
            return origin.in_instance + mistake.removeprefix(place)
        tag, _, key = place.rpartition(".")
        origin = self._origins.get(tag)
        if origin is None:
            return mistake
        shared = key != "name" and key not in origin.filled
        return (origin.in_template if shared else origin.in_instance) + mistake.removeprefix(tag)


def expand_templates(data: Mapping[str, Any]) -> Expansion:
    """Return a node's data with the tags that its devices' instances stand for."""
    expansion = Expansion(dict(data))
    templates = _read_templates(data.get("templates"), expansion.mistakes)
    devices = data.get("devices")
    if isinstance(devices, list):
        expansion.data["devices"] = [
            _expand_device(device, templates, expansion) for device in devices
        ]
    return expansion


def without_templates(document: NodeDocument) -> NodeDocument:
    """Return an expanded document without what it was expanded from."""
    devices = tuple(device.model_copy(update={"instances": ()}) for device in document.devices)
    return document.model_copy(update={"templates": (), "devices": devices})


def _read_templates(data: object, mistakes: list[str]) -> dict[str, TemplateDocument | None]:
    """Return the templates by name; ``None`` for one whose mistakes are told elsewhere."""
    templates: dict[str, TemplateDocument | None] = {}
    for item in data if isinstance(data, list) else []:
        try:
            template = TemplateDocument.model_validate(item)
        except ValidationError:
            if isinstance(item, Mapping) and isinstance(item.get("name"), str):
                templates[item["name"]] = None
            continue
        found = _check_members(template)
        mistakes += found
        templates[template.name] = None if found else template
    return templates


def _check_members(template: TemplateDocument) -> list[str]:
    types: dict[str, ParameterType] = {p.name: p.datatype for p in template.parameters}
    types[INSTANCE_NAME] = "string"
    mistakes: list[str] = []
    seen: set[str] = set()
    for index, member in enumerate(template.members):
        name = member.get("name")
        where = f"templates[{template.name}].members[{name or index}]"
        if not isinstance(name, str) or not _is_name(name):
            mistakes.append(
                f"{where}.name: found {name!r}, expected names without '+' and '#', "
                "with single '/' between folders"
            )
        elif name.casefold() in seen:
            mistakes.append(f"{where}.name: is another member's too, whose case does not count")
        else:
            seen.add(name.casefold())
        for key, value in member.items():
            if not isinstance(value, str) or not has_placeholder(value):
                continue
            if key in _SAME_FOR_ALL:
                mistakes.append(
                    f"{where}.{key}: found {value!r}, expected no parameter: "
                    "it is the same in every instance"
                )
            else:
                mistakes += [f"{where}.{key}: {fault}" for fault in check_text(value, types)]
    return mistakes


def _is_name(name: str) -> bool:
    try:
        _NAME.validate_python(name)
    except ValidationError:
        return False
    return True


def _expand_device(
    device: object, templates: Mapping[str, TemplateDocument | None], expansion: Expansion
) -> object:
    if not isinstance(device, Mapping):
        return device
    name, items, own = device.get("name"), device.get("instances"), device.get("tags", [])
    if not isinstance(name, str) or not isinstance(items, list) or not isinstance(own, list):
        return device
    if items and not own:
        expansion._without_tags.add(f"devices[{name}].tags")  # noqa: SLF001  # of this module
    taken = _folded(tag.get("name") for tag in own if isinstance(tag, Mapping))
    tags: list[Any] = list(own)
    for item in items:
        try:
            document = InstanceDocument.model_validate(item)
        except ValidationError:
            continue  # told with the whole document
        where = f"devices[{name}].instances[{document.name}]"
        key = document.name.casefold()
        if key in taken:
            expansion.mistakes.append(
                f"{where}.name: is that of {taken[key]} too, but for the case perhaps"
            )
            continue
        taken[key] = f"instance {document.name!r}"
        template = _find_template(document, templates, where, expansion.mistakes)
        if template is None:
            continue
        values = _read_parameters(document, template, where, expansion.mistakes)
        if values is None:
            continue
        instance = Instance(
            document.name,
            template,
            values,
            {member["name"]: f"{document.name}/{member['name']}" for member in template.members},
        )
        expansion.instances.setdefault(name, []).append(instance)
        for member in template.members:
            tag = _make_tag(member, instance)
            tags.append(tag)
            expansion._origins[f"devices[{name}].tags[{tag['name']}]"] = _Origin(  # noqa: SLF001
                f"templates[{template.name}].members[{member['name']}]",
                f"{where}.members[{member['name']}]",
                _filled_keys(member),
            )
    return {**device, "tags": tags}


def _folded(names: Iterable[object]) -> dict[str, str]:
    return {name.casefold(): f"tag {name!r}" for name in names if isinstance(name, str)}


def _find_template(
    document: InstanceDocument,
    templates: Mapping[str, TemplateDocument | None],
    where: str,
    mistakes: list[str],
) -> TemplateDocument | None:
    if document.template in templates:
        return templates[document.template]
    known: Sequence[str] = sorted(templates)
    close = get_close_matches(document.template, known, n=1)
    hint = f"expected one of {', '.join(known)}" if known else "expected a [[templates]] of it"
    hint = f"did you mean {close[0]!r}?" if close else hint
    mistakes.append(f"{where}.template: {document.template!r} is no template, {hint}")
    return None


def _read_parameters(
    document: InstanceDocument, template: TemplateDocument, where: str, mistakes: list[str]
) -> dict[str, ParameterValue] | None:
    """Return every parameter's value, ``None`` when one is wrong, which is told."""
    known = {parameter.name: parameter for parameter in template.parameters}
    values: dict[str, ParameterValue] = {}
    found = []
    for name in document.parameters:
        if name not in known:
            close = get_close_matches(name, known, n=1)
            expected = f"expected one of {', '.join(known)}" if known else "it has none"
            hint = f"did you mean {close[0]!r}?" if close else expected
            found.append(f"{where}.parameters.{name}: is not of {template.name!r}, {hint}")
    for name, parameter in known.items():
        value = document.parameters.get(name, parameter.default)
        if value is None:
            found.append(
                f"{where}.parameters.{name}: is missing, {template.name!r} has no default for it"
            )
            continue
        try:
            values[name] = check_parameter(parameter.datatype, value)
        except ValueError as exc:
            found.append(f"{where}.parameters.{name}: {exc}")
    mistakes += found
    return None if found else values


def _make_tag(member: Mapping[str, Any], instance: Instance) -> dict[str, Any]:
    values = {**instance.parameters, INSTANCE_NAME: instance.name.rpartition("/")[2]}
    tag: dict[str, Any] = {}
    for key, value in member.items():
        if not isinstance(value, str) or key in _SAME_FOR_ALL:
            tag[key] = value
        else:
            tag[key] = (fill_text if key in _TEXTS else fill_value)(value, values)
    return {**tag, "name": instance.members[member["name"]]}


def _filled_keys(member: Mapping[str, Any]) -> frozenset[str]:
    return frozenset(
        key for key, value in member.items() if isinstance(value, str) and has_placeholder(value)
    )
