"""The edge node's commands: run one, check configuration files."""

import gc
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import structlog
import trio

from edge_node.app import EdgeNode
from edge_node.bd_seq import BdSeqFile
from edge_node.browse_cli import browse, import_tags
from edge_node.config import load
from edge_node.endpoints import make_endpoints
from edge_node.errors import ConfigurationRejected, StateUnavailable
from edge_node.probe_cli import read
from edge_node.reload import ConfigurationFile
from proto.sparkplug.topics import NodeId

EXIT_FAILED = 1
EXIT_CONFIGURATION = 2

_OBJECTS_BEFORE_LOOKING = 50_000
"""How many more objects there must be before the garbage collector looks at them. Values on their
way are tuples, a quarter of a million a second on a large plant and never garbage in a cycle: at
Python's own 700, a fifth of the time went into looking at them."""

_FILE = click.Path(path_type=Path, dir_okay=False)

log = structlog.get_logger(__name__)


@click.group(invoke_without_command=True)
@click.option("--config", "file", type=_FILE, help="The node's TOML file, to run the node.")
@click.option("--watch", is_flag=True, help="Read the file again whenever it changes.")
@click.pass_context
def edge(context: click.Context, file: Path | None, watch: bool) -> None:
    """Run an edge node: poll its devices, publish Sparkplug B and the UNS mirror.

    Stops cleanly on SIGTERM and SIGINT; reads its file again on SIGHUP.
    """
    if context.invoked_subcommand is not None:
        return
    if file is None:
        raise click.UsageError("Missing option '--config'.")
    run_node(file, watch=watch)


edge.add_command(read)
edge.add_command(browse)
edge.add_command(import_tags)


def run_node(file: Path, *, watch: bool = False) -> None:
    """Run the node of a configuration file until it is told to stop.

    Args:
        file: TOML.
        watch: have it read again when it changes, not on SIGHUP only.
    """
    # Until the node listens, a reload is no more than the start that is under way.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with _building():
            edge_node, bd_seq = build_node(file, watch=watch)
    except ConfigurationRejected as exc:
        _print_mistakes(exc.mistakes)
        sys.exit(EXIT_CONFIGURATION)
    except StateUnavailable as exc:
        click.echo(f"{file}: node.{exc}", err=True)
        sys.exit(EXIT_FAILED)
    trio.run(_run, edge_node)
    bd_seq.close()
    if edge_node.reboot_requested:
        sys.stderr.flush()
        # The same program with the same arguments and environment, in the same process.
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606  # no shell


def build_node(file: Path, *, watch: bool) -> tuple[EdgeNode, BdSeqFile]:
    """Return the node of a file; nothing of what was only needed to make it outlives the call.

    Raises:
        ConfigurationRejected: every mistake of the file.
        StateUnavailable: the node's state cannot be read, or another process has it.
    """
    configuration = load(file, whole=False)
    node = configuration.document.node
    client_id = f"nexus-edge-{node.group}-{node.edge}"
    endpoints = make_endpoints(configuration.document.mqtt, client_id)
    bd_seq = BdSeqFile(node.state_dir, NodeId(node.group, node.edge))
    return EdgeNode(configuration, endpoints, bd_seq, ConfigurationFile(file, watch)), bd_seq


@contextmanager
def _building() -> Iterator[None]:
    """Build what lives as long as the process, out of the garbage collector's sight.

    A large plant is half a million objects; looking through them stops all polling for most of a
    second, and there is never anything to find.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.set_threshold(_OBJECTS_BEFORE_LOOKING, *gc.get_threshold()[1:])
        gc.enable()


async def _run(node: EdgeNode) -> None:
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    with trio.open_signal_receiver(*numbers) as signals:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_wait_signal, signals, node)
            await node.run()
            nursery.cancel_scope.cancel()


async def _wait_signal(signals: AsyncIterator[int], node: EdgeNode) -> None:
    async for number in signals:
        log.info("signal_received", signal=signal.Signals(number).name)
        if number == signal.SIGHUP:
            node.reload()
        else:
            node.stop()


@click.command()
@click.argument("files", type=_FILE, nargs=-1, required=True)
def check(files: tuple[Path, ...]) -> None:
    """Check configuration FILES and print every mistake as ``file: path: message``.

    Of a sound file, how much it describes. Exit status 0 when all are sound, 2 otherwise.
    """
    failed = False
    for file in files:
        try:
            devices = load(file).document.devices
        except ConfigurationRejected as exc:
            failed = True
            _print_mistakes(exc.mistakes)
        else:
            tags = sum(len(device.tags) for device in devices)
            held = f"{_count(len(devices), 'device')}, {_count(tags, 'tag')}"
            click.echo(f"{file}: no mistake, {held}")
    if failed:
        sys.exit(EXIT_CONFIGURATION)


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _print_mistakes(mistakes: tuple[str, ...]) -> None:
    for mistake in mistakes:
        click.echo(mistake, err=True)
