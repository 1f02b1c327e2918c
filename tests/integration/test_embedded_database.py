"""The embedded PostgreSQL asks for its password and runs also for root."""

import os
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from deploy.local import database
from deploy.local.database import EmbeddedServer


@pytest.fixture
def folder(make_open_folder: Callable[[str], Path]) -> Path:
    return make_open_folder("database")


def test_nobody_signs_in_without_the_password(folder: Path) -> None:
    with EmbeddedServer(folder, durable=False).start() as server:
        wrong = server.url("postgres").replace(server.url().split(":")[2].split("@")[0], "guess")
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(wrong)


def test_data_outlives_a_restart(folder: Path) -> None:
    server = EmbeddedServer(folder, durable=False)
    with server.start():
        url = server.create_database("plant")
        with psycopg.connect(url) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 1 AS x")
    with server.start(), psycopg.connect(url) as connection:
        assert connection.execute("SELECT x FROM kept").fetchone() == (1,)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root starts it under another account")
def test_programs_that_the_servers_account_may_not_read_are_copied(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reachable = database._reachable
    monkeypatch.setattr(
        database, "_reachable", lambda path, user: path.name != "postgres" and reachable(path, user)
    )
    with EmbeddedServer(folder, durable=False).start() as server:
        assert server.process.argv[0].startswith("/var/tmp/nexus-postgres-")  # noqa: S108  # root's
        psycopg.connect(server.url("postgres")).close()
