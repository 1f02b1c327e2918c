"""Numbers with names: what a state's number means, and which number a name stands for.

Knows nothing of tags; whether the number or the name is published is their business.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Self

from edge_node.drivers.base import RawValue

_SHOWN: Final = 12


@dataclass(frozen=True, slots=True)
class Enumeration:
    """The names of a tag's numbers.

    Attributes:
        names: number → name.
        numbers: the way back.
    """

    names: Mapping[int, str]
    numbers: Mapping[str, int]

    @classmethod
    def of(cls, names: Mapping[int, str]) -> Self:
        """Make one from number → name; the names differ from each other."""
        return cls(dict(names), {name: number for number, name in names.items()})

    def name(self, number: RawValue) -> RawValue:
        """Return a number's name; a number without one as digits, so that it is seen."""
        if isinstance(number, int | float):
            return self.names.get(int(number)) or str(int(number))
        return number

    def number(self, value: object) -> int:
        """Return the number that a name, or a number of the enumeration itself, stands for.

        Raises:
            ValueError: neither; the message says what is expected.
        """
        if isinstance(value, str) and value in self.numbers:
            return self.numbers[value]
        if isinstance(value, int | float) and value in self.names:
            return int(value)
        known = [f"{name!r} ({number})" for number, name in self.names.items()]
        more = f" and {len(known) - _SHOWN} more" if len(known) > _SHOWN else ""
        raise ValueError(f"found {value!r}, expected {', '.join(known[:_SHOWN])}{more}")

    def to_json(self) -> str:
        """Return number → name as a JSON object, in the order of the numbers."""
        names = {str(number): self.names[number] for number in sorted(self.names)}
        return json.dumps(names, ensure_ascii=False)


def name_column(values: list[RawValue], enumerations: Sequence[tuple[int, Enumeration]]) -> None:
    """Put names in the place of numbers in a column.

    Args:
        values: one poll of a group.
        enumerations: index and enumeration of the tags that are published by name.
    """
    for index, enumeration in enumerations:
        values[index] = enumeration.name(values[index])
