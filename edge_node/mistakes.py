"""Mistakes in a document, in plain words: where, what was found, what was expected.

pydantic knows what is wrong; this module says it to someone who edits a TOML file and has never
heard of pydantic.
"""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Final

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from proto.control.document import Document

_SHOWN_CHARACTERS: Final = 60
_KINDS: Final = {
    "int": "a whole number",
    "float": "a number",
    "finite_number": "a finite number",
    "bool": "true or false",
    "string": "text",
    "tuple": "a list",
    "list": "a list",
    "model": "a table of keys",
    "model_attributes": "a table of keys",
    "dict": "a table of keys",
    "path": "a path",
}
_PATTERNS: Final = {
    r"^[^/+#]+$": "text without '/', '+' and '#'",
    r"^[^/+#]+(/[^/+#]+)*$": "names without '+' and '#', with single '/' between folders",
    r"^[^/+#\x00]+(/[^/+#\x00]+)*$": "topic levels without '+' and '#', with single '/' between",
    r"^[^/+#\x00$][^/+#\x00]*$": "text without '/', '+' and '#' that does not begin with '$'",
}


def explain(error: ValidationError, data: object, model: type[Document]) -> list[str]:
    """Return one line a mistake: ``path: message``.

    Args:
        error: what pydantic says.
        data: what was validated.
        model: the document's model, for the keys that are allowed.
    """
    return [
        _explain_one(detail, data, model)
        for detail in error.errors(include_url=False)
        if not _is_echo(detail)
    ]


def _is_echo(detail: ErrorDetails) -> bool:
    """Whether a list only seems too short because its items are wrong, which is told already."""
    found = detail["input"]
    return detail["type"] == "too_short" and isinstance(found, list) and bool(found)


def _explain_one(detail: ErrorDetails, data: object, model: type[Document]) -> str:
    path, known = _walk(detail["loc"], data, model)
    message = _message(detail, known)
    return f"{path}: {message}" if path else message


def _walk(
    location: Sequence[int | str], data: object, model: type[BaseModel]
) -> tuple[str, type[BaseModel]]:
    """Return the place as people would write it, and the model that surrounds it."""
    path = ""
    here: Any = data
    around: type[BaseModel] = model
    for depth, part in enumerate(location):
        last = depth == len(location) - 1
        if isinstance(part, int):
            here = here[part] if isinstance(here, Sequence) and part < len(here) else None
            path += f"[{_name_of(here, part)}]"
            continue
        if not (isinstance(here, Mapping) and part in here) and not last:
            # A union's tag stands in pydantic's location and nowhere in the file.
            around = _member(around, part) or around
            continue
        path += f".{part}" if path else part
        here = here.get(part) if isinstance(here, Mapping) else None
        if not last:
            around = _model_of(around, part) or around
    return path, around


def _name_of(item: object, index: int) -> str:
    name = item.get("name") if isinstance(item, Mapping) else None
    return name if isinstance(name, str) and name else str(index)


def _model_of(around: type[BaseModel], key: str) -> type[BaseModel] | None:
    field = around.model_fields.get(key)
    models = [] if field is None else _models_in(field.annotation)
    return models[0] if models else None


def _member(around: type[BaseModel], tag: str) -> type[BaseModel] | None:
    """Return the member of a discriminated union that a tag names; ``around`` is one of them."""
    base = around.__base__
    for candidate in [around, *(base.__subclasses__() if base else ())]:
        driver = getattr(candidate, "model_fields", {}).get("driver")
        if driver is not None and tag in getattr(driver.annotation, "__args__", ()):
            return candidate
    return None


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for inner in getattr(annotation, "__args__", ()) for model in _models_in(inner)]


def _message(detail: ErrorDetails, around: type[BaseModel]) -> str:
    kind = detail["type"]
    found = _shown(detail["input"])
    context = detail.get("ctx", {})
    message: str
    if kind == "missing":
        message = "is missing"
    elif kind == "extra_forbidden":
        message = _unknown_key(str(detail["loc"][-1]), around)
    elif kind == "value_error":
        message = str(context["error"])
    elif kind == "literal_error":
        message = f"found {found}, expected {context['expected']}"
    elif kind == "union_tag_not_found":
        message = f"{_unquoted(context['discriminator'])} is missing"
    elif kind == "union_tag_invalid":
        name = _unquoted(context["discriminator"])
        message = f"{name} is {context['tag']!r}, expected {context['expected_tags']}"
    elif kind == "string_pattern_mismatch":
        pattern = str(context["pattern"])
        message = f"found {found}, expected {_PATTERNS.get(pattern, f'text like {pattern}')}"
    else:
        message = f"found {found}, expected {_expected(kind, context, detail['msg'])}"
    return message


def _expected(kind: str, context: Mapping[str, Any], fallback: str) -> str:
    bounds = {
        "greater_than_equal": "at least {ge}",
        "greater_than": "more than {gt}",
        "less_than_equal": "at most {le}",
        "less_than": "less than {lt}",
        "string_too_short": "at least {min_length} character(s)",
        "string_too_long": "at most {max_length} characters",
        "too_short": "at least {min_length} of them",
        "too_long": "at most {max_length} of them",
    }
    if kind in bounds:
        return bounds[kind].format(**context)
    if kind == "int_from_float":
        return "a whole number"
    stem = kind.rsplit("_", 1)[0]
    return _KINDS.get(kind) or _KINDS.get(stem) or fallback


def _unknown_key(key: str, around: type[BaseModel]) -> str:
    known = sorted(around.model_fields)
    close = get_close_matches(key, known, n=1)
    if close:
        return f"is no known key, did you mean {close[0]!r}?"
    return f"is no known key, expected one of {', '.join(known)}"


def _unquoted(text: object) -> str:
    return str(text).strip("'\"")


def _shown(value: object) -> str:
    if isinstance(value, Mapping):
        return "a table of keys"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if isinstance(value, bool):
        return str(value).lower()
    text = repr(value)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…"
