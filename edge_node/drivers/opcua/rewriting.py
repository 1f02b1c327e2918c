"""Structures on their way to the server: what a node holds, with the fields that were given new.

The mirror of ``structures``, and as pure. Fields that were not given keep the bytes they have, so
that what no data set can tell, a text's locale say, is not lost by a write of its neighbour.
"""

import re
import struct
from collections.abc import Mapping
from typing import Final

from asyncua.ua.uaerrors import UaError

from edge_node.drivers.base import RawValue
from edge_node.drivers.opcua.sending import encode_field
from edge_node.drivers.opcua.structures import Field, Layout, read_field
from edge_node.drivers.opcua.wire import decode_plain
from proto.sparkplug.metrics import DataSet, Template

_U32: Final = struct.Struct("<I")
_I32: Final = struct.Struct("<i")
_INNER: Final = re.compile(r"[.\[]")
_U32_CODE: Final = 7
_I32_CODE: Final = 6

Given = Mapping[str, object]
"""Column → value: ``speed``, ``to.x``, ``via[0]``, or the whole list as ``via``."""


def read_given(value: RawValue, *, array: bool) -> list[Given]:
    """Return what was given for each structure.

    Args:
        value: a data set, one row a structure, or a template instance.
        array: whether the node holds an array.

    Raises:
        ValueError: it is no structure, or not one; found and expected.
    """
    if isinstance(value, Template):
        return [{member.name or "": member.value for member in value.metrics}]
    if not isinstance(value, DataSet):
        raise ValueError(f"found {value!r}, expected a structure")  # noqa: TRY004  # does not fit
    if not array and len(value.rows) != 1:
        raise ValueError(f"found {len(value.rows)} rows, expected one")
    return [dict(zip(value.columns, row, strict=True)) for row in value.rows]


def rewrite(layout: Layout, held: bytes | None, given: Given) -> bytes:
    """Return a structure's bytes.

    An array within it ends where null was given, else it keeps the elements that were not. An
    optional field is left out where null was given.

    Args:
        layout: of the structure.
        held: what the node holds; ``None`` for a new element of an array.
        given: what is to be new.

    Raises:
        ValueError: a field is not there, missing, or does not take its value; found and expected.
    """
    rewriter = _Rewriter(held or b"", _Columns(given))
    try:
        body, _ = rewriter.layout(layout, None if held is None else 0, "")
    except (struct.error, IndexError, UaError) as exc:
        raise ValueError(f"what the node holds is no {layout.name}: {exc}") from exc
    if strange := rewriter.columns.unused:
        raise ValueError(f"{', '.join(strange)} fit no field, which are {_names(layout)}")
    return body


class _Columns:
    """What was given, by column and by everything that a column lies in."""

    def __init__(self, given: Given) -> None:
        self._cells: dict[str, object] = {}
        self._origins: dict[str, str] = {}
        for name, value in given.items():
            spread = {name: value}
            if isinstance(value, list):
                spread = {f"{name}[{index}]": item for index, item in enumerate(value)}
                spread[f"{name}[{len(value)}]"] = None
            self._cells |= spread
            self._origins |= dict.fromkeys(spread, name)
        self._told: dict[str, bool] = {}
        self._nulls: dict[str, list[str]] = {}
        for name, value in self._cells.items():
            for end in [*(place.start() for place in _INNER.finditer(name)), len(name)]:
                around = name[:end]
                self._told[around] = self._told.get(around, False) or value is not None
                if value is None:
                    self._nulls.setdefault(around, []).append(name)

    @property
    def unused(self) -> list[str]:
        """The columns that nobody took, as they were given."""
        return list(dict.fromkeys(self._origins.values()))

    def __contains__(self, name: str) -> bool:
        return name in self._cells

    def told(self, name: str) -> bool | None:
        """Whether a field, or anything within it, was given; false where null was."""
        return self._told.get(name)

    def take(self, name: str) -> object:
        """Return a column's value."""
        self._origins.pop(name, None)
        return self._cells[name]

    def drop(self, name: str) -> None:
        """Take the nulls of a field and of everything within it."""
        for null in self._nulls.get(name, ()):
            self._origins.pop(null, None)


