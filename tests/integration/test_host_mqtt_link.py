"""The host's MQTT connection against a real broker."""

import asyncio
from typing import Literal

import pytest

from deploy.local.broker import MqttBroker
from host_app.errors import BrokerUnreachable
from host_app.mqtt_link import Message, MqttConnection, Will, connect
from host_app.mqtt_stream import Endpoint

pytestmark = pytest.mark.asyncio


def endpoint(
    broker: MqttBroker, client_id: str, protocol: Literal["3.1.1", "5"] = "3.1.1"
) -> Endpoint:
    return Endpoint(broker.host, broker.port, client_id, protocol=protocol, keep_alive_s=5)


async def receive(connection: MqttConnection, count: int) -> list[Message]:
    got: list[Message] = []
    enough = asyncio.Event()

    def take(batch: list[Message]) -> None:
        got.extend(batch)
        if len(got) >= count:
            enough.set()

    connection.on_messages = take
    await connection.subscribe([("t/#", 1)])
    async with asyncio.timeout(10):
        await enough.wait()
    return got


@pytest.mark.parametrize("protocol", ["3.1.1", "5"])
async def test_messages_arrive_in_order_and_in_batches(
    mqtt_broker: MqttBroker, protocol: Literal["3.1.1", "5"]
) -> None:
    listener = await connect(endpoint(mqtt_broker, "listener", protocol), lambda: None)
    talker = await connect(endpoint(mqtt_broker, "talker", protocol), lambda: None)
    batches: list[int] = []
    got: list[Message] = []
    enough = asyncio.Event()

    def take(batch: list[Message]) -> None:
        batches.append(len(batch))
        got.extend(batch)
        if len(got) == 2000:
            enough.set()

    listener.on_messages = take
    await listener.subscribe([("t/#", 0)])
    for number in range(2000):
        talker.publish("t/x", str(number).encode())
    async with asyncio.timeout(10):
        await enough.wait()
    assert [int(payload) for _, payload, _ in got] == list(range(2000))
    assert len(batches) < 1000
    await listener.disconnect()
    await talker.disconnect()
    assert await listener.wait_lost() == "left"


async def test_qos_1_message_is_known_to_be_acknowledged(mqtt_broker: MqttBroker) -> None:
    connection = await connect(endpoint(mqtt_broker, "one"), lambda: None)
    mid = connection.publish("t/x", b"retained", 1, retain=True)
    assert await connection.wait_acknowledged(mid, 5)
    assert await receive(connection, 1) == [("t/x", b"retained", True)]
    await connection.disconnect()


@pytest.mark.parametrize("clean", [False, True])
async def test_will_is_published_after_an_abort_and_not_after_a_disconnect(
    mqtt_broker: MqttBroker, clean: bool
) -> None:
    dying = await connect(
        endpoint(mqtt_broker, "dying"), lambda: Will("t/will", b"gone", 1, retain=True)
    )
    if clean:
        await dying.disconnect()
    else:
        dying.abort("pulled the plug")
    listener = await connect(endpoint(mqtt_broker, "listener"), lambda: None)
    if clean:
        mid = listener.publish("t/other", b"kept", 1, retain=True)
        assert await listener.wait_acknowledged(mid, 10)
        assert [m[:2] for m in await receive(listener, 1)] == [("t/other", b"kept")]
    else:
        assert [m[:2] for m in await receive(listener, 1)] == [("t/will", b"gone")]
    await listener.disconnect()


async def test_lost_broker_is_reported(mqtt_broker: MqttBroker) -> None:
    connection = await connect(endpoint(mqtt_broker, "one"), lambda: None)
    mqtt_broker.stop()
    async with asyncio.timeout(10):
        reason = await connection.wait_lost()
    assert "closed" in reason or "reset" in reason or "lost" in reason
    assert connection.publish("t/x", b"") is None
    with pytest.raises(BrokerUnreachable, match="nothing listens"):
        await connect(endpoint(mqtt_broker, "two"), lambda: None)


async def test_failure_of_the_receiver_ends_the_connection_loudly(mqtt_broker: MqttBroker) -> None:
    connection = await connect(endpoint(mqtt_broker, "one"), lambda: None)

    def fail(_batch: list[Message]) -> None:
        raise ZeroDivisionError

    connection.on_messages = fail
    await connection.subscribe([("t/#", 0)])
    connection.publish("t/x", b"")
    with pytest.raises(ZeroDivisionError):
        async with asyncio.timeout(10):
            await connection.wait_lost()
