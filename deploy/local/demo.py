"""``nexus demo``: the whole suite on a simulated plant, with everything it needs brought along."""

import json
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
import urllib.error
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

import click
import psycopg

from deploy.local.broker import BrokerKind, find_mosquitto
from deploy.local.guide import describe_stack
from deploy.local.history import History
from deploy.local.process import ProcessError
from deploy.local.settings import SettingError, Settings
from deploy.local.stack import Interrupted, Ports, Stack, StackError

_TICK_S = 0.1


@dataclass(slots=True)
class Figures:
    """What a run came to; the last line of ``--json``."""

    ok: bool = False
    seconds: float = 0.0
    """How long the edge node ran."""
    seconds_to_first_row: float | None = None
    """From the start of the program to the first row that SQL sees."""
    points_published: int = 0
    points_stored: int = 0
    """Rows of the edge node that SQL sees."""
    points_duplicate: int = 0
    points_lost: int = 0
    nodes_online: int = 0
    """As the host sees it just before the end."""
    broker: str = ""
    problem: str | None = None


@click.command()
@click.option(
    "--seconds",
    type=click.FloatRange(min=1),
    help="Run this long, then stop by itself.",
)
@click.option("--json", "as_json", is_flag=True, help="End with the figures as one JSON line.")
@click.option(
    "--console-port",
    type=click.IntRange(0, 65_535),
    help="Port of the console; 0 has one chosen.  [default: 8080, or one that is free]",
)
@click.option(
    "--mqtt-port", type=click.IntRange(0, 65_535), help="Port of the broker.  [default: any]"
)
@click.option(
    "--database-port",
    type=click.IntRange(0, 65_535),
    help="Port of the embedded PostgreSQL.  [default: any]",
)
@click.option(
    "--broker",
    type=click.Choice(["mosquitto", "amqtt"]),
    help="Which broker to start.  [default: mosquitto where it is installed, else amqtt]",
)
def demo(
    *,
    seconds: float | None,
    as_json: bool,
    console_port: int | None,
    mqtt_port: int | None,
    database_port: int | None,
    broker: BrokerKind | None,
) -> None:
    """Run the whole suite on a simulated bottling plant.

    Everything is started on this machine and ends with Ctrl-C: a database (NEXUS_DATABASE_URL if
    set, else an embedded PostgreSQL), a broker (NEXUS_MQTT_URL if set, else mosquitto or amqtt), a
    simulated PLC on Modbus TCP, an edge node, the host with its console and the historian.

    The exit status is 0 only if data flowed and none of it was lost.
    """
    if broker == "mosquitto" and find_mosquitto() is None:
        raise click.UsageError("--broker mosquitto: it is not on PATH, expected it installed")
    stopping = threading.Event()
    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, lambda *_: stopping.set())
    try:
        settings = Settings.read()
    except SettingError as exc:
        raise click.UsageError(str(exc)) from exc
    figures = Figures()
    with _run_folder(figures) as folder:
        stack = Stack(
            settings=settings,
            ports=Ports(console_port, mqtt_port, database_port),
            broker=broker,
            folder=folder,
            log_level=click.get_current_context().find_root().params["log_level"],
            say=_say,
            stopping=stopping,
        )
        try:
            _run(stack, stopping, seconds, figures)
        except (ProcessError, StackError, psycopg.Error, urllib.error.URLError) as exc:
            figures.problem = str(exc).strip()
        except Interrupted:
            figures.problem = "stopped before everything had started"
        finally:
            stack.stop()
            stack.close()
    if figures.problem is None:
        figures.problem = _judge(figures)
    figures.ok = figures.problem is None
    if as_json:
        click.echo(json.dumps(asdict(figures)))
    elif figures.seconds:
        _say(_summary(figures))
    if figures.problem is not None:
        raise click.ClickException(figures.problem)


