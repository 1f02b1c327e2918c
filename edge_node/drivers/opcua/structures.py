"""Structures: the server's own types, their bytes to a Sparkplug DataSet or Template.

A server describes a structure in the DataTypeDefinition of its type (OPC 10000-3 8.49); types are
kept a session, since two servers may call different things by the same id. Nested structures
become columns of their own, ``inner.field``. Pure but for the library's types.
"""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from asyncua.ua.uaerrors import UaError

from edge_node.drivers.base import RawValue
from edge_node.drivers.opcua.kinds import BY_CODE, convert
from edge_node.drivers.opcua.points import Point, field_datatype
from edge_node.drivers.opcua.wire import Opaque, decode_plain
from proto.sparkplug.datatypes import DataType
from proto.sparkplug.metrics import Basic, DataSet, Metric, Template

_U32: Final = 7


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a structure.

    Attributes:
        code: its built-in type.
        nested: the structure it is, ``None`` for a built-in type.
        optional: whether a bit tells that it is there.
    """

    name: str
    code: int
    array: bool = False
    optional: bool = False
    nested: "Layout | None" = None


@dataclass(frozen=True, slots=True)
class Layout:
    """How a structure lies on the wire (OPC 10000-6 5.2.6 to 5.2.8)."""

    name: str
    fields: tuple[Field, ...]
    union: bool = False


Flat = dict[str, tuple[int, Any]]
"""Column → built-in type and value, in the order of the fields."""


class Layouts:
    """The structures of one server, by the node id of their encoding."""

    def __init__(self) -> None:
        self._layouts: dict[Any, Layout | str] = {}
        self._unknown: set[Any] = set()

    @property
    def has_unknown(self) -> bool:
        """Whether structures were met that nobody has looked up."""
        return bool(self._unknown)

    def take_unknown(self) -> list[Any]:
        """Return the encodings to be looked up."""
        unknown, self._unknown = list(self._unknown), set()
        return unknown

    def add(self, encoding: Any, layout: Layout | str) -> None:
        """Keep a layout, or why there is none."""
        self._layouts[encoding] = layout

    def decode(self, point: Point, found: Sequence[Opaque]) -> RawValue:
        """Return structures as what a point is published as.

        Raises:
            ValueError: their type is not known, or the bytes are something else.
        """
        rows = [self.flatten(each) for each in found]
        if point.template is not None:
            return _make_template(point, rows[0])
        return make_dataset(rows)

    def find(self, encoding: Any) -> Layout:
        """Return how a structure lies on the wire; what is not known is noted to be looked up.

        Raises:
            ValueError: its type is not known.
        """
        layout = self._layouts.get(encoding)
        if layout is None:
            self._unknown.add(encoding)
            layout = "its type was not looked up yet"
        if isinstance(layout, str):
            raise ValueError(f"structure {encoding.to_string()}: {layout}")  # noqa: TRY004
        return layout

    def flatten(self, opaque: Opaque) -> Flat:
        """Return a structure's columns.

        Raises:
            ValueError: its type is not known, or the bytes are something else.
        """
        layout = self.find(opaque.encoding)
        flat: Flat = {}
        try:
            end = _read_layout(layout, opaque.body, 0, "", flat)
        except (struct.error, IndexError, UaError) as exc:
            raise ValueError(f"structure {layout.name!r} cannot be decoded: {exc}") from exc
        if end != len(opaque.body):
            raise ValueError(
                f"structure {layout.name!r} has {len(opaque.body)} bytes, expected {end}"
            )
        return flat


def _read_layout(layout: Layout, data: bytes, at: int, prefix: str, flat: Flat) -> int:
    present = -1
    if layout.union:
        choice, at = decode_plain(data, at, _U32)
        for number, field in enumerate(layout.fields, 1):
            if number == choice:
                at = read_field(field, data, at, prefix, flat)
            else:
                _leave_out(field, prefix, flat)
        return at
    if any(field.optional for field in layout.fields):
        present, at = decode_plain(data, at, _U32)
    bit = 0
    for field in layout.fields:
        if field.optional:
            here = present >> bit & 1
            bit += 1
            if not here:
                _leave_out(field, prefix, flat)
                continue
        at = read_field(field, data, at, prefix, flat)
    return at


def read_field(field: Field, data: bytes, at: int, prefix: str, flat: Flat) -> int:
    """Read a field into its columns and return where it ends."""
    name = f"{prefix}{field.name}"
    if not field.array:
        if field.nested is not None:
            return _read_layout(field.nested, data, at, f"{name}.", flat)
        value, at = decode_plain(data, at, field.code)
        flat[name] = (field.code, value)
        return at
    count, at = decode_plain(data, at, 6)
    items = []
    for index in range(max(0, count)):
        if field.nested is not None:
            at = _read_layout(field.nested, data, at, f"{name}[{index}].", flat)
        else:
            item, at = decode_plain(data, at, field.code)
            items.append(item)
    if field.nested is None:
        flat[name] = (field.code, items)
    return at


def _leave_out(field: Field, prefix: str, flat: Flat) -> None:
    if field.nested is None:
        flat[f"{prefix}{field.name}"] = (field.code, [] if field.array else None)
    else:
        for inner in field.nested.fields:
            _leave_out(inner, f"{prefix}{field.name}.", flat)


def make_dataset(rows: Sequence[Flat]) -> DataSet:
    """Return rows as a table; arrays within become columns of their elements."""
    columns: dict[str, DataType] = {}
    cells: list[dict[str, Basic]] = []
    for row in rows:
        told: dict[str, Basic] = {}
        for name, (code, value) in row.items():
            spread = (
                {f"{name}[{i}]": item for i, item in enumerate(value)}
                if isinstance(value, list)
                else {name: value}
            )
            for column, item in spread.items():
                columns.setdefault(column, _cell_type(code))
                told[column] = _cell(item)
        cells.append(told)
    return DataSet(
        tuple(columns),
        tuple(columns.values()),
        tuple(tuple(told.get(column) for column in columns) for told in cells),
    )


def _cell_type(code: int) -> DataType:
    kind = BY_CODE.get(code)
    # Data sets have no columns of bytes or UUIDs (6.4.13).
    if kind is None or kind.datatype in {DataType.BYTES, DataType.UUID}:
        return DataType.STRING
    return kind.datatype


def _cell(value: Any) -> Basic:
    cell: Basic = value.hex() if isinstance(value, bytes) else value
    return cell


def _make_template(point: Point, row: Mapping[str, tuple[int, Any]]) -> Template:
    wanted = [field.name for field in point.fields]
    if list(row) != wanted:
        raise ValueError(f"fields are {', '.join(row)}, expected {', '.join(wanted)}")
    members = []
    for field in point.fields:
        code, value = row[field.name]
        if value is not None:
            try:
                value = convert(value, code, _kind(field.datatype), array=field.array)
            except ValueError as exc:
                raise ValueError(f"field {field.name!r}: {exc}") from exc
        members.append(Metric(field.name, field_datatype(field), value))
    return Template(tuple(members), point.template)


def _kind(name: Any) -> Any:
    return next(kind for kind in BY_CODE.values() if kind.name == name)
