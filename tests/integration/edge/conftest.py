"""Real brokers for the edge node's tests, and clients that watch them."""

import os
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
import trio

from tests.integration.edge.bench import Listener, Plc, check_transcript
from tests.integration.edge.edge_broker import Broker, Watcher, find_mosquitto


@pytest.fixture(scope="session")
def mosquitto_path() -> str:
    path = find_mosquitto()
    if path is None:
        missing = "mosquitto is not installed"
        if os.environ.get("NEXUS_TEST_REQUIRE_ALL") == "1":
            pytest.fail(missing)
        pytest.skip(missing)
    return path


@pytest.fixture
def protocol() -> str:
    """Give the version of MQTT that nodes speak; tests are parametrized with both."""
    return "3.1.1"


@pytest.fixture
def make_edge_broker(
    mosquitto_path: str, tmp_path_factory: pytest.TempPathFactory, protocol: str
) -> Iterator[Callable[..., Broker]]:
    del mosquitto_path
    brokers: list[Broker] = []

    def make(**settings: object) -> Broker:
        folder: Path = tmp_path_factory.mktemp("mosquitto")
        brokers.append(Broker(folder, protocol=protocol, **settings))  # type: ignore[arg-type]
        return brokers[-1]

    yield make
    for broker in brokers:
        broker.stop()


@pytest.fixture
def edge_broker(make_edge_broker: Callable[..., Broker]) -> Broker:
    return make_edge_broker()


@pytest.fixture
def watch() -> Iterator[Callable[..., Watcher]]:
    watchers: list[Watcher] = []

    def start(broker: Broker, *filters: str) -> Watcher:
        watchers.append(Watcher(broker, *filters))
        return watchers[-1]

    yield start
    for watcher in watchers:
        watcher.close()


@pytest.fixture
async def plc(nursery: trio.Nursery) -> Plc:
    made = Plc()
    made.unit.registers[:3] = [235, 7, 1]
    await made.start(nursery)
    return made


@pytest.fixture
def listen(watch: Callable[..., Watcher]) -> Callable[[Broker], Listener]:
    def start(broker: Broker) -> Listener:
        return Listener(watch(broker, "spBv1.0/#", "uns/#", "$nexus/#"))

    return start


@pytest.fixture
async def heard(
    edge_broker: Broker, listen: Callable[[Broker], Listener]
) -> AsyncIterator[Listener]:
    listener = listen(edge_broker)
    yield listener
    check_transcript(listener.said)