def _run(stack: Stack, stopping: threading.Event, seconds: float | None, figures: Figures) -> None:
    """Start, watch until the end, stop, and fill in the figures."""
    stack.start()
    figures.broker = stack.broker_kind
    history = History(stack.database_url, stack.node, stack.started_ms)
    print(describe_stack(stack), file=sys.stderr, flush=True)
    started = time.monotonic()
    try:
        with _LiveLine() as line:
            while not stopping.wait(_TICK_S):
                stack.check()
                if figures.seconds_to_first_row is None and history.has_rows():
                    figures.seconds_to_first_row = round(_seconds_since_start(), 2)
                figures.seconds = time.monotonic() - started
                if seconds is not None and figures.seconds >= seconds:
                    break
                line.show(stack, figures)
        figures.nodes_online = stack.console.count_nodes_online()
        _say("stopping")
        stack.stop(lambda: _read_points(stack, history, figures) == 0)
        figures.seconds = round(figures.seconds, 2)
        if figures.seconds_to_first_row is None and history.has_rows():
            figures.seconds_to_first_row = round(_seconds_since_start(), 2)  # ended at once
        _read_points(stack, history, figures)
    finally:
        history.close()


def _read_points(stack: Stack, history: History, figures: Figures) -> int:
    """Bring the figures up to date; return how many points are missing in the database."""
    node, historian = stack.watch.node, stack.watch.historian
    figures.points_published = node.counters.points_published if node else 0
    figures.points_duplicate = historian.points_duplicate if historian else 0
    figures.points_stored = history.count_rows()
    kept = figures.points_stored + figures.points_duplicate
    figures.points_lost = max(0, figures.points_published - kept)
    return figures.points_lost


def _judge(figures: Figures) -> str | None:
    """Return what is wrong with a run that came to its end, or None."""
    if not figures.points_published:
        return "the edge node published nothing"
    if figures.seconds_to_first_row is None:
        return "no row was stored"
    if figures.points_lost:
        return f"{figures.points_lost} of {figures.points_published} points are not in the database"
    if not figures.nodes_online:
        return "the host saw no edge node online"
    return None


def _summary(figures: Figures) -> str:
    return (
        f"{figures.points_published:,} points published, {figures.points_stored:,} stored"
        f" ({figures.points_duplicate:,} told twice), {figures.points_lost:,} lost"
    )


@contextmanager
def _run_folder(figures: Figures) -> Iterator[Path]:
    """Make this run's folder; at the end all of it goes, but for the logs of a run that failed."""
    folder = Path(tempfile.mkdtemp(prefix="nexus-demo-"))
    # As root, PostgreSQL runs under another account and must be able to pass.
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        failed = figures.problem is not None or sys.exc_info()[0] is not None
        if failed:
            shutil.rmtree(folder / "data", ignore_errors=True)
        else:
            shutil.rmtree(folder, ignore_errors=True)


class _LiveLine:
    """One line on a terminal, written over once a second."""

    def __init__(self) -> None:
        self._on = sys.stderr.isatty()
        self._next = 0.0

    def show(self, stack: Stack, figures: Figures) -> None:
        if not self._on or time.monotonic() < self._next:
            return
        self._next = time.monotonic() + 1
        node, historian = stack.watch.node, stack.watch.historian
        online = sum(d.state == "online" for d in node.devices.values()) if node else 0
        published = node.counters.points_published if node else 0
        stored = historian.points_stored if historian else 0
        text = (
            f"{figures.seconds:.0f} s · {online} devices online · {published:,} points published"
            f" · {stored:,} stored · Ctrl-C stops"
        )
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._on:
            print("\r\033[K", end="", file=sys.stderr, flush=True)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _seconds_since_start() -> float:
    """Return the age of this process, which was the launcher before it was Python."""
    try:
        # proc(5): field 22 is the start, in clock ticks since boot; names may hold blanks.
        fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
        uptime = float(Path("/proc/uptime").read_text().split()[0])
    except OSError:
        return time.perf_counter() - _IMPORTED
    return uptime - int(fields[19]) / os.sysconf("SC_CLK_TCK")


_IMPORTED = time.perf_counter()
