"""Writes that anyone allowed to may ask an edge node for, and what became of them."""

from base64 import b64decode
from binascii import Error as Base64Error
from typing import Annotated, Final, Literal

from pydantic import Field, JsonValue, StringConstraints

from proto.control.document import Document
from proto.control.table import read_table
from proto.sparkplug.datatypes import DataType
from proto.sparkplug.metrics import Metric, Template, Value

CommandId = Annotated[str, StringConstraints(min_length=1, max_length=128)]

DEFAULT_TIMEOUT_S: Final = 10.0

Outcome = Literal["written", "verified", "refused", "failed", "unknown", "different"]
"""``written``: the device took it. ``verified``: and gave the same value back. ``refused``: nothing
was sent to the device. ``failed``: the device said no. ``unknown``: it was sent, and whether it was
done cannot be told. ``different``: the device took it and gives another value back."""


class Command(Document):
    """``<prefix>/cmd/<group>/<edge>/<device>/<tag>``: write a value."""

    id: CommandId
    """Chosen by who asks, a UUID say; a command with the same id on the same topic is not done
    again."""
    value: JsonValue
    """The engineering value: a number, text, true or false; base64 for bytes, a list for arrays; an
    object for a structure, a list of them for an array of structures or a method's arguments."""
    timeout_s: float = Field(default=DEFAULT_TIMEOUT_S, gt=0, le=600)
    """A write that has not begun by then, counted from its arrival, is not done any more."""


class CommandResult(Document):
    """``<prefix>/cmd/<group>/<edge>/<device>/<tag>/result``: what became of it."""

    id: CommandId | None
    """The command's; null for a Sparkplug command (DCMD), and for what could not be read."""
    timestamp_ms: int
    """When it ended, milliseconds since the epoch."""
    ok: bool
    """Whether the device has the value, as far as was to be found out."""
    outcome: Outcome
    """``written`` and ``verified`` are ok."""
    reason: str | None = None
    """Why not."""
    value: JsonValue = None
    """What was read back, where it was."""
    returned: dict[str, JsonValue] | None = None
    """What a method gave back, by the names of its output arguments."""


def read_value(datatype: DataType, value: JsonValue, definition: Metric | None = None) -> Value:
    """Return a JSON value as a data type has it; whether it fits is for ``check_value`` to say.

    Args:
        datatype: what it is to be.
        value: as it came.
        definition: of the template that it is to be an instance of.

    Raises:
        ValueError: no value of that data type can be told so; found and expected.
    """
    if datatype is DataType.TEMPLATE:
        return _read_instance(value, definition)
    if datatype is DataType.DATASET:
        return read_table(value)
    if datatype in {DataType.BYTES, DataType.FILE} and isinstance(value, str):
        try:
            return b64decode(value, validate=True)
        except (Base64Error, ValueError) as exc:
            raise ValueError(f"found text that is no base64 ({exc}), expected bytes") from exc
    if isinstance(value, dict):
        raise ValueError(f"found an object, expected a {datatype.label}")  # noqa: TRY004  # one kind
    return value  # type: ignore[return-value]  # lists of one kind are checked with the rest


def _read_instance(value: JsonValue, definition: Metric | None) -> Template:
    known = None if definition is None else definition.value
    if not isinstance(known, Template) or definition is None:
        raise ValueError("a Template is written with a Sparkplug command only")
    members = {member.name: member.datatype for member in known.metrics}
    if not isinstance(value, dict) or not value:
        found = "an empty object" if value == {} else "no object"
        raise ValueError(f"found {found}, expected one with {', '.join(map(str, members))}")
    told = []
    for name, content in value.items():
        datatype = members.get(name)
        if datatype is None:
            raise ValueError(f"found {name!r}, expected {', '.join(map(str, members))}")
        told.append(Metric(name, datatype, read_value(datatype, content)))
    return Template(tuple(told), definition.name)
