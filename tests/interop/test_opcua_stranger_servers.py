"""OPC UA servers of other ecosystems: what they serve, by the library's own client."""

import pytest
from asyncua import Client, ua

from tests.interop.opcua_stranger import BLOCK, SCALARS, URI, Stranger

pytestmark = pytest.mark.asyncio


async def test_the_library_reads_what_the_strangers_hold(stranger: Stranger) -> None:
    async with Client(stranger.url) as client:
        index = await client.get_namespace_index(URI)

        async def read(name: str) -> ua.DataValue:
            node = client.get_node(ua.NodeId(name, index))
            return await node.read_data_value(raise_on_bad_status=False)

        for name, value in SCALARS.items():
            assert (await read(f"Scalar.{name}")).Value.Value == value
        assert (await read(f"Block.{BLOCK}")).Value.Value == BLOCK
        assert (await read("Broken")).StatusCode.name == "BadSensorFailure"
        assert (await read("Forced")).StatusCode.name == "GoodLocalOverride"
        assert (await read("Timeless")).SourceTimestamp is None


async def test_orders_change_what_the_strangers_hold(own_stranger: Stranger) -> None:
    stranger = own_stranger
    async with Client(stranger.url) as client:
        index = await client.get_namespace_index(URI)
        node = client.get_node(ua.NodeId("Setpoint", index))
        stranger.set("Setpoint", 8.5, "UncertainLastUsableValue")
        value = await node.read_data_value(raise_on_bad_status=False)
        assert (value.Value.Value, value.StatusCode.name) == (8.5, "UncertainLastUsableValue")
        comes = client.get_node(ua.NodeId("Comes", index))
        stranger.delete("Comes")
        gone = await comes.read_data_value(raise_on_bad_status=False)
        assert gone.StatusCode.name == "BadNodeIdUnknown"
        stranger.create("Comes", 12)
        assert await comes.read_value() == 12
    stranger.restart(spare=1)
    async with Client(stranger.url) as client:
        assert await client.get_namespace_index(URI) == index + 1
