"""The OPC UA driver: one server, followed by subscription or polled by group, and written to.

The trio side: what the supervisor calls. The client library runs on an asyncio loop of the device's
own; what it learns meets this side in the inbox.
"""

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress

import trio

from edge_node.drivers.base import (
    Changes,
    DeviceUnreachable,
    PollResult,
    RawValue,
    RequestRejected,
    TagInfo,
    Trace,
)
from edge_node.drivers.opcua.connection import load_credentials
from edge_node.drivers.opcua.loop import AsyncioLoop
from edge_node.drivers.opcua.points import compile_points
from edge_node.drivers.opcua.server import Server
from edge_node.drivers.traffic import Traffic
from proto.control.opcua import OpcUaDevice


class OpcUaDriver:
    """One OPC UA server.

    Args:
        document: the device.
        trace: is told the bytes on the wire; encrypted ones where there is encryption.

    Raises:
        ConfigError: the document's addresses cannot work.
    """

    def __init__(self, document: OpcUaDevice, trace: Trace | None = None) -> None:
        self._name = document.name
        self._settings = document.connection
        points = compile_points(document)
        modes = {group.name: group.mode for group in document.poll_groups}
        self._intervals = {group.name: group.interval_s for group in document.poll_groups}
        self.groups: Mapping[str, Sequence[TagInfo]] = {
            name: [point.info for point in group] for name, group in points.items()
        }
        self.subscribed: Collection[str] = frozenset(
            name for name in points if modes[name] == "subscribe"
        )
        self._groups = points
        self._points = {point.name: point for group in points.values() for point in group}
        self.traffic = Traffic()
        self._trace = trace
        self._loop = AsyncioLoop()
        self._server: Server | None = None

    async def open(self) -> None:
        """Connect and sign in.

        Raises:
            DeviceUnreachable: with the address, the step that failed and what can be done.
        """
        try:
            credentials = await trio.to_thread.run_sync(load_credentials, self._settings)
            await self._loop.start()
            self._server = Server(
                self._settings,
                self._groups,
                self._intervals,
                followed=self.subscribed,
                traffic=self.traffic,
                trace=self._trace,
            )
            await self._loop.run(self._server.start, credentials)
        except DeviceUnreachable as exc:
            raise self._named(exc) from exc

    async def read(self, group: str) -> PollResult:
        """Read one group; the first time a group is read that the server is to tell, subscribe.

        Raises:
            DeviceUnreachable: the server does not answer or the connection is gone.
        """
        try:
            return await self._loop.run(self._connected().read, group)
        except DeviceUnreachable as exc:
            raise self._named(exc) from exc

    async def wait_changes(self) -> Sequence[Changes]:
        """Wait for what the server tells.

        Raises:
            DeviceUnreachable: the connection or a subscription is gone.
        """
        try:
            return await self._connected().inbox.wait()
        except DeviceUnreachable as exc:
            raise self._named(exc) from exc

    async def write(self, tag: str, value: RawValue) -> Mapping[str, RawValue] | None:
        """Write a raw value to one tag, or call its method and return what it gave back.

        Raises:
            RequestRejected: the server refused, or the value does not fit.
            DeviceUnreachable: the server does not answer or the connection is gone.
        """
        point = self._points.get(tag)
        if point is None:
            raise RequestRejected(f"{self._name} has no tag {tag!r}")
        try:
            return await self._loop.run(self._connected().write, point, value)
        except RequestRejected as exc:
            self.traffic.errors["refused"] += 1
            raise RequestRejected(f"{self._name} tag {tag!r}: {exc}") from exc
        except DeviceUnreachable as exc:
            raise self._named(exc) from exc

    async def aclose(self) -> None:
        """Close the session, within a second, and everything with it."""
        server, self._server = self._server, None
        if server is not None:
            with suppress(DeviceUnreachable):  # the loop has ended already
                await self._loop.run(server.stop)
        await self._loop.stop()

    def _connected(self) -> Server:
        if self._server is None:
            raise DeviceUnreachable("not connected")
        return self._server

    def _named(self, cause: DeviceUnreachable) -> DeviceUnreachable:
        self.traffic.errors[cause.kind] += 1
        return type(cause)(f"{self._name}: {cause}")
