"""The JSON of the Unified Namespace: a tag's value, a device's description, a device's status.

Plain enough for any script: numbers are numbers, NaN and infinities are null with bad quality,
64-bit integers stay exact, bytes are base64, data sets are arrays of row objects, templates nest.
"""

import json
import math
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from proto.sparkplug.datatypes import DataType
from proto.sparkplug.metrics import QUALITY_BAD, DataSet, Template, Value

_dumps: Final = json.JSONEncoder(ensure_ascii=False, separators=(", ", ": ")).encode


@dataclass(frozen=True, slots=True)
class TagDescription:
    """One tag in a device's ``_meta``."""

    name: str
    datatype: DataType
    unit: str | None = None
    description: str | None = None
    low: float | None = None
    high: float | None = None
    writable: bool = False
    enumeration: Mapping[int, str] | None = None


def encode_unit(unit: str | None) -> str:
    """Return a unit as the JSON text that :func:`encode_value` wants."""
    return _dumps(unit)


def encode_value(timestamp_ms: int, value: Value, quality: int, unit_json: str) -> bytes:
    """Return a tag's message: ``{"timestamp_ms", "value", "quality", "unit"}``.

    Args:
        timestamp_ms: when the value was acquired, UTC.
        value: ``None`` where there is none.
        quality: 192 good, 0 bad, 500 stale.
        unit_json: from :func:`encode_unit`, made once a tag.
    """
    if isinstance(value, float):
        if math.isfinite(value):
            text = repr(value)
        else:
            text, quality = "null", QUALITY_BAD
    elif value is None:
        text = "null"
    elif value is True or value is False:
        text = "true" if value else "false"
    elif isinstance(value, int):
        text = str(value)
    else:
        text = _dumps(to_json(value))
    return (
        f'{{"timestamp_ms": {timestamp_ms}, "value": {text}, '
        f'"quality": {quality}, "unit": {unit_json}}}'
    ).encode()


def to_json(value: Value) -> Any:
    """Return a value as JSON's own kinds of thing."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, bytes):
        return b64encode(value).decode("ascii")
    if isinstance(value, DataSet):
        return [
            {column: to_json(cell) for column, cell in zip(value.columns, row, strict=True)}
            for row in value.rows
        ]
    if isinstance(value, Template):
        return {metric.name or "": to_json(metric.value) for metric in value.metrics}
    if isinstance(value, list):
        return [to_json(item) for item in value]
    return value


def encode_meta(group: str, edge: str, device: str, tags: Sequence[TagDescription]) -> bytes:
    """Return a device's ``_meta``: its Sparkplug address and what each of its tags is."""
    document = {
        "sparkplug": {"group": group, "edge": edge, "device": device},
        "tags": {
            tag.name: {
                "datatype": tag.datatype.label,
                "unit": tag.unit,
                "description": tag.description,
                "low": tag.low,
                "high": tag.high,
                "writable": tag.writable,
                "metric": tag.name,
            }
            | ({"enumeration": tag.enumeration} if tag.enumeration else {})
            for tag in tags
        },
    }
    return _dumps(document).encode()


@dataclass(frozen=True, slots=True)
class Meta:
    """Whose a device's ``_meta`` is, and the names of its tags."""

    group: str
    edge: str
    device: str
    tags: Sequence[str]


def decode_meta(payload: bytes) -> Meta:
    """Read what :func:`encode_meta` wrote, descriptions left out.

    Raises:
        ValueError: it is none.
    """
    document = json.loads(payload)
    match document:
        case {
            "sparkplug": {"group": str(group), "edge": str(edge), "device": str(device)},
            "tags": {**tags},
        }:
            return Meta(group, edge, device, [str(name) for name in tags])
    raise ValueError("document has no 'sparkplug' and 'tags', expected a device's _meta")


def encode_status(*, online: bool, since_ms: int, reason: str | None = None) -> bytes:
    """Return a device's ``_status``: ``{"online", "since_ms", "reason"}``.

    Args:
        online: whether its values are current.
        since_ms: since when, UTC.
        reason: why not, where it is offline.
    """
    return _dumps({"online": online, "since_ms": since_ms, "reason": reason}).encode()
