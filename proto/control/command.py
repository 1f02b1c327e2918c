"""Writes that anyone allowed to may ask an edge node for, and what became of them."""

from base64 import b64decode
from binascii import Error as Base64Error
from typing import Annotated, Final, Literal

from pydantic import Field, JsonValue, StringConstraints

from proto.control.document import Document
from proto.sparkplug.datatypes import DataType
from proto.sparkplug.metrics import Value

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
    """The engineering value: a number, text, true or false; base64 for bytes, a list for arrays."""
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


def read_value(datatype: DataType, value: JsonValue) -> Value:
    """Return a JSON value as a data type has it; whether it fits is for ``check_value`` to say.

    Raises:
        ValueError: no value of that data type can be told in JSON, or this one is no base64.
    """
    if datatype in {DataType.DATASET, DataType.TEMPLATE}:
        raise ValueError(f"a {datatype.label} is written with a Sparkplug command only")
    if datatype in {DataType.BYTES, DataType.FILE} and isinstance(value, str):
        try:
            return b64decode(value, validate=True)
        except (Base64Error, ValueError) as exc:
            raise ValueError(f"found text that is no base64 ({exc}), expected bytes") from exc
    if isinstance(value, dict):
        raise ValueError(f"found an object, expected a {datatype.label}")  # noqa: TRY004  # one kind
    return value  # type: ignore[return-value]  # lists of one kind are checked with the rest
