"""Peers, ready to start: what a machine cannot have is left out with the reason."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local.broker import MqttBroker
from deploy.local.ports import is_listening
from tests.conftest import leave_out
from tests.interop import catalog, installation, official_kit
from tests.interop.installation import NotInstalledError, WithheldError
from tests.interop.official_kit import Kit
from tests.interop.opcua_stranger import STRANGERS, Stranger
from tests.interop.peer import Peer


@pytest.fixture(scope="session")
def tck_program() -> Path:
    """Give the conformance harness."""
    try:
        return installation.sparkplug_tck()
    except NotInstalledError as exc:
        leave_out(str(exc))
    except WithheldError as exc:
        # Nothing that is missing on this machine: no installation could bring it.
        pytest.skip(f"{exc}; NEXUS_TEST_SPARKPLUG_TCK can name an executable")


@pytest.fixture
def kit(tmp_path: Path) -> Iterator[Kit]:
    """Give the official kit in a broker of its own, where a build of it is at hand.

    A fresh one for each test: the kit's simulated host often does not end with the test it is for.
    """
    extension = os.environ.get("NEXUS_TEST_SPARKPLUG_KIT")
    if extension is None:
        # Nothing that is missing on this machine: no registry has it.
        pytest.skip("NEXUS_TEST_SPARKPLUG_KIT names no build of the official kit")
    if is_listening(official_kit.PORT):
        leave_out(f"the official kit needs port {official_kit.PORT}, where something listens")
    try:
        kit = Kit(Path(extension), tmp_path / "kit")
    except NotInstalledError as exc:
        leave_out(str(exc))
    with kit:
        yield kit


@pytest.fixture(scope="module")
def peer_host(
    request: pytest.FixtureRequest,
    module_mqtt_broker: MqttBroker,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Peer]:
    """Give the foreign host that the test is parametrized with, on the module's broker."""
    name: str = request.param
    try:
        log = tmp_path_factory.mktemp(name) / "host.log"
        host = catalog.start_host(name, module_mqtt_broker, "interop", log)
    except NotInstalledError as exc:
        leave_out(str(exc))
    with host:
        yield host


@pytest.fixture
def edge_name(request: pytest.FixtureRequest) -> str:
    """Give the test's own edge node id, so that tests on one broker do not meet."""
    test = request.node.name.removeprefix("test_")
    return "".join(c if c.isalnum() else "-" for c in test).strip("-")


@pytest.fixture
def peer_edge(
    request: pytest.FixtureRequest, module_mqtt_broker: MqttBroker, edge_name: str, tmp_path: Path
) -> Iterator[Peer]:
    """Give the foreign edge node that the test is parametrized with, on the module's broker."""
    name: str = request.param
    try:
        log = tmp_path / "peer.log"
        edge = catalog.start_edge(name, module_mqtt_broker, "interop", edge_name, log)
    except NotInstalledError as exc:
        leave_out(str(exc))
    with edge:
        yield edge


@pytest.fixture(scope="session", params=STRANGERS)
def stranger(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stranger]:
    """Give a foreign OPC UA server, which the test leaves as it is."""
    try:
        server = Stranger(request.param, tmp_path_factory.mktemp(request.param))
    except NotInstalledError as exc:
        leave_out(str(exc))
    with server:
        yield server


@pytest.fixture
def own_stranger(stranger: Stranger) -> Iterator[Stranger]:
    """Give a foreign OPC UA server that the test may change and restart with other options."""
    yield stranger
    stranger.restart()
