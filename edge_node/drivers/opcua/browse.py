"""What a server has: its variables, found by walking its tree, each with what a tag needs.

Reads only. Names nodes by the URI of their namespace, so that what was found outlives another order
of the namespaces.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Final

import trio
from asyncua import ua

from edge_node.drivers.base import DeviceUnreachable
from edge_node.drivers.opcua.connection import connect, disconnect, load_credentials
from edge_node.drivers.opcua.kinds import BY_CODE, EXTENSION_OBJECT
from edge_node.drivers.opcua.loop import AsyncioLoop
from edge_node.drivers.opcua.nodes import Address, name_node
from edge_node.drivers.opcua.reasons import (
    TOO_LARGE_CODES,
    explain_node,
    is_good,
    plain_code,
)
from edge_node.drivers.opcua.session import ServiceRefused, Session
from edge_node.drivers.opcua.structures import Layout
from edge_node.drivers.opcua.typefinder import find_built_in, find_layout
from edge_node.drivers.traffic import Traffic
from proto.control.opcua import OpcUaConnection

_OBJECTS: Final = ua.ObjectIds.ObjectsFolder
_WRITE: Final = 0x02
"""The bit CurrentWrite of an access level (OPC 10000-3 8.57)."""
_NO_CONTINUATION_POINTS: Final = ua.StatusCodes.BadNoContinuationPoints
_NO_NAME: Final = re.compile(r"[/+#\x00]")


@dataclass(frozen=True, slots=True)
class FoundVariable:
    """One variable.

    Attributes:
        path: browse names from where the walk began, with ``/`` between.
        address: by the URI of its namespace.
        datatype: as a tag has it; ``None`` for what no tag can be.
        array: whether its value is an array.
        may_write: whether the user who browsed may write it (UserAccessLevel).
        fields: of a structure, name and type each, where the server tells and all are plain.
    """

    path: str
    address: str
    datatype: str | None
    array: bool = False
    may_write: bool = False
    description: str = ""
    fields: tuple[tuple[str, str, bool], ...] = ()


@dataclass(frozen=True, slots=True)
class Walk:
    """Where to look.

    Attributes:
        start: the node to begin at; the Objects folder when absent, without what the server has
            there of its own.
        depth: how many levels below it.
        patterns: globs, one of which a variable's path must match; all do without any.
    """

    start: Address | None = None
    depth: int = 20
    patterns: tuple[str, ...] = ()


@dataclass(slots=True)
class Found:
    """What a walk found.

    Attributes:
        product: what the server says of itself.
        nodes: how many were looked at.
        closed: path and reason of nodes that the server did not let be looked into.
    """

    product: str = ""
    profile: str = ""
    nodes: int = 0
    variables: list[FoundVariable] = field(default_factory=list)
    closed: list[tuple[str, str]] = field(default_factory=list)


async def browse_server(settings: OpcUaConnection, walk: Walk) -> Found:
    """Connect, walk the server's tree and close.

    Raises:
        DeviceUnreachable: the server cannot be reached, or has no such start.
    """
    credentials = await trio.to_thread.run_sync(load_credentials, settings)
    loop = AsyncioLoop()
    await loop.start()
    try:
        return await loop.run(_browse, settings, credentials, walk)
    finally:
        with trio.CancelScope(shield=True):
            await loop.stop()


async def _browse(settings: OpcUaConnection, credentials: Any, walk: Walk) -> Found:
    client = await connect(settings, credentials, Traffic())
    session = Session(client, settings, Traffic())
    try:
        await session.look_around()
        return await walk_tree(session, walk)
    except ServiceRefused as exc:
        raise DeviceUnreachable(f"{settings.url}: {exc}") from exc
    finally:
        await disconnect(client)


async def walk_tree(session: Session, walk: Walk) -> Found:
    """Walk a server's tree on a session that stands.

    Raises:
        ServiceRefused: the server does not browse.
        DeviceUnreachable: no answer, or there is no such start.
    """
    return await _Walker(session, walk).run()


class _Walker:
    def __init__(self, session: Session, walk: Walk) -> None:
        self._session = session
        self._walk = walk
        self._where = walk.start or "Objects"
        self._found = Found(session.facts.product, session.facts.profile.name)
        self._kinds: dict[Any, int] = {}
        self._layouts: dict[Any, Layout | None] = {}

    async def run(self) -> Found:
        start = ua.NodeId(_OBJECTS)
        if self._walk.start is not None:
            (start,) = await self._session.resolve([self._walk.start])
            if isinstance(start, str):
                raise DeviceUnreachable(f"{self._walk.start}: {start}")
        level: list[tuple[Any, str]] = [(start, "")]
        seen = {start}
        for _ in range(self._walk.depth):
            below: list[tuple[Any, str]] = []
            variables: list[tuple[Any, str]] = []
            for path, reference in await self._children(level):
                node = ua.NodeId(reference.NodeId.Identifier, reference.NodeId.NamespaceIndex)
                if node in seen or (self._walk.start is None and node.NamespaceIndex == 0):
                    continue  # namespace 0 has the server's own state, and nothing of the plant
                seen.add(node)
                self._found.nodes += 1
                name = _NO_NAME.sub("_", reference.BrowseName.Name or "")
                whole = f"{path}/{name}" if path else name
                below.append((node, whole))
                if reference.NodeClass == ua.NodeClass.Variable and self._wants(whole):
                    variables.append((node, whole))
            await self._describe(variables)
            level = below
            if not level:
                break
        return self._found

    def _wants(self, path: str) -> bool:
        patterns = self._walk.patterns
        return not patterns or any(fnmatchcase(path, pattern) for pattern in patterns)

    async def _children(self, nodes: Sequence[tuple[Any, str]]) -> list[tuple[str, Any]]:
        """Return the references below nodes, each with its parent's path."""
        found: list[tuple[str, Any]] = []
        waiting = list(nodes)
        while waiting:
            size = self._session.limit("browse")
            batch, waiting = waiting[:size], waiting[size:]
            try:
                results = await self._browse(batch)
            except ServiceRefused as exc:
                if exc.code not in TOO_LARGE_CODES or len(batch) == 1:
                    raise
                self._session.learn_limit("browse", len(batch))
                waiting = batch + waiting
                continue
            crowded = await self._take(found, batch, results)
            if len(crowded) == len(batch) > 1:
                self._session.learn_limit("browse", len(batch))
            waiting = crowded + waiting
        return found

    async def _take(
        self,
        found: list[tuple[str, Any]],
        batch: Sequence[tuple[Any, str]],
        results: Sequence[Any],
    ) -> list[tuple[Any, str]]:
        """Add what a batch brought, and what follows it; return the nodes to be asked again.

        A server keeps few continuation points; nodes that it has none left for say so, and have
        their turn when those before them are done (OPC 10000-4 5.8.2).
        """
        crowded: list[tuple[Any, str]] = []
        waiting = list(zip(results, [path for _, path in batch], batch, strict=True))
        while waiting:
            more: list[tuple[Any, str, tuple[Any, str]]] = []
            for result, path, node in waiting:
                code = result.StatusCode.value
                if plain_code(code) == _NO_CONTINUATION_POINTS and len(batch) > 1:
                    crowded.append(node)
                    continue
                if not is_good(code):
                    if not path:
                        raise DeviceUnreachable(f"{self._where}: {explain_node(code)}")
                    self._found.closed.append((path, explain_node(code)))
                found += [(path, reference) for reference in result.References or ()]
                if result.ContinuationPoint:
                    more.append((result.ContinuationPoint, path, node))
            followed = await self._go_on([point for point, _, _ in more])
            waiting = [(r, p, n) for r, (_, p, n) in zip(followed, more, strict=True)]
        return crowded

    async def _browse(self, batch: Sequence[tuple[Any, str]]) -> Sequence[Any]:
        request = ua.BrowseRequest()
        request.Parameters.NodesToBrowse = [
            ua.BrowseDescription(
                NodeId=node,
                BrowseDirection=ua.BrowseDirection.Forward,
                ReferenceTypeId=ua.NodeId(ua.ObjectIds.HierarchicalReferences),
                IncludeSubtypes=True,
                NodeClassMask=ua.NodeClass.Object | ua.NodeClass.Variable,
                ResultMask=ua.BrowseResultMask.All,
            )
            for node, _ in batch
        ]
        answer = await self._session.ask(request, ua.BrowseResponse)
        results: Sequence[Any] = answer.Results
        return results

    async def _go_on(self, points: Sequence[Any]) -> Sequence[Any]:
        if not points:
            return []
        request = ua.BrowseNextRequest()
        request.Parameters.ReleaseContinuationPoints = False
        request.Parameters.ContinuationPoints = points
        answer = await self._session.ask(request, ua.BrowseNextResponse)
        results: Sequence[Any] = answer.Parameters.Results
        return results

    async def _describe(self, variables: Sequence[tuple[Any, str]]) -> None:
        """Read what a tag needs to know of variables."""
        if not variables:
            return
        nodes = [node for node, _ in variables]
        attributes = [
            await self._session.read_values(nodes, attribute)
            for attribute in (
                ua.AttributeIds.DataType,
                ua.AttributeIds.ValueRank,
                ua.AttributeIds.UserAccessLevel,
                ua.AttributeIds.Description,
            )
        ]
        for (node, path), data_type, rank, access, description in zip(
            variables, *attributes, strict=True
        ):
            await self._add(node, path, data_type.value, (rank.value, access.value, description))

    async def _add(self, node: Any, path: str, data_type: Any, told: tuple[Any, Any, Any]) -> None:
        rank, access, description = told
        address = str(
            name_node(node.NamespaceIndex, node.Identifier, self._session.facts.namespaces)
        )
        code = await self._kind_of(data_type)
        array = isinstance(rank, int) and rank >= 0
        name = "structure" if code == EXTENSION_OBJECT else None
        if (kind := BY_CODE.get(code)) is not None and not (array and kind.array is None):
            name = kind.name
        self._found.variables.append(
            FoundVariable(
                path,
                address,
                name,
                array,
                isinstance(access, int) and bool(access & _WRITE),
                description.value if isinstance(description.value, str) else "",
                await self._fields_of(data_type) if code == EXTENSION_OBJECT else (),
            )
        )

    async def _kind_of(self, data_type: Any) -> int:
        """Return the built-in type of a data type, which was read as text."""
        if data_type not in self._kinds:
            node = ua.NodeId.from_string(data_type) if isinstance(data_type, str) else ua.NodeId()
            self._kinds[data_type] = await find_built_in(self._session, node)
        return self._kinds[data_type]

    async def _fields_of(self, data_type: str) -> tuple[tuple[str, str, bool], ...]:
        if data_type not in self._layouts:
            node = ua.NodeId.from_string(data_type)
            self._layouts[data_type] = await find_layout(self._session, node)
        layout = self._layouts[data_type]
        if layout is None or any(f.nested or f.code not in BY_CODE for f in layout.fields):
            return ()
        return tuple((f.name, BY_CODE[f.code].name, f.array) for f in layout.fields)


def name_variables(variables: Sequence[FoundVariable]) -> list[str]:
    """Return a tag's name for each variable: its path, with a number where that stands twice."""
    names: list[str] = []
    taken: set[str] = set()
    for variable in variables:
        name, number = variable.path, 1
        while name.casefold() in taken:
            number += 1
            name = f"{variable.path}_{number}"
        taken.add(name.casefold())
        names.append(name)
    return names
