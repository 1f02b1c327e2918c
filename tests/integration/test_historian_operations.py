"""What operators do to a database, and what happens to it: nothing received is lost by it.

And nothing is acknowledged that is not committed: each test compares the acknowledgements with the
rows that are there.
"""

import asyncio
import contextlib
import functools
import os
import pwd
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from deploy.local.broker import MqttBroker
from deploy.local.database import EmbeddedServer, find_programs
from proto.control.acknowledgement import Acknowledgement
from proto.sparkplug.codec import Metric
from proto.sparkplug.datatypes import DataType
from proto.sparkplug.topics import MessageType
from tests.conftest import leave_out
from tests.integration.historian_rig import Node, edge_node, now_ms, query, running, settled, until

pytestmark = [pytest.mark.asyncio, pytest.mark.timeout(240)]

DEVICE = "filler"
METRICS = 20
TABLESPACE_MIB = 24


@pytest.fixture
def node(mqtt_broker: MqttBroker) -> Iterator[Node]:
    with edge_node(mqtt_broker) as edge:
        yield edge


@pytest.fixture
def server(make_open_folder: Callable[[str], Path]) -> Iterator[EmbeddedServer]:
    """A database of the test's own."""
    with EmbeddedServer(make_open_folder("operated")).start() as running_server:
        yield running_server


class Acknowledged:
    """Payloads of the node that a historian says are committed."""

    def __init__(self, node: Node) -> None:
        self.timestamps: set[int] = set()
        topic = f"$nexus/ack/{node.node.group}/{node.node.edge}"
        node.client.message_callback_add(topic, lambda _c, _u, message: self._take(message.payload))
        node.client.subscribe(topic, 1)

    def _take(self, payload: bytes | bytearray) -> None:
        told = Acknowledgement.model_validate_json(payload)
        self.timestamps |= {timestamp_ms for timestamp_ms, _ in told.payloads}


def metrics(at: int, value: float, *, named: bool = False) -> list[Metric]:
    return [
        Metric(f"m{index}" if named else None, DataType.DOUBLE, value + index, at, alias=index + 1)
        for index in range(METRICS)
    ]


def birth(node: Node, at: int) -> None:
    node.birth()
    node.publish(MessageType.DBIRTH, metrics(at, 0, named=True), DEVICE, timestamp_ms=at)


def data(node: Node, at: int) -> None:
    node.publish(MessageType.DDATA, metrics(at, at % 1000), DEVICE, timestamp_ms=at)


def stored(url: str) -> dict[int, int]:
    """Give how many rows there are of each millisecond."""
    rows = query(
        url,
        "SELECT round(extract(epoch FROM time) * 1000)::bigint AS at, count(*) AS n"
        " FROM historian.sample GROUP BY 1",
    )
    return {row["at"]: row["n"] for row in rows}


def assert_complete(url: str, acknowledged: Acknowledged, sent: list[int]) -> None:
    """Every payload is there once, whole; what was acknowledged before is among them."""
    assert stored(url) == dict.fromkeys(sent, METRICS)
    assert acknowledged.timestamps <= set(sent)


def assert_honest(url: str, acknowledged: Acknowledged) -> None:
    """At this moment, what was acknowledged is committed.

    Called between two turns of the event loop, in which the historian does nothing.
    """
    told = set(acknowledged.timestamps)
    there = stored(url)
    assert {timestamp for timestamp in told if there.get(timestamp) != METRICS} == set()


async def test_killed_connections_neither_lose_nor_double(
    historian_databases: str, mqtt_broker: MqttBroker, node: Node
) -> None:
    url = historian_databases
    acknowledged = Acknowledged(node)
    async with running(mqtt_broker, url) as historian:
        at = now_ms() - 10_000
        birth(node, at)
        sent = [at]
        for number in range(1, 301):
            data(node, at + number)
            sent.append(at + number)
            if number % 30 == 0:
                await asyncio.sleep(0.02)
                query(
                    url,
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE application_name LIKE 'nexus-historian-%%'"
                    " AND datname = current_database()",
                )
                assert_honest(url, acknowledged)
        await settled(historian, len(sent) * METRICS)
        await until(lambda: acknowledged.timestamps == set(sent[1:]), "every acknowledgement")
        assert historian.counters.points_dropped == 0
    assert_complete(url, acknowledged, sent)


