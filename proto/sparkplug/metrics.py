"""What a payload is made of: metrics and their properties, data sets, templates.

Plain frozen objects, as they mean; ``codec`` knows how they lie on the wire and ``values`` what
fits into them. Hot paths do not make them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from proto.sparkplug.datatypes import DataType

QUALITY_BAD: Final = 0
QUALITY_GOOD: Final = 192
QUALITY_STALE: Final = 500
"""The three quality codes (6.4.9.1)."""

BD_SEQ: Final = "bdSeq"
REBIRTH: Final = "Node Control/Rebirth"
QUALITY_PROPERTY: Final = "Quality"
UNIT_PROPERTY: Final = "engUnit"
LOW_PROPERTY: Final = "engLow"
HIGH_PROPERTY: Final = "engHigh"
DESCRIPTION_PROPERTY: Final = "Documentation"
READ_ONLY_PROPERTY: Final = "readOnly"
UNS_PATH_PROPERTY: Final = "unsPath"
ENUMERATION_PROPERTY: Final = "Enumeration"
"""Property names; but for the last two they are those that SCADA hosts already know.
``Enumeration`` is a JSON object, number → name: ``{"0": "stopped", "1": "running"}``."""


def is_control(name: str) -> bool:
    """Whether a metric steers the protocol rather than tells of the plant.

    ``bdSeq``, ``Node Control/…`` and ``Device Control/…`` (6.4.3, 6.4.17).
    """
    return name == BD_SEQ or name.startswith(("Node Control/", "Device Control/"))


@dataclass(frozen=True, slots=True)
class DataSet:
    """A table: one data type a column, rows of as many elements (6.4.11)."""

    columns: tuple[str, ...]
    types: tuple[DataType, ...]
    rows: tuple[tuple["Basic", ...], ...] = ()


@dataclass(frozen=True, slots=True)
class TemplateParameter:
    """A parameter of a template: the default in a definition, the value in an instance (6.4.15)."""

    name: str
    datatype: DataType
    value: "Basic" = None


@dataclass(frozen=True, slots=True)
class Template:
    """A user-defined type or an instance of one (6.4.14).

    Attributes:
        metrics: the members.
        template_ref: instances only: name of the metric that holds the definition.
        is_definition: whether this defines the type.
        version: free text.
        parameters: common to the whole template.
    """

    metrics: tuple["Metric", ...] = ()
    template_ref: str | None = None
    is_definition: bool = False
    version: str | None = None
    parameters: tuple[TemplateParameter, ...] = ()


@dataclass(frozen=True, slots=True)
class Property:
    """One property of a metric (6.4.9). ``value`` ``None`` is null."""

    datatype: DataType
    value: "PropertyContent"


@dataclass(frozen=True, slots=True)
class MetaData:
    """What the bytes of a metric are (6.4.7)."""

    is_multi_part: bool | None = None
    content_type: str | None = None
    size: int | None = None
    seq: int | None = None
    file_name: str | None = None
    file_type: str | None = None
    md5: str | None = None
    description: str | None = None


Basic: TypeAlias = bool | int | float | str | None
"""A value of one of the basic types, or null."""

PropertySet: TypeAlias = Mapping[str, Property]

PropertyContent: TypeAlias = Basic | PropertySet | Sequence[PropertySet]

ArrayValue: TypeAlias = list[bool] | list[int] | list[float] | list[str]

Value: TypeAlias = Basic | bytes | DataSet | Template | ArrayValue
"""What a metric can be worth; ``None`` is null. DateTimes are integers, milliseconds in UTC."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric as it stands in a payload (6.4.6).

    Attributes:
        name: absent in data that goes by alias.
        alias: unique over a node and all its devices.
        datatype: absent in data; the birth told it.
        value: ``None`` is null. Without a data type the value is what lay on the wire: integers
            unsigned, arrays as bytes.
        timestamp_ms: when the value was acquired.
        is_historical: not the current value, but one of the past.
        is_transient: of no interest to a historian.
        properties: by name; ``None`` when the payload has no property set.
        metadata: for bytes and files.
    """

    name: str | None = None
    datatype: DataType | None = None
    value: Value = None
    timestamp_ms: int | None = None
    alias: int | None = None
    is_historical: bool = False
    is_transient: bool = False
    properties: PropertySet | None = None
    metadata: MetaData | None = None


@dataclass(frozen=True, slots=True)
class Payload:
    """One Sparkplug B payload (6.4.5).

    Attributes:
        timestamp_ms: when it was published.
        seq: 0 to 255 from edge nodes; absent in NDEATH and commands.
        uuid: what ``body`` is, for payloads that carry bytes of their own.
    """

    timestamp_ms: int | None = None
    seq: int | None = None
    metrics: tuple[Metric, ...] = field(default=())
    uuid: str | None = None
    body: bytes | None = None


def quality_property(quality: int) -> Property:
    """``Quality`` as the specification wants it: Int32, one of 0, 192, 500 (6.4.9.1)."""
    return Property(DataType.INT32, quality)
