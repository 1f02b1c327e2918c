"""``nexus simulate opcua``, read by the OPC UA library's own client."""

import asyncio
import inspect
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from asyncua import Client, ua
from asyncua.crypto.security_policies import SecurityPolicyBasic256Sha256
from asyncua.ua.uaerrors import BadInvalidArgument, BadNodeIdUnknown, BadTypeMismatch

from deploy.local.plant.opcua_server import NAMESPACE_URI
from deploy.local.plant.opcua_values import TYPES

NEXUS = [sys.executable, "-m", "deploy.local.cli", "simulate", "opcua", "--port", "0", "--json"]

pytestmark = pytest.mark.asyncio


@contextmanager
def simulator(*arguments: str, **environment: str) -> Iterator[dict[str, Any]]:
    """Run one and give what it tells."""
    with subprocess.Popen(
        [*NEXUS, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **environment},
    ) as process:
        assert process.stdout is not None
        try:
            yield json.loads(process.stdout.readline())
        finally:
            process.terminate()


@pytest.fixture(scope="module")
def plant() -> Iterator[str]:
    with simulator("--devices", "2", "--tags", "120", "--change", "0.1") as told:
        yield told["url"]


async def until(check: Callable[[], Any]) -> None:
    """Ask again and again: another process gives no event."""
    async with asyncio.timeout(40):
        while True:
            answer = check()
            if await answer if inspect.isawaitable(answer) else answer:
                return
            await asyncio.sleep(0.02)


class Notifications:
    """What a subscription brought, by node."""

    def __init__(self) -> None:
        self.values: dict[str, list[ua.DataValue]] = {}

    def datachange_notification(self, node: Any, _value: Any, data: Any) -> None:
        got = data.monitored_item.Value
        self.values.setdefault(node.nodeid.Identifier, []).append(got)


async def node_of(client: Client, identifier: str) -> Any:
    index = await client.get_namespace_index(NAMESPACE_URI)
    return client.get_node(ua.NodeId(identifier, index))


async def test_every_type_is_served_and_changes(plant: str) -> None:
    async with Client(plant) as client:
        await client.load_data_type_definitions()
        nodes = {name: await node_of(client, f"Device1.Types.{name}") for name in TYPES}
        first = {name: await node.read_data_value() for name, node in nodes.items()}
        for name, kind in TYPES.items():
            assert first[name].Value.VariantType == kind.variant, name
            assert first[name].Value.is_array == name.endswith(("Array", "Recipes")), name
            assert first[name].SourceTimestamp is not None
        assert first["Recipe"].Value.Value.Name.startswith("Raspberry ")
        assert len(first["Recipe"].Value.Value.Steps) == 2

        async def changed(name: str) -> bool:
            return bool(await nodes[name].read_value() != first[name].Value.Value)

        for name in TYPES:
            await until(partial(changed, name))


async def test_a_subscription_sees_every_tag_change(plant: str) -> None:
    async with Client(plant) as client:
        seen = Notifications()
        subscription = await client.create_subscription(100, seen)
        tags = [await node_of(client, f"Device2.Tag{i}") for i in range(1, 121)]
        await subscription.subscribe_data_change(tags)
        await until(
            lambda: len(seen.values) == 120 and all(len(v) > 2 for v in seen.values.values())
        )
        for values in seen.values.values():
            stamps = [value.SourceTimestamp for value in values]
            assert stamps == sorted(set(stamps))


async def test_what_a_client_writes_stays(plant: str) -> None:
    async with Client(plant) as client:
        node = await node_of(client, "Device1.Tag5")
        await node.write_value(-1.5, ua.VariantType.Double)
        other = await node_of(client, "Device1.Tag6")
        before = await other.read_value()

        async def changed() -> bool:
            return bool(await other.read_value() != before)

        await until(changed)
        assert await node.read_value() == -1.5
        with pytest.raises(BadTypeMismatch):
            await node.write_value("text", ua.VariantType.String)


async def test_the_method_counts_batches_and_refuses_an_amount_below_zero(plant: str) -> None:
    async with Client(plant) as client:
        device, start = await node_of(client, "Device2"), await node_of(client, "Device2.Start")
        batch = ua.Variant("Raspberry", ua.VariantType.String)
        assert await device.call_method(start, batch, ua.Variant(2.5)) == 1
        assert await device.call_method(start, batch, ua.Variant(2.5)) == 2
        with pytest.raises(BadInvalidArgument):
            await device.call_method(start, batch, ua.Variant(-2.5))


async def test_the_tree_is_browsed_from_the_plant_down(plant: str) -> None:
    async with Client(plant) as client:
        index = await client.get_namespace_index(NAMESPACE_URI)
        path = ["Plant", "Device2", "Tags 101-120", "Tag120"]
        found = await client.nodes.objects.get_child([f"{index}:{name}" for name in path])
        assert found.nodeid.Identifier == "Device2.Tag120"


