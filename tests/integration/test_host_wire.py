"""The packets of the host application, in order and bit by bit, as a broker sees them."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Literal

import pytest

from host_app.broker_session import BrokerSession
from host_app.clock import now_ms
from host_app.mqtt_stream import Endpoint
from proto.sparkplug.host_events import TrackerOptions
from tests.integration.mqtt_recorder import (
    CONNECT,
    DISCONNECT,
    PUBLISH,
    SUBSCRIBE,
    Recorder,
    read_connect,
    read_publish,
    subscriptions,
)

pytestmark = pytest.mark.asyncio

STATE = "spBv1.0/STATE/nexus"
Protocol = Literal["3.1.1", "5"]


@asynccontextmanager
async def recorders(count: int, *, five: bool) -> AsyncIterator[list[Recorder]]:
    started = [Recorder(five=five) for _ in range(count)]
    for recorder in started:
        await recorder.start()
    try:
        yield started
    finally:
        for recorder in started:
            await recorder.stop()


@asynccontextmanager
async def online(
    started: Sequence[Recorder], protocol: Protocol
) -> AsyncIterator[tuple[list[BrokerSession], asyncio.Event]]:
    stop = asyncio.Event()
    sessions = [
        BrokerSession(
            Endpoint("127.0.0.1", r.port, "host", protocol=protocol), "nexus", TrackerOptions()
        )
        for r in started
    ]
    async with asyncio.TaskGroup() as tasks:
        for session in sessions:
            tasks.create_task(session.run(stop))
        for recorder in started:
            await recorder.wait_packet(PUBLISH)
        yield sessions, stop
        stop.set()


@pytest.mark.rule("host-1")
@pytest.mark.tck(
    "intro-sparkplug-host-state",
    "components-ph-state",
    "message-flow-phid-sparkplug-clean-session-311",
    "message-flow-phid-sparkplug-clean-session-50",
    "message-flow-phid-sparkplug-subscription",
    "message-flow-phid-sparkplug-state-publish",
    "message-flow-phid-sparkplug-state-publish-payload",
    "message-flow-phid-sparkplug-state-publish-payload-timestamp",
    "host-topic-phid-birth-message",
    "host-topic-phid-birth-qos",
    "host-topic-phid-birth-topic",
    "host-topic-phid-birth-sub-required",
    "host-topic-phid-birth-payload",
    "host-topic-phid-death-qos",
    "host-topic-phid-death-retain",
    "host-topic-phid-death-topic",
    "host-topic-phid-death-required",
    "host-topic-phid-death-payload",
    "operational-behavior-host-application-connect-will",
    "operational-behavior-host-application-connect-will-topic",
    "operational-behavior-host-application-connect-will-payload",
    "operational-behavior-host-application-connect-will-qos",
    "operational-behavior-host-application-connect-will-retained",
    "operational-behavior-host-application-connect-birth",
    "operational-behavior-host-application-connect-birth-topic",
    "operational-behavior-host-application-connect-birth-payload",
    "operational-behavior-host-application-connect-birth-qos",
    "operational-behavior-host-application-connect-birth-retained",
    "payloads-state-will-message-qos",
    "payloads-state-subscribe",
    "payloads-state-birth-payload",
    "conformance-primary-host",
)
@pytest.mark.parametrize("protocol", ["3.1.1", "5"])
async def test_host_connects_to_each_broker_with_its_will_subscribes_and_only_then_is_born(
    protocol: Protocol,
) -> None:
    five = protocol == "5"
    async with recorders(2, five=five) as started, online(started, protocol):
        for recorder in started:
            kinds = [p.kind for p in recorder.connections[0].packets[:3]]
            assert kinds == [CONNECT, SUBSCRIBE, PUBLISH]
            connect, subscribe, publish = recorder.connections[0].packets[:3]
            will = read_connect(connect)
            assert will.protocol == (5 if five else 4)
            assert will.clean
            assert not will.session_expiry
            assert (will.will_topic, will.will_qos, will.will_retain) == (STATE, 1, True)
            told = json.loads(will.will_payload)
            assert told == {"online": False, "timestamp": told["timestamp"]}
            assert abs(now_ms() - told["timestamp"]) < 10_000
            assert set(subscriptions(subscribe, five=five)) == {"spBv1.0/#", STATE}
            birth = read_publish(publish, five=five)
            assert (birth.topic, birth.qos, birth.retain) == (STATE, 1, True)
            assert json.loads(birth.payload) == {"online": True, "timestamp": told["timestamp"]}


@pytest.mark.parametrize("protocol", ["3.1.1", "5"])
async def test_host_says_offline_before_it_disconnects(protocol: Protocol) -> None:
    five = protocol == "5"
    async with recorders(1, five=five) as started:
        async with online(started, protocol) as (_, stop):
            before_ms = now_ms()
            stop.set()
            await started[0].wait_packet(DISCONNECT)
        *_, death, leave = started[0].connections[0].packets
        told = read_publish(death, five=five)
        assert (told.topic, told.qos, told.retain) == (STATE, 1, True)
        state = json.loads(told.payload)
        assert state["online"] is False
        assert before_ms <= state["timestamp"] <= now_ms()
        assert leave.body in {b"", b"\x00", b"\x00\x00"}, "the will would be published"


async def test_lost_connection_is_made_again_with_a_new_will_and_birth() -> None:
    async with recorders(1, five=False) as started, online(started, "3.1.1"):
        first = read_connect(started[0].connections[0].packets[0])
        started[0].drop()
        async with asyncio.timeout(10):
            while len(started[0].connections) < 2:  # noqa: ASYNC110  # the recorder has no such event
                await asyncio.sleep(0.01)
        await started[0].wait_packet(PUBLISH)
        connect, _, publish = started[0].connections[1].packets[:3]
        again = read_connect(connect)
        timestamp = json.loads(again.will_payload)["timestamp"]
        assert timestamp > json.loads(first.will_payload)["timestamp"]
        assert json.loads(read_publish(publish).payload) == {
            "online": True,
            "timestamp": timestamp,
        }


@pytest.mark.tck(
    "operational-behavior-host-application-multi-server-timestamp",
    "operational-behavior-primary-application-state-with-multiple-servers-state",
)
async def test_each_of_several_brokers_gets_births_with_a_time_of_its_own() -> None:
    async with recorders(2, five=False) as started, online(started, "3.1.1") as (sessions, _):
        started[1].drop()
        async with asyncio.timeout(10):
            while len(started[1].connections) < 2:  # noqa: ASYNC110  # same
                await asyncio.sleep(0.01)
        await started[1].wait_packet(PUBLISH)
        times = []
        for recorder in started:
            connect, _, publish = recorder.connections[-1].packets[:3]
            will = json.loads(read_connect(connect).will_payload)
            birth = json.loads(read_publish(publish).payload)
            assert will["timestamp"] == birth["timestamp"]
            times.append(birth["timestamp"])
        assert times[1] > times[0]
        assert len(started[0].connections) == 1, "a loss on one broker disturbed another"
        assert sessions[0].online
