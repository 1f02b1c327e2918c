"""The life of STATE on a real broker, the host being a process that can be killed."""

import json
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from deploy.local.broker import MqttBroker
from tests.integration.host_rig import Listener, running_host, wait_for

TOPIC = "spBv1.0/STATE/nexus"


@pytest.fixture
def watcher(mqtt_broker: MqttBroker) -> Iterator[Listener]:
    listener = Listener(mqtt_broker, TOPIC)
    yield listener
    listener.close()


def next_state(listener: Listener) -> tuple[bool, int]:
    message = listener.next()
    assert message.topic == TOPIC
    state = json.loads(message.payload)
    assert set(state) == {"online", "timestamp"}
    return state["online"], state["timestamp"]


def retained_state(broker: MqttBroker) -> tuple[bool, int]:
    late = Listener(broker, TOPIC)
    try:
        message = late.next()
        assert message.retain
        state = json.loads(message.payload)
        return state["online"], state["timestamp"]
    finally:
        late.close()


@pytest.mark.rule("host-1")
@pytest.mark.tck(
    "host-topic-phid-birth-required",
    "host-topic-phid-birth-retain",
    "host-topic-phid-death-payload-timestamp-connect",
    "host-topic-phid-death-payload-timestamp-disconnect-with-no-disconnect-packet",
    "payloads-state-will-message",
    "payloads-state-will-message-payload",
    "payloads-state-will-message-retain",
    "payloads-state-birth",
)
@pytest.mark.parametrize("protocol", ["3.1.1", "5"])
def test_killed_host_is_told_offline_by_its_will_with_the_time_of_its_connect(
    mqtt_broker: MqttBroker, watcher: Listener, tmp_path: Path, protocol: str
) -> None:
    with running_host(tmp_path, mqtt_broker, None, "--mqtt-protocol", protocol) as host:
        online, connect_ms = next_state(watcher)
        assert online
        assert abs(time.time_ns() // 1_000_000 - connect_ms) < 10_000
        assert retained_state(mqtt_broker) == (True, connect_ms)
        host.process.kill()
        assert next_state(watcher) == (False, connect_ms)
        assert retained_state(mqtt_broker) == (False, connect_ms)


@pytest.mark.rule("host-4")
@pytest.mark.parametrize("protocol", ["3.1.1", "5"])
@pytest.mark.tck(
    "host-topic-phid-death-payload-timestamp-disconnect-clean",
    "operational-behavior-host-application-disconnect-intentional",
    "operational-behavior-host-application-death-payload",
    "operational-behavior-host-application-death-qos",
    "operational-behavior-host-application-death-retained",
    "operational-behavior-host-application-death-topic",
    "operational-behavior-host-application-termination",
)
@pytest.mark.parametrize("name", [signal.SIGTERM, signal.SIGINT])
def test_stopped_host_says_offline_with_the_time_of_now_and_exits_cleanly(
    mqtt_broker: MqttBroker, watcher: Listener, tmp_path: Path, name: int, protocol: str
) -> None:
    with running_host(tmp_path, mqtt_broker, None, "--mqtt-protocol", protocol) as host:
        _, connect_ms = next_state(watcher)
        before_ms = time.time_ns() // 1_000_000
        assert host.terminate(name) == 0
        online, stop_ms = next_state(watcher)
        assert not online
        assert connect_ms < before_ms <= stop_ms <= time.time_ns() // 1_000_000
        assert watcher.messages.empty(), "the broker published the will after a DISCONNECT"
        assert retained_state(mqtt_broker) == (False, stop_ms)


@pytest.mark.rule("host-2")
@pytest.mark.parametrize("protocol", ["3.1.1", "5"])
@pytest.mark.tck("message-flow-hid-sparkplug-state-message-delivered")
def test_host_told_offline_says_at_once_that_it_is_there(
    mqtt_broker: MqttBroker, watcher: Listener, tmp_path: Path, protocol: str
) -> None:
    with running_host(tmp_path, mqtt_broker, None, "--mqtt-protocol", protocol):
        _, connect_ms = next_state(watcher)
        for lie in (b'{"online":false,"timestamp":1}', b"OFFLINE", b"\xff"):
            watcher.publish(TOPIC, lie, 1, retain=True)
            while (message := watcher.next()).payload != lie:
                # With MQTT 5 mosquitto hands the lie out for both subscriptions: answered twice.
                assert json.loads(message.payload) == {"online": True, "timestamp": connect_ms}
            assert next_state(watcher) == (True, connect_ms)
        assert retained_state(mqtt_broker) == (True, connect_ms)


@pytest.mark.tck("host-topic-phid-birth-payload-timestamp")
def test_host_births_anew_with_a_new_time_when_the_broker_comes_back(
    mqtt_broker: MqttBroker, tmp_path: Path
) -> None:
    with running_host(tmp_path, mqtt_broker) as host:
        _, first_ms = retained_state(mqtt_broker)
        mqtt_broker.stop()
        host.wait_event("broker_lost")
        status, answer = host.get("/readyz")
        assert status == 503
        assert answer["problems"]
        mqtt_broker.start()
        wait_for(lambda: host.get("/readyz")[0] == 200, "readiness", 30)
        online, second_ms = retained_state(mqtt_broker)
        assert online
        assert second_ms > first_ms


@pytest.mark.rule("host-3")
@pytest.mark.parametrize("protocol", ["3.1.1", "5"])
@pytest.mark.tck(
    "operational-behavior-host-application-multi-server-timestamp",
    "operational-behavior-primary-application-state-with-multiple-servers-state",
)
def test_each_of_two_brokers_has_a_state_with_a_time_of_its_own(
    start_mqtt_broker: Callable[[], MqttBroker], tmp_path: Path, protocol: str
) -> None:
    first, second = start_mqtt_broker(), start_mqtt_broker()
    more = ("--mqtt-url", first.url, "--mqtt-url", second.url, "--mqtt-protocol", protocol)
    with running_host(tmp_path, first, None, *more) as host:
        kept = retained_state(first)
        _, before_ms = retained_state(second)
        second.stop()
        host.wait_event("broker_lost")
        second.start()
        wait_for(lambda: host.get("/readyz")[0] == 200, "readiness", 30)
        online, after_ms = retained_state(second)
        assert online
        assert after_ms > before_ms
        assert retained_state(first) == kept
        host.terminate()
        for broker in (first, second):
            assert retained_state(broker)[0] is False
    first.stop()
    second.stop()
