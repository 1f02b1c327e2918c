"""Templates (user-defined types): tags that are written once, and the instances made of them."""

import math
from collections import Counter
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, Self, TypeAlias

from pydantic import Field, JsonValue, StringConstraints, model_validator

from proto.control.document import Document, TagName

INSTANCE_NAME: Final = "InstanceName"
"""The parameter that every template has: the last level of the instance's name."""

ParameterType: TypeAlias = Literal["integer", "float", "string", "boolean"]
ParameterValue: TypeAlias = bool | int | float | str

ParameterName = Annotated[
    str, StringConstraints(min_length=1, max_length=64, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
]

_ANY_VALUE: Final[dict[str, JsonValue]] = {
    "anyOf": [{"type": kind} for kind in ("string", "integer", "number", "boolean")]
}
_EXPECTED: Final[Mapping[ParameterType, str]] = {
    "integer": "a whole number of at most 64 bits",
    "float": "a finite number",
    "string": "text",
    "boolean": "true or false",
}


def check_parameter(datatype: ParameterType, value: object) -> ParameterValue:
    """Return a parameter's value as its data type has it; whole numbers do for floats.

    Raises:
        ValueError: ``found …, expected …``.
    """
    if datatype == "boolean" and isinstance(value, bool):
        return value
    if datatype == "string" and isinstance(value, str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        if datatype == "float" and math.isfinite(value):
            return float(value)
        if datatype == "integer" and isinstance(value, int) and -(2**63) <= value < 2**63:
            return value
    found = str(value).lower() if isinstance(value, bool) else repr(value)
    raise ValueError(f"found {found}, expected {_EXPECTED[datatype]}")


class TemplateParameterDocument(Document):
    """What differs from instance to instance."""

    name: ParameterName
    """Letters, digits and ``_``; what stands in braces."""
    datatype: ParameterType
    """Of its values."""
    default: Any = Field(default=None, json_schema_extra=_ANY_VALUE)
    """Used by instances that give no value; without it every instance has to."""

    @model_validator(mode="after")
    def _check_parameter(self) -> Self:
        if self.name == INSTANCE_NAME:
            raise ValueError(f"{INSTANCE_NAME} is there already, expected another name")
        if self.default is not None:
            try:
                check_parameter(self.datatype, self.default)
            except ValueError as exc:
                raise ValueError(f"default: {exc}") from exc
        return self


class TemplateDocument(Document):
    """A type: ``[[templates]]``."""

    name: TagName
    """What instances refer to, and the name of the definition's metric."""
    version: str | None = Field(default=None, min_length=1)
    """Told to hosts, so that they notice when a type has changed."""
    parameters: tuple[TemplateParameterDocument, ...] = ()
    """What differs from instance to instance."""
    members: tuple[dict[str, Any], ...] = Field(min_length=1)
    """Tags as the device's driver has them. ``{base}`` in a text stands for a parameter,
    ``{base+3}`` for a whole number and an offset, ``{{`` for a brace."""

    @model_validator(mode="after")
    def _check_names(self) -> Self:
        counted = Counter(parameter.name for parameter in self.parameters)
        doubles = [repr(name) for name, count in counted.items() if count > 1]
        if doubles:
            raise ValueError(f"parameters stand more than once: {', '.join(doubles)}")
        return self


class InstanceDocument(Document):
    """One thing of a type, on a device: ``[[devices.instances]]``."""

    template: str
    """Name of the type."""
    name: TagName
    """The folder of its tags, and the name of its metric."""
    parameters: dict[str, Any] = Field(default_factory=dict)
    """Values by the parameters' names."""
