"""Parts of template instances: data and commands carry only some members (specification 6.4.14).

What is known of an instance, from its birth on, tells what the parts leave out.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from proto.sparkplug.codec_decode import PbMetric, metric_value
from proto.sparkplug.datatypes import DataType
from proto.sparkplug.errors import LocalError
from proto.sparkplug.metrics import (
    QUALITY_PROPERTY,
    READ_ONLY_PROPERTY,
    Metric,
    Property,
    Template,
    Value,
)
from proto.sparkplug.values import check_value

_TEMPLATE: Final = DataType.TEMPLATE


def merge_instance(known: Value, told: Value) -> Value:
    """An instance with the members that were told, and those that were known.

    A value that is no instance of the same definition stands for itself. Members keep their place,
    data type and properties; but for the quality, which is good unless it is told. Members that
    the birth did not have are left out: there are none (6.4.14).
    """
    if (
        not isinstance(known, Template)
        or not isinstance(told, Template)
        or told.template_ref not in {None, known.template_ref}
        or told.is_definition
    ):
        return told
    names = {member.alias: member.name for member in known.metrics if member.alias is not None}
    members = {member.name: member for member in known.metrics}
    for member in told.metrics:
        name = names.get(member.alias or 0) if member.name is None else member.name
        if (before := members.get(name)) is not None:
            members[name] = _merge_member(before, member)
    parameters = {parameter.name: parameter for parameter in known.parameters}
    parameters |= {parameter.name: parameter for parameter in told.parameters}
    return replace(
        known,
        metrics=tuple(members.values()),
        version=told.version or known.version,
        parameters=tuple(parameters.values()),
    )


def read_instance(wire: PbMetric, known: Value) -> Value:
    """The value of a template metric; members that tell no data type have the known one.

    Raises:
        PayloadError: a value does not fit its data type.
    """
    told = metric_value(wire, _TEMPLATE)
    if not isinstance(told, Template) or not isinstance(known, Template):
        return told
    if all(member.datatype is not None for member in told.metrics):
        return told
    members: dict[str | int | None, Metric] = {member.name: member for member in known.metrics}
    members |= {member.alias: member for member in known.metrics if member.alias is not None}
    return replace(
        told,
        metrics=tuple(
            _typed(member, wire_member, members.get(member.name or member.alias))
            for member, wire_member in zip(told.metrics, wire.template_value.metrics, strict=True)
        ),
    )


def _typed(member: Metric, wire: PbMetric, known: Metric | None) -> Metric:
    if member.datatype is not None or known is None or known.datatype is None:
        return member
    if known.datatype is _TEMPLATE:
        value = read_instance(wire, known.value)
    else:
        value = metric_value(wire, known.datatype)
    return replace(member, datatype=known.datatype, value=value)


def _merge_member(known: Metric, told: Metric) -> Metric:
    return replace(
        told,
        name=known.name,
        alias=known.alias,
        datatype=told.datatype or known.datatype,
        value=merge_instance(known.value, told.value),
        timestamp_ms=known.timestamp_ms if told.timestamp_ms is None else told.timestamp_ms,
        properties=_merge_properties(known.properties, told.properties),
        metadata=told.metadata or known.metadata,
    )


def _merge_properties(
    known: Mapping[str, Property] | None, told: Mapping[str, Property] | None
) -> Mapping[str, Property] | None:
    lasting = {name: prop for name, prop in (known or {}).items() if name != QUALITY_PROPERTY}
    return {**lasting, **(told or {})} or None


def check_instance_write(subject: str, told: Value, known: Value) -> str | None:
    """Why the members of a command cannot be written, ``None`` when every one of them can.

    Args:
        subject: whom the reason names.
        told: what a host sent, read by :func:`read_instance`.
        known: the instance as its birth had it.
    """
    if not isinstance(told, Template) or not isinstance(known, Template) or told.is_definition:
        return f"{subject}: no template instance, expected one with the members to be written"
    if told.template_ref not in {None, known.template_ref}:
        return f"{subject}: instance of {told.template_ref!r}, expected {known.template_ref!r}"
    if not told.metrics:
        return f"{subject}: no members, expected those to be written"
    members = {member.name: member for member in known.metrics}
    reasons = (
        _refuse_member(f"{subject} member {member.name!r}", member, members.get(member.name))
        for member in told.metrics
    )
    return next((reason for reason in reasons if reason is not None), None)


def _refuse_member(subject: str, told: Metric, known: Metric | None) -> str | None:
    if known is None or known.datatype is None:
        return f"{subject}: the birth has none of that name"
    if is_read_only(known.properties):
        return f"{subject} is read only"
    if told.value is None:
        return f"{subject}: null, expected a value of type {known.datatype.label}"
    try:
        check_value(known.datatype, told.value, subject)
    except LocalError as error:
        return str(error)
    return None


def is_read_only(properties: Mapping[str, Property] | None) -> bool:
    """Whether a metric's properties say that it cannot be written."""
    read_only = properties.get(READ_ONLY_PROPERTY) if properties else None
    return read_only is not None and read_only.value is True
