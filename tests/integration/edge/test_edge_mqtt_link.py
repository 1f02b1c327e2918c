"""The edge's MQTT connection against a real broker."""

import re
import socket
from collections.abc import Callable
from functools import partial

import pytest
import trio

from edge_node.errors import BrokerRefused, BrokerUnreachable
from edge_node.mqtt_client import MqttWill
from edge_node.mqtt_link import connect
from edge_node.mqtt_socket import Endpoint
from tests.integration.edge.edge_broker import Broker, Watcher

pytestmark = pytest.mark.trio

BrokerMaker = Callable[..., Broker]


def no_will() -> None:
    return None


def endpoint(broker: Broker, **changes: object) -> Endpoint:
    values: dict[str, object] = {
        "host": broker.host,
        "port": broker.port,
        "client_id": "link-under-test",
    }
    return Endpoint(**(values | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize("protocol", ["3.1.1", "5"])
async def test_messages_travel_both_ways(
    edge_broker: Broker, watch: Callable[..., Watcher], nursery: trio.Nursery, protocol: str
) -> None:
    watcher = watch(edge_broker, "out/#")
    connection = await connect(nursery, endpoint(edge_broker, protocol=protocol), no_will)
    await connection.subscribe([("in/#", 1)])
    connection.publish("out/a", b"1", qos=0)
    connection.publish("out/b", b"2", qos=1, retain=True)
    watcher.publish("in/x", b"hello")
    with trio.fail_after(5):
        assert await connection.messages.receive() == ("in/x", b"hello", False)
    await connection.disconnect()
    assert connection.is_lost
    assert await watcher.wait_payloads(2) == {"out/a": b"1", "out/b": b"2"}


async def test_a_large_burst_arrives_whole_and_in_order(
    edge_broker: Broker, watch: Callable[..., Watcher], nursery: trio.Nursery
) -> None:
    watcher = watch(edge_broker, "burst")
    connection = await connect(nursery, endpoint(edge_broker), no_will)
    payloads = [b"%d " % i + bytes(20_000) for i in range(300)]
    for payload in payloads:
        connection.publish("burst", payload)
    await connection.disconnect()
    await watcher.wait_count(300)
    assert [m.payload for m in watcher.messages] == payloads


@pytest.mark.parametrize("protocol", ["3.1.1", "5"])
async def test_messages_of_both_qualities_of_service_keep_their_order(
    edge_broker: Broker, watch: Callable[..., Watcher], nursery: trio.Nursery, protocol: str
) -> None:
    watcher = watch(edge_broker, "mixed")
    connection = await connect(nursery, endpoint(edge_broker, protocol=protocol), no_will)
    # as many of QoS 1 as the broker and paho let be under way without an answer
    payloads = [b"%d" % number for number in range(20)]
    for number, payload in enumerate(payloads):
        connection.publish("mixed", payload, qos=number % 2)
    await connection.disconnect()
    await watcher.wait_count(20)
    assert [m.payload for m in watcher.messages] == payloads


async def test_the_will_is_published_only_without_goodbye(
    edge_broker: Broker, watch: Callable[..., Watcher], nursery: trio.Nursery
) -> None:
    watcher = watch(edge_broker, "will/#")
    for name in ("polite", "gone"):
        connection = await connect(
            nursery, endpoint(edge_broker), partial(MqttWill, f"will/{name}", b"x", 1, False)
        )
        if name == "polite":
            await connection.disconnect()
        else:
            connection.abort("cable cut")
            assert await connection.wait_lost() == "cable cut"
    assert set(await watcher.wait_payloads(1)) == {"will/gone"}


async def test_a_connection_that_is_left_at_once_leaves_no_will(
    edge_broker: Broker, watch: Callable[..., Watcher], nursery: trio.Nursery
) -> None:
    watcher = watch(edge_broker, "will/#")
    will = partial(MqttWill, "will/early", b"x", 1, False)
    connection = await connect(nursery, endpoint(edge_broker), will)
    connection.leave()
    with trio.move_on_after(0):
        await connect(nursery, endpoint(edge_broker), will)
    watcher.publish("will/none", b"")
    assert set(await watcher.wait_payloads(1)) == {"will/none"}


@pytest.mark.tck("payloads-ndeath-will-message-publisher-disconnect-mqtt50")
async def test_mqtt_5_can_leave_with_the_will_published(
    edge_broker: Broker, watch: Callable[..., Watcher], nursery: trio.Nursery
) -> None:
    watcher = watch(edge_broker, "will/#")
    connection = await connect(
        nursery,
        endpoint(edge_broker, protocol="5"),
        lambda: MqttWill("will/5", b"x", 1, False),
    )
    await connection.disconnect(with_will=True)
    assert set(await watcher.wait_payloads(1)) == {"will/5"}


@pytest.mark.parametrize("protocol", ["3.1.1", "5"])
async def test_the_end_of_the_broker_is_noticed(
    make_edge_broker: BrokerMaker, nursery: trio.Nursery, protocol: str
) -> None:
    broker = make_edge_broker()
    connection = await connect(nursery, endpoint(broker, protocol=protocol), no_will)
    broker.stop()
    with trio.fail_after(5):
        await connection.wait_lost()
        with pytest.raises(trio.EndOfChannel):
            await connection.messages.receive()
    connection.publish("into/the/void", b"")


async def test_nobody_listening_is_said_so(nursery: trio.Nursery) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(
        BrokerUnreachable, match=rf"mqtt://127.0.0.1:{port}: connection refused, nothing listens"
    ):
        await connect(nursery, Endpoint("127.0.0.1", port, "x"), no_will)


async def test_an_unknown_host_is_said_so(nursery: trio.Nursery) -> None:
    with pytest.raises(BrokerUnreachable, match="host name cannot be resolved"):
        await connect(nursery, Endpoint("no-such-host.invalid", 1883, "x"), no_will)


async def test_a_failed_connection_uses_up_no_will(nursery: trio.Nursery) -> None:
    made: list[int] = []

    def make_will() -> None:
        made.append(1)

    with pytest.raises(BrokerUnreachable):
        await connect(nursery, Endpoint("no-such-host.invalid", 1883, "x"), make_will)
    assert not made


async def test_something_that_is_no_broker_is_told(nursery: trio.Nursery) -> None:
    async def hang_up(stream: trio.SocketStream) -> None:
        await stream.receive_some(100)
        await stream.send_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    nursery.start_soon(trio.serve_listeners, hang_up, listeners)
    port = listeners[0].socket.getsockname()[1]
    with pytest.raises(BrokerUnreachable, match="closed before it was accepted"):
        await connect(nursery, Endpoint("127.0.0.1", port, "x"), no_will)
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize("protocol", ["3.1.1", "5"])
async def test_refused_credentials_are_told(
    make_edge_broker: BrokerMaker, nursery: trio.Nursery, protocol: str
) -> None:
    broker = make_edge_broker(users={"edge": "right"})
    with pytest.raises(BrokerRefused, match=r"refused the connection: Not authorized; check mqtt"):
        await connect(
            nursery,
            endpoint(broker, protocol=protocol, username="edge", password="wrong"),
            no_will,
        )
    connection = await connect(
        nursery,
        endpoint(broker, protocol=protocol, username="edge", password="right"),
        no_will,
    )
    await connection.disconnect()


HANGING_UP = {
    "3.1.1": (b"\x20\x02\x00\x00", b"", "connection lost: Unspecified error"),
    "5": (
        b"\x20\x03\x00\x00\x00",
        b"\xe0\x10\x80\x0e\x1f\x00\x0bno $ topics",
        "broker disconnected: Unspecified error, no $ topics",
    ),
}
"""What a broker accepts a connection with, how it ends it, and what is told of that."""


@pytest.mark.parametrize("protocol", HANGING_UP)
@pytest.mark.parametrize("topic", ["$nexus/status", "status"])
async def test_a_broker_that_hangs_up_at_a_topic_below_dollar_is_told_with_what_to_do(
    nursery: trio.Nursery, protocol: str, topic: str
) -> None:
    connack, farewell, said = HANGING_UP[protocol]

    async def serve(stream: trio.SocketStream) -> None:
        await stream.receive_some(1000)
        await stream.send_all(connack)
        await stream.receive_some(1000)
        await stream.send_all(farewell)
        await stream.aclose()

    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    nursery.start_soon(trio.serve_listeners, serve, listeners)
    port = listeners[0].socket.getsockname()[1]
    place = Endpoint("127.0.0.1", port, "x", protocol=protocol)  # type: ignore[arg-type]
    connection = await connect(nursery, place, no_will)
    connection.publish(topic, b"{}", qos=1)
    with trio.fail_after(30):
        reason = await connection.wait_lost()
    advice = f"; it had not taken {topic!r} yet: where the broker refuses topics that begin with"
    assert reason.startswith(said)
    assert (advice in reason) is topic.startswith("$")
    nursery.cancel_scope.cancel()


async def serve_deaf_broker(stream: trio.SocketStream) -> None:
    """Accept the connection as a broker does, and never read again."""
    await stream.receive_some(1000)
    await stream.send_all(b"\x20\x02\x00\x00")
    await trio.sleep_forever()


async def test_a_broker_that_does_not_read_is_given_up_before_memory_is(
    nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge_node.mqtt_link.MAX_QUEUED_BYTES", 20_000_000)
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    nursery.start_soon(trio.serve_listeners, serve_deaf_broker, listeners)
    port = listeners[0].socket.getsockname()[1]
    connection = await connect(nursery, Endpoint("127.0.0.1", port, "x"), no_will)
    with trio.fail_after(10):
        while not connection.is_lost:
            connection.publish("much", bytes(100_000))
            await trio.lowlevel.checkpoint()
        assert re.match(r"broker does not read, 20\d{6} bytes wait", await connection.wait_lost())
    nursery.cancel_scope.cancel()


async def test_a_broker_that_falls_silent_is_noticed_by_the_keep_alive(
    nursery: trio.Nursery,
) -> None:
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    nursery.start_soon(trio.serve_listeners, serve_deaf_broker, listeners)
    port = listeners[0].socket.getsockname()[1]
    silent = Endpoint("127.0.0.1", port, "x", keep_alive_s=1)
    connection = await connect(nursery, silent, no_will)
    with trio.fail_after(10):
        assert "Keep alive" in await connection.wait_lost()
    nursery.cancel_scope.cancel()
