"""What carries bytes to a Modbus server. Knows nothing of frames."""

from typing import Protocol

from edge_node.drivers.base import Trace


class Wire(Protocol):
    """A byte stream that can be closed at once."""

    async def send_all(self, data: bytes) -> None:
        """Send; raises ``trio.BrokenResourceError`` when the other side is gone."""

    async def receive_some(self) -> bytes:
        """Wait for bytes; empty when the other side has closed."""
        ...

    def has_input(self) -> bool:
        """Whether bytes are there that nobody has received yet."""
        ...

    def close(self) -> None:
        """Close without waiting; whoever still waits gets ``trio.ClosedResourceError``."""


class TracedWire:
    """A wire whose bytes are told to somebody."""

    def __init__(self, wire: Wire, trace: Trace) -> None:
        self._wire = wire
        self._trace = trace

    async def send_all(self, data: bytes) -> None:
        """Send all of it."""
        self._trace("sent", data)
        await self._wire.send_all(data)

    async def receive_some(self) -> bytes:
        """Wait for bytes."""
        data = await self._wire.receive_some()
        self._trace("received", data)
        return data

    def has_input(self) -> bool:
        """Whether bytes are there."""
        return self._wire.has_input()

    def close(self) -> None:
        """Close without waiting."""
        self._wire.close()