class _Rewriter:
    """Places in what is held are ``None`` where nothing is."""

    def __init__(self, held: bytes, columns: _Columns) -> None:
        self.columns = columns
        self._held = held

    def layout(self, layout: Layout, at: int | None, prefix: str) -> tuple[bytes, int | None]:
        """Return a structure's new bytes and where it ended in what is held."""
        if layout.union:
            return self._union(layout, at, prefix)
        parts: list[bytes] = []
        present = 0
        has_mask = any(field.optional for field in layout.fields)
        if has_mask and at is not None:
            present, at = decode_plain(self._held, at, _U32_CODE)
        mask, bit = 0, 1
        for field in layout.fields:
            here = at
            if field.optional:
                told = self.columns.told(f"{prefix}{field.name}")
                was = at is not None and bool(present & bit)
                here = at if was else None
                if told is False or (told is None and not was):
                    at = at if here is None else self._skip(field, here)
                    self.columns.drop(f"{prefix}{field.name}")
                    bit <<= 1
                    continue
                mask |= bit
                bit <<= 1
            part, end = self._field(field, here, prefix)
            at = at if here is None else end
            parts.append(part)
        return (_U32.pack(mask) if has_mask else b"") + b"".join(parts), at

    def _union(self, layout: Layout, at: int | None, prefix: str) -> tuple[bytes, int | None]:
        choice, start, end = 0, at, at
        if at is not None:
            choice, start = decode_plain(self._held, at, _U32_CODE)
            end = self._skip(layout.fields[choice - 1], start) if choice else start
        told = {n: self.columns.told(f"{prefix}{f.name}") for n, f in enumerate(layout.fields, 1)}
        chosen = [number for number, state in told.items() if state]
        if len(chosen) > 1:
            names = ", ".join(f"{prefix}{layout.fields[n - 1].name}" for n in chosen)
            raise ValueError(f"found {names}, expected one of them")
        for field in layout.fields:
            self.columns.drop(f"{prefix}{field.name}")
        if not chosen:
            gone = told.get(choice) is False
            if at is None or gone or not choice:
                return _U32.pack(0), end
            return self._held[at:end], end
        number = chosen[0]
        field = layout.fields[number - 1]
        part, _ = self._field(field, start if number == choice else None, prefix)
        return _U32.pack(number) + part, end

    def _field(self, field: Field, at: int | None, prefix: str) -> tuple[bytes, int | None]:
        name = f"{prefix}{field.name}"
        if field.array:
            return self._array(field, at, name)
        if field.nested is not None:
            return self.layout(field.nested, at, f"{name}.")
        return self._one(field, at, name)

    def _one(self, field: Field, at: int | None, name: str) -> tuple[bytes, int | None]:
        end = None if at is None else decode_plain(self._held, at, field.code)[1]
        if name in self.columns:
            try:
                return encode_field(field.code, self.columns.take(name)), end
            except ValueError as exc:
                raise ValueError(f"field {name!r}: {exc}") from exc
        if at is None:
            raise ValueError(f"field {name!r} is missing, and the node holds none to keep")
        return self._held[at:end], end

    def _array(self, field: Field, at: int | None, name: str) -> tuple[bytes, int | None]:
        starts, end = self._elements(field, at)
        count = self._count(name, len(starts))
        parts = []
        for index in range(count):
            here = starts[index] if index < len(starts) else None
            element = f"{name}[{index}]"
            if field.nested is not None:
                parts.append(self.layout(field.nested, here, f"{element}.")[0])
            else:
                parts.append(self._one(field, here, element)[0])
        self.columns.drop(name)
        return _I32.pack(count) + b"".join(parts), end

    def _elements(self, field: Field, at: int | None) -> tuple[list[int], int | None]:
        """Return where the elements that are held begin, and where the last of them ends."""
        if at is None:
            return [], None
        count, at = decode_plain(self._held, at, _I32_CODE)
        starts = []
        one = Field(field.name, field.code, nested=field.nested)
        for _ in range(max(0, count)):
            starts.append(at)
            at = self._skip(one, at)
        return starts, at

    def _count(self, name: str, held: int) -> int:
        """Return how many elements an array has: up to the first null, else all that are known."""
        index = 0
        while (told := self.columns.told(f"{name}[{index}]")) is True or (
            told is None and index < held
        ):
            index += 1
        return index

    def _skip(self, field: Field, at: int) -> int:
        return read_field(field, self._held, at, "", {})


def _names(layout: Layout) -> str:
    return ", ".join(field.name for field in layout.fields)
