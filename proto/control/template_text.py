"""Placeholders in a member's texts: ``{base}``, ``{base+3}``, ``{{`` and ``}}`` for braces.

Strict: what is not understood is an error and never stays in the text.
"""

import re
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Final

from proto.control.template import ParameterType, ParameterValue

_PIECE: Final = re.compile(r"\{\{|\}\}|\{[^{}]*\}|[{}]")
_INSIDE: Final = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?:\s*([+-])\s*([0-9]{1,18}))?")


def has_placeholder(text: str) -> bool:
    """Whether something in a text stands for a parameter, rightly or wrongly."""
    return any(piece not in {"{{", "}}"} for piece in _PIECE.findall(text))


def check_text(text: str, types: Mapping[str, ParameterType]) -> list[str]:
    """Return what is wrong with a text's placeholders: ``found …, expected …``."""
    mistakes = []
    for piece in _PIECE.findall(text):
        if piece in {"{{", "}}"}:
            continue
        if piece in {"{", "}"}:
            mistakes.append(
                f"found a single {piece!r} in {text!r}, expected '{{name}}', or"
                f" {piece * 2!r} for a brace"
            )
        elif (match := _INSIDE.fullmatch(piece[1:-1])) is None:
            mistakes.append(f"found {piece!r}, expected '{{name}}', '{{name+1}}' or '{{name-1}}'")
        elif match[1] not in types:
            close = get_close_matches(match[1], types, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"expected {', '.join(types)}"
            mistakes.append(f"found {piece!r}, no parameter has that name, {hint}")
        elif match[2] and types[match[1]] != "integer":
            mistakes.append(
                f"found {piece!r}, but {match[1]!r} is of type {types[match[1]]}, "
                "expected an integer to count from"
            )
    return mistakes


def fill_text(text: str, values: Mapping[str, ParameterValue]) -> str:
    """Return a text with its placeholders filled; the text has been checked."""
    return _PIECE.sub(lambda match: _fill(match[0], values), text)


def fill_value(text: str, values: Mapping[str, ParameterValue]) -> ParameterValue:
    """Return what a text stands for where no text is wanted: a lone ``{name}`` is its value."""
    whole = _PIECE.fullmatch(text)
    inside = None if whole is None else _INSIDE.fullmatch(text[1:-1])
    if inside is None:
        return fill_text(text, values)
    value = values[inside[1]]
    return _moved(value, inside) if inside[2] and isinstance(value, int) else value


def _fill(piece: str, values: Mapping[str, ParameterValue]) -> str:
    if piece in {"{{", "}}"}:
        return piece[0]
    inside = _INSIDE.fullmatch(piece[1:-1])
    if inside is None:  # unchecked, so it stays as it was written
        return piece
    value = values[inside[1]]
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return str(value).removesuffix(".0")
    return str(_moved(value, inside)) if inside[2] and isinstance(value, int) else str(value)


def _moved(value: int, inside: re.Match[str]) -> int:
    offset = int(inside[3])
    return value + offset if inside[2] == "+" else value - offset
