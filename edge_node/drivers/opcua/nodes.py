"""The notations of a node: text ⇄ what it means, before any server is known.

``ns=2;s=Press.Temp`` names a namespace by its index, ``nsu=urn:plant;s=Press.Temp`` by its URI
(OPC 10000-6 5.3.1.10 and its 1.05 successor), ``/Objects/2:Press/2:Temp`` is a path of browse
names (OPC 10000-4 A.2). Pure.
"""

import re
from base64 import b64decode, b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

Identifier = int | str | UUID | bytes

ROOT: Final = 84
"""Numeric identifier of the root folder in namespace 0 (OPC 10000-5 8.2.1)."""

_NODE_ID: Final = re.compile(
    r"(?:ns=(?P<index>\d+);|nsu=(?P<uri>[^;]+);)?(?P<kind>[isgb])=(?P<rest>.*)", re.DOTALL
)
_INDEX: Final = re.compile(r"(\d+):")
_EXAMPLES: Final = (
    "ns=2;s=Press.Temp, nsu=urn:plant;s=Press.Temp, i=2258 or /Objects/2:Press/2:Temp"
)
_HIGHEST_INDEX: Final = 0xFFFF
_HIGHEST_NUMBER: Final = 0xFFFF_FFFF
_RESERVED: Final = "/.<>:#!&{}"


class UnknownNamespace(LookupError):
    """The server has no namespace of that URI."""


@dataclass(frozen=True, slots=True)
class NodeName:
    """A node id.

    Attributes:
        namespace: index, or URI.
        identifier: number, text, GUID or opaque bytes.
    """

    namespace: int | str
    identifier: Identifier

    def __str__(self) -> str:
        return _format_namespace(self.namespace) + _format_identifier(self.identifier)


@dataclass(frozen=True, slots=True)
class BrowsePath:
    """A path of browse names from the root folder: namespace (index or URI) and name each."""

    steps: tuple[tuple[int | str, str], ...]

    def __str__(self) -> str:
        return "".join(f"/{_format_step(namespace, name)}" for namespace, name in self.steps)


Address = NodeName | BrowsePath


def parse_address(text: str) -> Address:
    """Read a node id or a path of browse names.

    Raises:
        ValueError: with what was found and what was expected.
    """
    if text.startswith("/"):
        return BrowsePath(tuple(_parse_steps(text)))
    match = _NODE_ID.fullmatch(text)
    if match is None:
        raise ValueError(f"address is {text!r}, expected for example {_EXAMPLES}")
    namespace: int | str = match["uri"] or int(match["index"] or 0)
    if isinstance(namespace, int) and namespace > _HIGHEST_INDEX:
        raise ValueError(f"address {text!r}: namespace {namespace} is above {_HIGHEST_INDEX}")
    return NodeName(namespace, _parse_identifier(match["kind"], match["rest"], text))


def find_index(namespace: int | str, namespaces: Sequence[str]) -> int:
    """Return a namespace's index on a server.

    Args:
        namespace: index or URI.
        namespaces: the server's NamespaceArray.

    Raises:
        UnknownNamespace: the server does not have it.
    """
    if isinstance(namespace, int):
        return namespace
    try:
        return namespaces.index(namespace)
    except ValueError as exc:
        known = ", ".join(namespaces[1:]) or "none of its own"
        raise UnknownNamespace(
            f"namespace {namespace!r} is not on the server, which has {known}"
        ) from exc


def name_node(index: int, identifier: Identifier, namespaces: Sequence[str]) -> NodeName:
    """Return a server's node id by the URI of its namespace, which outlives the index."""
    if 0 < index < len(namespaces):
        return NodeName(namespaces[index], identifier)
    return NodeName(index, identifier)


def _parse_identifier(kind: str, rest: str, text: str) -> Identifier:
    if kind == "i":
        if not rest.isdecimal() or int(rest) > _HIGHEST_NUMBER:
            raise ValueError(f"address {text!r}: i={rest} is no number from 0 to {_HIGHEST_NUMBER}")
        return int(rest)
    if kind == "s":
        if not rest:
            raise ValueError(f"address {text!r}: the identifier is empty")
        return rest
    try:
        return UUID(rest) if kind == "g" else b64decode(rest, validate=True)
    except ValueError as exc:
        expected = "GUID" if kind == "g" else "base64"
        raise ValueError(f"address {text!r}: {kind}={rest} is no {expected}") from exc


def _format_namespace(namespace: int | str) -> str:
    if isinstance(namespace, str):
        return f"nsu={namespace};"
    return f"ns={namespace};" if namespace else ""


def _format_identifier(identifier: Identifier) -> str:
    if isinstance(identifier, int):
        return f"i={identifier}"
    if isinstance(identifier, UUID):
        return f"g={identifier}"
    if isinstance(identifier, bytes):
        return f"b={b64encode(identifier).decode()}"
    return f"s={identifier}"


def _parse_steps(text: str) -> list[tuple[int | str, str]]:
    steps: list[tuple[int | str, str]] = []
    at = 0
    while at < len(text):
        at += 1  # the slash
        namespace: int | str = 0
        if text[at : at + 1] == "{":
            end = text.find("}", at)
            if end < 0:
                raise ValueError(f"address {text!r}: '{{' without '}}'")
            namespace = text[at + 1 : end]
            at = end + 1
        elif (prefix := _INDEX.match(text, at)) is not None:
            namespace = int(prefix[1])
            at = prefix.end()
        name, at = _take_name(text, at)
        if not name:
            raise ValueError(f"address {text!r}: an empty name, expected for example {_EXAMPLES}")
        steps.append((namespace, name))
    if steps[0] == (0, "Root"):
        del steps[0]
    if not steps:
        raise ValueError(f"address {text!r} names no node, expected for example {_EXAMPLES}")
    return steps


def _take_name(text: str, at: int) -> tuple[str, int]:
    """Return the name up to the next slash, ``&`` undone, and where it ends."""
    name: list[str] = []
    while at < len(text) and text[at] != "/":
        if text[at] == "&" and at + 1 < len(text):
            at += 1
        name.append(text[at])
        at += 1
    return "".join(name), at


def _format_step(namespace: int | str, name: str) -> str:
    escaped = "".join(f"&{c}" if c in _RESERVED else c for c in name)
    if isinstance(namespace, str):
        return f"{{{namespace}}}{escaped}"
    return f"{namespace}:{escaped}" if namespace else escaped
