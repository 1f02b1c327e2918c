"""What the nodes of a simulated OPC UA device hold at each step: one value of every kind.

Pure but for the library's types. Knows nothing of servers.
"""

import math
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from asyncua import ua

_PERIOD: Final = 4096
_AMPLITUDE: Final = 10_000.0
_WAVE: Final = [_AMPLITUDE * math.sin(2 * math.pi * i / _PERIOD) for i in range(_PERIOD)]

Values = Callable[[int, datetime], Any]
"""Step and time → value."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A node's type and what it holds.

    Attributes:
        variant: the built-in type on the wire.
        value: step and time → value.
        data_type: name of the simulator's own data type, when it is one.
    """

    variant: ua.VariantType
    value: Values
    data_type: str = ""


def wave(device: int, tag: int, step: int) -> float:
    """Return what ``Tag<tag>`` of a device, both from 1, holds: a sine of its own phase."""
    return _WAVE[(37 * device + 11 * tag + step) % _PERIOD]


def _float32(value: float) -> float:
    rounded: float = struct.unpack("<f", struct.pack("<f", value))[0]
    return rounded


TYPES: Final[Mapping[str, Kind]] = {
    "Boolean": Kind(ua.VariantType.Boolean, lambda step, _: step % 2 == 1),
    "SByte": Kind(ua.VariantType.SByte, lambda step, _: step % 256 - 128),
    "Byte": Kind(ua.VariantType.Byte, lambda step, _: step % 256),
    "Int16": Kind(ua.VariantType.Int16, lambda step, _: step % 2**16 - 2**15),
    "UInt16": Kind(ua.VariantType.UInt16, lambda step, _: 2**16 - 1 - step % 2**16),
    "Int32": Kind(ua.VariantType.Int32, lambda step, _: step - 2**31),
    "UInt32": Kind(ua.VariantType.UInt32, lambda step, _: 2**32 - 1 - step),
    "Int64": Kind(ua.VariantType.Int64, lambda step, _: step - 2**63),
    "UInt64": Kind(ua.VariantType.UInt64, lambda step, _: 2**64 - 1 - step),
    "Float": Kind(ua.VariantType.Float, lambda step, _: _float32(wave(1, 1, step))),
    "Double": Kind(ua.VariantType.Double, lambda step, _: wave(1, 1, step)),
    "String": Kind(ua.VariantType.String, lambda step, _: f"Käse {step}"),
    "DateTime": Kind(ua.VariantType.DateTime, lambda _, now: now),
    "Guid": Kind(ua.VariantType.Guid, lambda step, _: UUID(int=step)),
    "ByteString": Kind(ua.VariantType.ByteString, lambda step, _: b"\0\xff" + step.to_bytes(4)),
    "LocalizedText": Kind(
        ua.VariantType.LocalizedText, lambda step, _: ua.LocalizedText(f"step {step}", "en")
    ),
    "Mode": Kind(ua.VariantType.Int32, lambda step, _: step % 3, "Mode"),
    "BooleanArray": Kind(ua.VariantType.Boolean, lambda step, _: [step % 2 == 1, True, False]),
    "Int32Array": Kind(ua.VariantType.Int32, lambda step, _: [step + i for i in range(5)]),
    "DoubleArray": Kind(
        ua.VariantType.Double, lambda step, _: [wave(1, i + 1, step) for i in range(5)]
    ),
    "StringArray": Kind(ua.VariantType.String, lambda step, _: [f"a{step}", "b", ""]),
    "Recipe": Kind(ua.VariantType.ExtensionObject, lambda step, _: recipe(step), "Recipe"),
    "Recipes": Kind(
        ua.VariantType.ExtensionObject,
        lambda step, _: [recipe(step), recipe(step + 1)],
        "Recipe",
    ),
}
"""Name of the node below ``Types`` → what it holds."""


def recipe(step: int) -> Any:
    """Return an instance of the simulator's structure, whose class the server has loaded."""
    made = ua.Recipe()  # the library makes the class from the definition
    made.Name = f"Raspberry {step}"
    made.Speed = wave(1, 1, step)
    made.Steps = [step, step + 1]
    return made
