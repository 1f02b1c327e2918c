"""The demo itself, run as a user runs it: data flows, nothing is lost, nothing stays behind."""

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

from deploy.local.broker import MqttBroker
from deploy.local.ports import find_free_port

ROOT = Path(__file__).resolve().parents[2]
MARK = "NEXUS_TEST_MARK"

pytestmark = pytest.mark.timeout(180)


class Demo:
    """A demo process, and everything that it starts."""

    def __init__(self, arguments: Sequence[str] = (), **environment: str) -> None:
        self.mark = secrets.token_hex(8)
        # Not pytest's folder, which as root no other account may enter.
        self.folder = Path(tempfile.mkdtemp(prefix="nexus-test-demo-"))
        self.folder.chmod(0o711)
        kept = {k: v for k, v in os.environ.items() if not k.startswith("NEXUS_")}
        self._process = subprocess.Popen(
            [str(ROOT / "nexus"), "demo", "--console-port", "0", *arguments],
            env={**kept, **environment, "TMPDIR": str(self.folder), MARK: self.mark},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.said: list[str] = []
        self._running = threading.Event()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        for line in self._process.stderr or ():
            self.said.append(line.rstrip("\n"))
            if "Ctrl-C stops everything" in line:
                self._running.set()
        self._running.set()

    @property
    def output(self) -> str:
        return "\n".join(self.said)

    def wait_running(self) -> None:
        assert self._running.wait(90), self.output
        assert self._process.poll() is None, self.output

    def send(self, signum: int) -> None:
        self._process.send_signal(signum)

    def wait_end(self) -> tuple[int, str]:
        """Return the exit status and what stood on stdout."""
        stdout = self._process.stdout.read() if self._process.stdout else ""
        status = self._process.wait(120)
        self._reader.join()
        return status, stdout

    def processes(self) -> list[psutil.Process]:
        """Return what runs of it, told by a variable that every child inherits."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get(MARK) == self.mark:
                    found.append(process)
            except (psutil.AccessDenied, psutil.NoSuchProcess, psutil.ZombieProcess):
                continue
        return found

    def role(self, name: str) -> psutil.Process:
        return next(p for p in self.processes() if name in p.cmdline())

    def listening(self) -> set[int]:
        return {
            connection.laddr.port
            for process in self.processes()
            for connection in process.net_connections(kind="tcp")
            if connection.status == psutil.CONN_LISTEN
        }

    def close(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        self._reader.join()
        for stream in (self._process.stdout, self._process.stderr):
            if stream is not None:
                stream.close()
        for process in self.processes():
            process.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


@pytest.fixture
def demos() -> Iterator[list[Demo]]:
    started: list[Demo] = []
    yield started
    for demo in started:
        demo.close()


def read_figures(stdout: str) -> dict[str, Any]:
    figures: dict[str, Any] = json.loads(stdout.strip().splitlines()[-1])
    return figures


def assert_nothing_left(demo: Demo, ports: set[int]) -> None:
    """Fail for a process or a port of it; files are left by runs that failed, their logs."""
    deadline = time.monotonic() + 5
    while demo.processes() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert demo.processes() == []
    for port in ports:
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", port)) != 0, f"port {port} still answers"


@pytest.mark.parametrize("broker", ["mosquitto", "amqtt"])
def test_unattended_demo_stores_every_point_and_leaves_nothing(
    demos: list[Demo], broker: str, request: pytest.FixtureRequest
) -> None:
    if broker == "mosquitto":
        request.getfixturevalue("mosquitto_path")
    demo = Demo(["--seconds", "4", "--json", "--broker", broker])
    demos.append(demo)
    demo.wait_running()
    ports = demo.listening()
    status, stdout = demo.wait_end()
    assert status == 0, demo.output
    figures = read_figures(stdout)
    assert figures["ok"] is True
    assert figures["broker"] == broker
    assert figures["nodes_online"] == 1
    assert figures["points_published"] > 100
    assert figures["points_lost"] == 0
    assert figures["points_stored"] + figures["points_duplicate"] == figures["points_published"], (
        figures
    )
    assert 0 < figures["seconds_to_first_row"] < 60
    # Console, broker, database and plant.
    assert len(ports) >= 4
    assert_nothing_left(demo, ports)


def test_a_given_broker_and_database_are_used_and_left_alone(
    demos: list[Demo], mqtt_broker: MqttBroker, timescale_url: str
) -> None:
    given = {"NEXUS_MQTT_URL": mqtt_broker.url, "NEXUS_DATABASE_URL": timescale_url}
    demo = Demo(["--seconds", "4", "--json"], **given)
    demos.append(demo)
    status, stdout = demo.wait_end()
    assert status == 0, demo.output
    figures = read_figures(stdout)
    assert figures["broker"] == "given"
    assert figures["points_lost"] == 0
    assert_nothing_left(demo, set())
    assert mqtt_broker.process.poll() is None
    with psycopg.connect(timescale_url) as connection:
        rows = connection.execute("SELECT count(*) FROM historian.samples").fetchone()
    assert rows == (figures["points_stored"],)


def test_the_demo_says_where_everything_is_and_sigterm_ends_it_cleanly(demos: list[Demo]) -> None:
    demo = Demo(["--json"])
    demos.append(demo)
    demo.wait_running()
    ports = demo.listening()
    for part in ("http://127.0.0.1:", "password ", "mosquitto_sub -h 127.0.0.1 -p ", "psql"):
        assert part in demo.output
    demo.send(signal.SIGTERM)
    status, stdout = demo.wait_end()
    assert status == 0, demo.output
    assert read_figures(stdout)["points_lost"] == 0
    assert_nothing_left(demo, ports)


def test_a_part_that_dies_ends_the_demo_and_is_named(demos: list[Demo]) -> None:
    demo = Demo(["--json"])
    demos.append(demo)
    demo.wait_running()
    ports = demo.listening()
    demo.role("historian").kill()
    status, stdout = demo.wait_end()
    assert status == 1
    assert "historian was ended by SIGKILL" in read_figures(stdout)["problem"]
    assert "historian was ended by SIGKILL" in demo.output
    assert_nothing_left(demo, ports)


def test_a_part_that_hangs_is_killed_at_the_end(demos: list[Demo]) -> None:
    demo = Demo()
    demos.append(demo)
    demo.wait_running()
    ports = demo.listening()
    demo.role("host").suspend()
    demo.send(signal.SIGINT)
    demo.wait_end()
    assert "host: did not end within 10 s and was killed" in demo.output
    assert_nothing_left(demo, ports)


def test_a_taken_port_is_told_before_anything_starts(demos: list[Demo]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        demo = Demo(["--console-port", str(port)])
        demos.append(demo)
        status, _ = demo.wait_end()
    assert status == 1
    assert f"console: port {port} is taken" in demo.output
    assert "--console-port" in demo.output


def test_a_database_that_does_not_answer_is_named_without_its_password(demos: list[Demo]) -> None:
    url = f"postgresql://nexus:hush@127.0.0.1:{find_free_port()}/nexus"
    demo = Demo(NEXUS_DATABASE_URL=url)
    demos.append(demo)
    status, _ = demo.wait_end()
    assert status == 1
    assert "Correct NEXUS_DATABASE_URL" in demo.output
    assert "hush" not in demo.output
    assert_nothing_left(demo, set())


def test_a_broker_that_does_not_answer_is_named(demos: list[Demo]) -> None:
    demo = Demo(NEXUS_MQTT_URL=f"mqtt://127.0.0.1:{find_free_port()}")
    demos.append(demo)
    status, _ = demo.wait_end()
    assert status == 1
    assert "Correct NEXUS_MQTT_URL" in demo.output
    assert_nothing_left(demo, set())
