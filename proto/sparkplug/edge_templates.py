"""Do the templates of a node's births keep to what they promised (specification 6.4.14)?"""

from collections.abc import Iterable, Mapping
from typing import Final

from proto.sparkplug.errors import InvalidMetric
from proto.sparkplug.metrics import Metric, Template

TYPES_FOLDER: Final = "_types_/"
"""Where some nodes keep definitions; instances then refer to them without it."""


def template_definitions(metrics: Iterable[Metric]) -> dict[str, Template]:
    """The template definitions among metrics, by the name instances refer to."""
    definitions: dict[str, Template] = {}
    for metric in metrics:
        if metric.name and isinstance(metric.value, Template) and metric.value.is_definition:
            definitions[metric.name] = metric.value
            definitions.setdefault(metric.name.removeprefix(TYPES_FOLDER), metric.value)
    return definitions


def check_template_instance(
    subject: str, instance: Template, known: Mapping[str, Template]
) -> None:
    """Hold a template instance of a birth against its definition (6.4.14).

    Raises:
        InvalidMetric: unknown definition, or members or parameters other than the definition's.
    """
    definition = known.get(instance.template_ref or "")
    if definition is None:
        raise InvalidMetric(
            f"{subject}: template {instance.template_ref!r} is not defined on the node, "
            f"expected one of {sorted(known)}"
        )
    wanted = {member.name for member in definition.metrics}
    found = {member.name for member in instance.metrics}
    if found != wanted:
        raise InvalidMetric(
            f"{subject}: members are {sorted(map(str, found))}, "
            f"expected {sorted(map(str, wanted))} as {instance.template_ref!r} defines"
        )
    parameters = {parameter.name for parameter in definition.parameters}
    for parameter in instance.parameters:
        if parameter.name not in parameters:
            raise InvalidMetric(
                f"{subject}: parameter {parameter.name!r} is not of {instance.template_ref!r}, "
                f"expected {sorted(parameters)}"
            )
    for member in instance.metrics:
        if isinstance(member.value, Template):
            check_template_instance(f"{subject}.{member.name}", member.value, known)
