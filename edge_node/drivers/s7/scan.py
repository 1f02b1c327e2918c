"""Finding out what a CPU is and which data blocks it has. Reads only.

CPUs that do not list their blocks (S7-1200, S7-1500) are asked for the first byte of each; of
blocks that are there, the size is found by halving.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from edge_node.drivers.base import DeviceUnreachable, NotUnderstood, Trace
from edge_node.drivers.s7.address import HIGHEST_BYTE, Area
from edge_node.drivers.s7.codec import (
    Refused,
    describe_code,
    parse_read,
    read_request,
    variable,
)
from edge_node.drivers.s7.link import S7Link
from edge_node.drivers.s7.plan import MOST_ITEMS
from edge_node.drivers.s7.transport import ProtocolError
from edge_node.drivers.s7.userdata import (
    BLOCKS,
    COMPONENT,
    MODULE,
    PROTECTION,
    STATE,
    STATUS_LISTS,
    block_request,
    blocks_request,
    more_request,
    parse_component,
    parse_module,
    parse_numbers,
    parse_protection,
    parse_size,
    parse_state,
    parse_unit,
    status_list_request,
)
from edge_node.drivers.traffic import Traffic
from proto.control.s7 import S7Connection

_CONNECT_TIMEOUT_S: Final = 5.0
_MOST_UNITS: Final = 100
_GRANTED: Final = 0xFF
_NOT_THERE: Final = 0x0A
_READ_LIST, _LIST_BLOCKS, _BLOCK_INFO = 1, 2, 3
_LISTS: Final[Sequence[tuple[tuple[int, int], Callable[[bytes], dict[str, str]]]]] = (
    (MODULE, parse_module),
    (COMPONENT, parse_component),
    (PROTECTION, parse_protection),
    (STATE, parse_state),
)


@dataclass(frozen=True, slots=True)
class FoundBlock:
    """A data block.

    Attributes:
        size: in bytes; 0 when nothing of it can be read.
        reason: why it cannot be read; empty when it can.
    """

    number: int
    size: int
    reason: str = ""


@dataclass(slots=True)
class FoundCpu:
    """What a CPU is.

    Attributes:
        identity: what it tells of itself, by name; nothing where it tells nothing.
        pdu: negotiated size of messages in bytes.
        listed: whether it lists its blocks; else they were looked for.
    """

    identity: dict[str, str]
    pdu: int
    listed: bool
    blocks: list[FoundBlock] = field(default_factory=list)


async def scan_cpu(
    connection: S7Connection, first: int, last: int, trace: Trace | None = None
) -> FoundCpu:
    """Return what a CPU is and has.

    Args:
        connection: where it is.
        first: the data blocks to look for where the CPU does not list them.
        last: see ``first``.
        trace: is told every byte.

    Raises:
        DeviceUnreachable: the CPU does not answer.
    """
    link = S7Link(connection, trace)
    try:
        await link.connect(scan_cpu, _CONNECT_TIMEOUT_S, Traffic())
        return await _Scan(link).run(range(max(first, 1), last + 1))
    except ProtocolError as exc:
        raise NotUnderstood(f"does not speak S7: {exc}") from exc
    finally:
        link.close()


class _Scan:
    def __init__(self, link: S7Link) -> None:
        self._link = link
        self._traffic = Traffic()

    async def run(self, numbers: Sequence[int]) -> FoundCpu:
        pdu = self._link.negotiated
        identity = await self._identify()
        listed = await self._list_blocks()
        found = FoundCpu(identity, pdu, listed is not None)
        if listed is None:
            found.blocks = await self._look_for(numbers)
        else:
            found.blocks = [await self._describe(number) for number in listed]
        return found

    async def _identify(self) -> dict[str, str]:
        identity: dict[str, str] = {}
        for (number, index), parse in _LISTS:
            try:
                make = partial(status_list_request, number, index)
                identity |= parse(await self._collect(make, STATUS_LISTS, _READ_LIST))
            except Refused:
                continue  # this CPU does not tell
        return identity

    async def _list_blocks(self) -> list[int] | None:
        try:
            return parse_numbers(await self._collect(blocks_request, BLOCKS, _LIST_BLOCKS))
        except Refused:
            return None

    async def _describe(self, number: int) -> FoundBlock:
        (code,) = await self._read_bytes([(number, 0)])
        if code != _GRANTED:
            return FoundBlock(number, 0, describe_code(code))
        try:
            make = partial(block_request, number)
            size = parse_size(await self._collect(make, BLOCKS, _BLOCK_INFO))
        except Refused:
            size = await self._measure(number)
        return FoundBlock(number, size)

    async def _look_for(self, numbers: Sequence[int]) -> list[FoundBlock]:
        blocks: list[FoundBlock] = []
        for at in range(0, len(numbers), MOST_ITEMS):
            some = numbers[at : at + MOST_ITEMS]
            codes = await self._read_bytes([(number, 0) for number in some])
            for number, code in zip(some, codes, strict=True):
                if code == _GRANTED:
                    blocks.append(FoundBlock(number, await self._measure(number)))
                elif code != _NOT_THERE:
                    blocks.append(FoundBlock(number, 0, describe_code(code)))
        return blocks

    async def _measure(self, number: int) -> int:
        """Return how many bytes of a block can be read, of which the first can."""
        low, high = 0, HIGHEST_BYTE + 1
        while high - low > 1:
            middle = (low + high) // 2
            (code,) = await self._read_bytes([(number, middle)])
            low, high = (middle, high) if code == _GRANTED else (low, middle)
        return high

    async def _read_bytes(self, places: Sequence[tuple[int, int]]) -> list[int]:
        """Read one byte of each block and return the return codes."""
        variables = [variable(Area.DB, number, start, 1) for number, start in places]
        message = await self._link.ask(partial(read_request, variables), self._traffic)
        try:
            return [answer.code for answer in parse_read(message, len(variables))]
        except Refused as exc:
            raise DeviceUnreachable(f"nothing can be read: {exc}") from exc

    async def _collect(self, make: Callable[[int], bytes], group: int, function: int) -> bytes:
        """Ask, and ask for the rest of the answer until it is whole."""
        unit = parse_unit(await self._link.ask(make, self._traffic))
        data = unit.data
        for _ in range(_MOST_UNITS):
            if unit.sequence is None:
                return data
            more = partial(more_request, group, function, unit.sequence)
            unit = parse_unit(await self._link.ask(more, self._traffic))
            data += unit.data
        raise ProtocolError(f"answer has more than {_MOST_UNITS} parts")
