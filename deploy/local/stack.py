"""The whole suite on this machine: every part a process, started and ended so that nothing is lost.

It knows the roles by their command lines alone and what they say of themselves on MQTT.
"""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psycopg

from deploy.local.broker import BrokerKind, MqttBroker
from deploy.local.console_client import ConsoleClient
from deploy.local.database import EmbeddedServer
from deploy.local.plant_document import (
    count_tags,
    format_toml,
    node_id,
    place_document,
    read_example,
)
from deploy.local.ports import find_free_port, is_free, is_listening
from deploy.local.process import Process, wait_until
from deploy.local.roles import Roles
from deploy.local.settings import Settings, describe_url
from deploy.local.watch import Watch, WatchError, wait_for

_START_TIMEOUT_S = 60
_DRAIN_TIMEOUT_S = 20
_HISTORIAN_GRACE_S = 40
"""It stores what it has received, for which it allows itself 30 s."""
_DEFAULT_CONSOLE_PORT = 8080
_USER = "admin"
"""Whose password NEXUS_CONSOLE_PASSWORD sets."""


class StackError(Exception):
    """The stack cannot run here as asked; the message says what to do."""


class Interrupted(Exception):
    """Stopping was asked for while the stack was starting."""


@dataclass(frozen=True, slots=True)
class Ports:
    """Which ports were asked for; None leaves the choice to us, 0 to the system."""

    console: int | None = None
    mqtt: int | None = None
    database: int | None = None


