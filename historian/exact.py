"""Values as the database keeps them, without losing anything. Pure.

PostgreSQL's text and jsonb cannot hold the character NUL: a string with one keeps its exact bytes
in ``bytes`` besides a readable ``text``; in JSON the character is replaced by U+2400.
"""

import base64
import json
import math
from typing import Any, Final, NamedTuple, TypeAlias

from proto.sparkplug.datatypes import INTEGER_RANGE, LABELS
from proto.sparkplug.metrics import DataSet, Metric, Template, Value

StoredValue: TypeAlias = "bool | int | float | str | bytes | list[Any] | dict[str, Any] | None"
"""A value as it comes back: data sets, templates and arrays as the JSON they were made."""

JsonValue: TypeAlias = "bool | int | float | str | list[JsonValue] | dict[str, JsonValue] | None"

EXACT_DOUBLE: Final = 2**53
"""Every whole number up to here has a double of its own."""
_NUL_PICTURE: Final = "\u2400"
_WHOLE: Final = frozenset(LABELS[datatype] for datatype in INTEGER_RANGE)
_TEXT: Final = frozenset({"String", "Text", "UUID"})


class Columns(NamedTuple):
    """The value columns of a row; all ``None`` is a null value."""

    number: float | None = None
    text: str | None = None
    json: str | None = None
    raw: bytes | None = None


def to_columns(value: Value) -> Columns:  # noqa: PLR0911  # a table of types, in order
    """Spread a value over the columns that keep it exactly.

    Whole numbers beyond 2^53 stand in ``value`` approximately and in ``text`` digit by digit.
    """
    if value is None:
        return Columns()
    if isinstance(value, bool | float):
        return Columns(number=float(value))
    if isinstance(value, int):
        if -EXACT_DOUBLE <= value <= EXACT_DOUBLE:
            return Columns(number=float(value))
        return Columns(number=float(value), text=str(value))
    if isinstance(value, str):
        if "\x00" in value:
            return Columns(text=value.replace("\x00", _NUL_PICTURE), raw=value.encode())
        return Columns(text=value)
    if isinstance(value, bytes):
        return Columns(raw=value)
    return Columns(json=format_json(_to_json(value)))


def from_columns(datatype: str, columns: Columns) -> StoredValue:
    """Put a value together again, exactly as it was sent.

    Args:
        datatype: Sparkplug's name of it, as in ``historian.metric``.
        columns: of its row.
    """
    number, text, json_text, raw = columns
    if json_text is not None:
        found: StoredValue = json.loads(json_text)
        return found
    if datatype in _TEXT:
        return text if raw is None else raw.decode()
    if raw is not None:
        return raw
    if number is None:
        return text
    if datatype in _WHOLE:
        return int(number) if text is None else int(text)
    return bool(number) if datatype == "Boolean" else number


def format_json(value: JsonValue) -> str:
    """JSON text that jsonb accepts: NaN and infinities become strings, NUL becomes U+2400."""
    return json.dumps(_clean(value), ensure_ascii=False, allow_nan=False)


def printable(text: str) -> str:
    """Text as PostgreSQL can hold it: no NUL, no half of a surrogate pair."""
    return text.replace("\x00", _NUL_PICTURE).encode("utf-8", "replace").decode()


def _clean(value: JsonValue) -> JsonValue:
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, list):
        return [_clean(item) for item in value]
    if isinstance(value, dict):
        return {printable(key): _clean(item) for key, item in value.items()}
    return value


def _to_json(value: Value) -> JsonValue:
    if isinstance(value, DataSet):
        return {
            "columns": list(value.columns),
            "types": [datatype.label for datatype in value.types],
            "rows": [list(row) for row in value.rows],
        }
    if isinstance(value, Template):
        return _template_to_json(value)
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, list):
        return list(value)
    return value


def _template_to_json(template: Template) -> JsonValue:
    return {
        "template": template.template_ref,
        "definition": template.is_definition,
        "version": template.version,
        "parameters": {
            parameter.name: {"type": parameter.datatype.label, "value": parameter.value}
            for parameter in template.parameters
        },
        "metrics": {
            metric.name or f"alias {metric.alias}": _member_to_json(metric)
            for metric in template.metrics
        },
    }


def _member_to_json(metric: Metric) -> JsonValue:
    return {
        "type": metric.datatype.label if metric.datatype is not None else None,
        "value": _to_json(metric.value),
        "time_ms": metric.timestamp_ms,
    }
