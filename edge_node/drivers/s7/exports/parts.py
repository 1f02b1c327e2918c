"""What one file of an export holds: data blocks, PLC data types and symbols, not placed yet."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from edge_node.drivers.s7.exports.declaration import Declaration


@dataclass(frozen=True, slots=True)
class DataBlock:
    """A data block.

    Attributes:
        number: when the file tells it.
        members: what it declares.
        of_type: the PLC data type or function block that declares it instead.
        optimized: whether it has no addresses.
    """

    name: str
    number: int | None
    members: Sequence[Declaration] = ()
    of_type: str = ""
    optimized: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """A line of a tag or symbol table.

    Attributes:
        type: empty where the table has none.
    """

    name: str
    address: str
    type: str = ""
    comment: str = ""


@dataclass(slots=True)
class Parts:
    """All that files hold."""

    blocks: list[DataBlock] = field(default_factory=list)
    types: dict[str, Sequence[Declaration]] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)

    def add(self, other: "Parts") -> None:
        """Take in what another file holds."""
        self.blocks += other.blocks
        self.types |= other.types
        self.rows += other.rows