class Stack:
    """Database, broker, simulated plant, historian, host with console, edge node.

    Args:
        folder: this run's own; configuration, data and logs go there.
        say: receives a line about each step.
        stopping: set by who wants to stop, also during the start.
    """

    def __init__(
        self,
        *,
        settings: Settings,
        ports: Ports,
        broker: BrokerKind | None,
        folder: Path,
        log_level: str,
        say: Callable[[str], None],
        stopping: threading.Event,
    ) -> None:
        self.settings = settings
        self.folder = folder
        self.console_url = ""
        self.database_url = ""
        self.mqtt_url = ""
        self.topic_prefix = ""
        self.broker_kind = ""
        self.document = read_example()
        self.node = node_id(self.document)
        self.started_ms = time.time_ns() // 1_000_000
        self._modbus_port = 0
        self._ports = ports
        self._broker_wanted = broker
        self._say = say
        self._stopping = stopping
        self._database: EmbeddedServer | None = None
        self._broker: MqttBroker | None = None
        self._roles = Roles(folder, log_level, say)
        self._watch: Watch | None = None
        self._console: ConsoleClient | None = None

    @property
    def watch(self) -> Watch:
        """The ear on MQTT."""
        if self._watch is None:
            raise StackError("the stack is not started")
        return self._watch

    @property
    def console(self) -> ConsoleClient:
        """The console's interface, signed in once the stack is started."""
        if self._console is None:
            raise StackError("the stack is not started")
        return self._console

    def start(self) -> None:
        """Start every part and wait until each is ready; the edge node last.

        Raises:
            StackError: a port is taken, a given database or broker cannot be reached.
            ProcessError: a part did not start.
            Interrupted: ``stopping`` was set.
        """
        console_port = self._choose_console_port()
        self.console_url = f"http://127.0.0.1:{console_port}"
        self._console = ConsoleClient(self.console_url)
        port = self._modbus_port = find_free_port()
        simulate = ["simulate", "modbus", "--port", str(port)]
        plant = self._roles.start("simulated plant", simulate, {})
        self._start_database()
        self._start_broker()
        self._start_watch()
        settings = self._role_settings()
        historian = self._roles.start(
            "historian", ["historian", "--status-interval", "1"], settings
        )
        where = ["--port", str(console_port), "--bind", "127.0.0.1"]
        host = self._roles.start("host", ["host", *where], settings)
        self._wait(plant, lambda: is_listening(port), f"listen on port {port}")
        self._wait(historian, self._historian_ready, "report that it is ready to store")
        self._wait(host, self.console.is_ready, "answer at /readyz")
        self._wait(host, self._has_user, f"add its user {_USER}")
        self._wait(host, self._sign_in, f"let {_USER} in", poll_s=2)
        edge = self.start_edge()
        self._wait(edge, self._has_published, "publish its first values")

    def start_edge(self) -> Process:
        """Start the edge node, also anew after it ended."""
        placed = place_document(
            self.document,
            mqtt_url=self.mqtt_url,
            mqtt_username=self.settings.mqtt_username,
            modbus_port=self._modbus_port,
            topic_prefix=self.topic_prefix,
            state_dir=self.folder / "edge",
            status_interval_s=1.0,
        )
        config = self.folder / "plant.toml"
        config.write_text(format_toml(placed))
        detail = f", {count_tags(placed)} tags on {len(placed.devices)} devices"
        arguments = ["edge", "--config", str(config)]
        return self._roles.start("edge node", arguments, self._role_settings(), detail=detail)

    def role(self, name: str) -> Process:
        """Return a running role."""
        return self._roles[name]

    def check(self) -> None:
        """Raise ProcessError for a part that has ended by itself."""
        for process in self._processes():
            process.check()

    def stop(self, drained: Callable[[], bool] | None = None) -> None:
        """End every role, the edge node first, the host last.

        Args:
            drained: whether all that the edge node published is stored; waited for, but not long.
        """
        self._roles.end("edge node")
        self._roles.end("simulated plant")
        if drained is not None:
            wait_for(drained, _DRAIN_TIMEOUT_S)
        self._roles.end("historian", grace_s=_HISTORIAN_GRACE_S)
        self._roles.end("host")

    def close(self) -> None:
        """End broker and database, after ``stop`` and the last look at both."""
        if self._watch is not None:
            self._watch.stop()
        if self._broker is not None:
            self._broker.stop()
        if self._database is not None:
            self._database.stop()

    @property
    def has_own_database(self) -> bool:
        """Whether the database is of this run and goes with it."""
        return self._database is not None

    def _processes(self) -> Sequence[Process]:
        processes = list(self._roles.running)
        if self._broker is not None:
            processes.insert(0, self._broker.process)
        if self._database is not None:
            processes.insert(0, self._database.process)
        return processes

    def _choose_console_port(self) -> int:
        wanted = self._ports.console
        if wanted is None:
            if is_free(_DEFAULT_CONSOLE_PORT):
                return _DEFAULT_CONSOLE_PORT
            port = find_free_port()
            self._say(f"port {_DEFAULT_CONSOLE_PORT} is taken, the console takes {port}")
            return port
        return self._claim("console", wanted, "--console-port")

    def _claim(self, what: str, port: int | None, option: str) -> int:
        if not port:
            return find_free_port()
        if not is_free(port):
            raise StackError(
                f"{what}: port {port} is taken by another program; give a free one with {option},"
                " or 0 to have one chosen"
            )
        return port

    def _start_database(self) -> None:
        given = self.settings.database_url
        if given is not None:
            self._say(f"database: {describe_url(given)}")
            try:
                psycopg.connect(given, connect_timeout=5).close()
            except psycopg.Error as exc:
                raise StackError(
                    f"database: {describe_url(given)} cannot be used: {str(exc).strip()}. Correct"
                    " NEXUS_DATABASE_URL, or unset it to use the embedded PostgreSQL"
                ) from exc
            self.database_url = given
            return
        port = self._claim("database", self._ports.database, "--database-port")
        self._say("database: starting embedded PostgreSQL")
        self._database = EmbeddedServer(self.folder, port=port)
        self._database.start()
        self.database_url = self._database.create_database("nexus")

    def _start_broker(self) -> None:
        prefix = self.settings.topic_prefix
        if self.settings.mqtt_url is not None:
            self._say(f"broker: {describe_url(self.settings.mqtt_url)}")
            self.mqtt_url = self.settings.mqtt_url
            self.broker_kind = "given"
            self.topic_prefix = prefix or "$nexus"
            return
        port = self._claim("broker", self._ports.mqtt, "--mqtt-port")
        broker = MqttBroker(self.folder, kind=self._broker_wanted, port=port)
        self._say(f"broker: starting {broker.kind}")
        broker.start()
        self._broker = broker
        self.mqtt_url = broker.url
        self.broker_kind = broker.kind
        self.topic_prefix = prefix or broker.topic_prefix

    def _start_watch(self) -> None:
        watch = Watch(
            self.mqtt_url,
            username=self.settings.mqtt_username,
            password=self.settings.mqtt_password,
            prefix=self.topic_prefix,
            node=self.node,
            since_ms=self.started_ms,
        )
        try:
            watch.start()
        except WatchError as exc:
            raise StackError(
                f"{exc}. Correct NEXUS_MQTT_URL (and NEXUS_MQTT_USERNAME, NEXUS_MQTT_PASSWORD), or"
                " unset it to use a broker of the demo's own"
            ) from exc
        self._watch = watch

    def _has_published(self) -> bool:
        status = self.watch.node
        return status is not None and status.counters.points_published > 0

    def _historian_ready(self) -> bool:
        status = self.watch.historian
        return status is not None and status.database not in {"connecting", "away"}

    def _role_settings(self) -> Mapping[str, str | None]:
        return {
            "NEXUS_DATABASE_URL": self.database_url,
            "NEXUS_MQTT_URL": self.mqtt_url,
            "NEXUS_MQTT_USERNAME": self.settings.mqtt_username,
            "NEXUS_MQTT_PASSWORD": self.settings.mqtt_password,
            "NEXUS_TOPIC_PREFIX": self.topic_prefix,
            "NEXUS_HOST_ID": self.settings.host_id,
            "NEXUS_CONSOLE_PASSWORD": self.settings.console_password,
            "NEXUS_HISTORY_URL": self.database_url,
        }

    def _has_user(self) -> bool:
        # Asked of the database: a refused sign-in would stand in the audit log.
        try:
            with psycopg.connect(self.database_url, connect_timeout=5) as connection:
                found = connection.execute("SELECT 1 FROM host.users WHERE name = %s", [_USER])
                return found.fetchone() is not None
        except psycopg.errors.UndefinedTable:
            return False

    def _sign_in(self) -> bool:
        return self.console.sign_in(_USER, self.settings.console_password)

    def _wait(
        self, process: Process, ready: Callable[[], bool], what: str, *, poll_s: float = 0.05
    ) -> None:
        def probe() -> bool:
            if self._stopping.is_set():
                raise Interrupted
            self.check()
            return ready()

        wait_until(probe, process, timeout_s=_START_TIMEOUT_S, what=what, poll_s=poll_s)