async def test_restarted_database_lacks_nothing(
    server: EmbeddedServer, mqtt_broker: MqttBroker, node: Node
) -> None:
    url = server.create_database("history")
    acknowledged = Acknowledged(node)
    async with running(mqtt_broker, url) as historian:
        at = now_ms() - 10_000
        birth(node, at)
        sent = [at]
        for number in range(1, 401):
            data(node, at + number)
            sent.append(at + number)
            if number in {100, 250}:
                before = len(acknowledged.timestamps)
                more = functools.partial(lambda known: len(acknowledged.timestamps) > known, before)
                await until(more, "an acknowledgement")
                await asyncio.to_thread(server.stop)
            if number in {200, 350}:
                # The historian stands still meanwhile: what is there was there before the stop.
                server.start()
                assert_honest(url, acknowledged)
            await asyncio.sleep(0)
        await settled(historian, len(sent) * METRICS)
        await until(lambda: acknowledged.timestamps == set(sent[1:]), "every acknowledgement")
        assert historian.counters.points_dropped == 0
    assert_complete(url, acknowledged, sent)


async def test_locked_table_is_waited_for(
    historian_databases: str, mqtt_broker: MqttBroker, node: Node
) -> None:
    url = historian_databases
    acknowledged = Acknowledged(node)
    with psycopg.connect(url, autocommit=True) as connection:
        name = connection.info.dbname
        connection.execute(f'ALTER DATABASE "{name}" SET lock_timeout = 100'.encode())
    async with running(mqtt_broker, url) as historian:
        at = now_ms() - 10_000
        birth(node, at)
        await settled(historian, METRICS)
        sent = [at]
        with psycopg.connect(url) as locker:
            locker.execute("SET lock_timeout = 0")
            locker.execute("LOCK TABLE historian.sample IN ACCESS EXCLUSIVE MODE")
            for number in range(1, 51):
                data(node, at + number)
                sent.append(at + number)
            await until(lambda: "lock timeout" in (historian._writer.away or ""), "the time-out")
            assert historian.status().database == "away"
            assert acknowledged.timestamps == set()
            locker.rollback()
        await settled(historian, len(sent) * METRICS)
        await until(lambda: acknowledged.timestamps == set(sent[1:]), "every acknowledgement")
        assert historian.counters.points_dropped == 0
    assert_complete(url, acknowledged, sent)


@pytest.fixture
def small_disk(make_open_folder: Callable[[str], Path]) -> Iterator[Path]:
    """Give a file system of a few MiB, for PostgreSQL's account."""
    folder = make_open_folder("disk")
    mount: list[str | Path] = [
        "mount",
        "-t",
        "tmpfs",
        "-o",
        f"size={TABLESPACE_MIB}m,mode=0711",
        "tmpfs",
        folder,
    ]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        leave_out("a file system that can be filled needs root and mount(2), found neither")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


async def test_full_disk_is_waited_for(
    server: EmbeddedServer, small_disk: Path, mqtt_broker: MqttBroker, node: Node
) -> None:
    space = small_disk / "space"
    space.mkdir()
    account = psutil.Process(server.process.pid).uids().real
    os.chown(space, account, -1)
    url = server.create_database("history")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"CREATE TABLESPACE small LOCATION '{space}'".encode())
        connection.execute("ALTER DATABASE history SET default_tablespace = small")
    acknowledged = Acknowledged(node)
    filler = small_disk / "filler"
    async with running(mqtt_broker, url) as historian:
        at = now_ms() - 100_000
        birth(node, at)
        await settled(historian, METRICS)
        sent = [at]
        with contextlib.suppress(OSError), filler.open("wb") as file:
            while True:
                file.write(bytes(1 << 16))
        # Pages that are there already still take some rows: send until no more fit.
        while historian._writer.away is None:
            for _ in range(20):
                data(node, at + len(sent))
                sent.append(at + len(sent))
            await asyncio.sleep(0.05)
            assert len(sent) < 50_000
        assert "No space left on device" in historian._writer.away
        assert set(acknowledged.timestamps) < set(sent)
        assert_honest(url, acknowledged)
        filler.unlink()
        await settled(historian, len(sent) * METRICS)
        await until(lambda: acknowledged.timestamps == set(sent[1:]), "every acknowledgement")
        assert historian.counters.points_dropped == 0
    assert_complete(url, acknowledged, sent)


