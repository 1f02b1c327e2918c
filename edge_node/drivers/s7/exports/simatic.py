"""TIA Portal's XML: what Openness exports (SimaticML), and the tag table that the editor does."""

import re
from collections.abc import Iterator
from typing import Final
from xml.etree import ElementTree as ET

from edge_node.drivers.s7.exports.declaration import Declaration
from edge_node.drivers.s7.exports.parts import DataBlock, Parts, Row

_NAMESPACE: Final = re.compile(r"\{[^}]*\}")
_INSTANCE: Final = "SW.Blocks.InstanceDB"


def parse_xml(data: bytes) -> Parts:
    """Read everything that an XML file holds and this program knows.

    Raises:
        ValueError: it is no XML, or none of TIA Portal's.
    """
    if b"<!DOCTYPE" in data or b"<!ENTITY" in data:
        raise ValueError("XML declares entities, expected an export, which has none")
    try:
        root = ET.fromstring(data)  # noqa: S314  # no entities; expat bounds the rest
    except ET.ParseError as exc:
        raise ValueError(f"is no XML: {exc}") from exc
    for element in root.iter():
        element.tag = _NAMESPACE.sub("", element.tag)
    parts = Parts()
    if root.tag == "Tagtable":
        parts.rows += _editor_rows(root)
        return parts
    for element in root.iter():
        match element.tag:
            case "SW.Blocks.GlobalDB" | "SW.Blocks.InstanceDB" | "SW.Blocks.ArrayDB":
                parts.blocks.append(_block(element))
            case "SW.Types.PlcStruct":
                parts.types[_attribute(element, "Name").upper()] = tuple(_members(element))
            case "SW.Tags.PlcTag":
                parts.rows.append(_tag(element))
    if not (parts.blocks or parts.types or parts.rows):
        raise ValueError(
            f"XML has {root.tag}, expected data blocks, PLC data types or tag tables of TIA Portal"
        )
    return parts


def _editor_rows(root: ET.Element) -> Iterator[Row]:
    for tag in root.iter("Tag"):
        yield Row(
            (tag.text or "").strip(),
            tag.get("addr", ""),
            tag.get("type", ""),
            tag.get("remark", ""),
        )


def _block(element: ET.Element) -> DataBlock:
    number = _attribute(element, "Number")
    return DataBlock(
        _attribute(element, "Name"),
        int(number) if number.isdecimal() and int(number) else None,
        tuple(_members(element)),
        _attribute(element, "InstanceOfName") or ("" if element.tag != _INSTANCE else "?"),
        _attribute(element, "MemoryLayout") == "Optimized",
    )


def _tag(element: ET.Element) -> Row:
    comment = next(
        (
            text.text or ""
            for text in element.iterfind(".//MultilingualText[@CompositionName='Comment']//Text")
            if text.text
        ),
        "",
    )
    return Row(
        _attribute(element, "Name"),
        _attribute(element, "LogicalAddress"),
        _attribute(element, "DataTypeName"),
        comment,
    )


def _attribute(element: ET.Element, name: str) -> str:
    return (element.findtext(f"AttributeList/{name}") or "").strip()


def _members(element: ET.Element) -> Iterator[Declaration]:
    """Yield the declarations of a block or type; only these tell where they lie."""
    for section in element.iterfind("AttributeList/Interface/Sections/Section"):
        for member in section.iterfind("Member"):
            yield _member(member, _offset(member))


def _member(element: ET.Element, bit: int | None = None) -> Declaration:
    inner = [*element.iterfind("Member"), *element.iterfind("Sections/Section/Member")]
    return Declaration(
        element.get("Name", ""),
        element.get("Datatype", ""),
        tuple(_member(member) for member in inner),
        " ".join((element.findtext("Comment/MultiLanguageText") or "").split()),
        bit,
    )


def _offset(member: ET.Element) -> int | None:
    """Return the offset in bits, which exports with informative attributes have."""
    text = member.findtext("AttributeList/IntegerAttribute[@Name='Offset']")
    return int(text) if text and text.strip().isdecimal() else None
