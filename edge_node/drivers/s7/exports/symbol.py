"""One named value of an export, and its way into a configuration's tag."""

from dataclasses import dataclass

from edge_node.drivers.s7.address import Address
from proto.control.s7 import S7Datatype, S7Tag


@dataclass(frozen=True, slots=True)
class Symbol:
    """A value that can be read.

    Attributes:
        name: with ``/`` between folders.
        length: declared characters of a string.
        count: elements, of an array.
    """

    name: str
    address: Address
    datatype: S7Datatype
    length: int | None = None
    count: int | None = None
    comment: str = ""

    def to_tag(self) -> S7Tag:
        """Return the tag that reads it; it is not writable until someone says so."""
        return S7Tag(
            name=self.name,
            address=str(self.address),
            datatype=self.datatype,
            length=self.length,
            count=self.count,
            description=self.comment or None,
        )


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A line of an export that becomes no tag, and why."""

    name: str
    reason: str
