"""What a document from elsewhere may not have: this machine's files, ports and variables.

A device that names a password file or a variable has the node send what is in it to a server that
the same document names. Only what the node's own file allows is open to documents. Knows the
documents, and asks the file system only where a name leads.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from proto.control.document import LOCAL


def find_trespasses(document: BaseModel, where: str, allowed: Sequence[Path]) -> list[str]:
    """Return every local name in a document that it may not have, one line each.

    Args:
        document: what came; only what it sets itself counts.
        where: stands before each mistake.
        allowed: paths that may be named, and everything below them.
    """
    roots = [path.resolve() for path in allowed]
    mistakes = []
    for place, name, value in _local_names(document, where):
        if name.endswith("_env"):
            mistakes.append(
                f"{place}: names a variable of this machine, which is not for documents"
            )
        elif not any(Path(value).resolve().is_relative_to(root) for root in roots):
            mistakes.append(
                f"{place}: {str(value)!r} is not below remote.allowed_paths of the node's file"
            )
    return mistakes


def _local_names(document: BaseModel, where: str) -> Iterator[tuple[str, str, Any]]:
    """Give place, key and value of everything that names something of this machine."""
    for name in type(document).model_fields:
        value = getattr(document, name)
        if name not in document.model_fields_set or value is None:
            continue
        place = f"{where}.{name}"
        field = type(document).model_fields[name]
        if isinstance(value, Path) or LOCAL in field.metadata or name.endswith("_env"):
            yield place, name, value
        elif isinstance(value, BaseModel):
            yield from _local_names(value, place)
        elif isinstance(value, tuple):
            for index, item in enumerate(value):
                if isinstance(item, BaseModel):
                    yield from _local_names(item, f"{place}[{index}]")
