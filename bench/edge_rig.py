"""What an edge benchmark runs: simulator, broker, and the node when it is its turn."""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import click

from bench.edge_load import Load, describe, nexus, start_simulator
from bench.edge_watch import StatusFeed, environment, wait_online
from deploy.local.broker import MqttBroker, find_mosquitto
from deploy.local.plant_document import format_toml
from deploy.local.process import Process
from proto.control.node import NodeDocument


class EdgeRig:
    """One benchmark's processes; what is started is stopped at the end.

    Attributes:
        folder: for files of the run.
        simulator: serves the load.
        broker: a real one.
        document: the node's configuration.
        config: the same as a file.
        feed: the node's status.
    """

    def __init__(self, load: Load, stack: ExitStack) -> None:
        self._load = load
        self._stack = stack
        self.folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="nexus-bench-")))
        self.simulator, ports = start_simulator(load, self.folder, stack)
        self.broker = stack.enter_context(MqttBroker(self.folder / "broker", kind="mosquitto"))
        self.document = describe(load, ports, self.broker, self.folder)
        self.config = self.write("edge.toml", self.document)
        self.feed = StatusFeed(self.broker)
        stack.callback(self.feed.close)

    def write(self, name: str, document: NodeDocument) -> Path:
        """Write a configuration and return its file."""
        file = self.folder / name
        file.write_text(format_toml(document))
        return file

    def start(self, name: str, argv: list[str]) -> Process:
        """Start a process that lives as long as the run."""
        log = self.folder / f"{name}.log"
        return self._stack.enter_context(Process(name, argv, log=log, env=environment()))

    def start_edge(self) -> Process:
        """Start the edge node and wait until every living device is online."""
        edge = self.start("edge", nexus("edge", "--config", str(self.config)))
        wait_online(self.feed, edge, self._load.devices - self._load.dead)
        return edge


@contextmanager
def edge_rig(load: Load) -> Iterator[EdgeRig]:
    """Start what is polled and what is published to.

    Raises:
        click.ClickException: there is no broker to start.
    """
    if find_mosquitto() is None:
        raise click.ClickException(
            "mosquitto is not installed, expected it on PATH: this benchmark publishes to a real"
            " broker (Debian: apt install mosquitto)"
        )
    with ExitStack() as stack:
        yield EdgeRig(load, stack)