async def test_a_user_signs_in_over_an_encrypted_channel(tmp_path: Path) -> None:
    pki = tmp_path / "pki"
    arguments = ("--security", "Basic256Sha256", "--user", "operator", "--pki", str(pki))
    with simulator(*arguments, NEXUS_SIMULATE_PASSWORD="raspberry") as told:
        for password, welcome in (("raspberry", True), ("strawberry", False)):
            client = Client(told["url"])
            client.application_uri = "urn:nexus:simulator:opcua"
            await client.set_security(
                SecurityPolicyBasic256Sha256,
                certificate=pki / "certificate.der",
                private_key=pki / "key.pem",
                mode=ua.MessageSecurityMode.SignAndEncrypt,
            )
            client.set_user("operator")
            client.set_password(password)
            if welcome:
                async with client:
                    assert await (await node_of(client, "Device1.Tag1")).read_value() is not None
            else:
                with pytest.raises(ua.UaStatusCodeError):
                    await client.connect()
        with pytest.raises(ua.UaError):
            await Client(told["url"]).connect()


async def test_one_device_carries_a_bad_status_and_its_neighbour_does_not() -> None:
    with simulator("--devices", "2", "--fault", "2:status=BadDeviceFailure") as told:
        async with Client(told["url"]) as client:
            good = await (await node_of(client, "Device1.Tag1")).read_data_value()
            bad = await (await node_of(client, "Device2.Tag1")).read_data_value(
                raise_on_bad_status=False
            )
            assert good.StatusCode.is_good()
            assert bad.StatusCode.name == "BadDeviceFailure"
            assert bad.Value.Value is None


async def test_answers_that_are_dropped_leave_the_connection_alive() -> None:
    with simulator("--fault", "drop=0.3", "--seed", "7") as told:
        outcomes: set[str] = set()
        client = Client(told["url"], timeout=0.5)
        async with asyncio.timeout(60):
            while True:
                try:
                    await client.connect()
                    break
                except (TimeoutError, OSError, ua.UaError):
                    continue
            node = await _patiently(lambda: node_of(client, "Device1.Tag1"))
            while len(outcomes) < 2:
                try:
                    await node.read_value()
                    outcomes.add("answer")
                except TimeoutError:
                    outcomes.add("silence")
        client.disconnect_socket()


async def _patiently(ask: Callable[[], Any]) -> Any:
    while True:
        try:
            return await ask()
        except TimeoutError:
            continue


async def test_an_exception_refuses_what_is_asked_of_nodes_and_keeps_the_session() -> None:
    with simulator("--fault", "exception=BadTooManyOperations") as told:
        async with Client(told["url"], timeout=30) as client:
            for _ in range(2):
                with pytest.raises(ua.UaStatusCodeError, match="BadTooManyOperations"):
                    await client.get_node("ns=2;s=Device1.Tag1").read_value()


async def test_garbage_ends_the_connection() -> None:
    with (
        simulator("--fault", "garbage") as told,
        pytest.raises((TimeoutError, OSError, ua.UaError)),
    ):
        await Client(told["url"], timeout=2).connect()


async def test_a_deleted_node_tells_its_subscriber_and_comes_back() -> None:
    with simulator("--devices", "2", "--fault", "2:recreate=1", "--change", "0.1") as told:
        async with Client(told["url"]) as client:
            seen = Notifications()
            subscription = await client.create_subscription(50, seen)
            await subscription.subscribe_data_change(await node_of(client, "Device1.Tag1"))
            node = await node_of(client, "Device2.Tag1")

            async def subscribe() -> bool:
                try:
                    await subscription.subscribe_data_change(node)
                except BadNodeIdUnknown:
                    return False
                return True

            async def is_back() -> bool:
                return bool((await node.read_data_value(False)).StatusCode.is_good())

            await until(subscribe)
            await until(
                lambda: any(
                    v.StatusCode.value == ua.StatusCodes.BadNodeIdUnknown
                    for v in seen.values.get("Device2.Tag1", ())
                )
            )
            assert all(v.StatusCode.is_good() for v in seen.values["Device1.Tag1"])
            await until(is_back)


async def test_a_restart_moves_the_namespace() -> None:
    with simulator("--fault", "reindex=5") as told:
        found: dict[int, float] = {}
        async with asyncio.timeout(90):
            while len(found) < 2:
                try:
                    async with Client(told["url"], timeout=2) as client:
                        index = await client.get_namespace_index(NAMESPACE_URI)
                        found[index] = await (await node_of(client, "Device1.Tag1")).read_value()
                except (TimeoutError, OSError, ua.UaError):
                    await asyncio.sleep(0.1)
                await asyncio.sleep(0.1)
        assert set(found) == {2, 3}
