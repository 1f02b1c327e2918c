"""Several hosts, one active: killed, stopped, cut off from the database."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from deploy.local.broker import MqttBroker
from deploy.local.ports import find_free_port
from host_app.leader import (
    CONFIRM_INTERVAL_S,
    HOLD_LIMIT_S,
    IDLE_LIMIT_S,
    LEAVE_LIMIT_S,
    SETTLE_S,
)
from proto.sparkplug.datatypes import DataType
from tests.integration.host_rig import (
    PASSWORD,
    ROOT,
    EdgePeer,
    HostProcess,
    Listener,
    wait_for,
)

STATE = "spBv1.0/STATE/nexus"


def start(folder: Path, broker: MqttBroker, database_url: str) -> HostProcess:
    folder.mkdir(exist_ok=True)
    environment = {
        "NEXUS_MQTT_URL": broker.url,
        "NEXUS_DATABASE_URL": database_url,
        "NEXUS_CONSOLE_PASSWORD": PASSWORD,
    }
    return HostProcess(folder, environment, "--ha")


def status(host: HostProcess) -> str:
    answer = host.get("/readyz")[1]
    return str(answer["status"])


@pytest.fixture
def pair(
    mqtt_broker: MqttBroker, postgres_url: str, tmp_path: Path
) -> Iterator[tuple[HostProcess, HostProcess]]:
    one = start(tmp_path / "one", mqtt_broker, postgres_url)
    try:
        one.wait_ready()
        two = start(tmp_path / "two", mqtt_broker, postgres_url)
        try:
            two.wait_event("console_password_is_set")
            yield one, two
        finally:
            two.close()
    finally:
        one.close()


@contextmanager
def never_both(one: HostProcess, two: HostProcess) -> Iterator[None]:
    """Ask both all the time who is active."""
    done = threading.Event()
    both: list[float] = []

    def ask() -> None:
        while not done.wait(0.02):
            # "not ready" is active too, with its broker away.
            found = []
            for host in (one, two):
                try:
                    found.append(status(host) != "standby")
                except OSError:
                    found.append(False)
            if all(found):
                both.append(time.monotonic())

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
    assert not both, "two hosts were active at once"


def test_times_fit_so_that_two_are_never_active() -> None:
    assert SETTLE_S > HOLD_LIMIT_S + LEAVE_LIMIT_S
    assert IDLE_LIMIT_S > HOLD_LIMIT_S + CONFIRM_INTERVAL_S


def test_standby_says_so_and_shows_no_plant(pair: tuple[HostProcess, HostProcess]) -> None:
    _, two = pair
    assert status(two) == "standby"
    cookie = two.sign_in()
    code, answer = two.get("/api/v1/nodes", cookie)
    assert (code, answer["error"]) == (503, "this host is on standby, expected the active one")
    assert two.get("/api/v1/session", cookie)[0] == 200


def test_killed_host_is_replaced_within_five_seconds_and_edges_birth_once(
    pair: tuple[HostProcess, HostProcess], mqtt_broker: MqttBroker
) -> None:
    one, two = pair
    cookie = one.sign_in()
    watcher = Listener(mqtt_broker, STATE)
    first = json.loads(watcher.next().payload)
    edge = EdgePeer(mqtt_broker)
    edge.birth()
    wait_for(lambda: one.node(cookie, "plant/line-1"), "birth")
    with never_both(one, two):
        killed = time.monotonic()
        one.process.kill()
        assert json.loads(watcher.next().payload) == {**first, "online": False}
        state = json.loads(watcher.next().payload)
        assert state["online"]
        assert state["timestamp"] > first["timestamp"]
        two.wait_ready()
        took_s = time.monotonic() - killed
    assert took_s < 5, f"takeover took {took_s:.1f} s"
    for value in range(20):
        edge.data(10, DataType.DOUBLE, float(value))
    message, command = edge.command()
    assert message.topic == edge.topic("NCMD")
    assert command.metrics[0].name == "Node Control/Rebirth"
    edge.birth()
    # The session of the old host goes on with the new one.
    node = wait_for(lambda: (n := two.node(cookie, "plant/line-1")) and n["devices"] and n, "birth")
    assert node["online"]
    for value in range(20):
        edge.data(10, DataType.DOUBLE, float(value))
    assert edge.listener.messages.empty(), "births were asked for twice"
    edge.close()
    watcher.close()
    assert two.terminate() == 0


@pytest.fixture
def waiting_edge(mqtt_broker: MqttBroker, tmp_path: Path) -> Iterator[str]:
    """Run the suite's own edge node, which waits for the host; give its id.

    Its device does not answer, which is no reason for the node not to be born.
    """
    document = tmp_path / "edge.toml"
    document.write_text(
        f"""
        [node]
        group = "plant"
        edge = "waiting"
        state_dir = "{tmp_path}/edge-state"
        [mqtt]
        url = "{mqtt_broker.url}"
        [sparkplug]
        primary_host = "nexus"
        [[devices]]
        name = "press"
        driver = "modbus"
        connection = {{ host = "127.0.0.1", port = {find_free_port()} }}
        tags = [ {{ name = "speed", address = "holding:0", datatype = "uint16" }} ]
        """
    )
    with (tmp_path / "edge.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "deploy.local.cli", "edge", "--config", str(document)],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            cwd=tmp_path,
            stdout=log,
            stderr=log,
        )
    yield "plant/waiting"
    process.terminate()
    process.wait(20)


def test_edge_that_waits_for_its_host_is_born_once_at_the_new_one(
    pair: tuple[HostProcess, HostProcess], mqtt_broker: MqttBroker, waiting_edge: str
) -> None:
    one, two = pair
    cookie = one.sign_in()

    def is_online(host: HostProcess) -> bool:
        return bool((node := host.node(cookie, waiting_edge)) and node["online"])

    wait_for(lambda: is_online(one), "birth", 30)
    births = Listener(mqtt_broker, "spBv1.0/plant/NBIRTH/waiting")
    one.process.kill()
    two.wait_ready()
    wait_for(lambda: is_online(two), "birth at the new host", 30)
    births.next()
    time.sleep(2)  # a second birth would come now
    assert births.messages.empty()
    births.close()


def test_host_that_hangs_is_replaced_and_steps_down_when_it_wakes(
    pair: tuple[HostProcess, HostProcess], mqtt_broker: MqttBroker
) -> None:
    one, two = pair
    one.process.send_signal(signal.SIGSTOP)
    wait_for(lambda: status(two) == "ready", "takeover", 20)
    late = Listener(mqtt_broker, STATE)
    state = json.loads(late.next().payload)
    assert state["online"]
    one.process.send_signal(signal.SIGCONT)
    wait_for(lambda: status(one) == "standby", "stepping down")
    assert status(two) == "ready"
    last = state
    while not late.messages.empty():
        last = json.loads(late.next().payload)
    assert last == state, "the host that woke told a STATE of its own last"
    late.close()


def test_stopped_host_is_replaced(pair: tuple[HostProcess, HostProcess]) -> None:
    one, two = pair
    with never_both(one, two):
        assert one.terminate() == 0
        two.wait_ready()


def test_host_that_loses_its_lock_takes_it_again_or_steps_down(
    pair: tuple[HostProcess, HostProcess], postgres_url: str
) -> None:
    one, two = pair
    with never_both(one, two), psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'nexus-host-leader' AND pid IN"
            " (SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted)"
        )
        time.sleep(HOLD_LIMIT_S + SETTLE_S)  # the time in which two could be active
        wait_for(lambda: sorted((status(one), status(two))) == ["ready", "standby"], "one leader")