@pytest.fixture
def standby(
    server: EmbeddedServer, make_open_folder: Callable[[str], Path]
) -> Iterator[EmbeddedServer]:
    """Give a second server that follows the first, which waits for it at each commit."""
    programs = find_programs()
    assert programs is not None
    folder = make_open_folder("standby")
    backup: list[str | Path] = [
        programs / "pg_basebackup",
        "--pgdata",
        folder / "data",
        "--write-recovery-conf",
    ]
    backup += ["--checkpoint=fast", "--dbname", make_conninfo(server.url(""), dbname=None)]
    subprocess.run(backup, check=True, capture_output=True)
    account = psutil.Process(server.process.pid).uids().real
    if os.geteuid() == 0:
        group = pwd.getpwuid(account).pw_gid
        for path in [folder / "data", *(folder / "data").rglob("*")]:
            os.chown(path, account, group, follow_symlinks=False)
    second = EmbeddedServer(folder)
    second._password = server._password
    with second.start():
        with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
            connection.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
            connection.execute("SELECT pg_reload_conf()")
        yield second


def kill(server: EmbeddedServer) -> None:
    """End the server without warning, with everything that it started."""
    root = psutil.Process(server.process.pid)
    family = [root, *root.children(recursive=True)]
    for process in family:
        if process.is_running():
            process.send_signal(signal.SIGKILL)
    psutil.wait_procs(family, timeout=10)
    server.stop()


async def test_promoted_standby_takes_over_and_lacks_nothing(
    server: EmbeddedServer, standby: EmbeddedServer, mqtt_broker: MqttBroker, node: Node
) -> None:
    server.create_database("history")
    both = make_conninfo(
        server.url("history"),
        host="127.0.0.1,127.0.0.1",
        port=f"{server.port},{standby.port}",
        target_session_attrs="read-write",
    )
    acknowledged = Acknowledged(node)
    async with running(mqtt_broker, both) as historian:
        at = now_ms() - 10_000
        birth(node, at)
        await settled(historian, METRICS)
        sent = [at]
        for number in range(1, 301):
            data(node, at + number)
            sent.append(at + number)
            if number == 100:
                await until(lambda: bool(acknowledged.timestamps), "an acknowledgement")
                await asyncio.to_thread(kill, server)
            await asyncio.sleep(0)
        await until(lambda: historian.status().database == "away", "the loss")
        # A standby takes nothing: it waits until somebody promotes it.
        there = await asyncio.to_thread(stored, standby.url("history"))
        assert all(there[timestamp] == METRICS for timestamp in acknowledged.timestamps)
        await asyncio.to_thread(query, standby.url("history"), "SELECT pg_promote()")
        await settled(historian, len(sent) * METRICS)
        await until(lambda: acknowledged.timestamps == set(sent[1:]), "every acknowledgement")
        assert historian.counters.points_dropped == 0
    assert_complete(standby.url("history"), acknowledged, sent)


async def test_stop_while_the_database_is_away_says_what_is_not_stored(
    server: EmbeddedServer, mqtt_broker: MqttBroker, node: Node
) -> None:
    url = server.create_database("history")
    acknowledged = Acknowledged(node)
    async with running(mqtt_broker, url, expect_complete=False, drain_s=1.0) as historian:
        at = now_ms()
        birth(node, at)
        await settled(historian, METRICS)
        kill(server)
        data(node, at + 1)
        await until(lambda: historian.counters.points_received == 2 * METRICS)
    assert historian.counters.points_pending == METRICS
    assert acknowledged.timestamps == set()
    await asyncio.to_thread(server.start)
    assert stored(url) == {at: METRICS}
