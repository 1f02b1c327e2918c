"""A walk through a server that has little room for it, and is all in the mind."""

import asyncio
from typing import Any

import pytest
from asyncua import Client, ua

from edge_node.drivers.base import DeviceUnreachable
from edge_node.drivers.opcua.browse import Found, Walk, walk_tree
from edge_node.drivers.opcua.session import ServiceRefused, Session
from edge_node.drivers.opcua.wire import Sample
from edge_node.drivers.traffic import Traffic
from proto.control.opcua import OpcUaConnection

_GOOD = ua.StatusCode()


class NarrowServer(Session):
    """Folders of variables; few nodes a request, few references an answer, few answers to go on.

    Args:
        folders: name → how many variables it has; ``None`` for one that nobody may look into.
        most_nodes: in one request.
        most_points: continuation points that it keeps.
    """

    def __init__(
        self, folders: dict[str, int | None], *, most_nodes: int = 100, most_points: int = 100
    ) -> None:
        settings = OpcUaConnection(url="opc.tcp://plc:4840")
        super().__init__(Client(settings.url), settings, Traffic())
        self.facts.namespaces = ["", "urn:a", "urn:plant"]
        self._folders = folders
        self._most_nodes = most_nodes
        self._most_points = most_points
        self._points: dict[bytes, list[Any]] = {}
        self._given = 0

    async def ask(self, request: Any, answer_type: type) -> Any:
        await asyncio.sleep(0)
        answer = answer_type()
        if isinstance(request, ua.BrowseNextRequest):
            points = request.Parameters.ContinuationPoints
            answer.Parameters.Results = [self._answer(self._points.pop(p)) for p in points]
            return answer
        nodes = [each.NodeId for each in request.Parameters.NodesToBrowse]
        if len(nodes) > self._most_nodes:
            raise ServiceRefused(ua.StatusCodes.BadTooManyOperations)
        answer.Results = [self._browse(node) for node in nodes]
        return answer

    async def read_values(self, nodes: Any, attribute: int = 13) -> list[Sample]:
        await asyncio.sleep(0)
        told = {
            ua.AttributeIds.DataType: Sample("i=11", 17, 0, None, None),
            ua.AttributeIds.ValueRank: Sample(-1, 6, 0, None, None),
            ua.AttributeIds.UserAccessLevel: Sample(1, 3, 0, None, None),
            ua.AttributeIds.Description: Sample("", 21, 0, None, None),
        }
        return [told[ua.AttributeIds(attribute)] for _ in nodes]

    def _browse(self, node: Any) -> Any:
        if node.NamespaceIndex == 0:
            return self._answer([_reference(name, ua.NodeClass.Object) for name in self._folders])
        if (count := self._folders.get(node.Identifier, 0)) is None:
            return ua.BrowseResult(StatusCode=ua.StatusCode(ua.StatusCodes.BadUserAccessDenied))
        names = [f"{node.Identifier}.{number}" for number in range(count)]
        return self._answer([_reference(name, ua.NodeClass.Variable) for name in names])

    def _answer(self, references: list[Any]) -> Any:
        here, later = references[:3], references[3:]
        result = ua.BrowseResult(StatusCode=_GOOD, References=here)
        if later:
            if len(self._points) >= self._most_points:
                code = ua.StatusCodes.BadNoContinuationPoints
                return ua.BrowseResult(StatusCode=ua.StatusCode(code))
            self._given += 1
            result.ContinuationPoint = b"%d" % self._given
            self._points[result.ContinuationPoint] = later
        return result


def _reference(name: str, kind: ua.NodeClass) -> Any:
    return ua.ReferenceDescription(
        NodeId=ua.NodeId(name, 2), BrowseName=ua.QualifiedName(name, 2), NodeClass=kind
    )


def walk(server: Session) -> Found:
    return asyncio.run(walk_tree(server, Walk()))


FOLDERS: dict[str, int | None] = {"a": 7, "b": 2, "c": 0, "d": 10, "e": 4}


@pytest.mark.parametrize("most_points", [1, 2, 100])
@pytest.mark.parametrize("most_nodes", [1, 2, 100])
def test_every_variable_is_found_however_narrow_the_server(
    most_nodes: int, most_points: int
) -> None:
    found = walk(NarrowServer(FOLDERS, most_nodes=most_nodes, most_points=most_points))
    wanted = [f"{name}/{name}.{n}" for name, count in FOLDERS.items() for n in range(count or 0)]
    assert sorted(variable.path for variable in found.variables) == sorted(wanted)
    assert found.closed == []


def test_what_nobody_may_look_into_is_told() -> None:
    found = walk(NarrowServer({"a": 2, "secret": None, "b": 1}))
    assert sorted(variable.path for variable in found.variables) == ["a/a.0", "a/a.1", "b/b.0"]
    ((path, reason),) = found.closed
    assert (path, reason.partition(":")[0]) == ("secret", "the user may not do that")


def test_a_server_that_refuses_a_single_node_is_no_server_to_browse() -> None:
    with pytest.raises((ServiceRefused, DeviceUnreachable)):
        walk(NarrowServer(FOLDERS, most_nodes=0))
