"""One device in a simulated OPC UA server: its nodes and their values.

``Device1`` is an object with ``Tag1`` to ``TagM``, doubles that never rest, in folders of 100; a
folder ``Types`` with one node of every type, arrays and structures included; and a method.
Identifiers are strings: ``Device1.Tag7``, ``Device1.Types.Int64``, ``Device1.Start``.
"""

from datetime import UTC, datetime
from functools import partial
from typing import Any

from asyncua import Server, ua
from asyncua.common.manage_nodes import delete_nodes
from asyncua.common.node import Node
from asyncua.server.address_space import AttributeValue

from deploy.local.plant.opcua_values import TYPES, Values, wave

_FOLDER = 100
"""Tags a folder: the library needs time in proportion to the square of a folder's nodes."""

_READ_WRITE = ua.DataValue(ua.Variant(3, ua.VariantType.Byte))


class _Sample(ua.DataValue):  # type: ignore[misc]  # the library is not typed
    """A value that nobody changes once it is made, and that therefore need not be copied.

    The library copies each value for each subscription, which costs more than all the rest.
    """

    def __deepcopy__(self, memo: dict[int, Any]) -> "_Sample":
        return self


class _Point:
    """One variable that lives: what it held last, so that what a client wrote is seen and kept."""

    __slots__ = ("attribute", "last", "node_id", "value", "variant")

    def __init__(
        self, node_id: ua.NodeId, attribute: AttributeValue, variant: ua.VariantType, value: Values
    ) -> None:
        self.node_id = node_id
        self.attribute = attribute
        self.variant = variant
        self.value = value
        self.last = attribute.value


class Device:
    """One device.

    Args:
        server: that it lives in.
        namespace: index of its nodes' namespace.
        number: which one it is, from 1.
        tags: how many doubles it has.
        status: what its values carry in place of Good.
    """

    def __init__(
        self, server: Server, namespace: int, number: int, tags: int, status: int = 0
    ) -> None:
        self._server = server
        self._namespace = namespace
        self._number = number
        self._tags = tags
        self._status = ua.StatusCode(status)
        self._points: list[_Point] = []
        self._batches = 0

    async def create(self, parent: Node, types: dict[str, ua.NodeId]) -> None:
        """Make the nodes below a folder.

        Args:
            parent: the folder.
            types: the simulator's own data types.
        """
        name = f"Device{self._number}"
        device = await parent.add_object(self._id(name), self._name(name))
        for first in range(1, self._tags + 1, _FOLDER):
            last = min(first + _FOLDER - 1, self._tags)
            title = f"Tags {first}-{last}"
            folder = await device.add_folder(self._id(f"{name}.{title}"), self._name(title))
            for tag in range(first, last + 1):
                await self._add(
                    folder,
                    f"{name}.Tag{tag}",
                    ua.VariantType.Double,
                    partial(self._wave, tag),
                )
        folder = await device.add_folder(self._id(f"{name}.Types"), self._name("Types"))
        for title, kind in TYPES.items():
            data_type = types.get(kind.data_type)
            await self._add(folder, f"{name}.Types.{title}", kind.variant, kind.value, data_type)
        await device.add_method(
            self._id(f"{name}.Start"),
            self._name("Start"),
            self._start,
            [ua.VariantType.String, ua.VariantType.Double],
            [ua.VariantType.UInt32],
        )

    async def step(self, step: int, now: datetime) -> None:
        """Give every variable its next value, and tell who subscribed."""
        for point in self._points:
            attribute = point.attribute
            if attribute.value is not point.last:
                continue  # a client wrote it: it stays
            sample = self._sample(point.variant, point.value(step, now), now)
            attribute.value = point.last = sample
            for handle, tell in list(attribute.datachange_callbacks.items()):
                await tell(handle, sample)

    async def delete(self) -> None:
        """Remove all nodes, telling who subscribed to them as DeleteNodes has it (OPC 10000-4)."""
        gone = ua.DataValue(StatusCode=ua.StatusCode(ua.StatusCodes.BadNodeIdUnknown))
        for point in self._points:
            callbacks = point.attribute.datachange_callbacks
            for handle, tell in list(callbacks.items()):
                await tell(handle, gone)
                self._server.iserver.aspace.delete_datachange_callback(handle)
        self._points.clear()
        device = self._server.get_node(self._id(f"Device{self._number}"))
        session = self._server.iserver.isession
        # their references go with them; to look for others takes a walk over everything for each
        await delete_nodes(session, await _below(device), delete_target_references=False)
        await delete_nodes(session, [device])

    async def _add(
        self,
        folder: Node,
        path: str,
        variant: ua.VariantType,
        value: Values,
        data_type: ua.NodeId | None = None,
    ) -> None:
        now = datetime.now(tz=UTC)
        first = self._sample(variant, value(0, now), now)
        node_id = self._id(path)
        await folder.add_variable(
            node_id,
            self._name(path.rpartition(".")[2]),
            ua.Variant(value(0, now), variant),
            datatype=data_type,
        )
        attributes = self._server.iserver.aspace[node_id].attributes
        attributes[ua.AttributeIds.AccessLevel].value = _READ_WRITE
        attributes[ua.AttributeIds.UserAccessLevel].value = _READ_WRITE
        attribute = attributes[ua.AttributeIds.Value]
        attribute.value = first
        self._points.append(_Point(node_id, attribute, variant, value))

    def _sample(self, variant: ua.VariantType, value: Any, now: datetime) -> _Sample:
        if self._status.is_bad():
            return _Sample(ua.Variant(None, ua.VariantType.Null), self._status, now, now)
        return _Sample(ua.Variant(value, variant), self._status, now, now)

    async def _start(self, _parent: ua.NodeId, batch: ua.Variant, amount: ua.Variant) -> Any:
        if not batch.Value or not amount.Value > 0:
            return ua.StatusCode(ua.StatusCodes.BadInvalidArgument)
        self._batches += 1
        return [ua.Variant(self._batches, ua.VariantType.UInt32)]

    def _wave(self, tag: int, step: int, _now: datetime) -> float:
        return wave(self._number, tag, step)

    def _id(self, path: str) -> ua.NodeId:
        return ua.NodeId(path, self._namespace)

    def _name(self, name: str) -> ua.QualifiedName:
        return ua.QualifiedName(name, self._namespace)


async def _below(node: Node) -> list[Node]:
    """Return all nodes below one, the lowest first."""
    found: list[Node] = []
    for child in await node.get_children():
        found += [*await _below(child), child]
    return found
