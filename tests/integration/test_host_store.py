"""Users, audit log and migrations on a real PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psycopg
import pytest

from deploy.local.database import Server
from host_app.audit import Audit, Entry
from host_app.database import Database
from host_app.errors import StorageUnavailable, UnknownUser
from host_app.migrations import migrate
from host_app.users import Role, Users

pytestmark = pytest.mark.asyncio


@asynccontextmanager
async def store(url: str) -> AsyncIterator[tuple[Database, Users, Audit]]:
    database = Database(url)
    users, audit = Users(database), Audit(database)
    tasks = [
        asyncio.create_task(database.run(users.load)),
        asyncio.create_task(audit.run()),
    ]
    try:
        async with asyncio.timeout(20):
            await database.wait_ready()
        yield database, users, audit
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_migrations_apply_once_also_from_two_processes_at_once(postgres_url: str) -> None:
    both = await asyncio.gather(*(asyncio.to_thread(migrate, postgres_url) for _ in range(2)))
    assert sorted(both, key=len) == [[], ["0001.users-and-audit"]]
    assert migrate(postgres_url) == []


async def test_user_signs_in_with_the_right_password_alone(postgres_url: str) -> None:
    async with store(postgres_url) as (_, users, _audit):
        assert users.is_empty
        await users.set_password("ada", "difference engine", Role.OPERATOR)
        assert await users.sign_in("ada", "analytical engine") is None
        assert await users.sign_in("bob", "difference engine") is None
        assert await users.sign_in("ada", "x" * 100_000) is None
        user = await users.sign_in("ada", "difference engine")
        assert user is not None
        assert (user.name, user.role, user.generation) == ("ada", Role.OPERATOR, 1)
        with psycopg.connect(postgres_url) as connection:
            row = connection.execute("SELECT password_hash FROM host.users").fetchone()
        assert row is not None
        assert row[0].startswith("$argon2id$")


async def test_changed_password_ends_sessions_and_an_unchanged_one_does_not(
    postgres_url: str,
) -> None:
    async with store(postgres_url) as (_, users, _audit):
        first = await users.set_password("ada", "difference engine")
        assert first.role is Role.ADMIN
        assert await users.set_password("ada", "difference engine") == first
        changed = await users.set_password("ada", "analytical engine")
        assert changed.generation == first.generation + 1
        assert users.find("ada") == changed
        demoted = await users.set_password("ada", "analytical engine", Role.VIEWER)
        assert (demoted.role, demoted.generation) == (Role.VIEWER, 3)
        await users.remove("ada")
        assert users.find("ada") is None
        with pytest.raises(UnknownUser, match="'ada' is not there"):
            await users.remove("ada")


async def test_short_password_and_empty_name_are_refused(postgres_url: str) -> None:
    async with store(postgres_url) as (_, users, _audit):
        with pytest.raises(ValueError, match="password has 5 characters, expected 8 to 1024"):
            await users.set_password("ada", "short")
        for name in (" ", "", "nul\x00", "\ud800", "line\nbreak"):
            with pytest.raises(ValueError, match="user name is"):
                await users.set_password(name, "long enough")
            assert await users.sign_in(name, "long enough") is None
        with pytest.raises(ValueError, match="expected text"):
            await users.set_password("ada", "\ud800" * 10)
        assert await users.sign_in("ada", "\ud800" * 10) is None


async def test_session_key_is_shared_and_outlives_the_process(postgres_url: str) -> None:
    async with store(postgres_url) as (_, one, _audit), store(postgres_url) as (_, two, _audit2):
        assert one.session_key == two.session_key


async def test_audit_keeps_entries_while_the_database_is_away(postgres_server: Server) -> None:
    url = postgres_server.create_database("audit_away")
    try:
        database = Database(url)
        users, audit = Users(database), Audit(database)
        audit.record(Entry(1_700_000_000_000, "ada", "write", "g/e/d/m", None, {"value": 1.5}))
        strange = {"v": "\x00", "s": "\ud800", "nan": float("nan"), "list": [float("inf"), b"x"]}
        audit.record(Entry(1_700_000_000_001, "nul\x00", "write", "\ud800", "::1", strange))
        with pytest.raises(StorageUnavailable, match="not connected yet"):
            await audit.latest(10)
        task = asyncio.create_task(database.run(users.load))
        async with asyncio.timeout(20):
            await database.wait_ready()
        await audit.flush()
        second, first = await audit.latest(10)
        assert first == Entry(1_700_000_000_000, "ada", "write", "g/e/d/m", None, {"value": 1.5})
        assert (second.actor, second.target) == ("nul", "?")
        assert second.detail == {"v": "", "s": "?", "nan": "nan", "list": ["inf", "b'x'"]}
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    finally:
        postgres_server.drop_database("audit_away")


async def test_lost_database_is_told_and_found_again(
    postgres_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("host_app.database.FIRST_PAUSE_S", 0.05)
    url = postgres_server.create_database("comes_and_goes")
    try:
        async with store(url) as (database, users, _audit):
            told: list[str | None] = []
            database.on_change = told.append
            with psycopg.connect(postgres_server.url("postgres"), autocommit=True) as admin:
                admin.execute("ALTER DATABASE comes_and_goes ALLOW_CONNECTIONS false")
                admin.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = 'comes_and_goes'"
                )
                async with asyncio.timeout(20):
                    while database.is_ready:
                        with pytest.raises(StorageUnavailable):
                            await users.sign_in("ada", "difference engine")
                        await asyncio.sleep(0.02)
                admin.execute("ALTER DATABASE comes_and_goes ALLOW_CONNECTIONS true")
            async with asyncio.timeout(20):
                await database.wait_ready()
            assert told[0] is not None
            assert told[-1] is None
    finally:
        postgres_server.drop_database("comes_and_goes")


async def test_host_without_database_says_how_to_name_one() -> None:
    database = Database(None)
    await database.run(Users(database).load)
    assert not database.is_ready
    with pytest.raises(StorageUnavailable, match="NEXUS_DATABASE_URL"):
        async with database.connection():
            pass
