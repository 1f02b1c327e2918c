"""An MQTT broker on this machine: mosquitto where it is installed, amqtt from PyPI elsewhere.

It serves the loopback interface alone and keeps nothing on disk.
"""

import os
import pwd
import shutil
import sys
from pathlib import Path
from typing import Literal, Self

from deploy.local.ports import LOOPBACK, find_free_port, is_listening
from deploy.local.process import Process, ProcessError, wait_until

ROOT = Path(__file__).resolve().parents[2]
BrokerKind = Literal["mosquitto", "amqtt"]

_MOSQUITTO_CONF = """\
listener {port} {host}
allow_anonymous true
persistence false
set_tcp_nodelay true
max_queued_messages {queue}
max_inflight_messages 0
log_type error
log_type warning
log_type notice
connection_messages false
"""


def find_mosquitto() -> str | None:
    """Return the path of mosquitto, also where Debian keeps it out of users' PATH."""
    return shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")


def choose_broker() -> BrokerKind:
    """Return which broker this machine can run."""
    return "mosquitto" if find_mosquitto() else "amqtt"


class MqttBroker:
    """A broker process that can be stopped and started again on the same port.

    Attributes:
        host: address it listens on.
        port: TCP port.

    Args:
        queue: messages that mosquitto keeps for a client that does not keep up; 0 for all of them.
    """

    def __init__(
        self, folder: Path, *, kind: BrokerKind | None = None, port: int = 0, queue: int = 0
    ) -> None:
        self.kind: BrokerKind = kind or choose_broker()
        self.host = LOOPBACK
        self.port = port or find_free_port()
        self._folder = folder
        self._queue = queue
        self._process: Process | None = None

    @property
    def url(self) -> str:
        """What NEXUS_MQTT_URL takes."""
        return f"mqtt://{self.host}:{self.port}"

    @property
    def topic_prefix(self) -> str:
        """First level of the suite's own topics that this broker accepts."""
        # amqtt delivers nothing below a leading "$" to its clients.
        return "$nexus" if self.kind == "mosquitto" else "nexus"

    @property
    def process(self) -> Process:
        """The running broker."""
        if self._process is None:
            raise ProcessError("broker: not started")
        return self._process

    def start(self) -> Self:
        """Start it and wait until it accepts connections.

        Raises:
            ProcessError: it does not run or does not listen.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        log = self._folder / "log" / "broker.log"
        if self.kind == "mosquitto":
            process = self._start_mosquitto(log)
        else:
            env = {**os.environ, "PYTHONPATH": str(ROOT)}
            argv = [sys.executable, "-P", "-m", "deploy.local.amqtt_broker", str(self.port)]
            process = Process("broker (amqtt)", argv, log=log, env=env)
        try:
            wait_until(
                lambda: is_listening(self.port),
                process,
                timeout_s=20,
                what=f"listen on port {self.port}",
            )
        except ProcessError:
            process.stop(grace_s=1)
            raise
        self._process = process
        return self

    def _start_mosquitto(self, log: Path) -> Process:
        program = find_mosquitto()
        if program is None:
            raise ProcessError("broker: mosquitto is not installed, expected it on PATH")
        conf = self._folder / "mosquitto.conf"
        conf.write_text(_MOSQUITTO_CONF.format(port=self.port, host=self.host, queue=self._queue))
        if os.geteuid() == 0:
            # Without this mosquitto changes to its own account, which may not read the file.
            with conf.open("a") as file:
                file.write(f"user {pwd.getpwuid(0).pw_name}\n")
        return Process("broker (mosquitto)", [program, "-c", str(conf)], log=log)

    def stop(self) -> None:
        """Stop it; the port stays reserved for the next start by convention only."""
        if self._process is not None:
            self._process.stop(grace_s=5)
            self._process = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()
