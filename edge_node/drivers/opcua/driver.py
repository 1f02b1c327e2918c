"""The OPC UA driver: one server, followed by subscription or polled by group, and written to.

The trio side: what the supervisor calls. The client library runs on the asyncio loop of a session,
which devices of one server share; what it learns meets this side in the inbox.
"""

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from functools import partial

from edge_node.drivers.base import (
    Changes,
    DeviceUnreachable,
    PollResult,
    RawValue,
    RequestRejected,
    TagInfo,
)
from edge_node.drivers.opcua.points import compile_points
from edge_node.drivers.opcua.server import Server
from edge_node.drivers.opcua.shared import Link, Links
from edge_node.drivers.traffic import Traffic
from proto.control.opcua import OpcUaDevice


class OpcUaDriver:
    """One OPC UA server.

    Args:
        document: the device.
        links: of the edge node; links of its own where left out.

    Raises:
        ConfigError: the document's addresses cannot work.
    """

    def __init__(self, document: OpcUaDevice, links: Links | None = None) -> None:
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
        self._links = links or Links()
        self._link: Link | None = None
        self._told: set[str] = set()
        self._server: Server | None = None

    async def open(self) -> None:
        """Connect and sign in.

        Raises:
            DeviceUnreachable: with the address, the step that failed and what can be done.
        """
        try:
            self._link = self._links.take(self._settings)
            session = await self._link.join(self, self._settings, self.traffic)
            self._server = Server(
                self._settings,
                self._groups,
                self._intervals,
                followed=self.subscribed,
                traffic=self.traffic,
                told=self._told,
            )
            await self._link.run(self._server.start, session)
        except DeviceUnreachable as exc:
            raise self._named(exc) from exc

    async def read(self, group: str) -> PollResult:
        """Read one group; the first time a group is read that the server is to tell, subscribe.

        Raises:
            DeviceUnreachable: the server does not answer or the connection is gone.
        """
        try:
            server, link = self._connected()
            return await link.run(server.read, group)
        except DeviceUnreachable as exc:
            raise self._named(exc) from exc

    async def wait_changes(self) -> Sequence[Changes]:
        """Wait for what the server tells.

        Raises:
            DeviceUnreachable: the connection or a subscription is gone.
        """
        try:
            server, _ = self._connected()
            return await server.inbox.wait()
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
            server, link = self._connected()
            return await link.run(server.write, point, value)
        except RequestRejected as exc:
            self.traffic.errors["refused"] += 1
            raise RequestRejected(f"{self._name} tag {tag!r}: {exc}") from exc
        except DeviceUnreachable as exc:
            raise self._named(exc) from exc

    async def aclose(self) -> None:
        """Leave the session, within a second or two; the last of its devices closes it."""
        server, self._server = self._server, None
        link, self._link = self._link, None
        if link is None:
            return
        if server is not None:
            with suppress(DeviceUnreachable):  # the loop has ended already
                await link.run(partial(server.stop, give_back=link.is_shared))
        await link.leave(self)

    def _connected(self) -> tuple[Server, Link]:
        if self._server is None or self._link is None:
            raise DeviceUnreachable("not connected")
        return self._server, self._link

    def _named(self, cause: DeviceUnreachable) -> DeviceUnreachable:
        self.traffic.errors[cause.kind] += 1
        return type(cause)(f"{self._name}: {cause}")
