"""Signing in, what protects it, and what each role may do; the application on a real database."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from argon2 import PasswordHasher
from quart import Quart
from quart.typing import TestClientProtocol as Client

from historian.queries import History
from host_app.audit import Audit
from host_app.database import Database
from host_app.service import HostService
from host_app.users import Role, Users
from web.app import create_app
from web.context import WebOptions
from web.security import HEADERS

pytestmark = pytest.mark.asyncio

PASSWORD = "correct horse battery"
PASSWORD_HASH = PasswordHasher().hash(PASSWORD)


@asynccontextmanager
async def console(
    url: str | None, options: WebOptions | None = None, history: History | None = None
) -> AsyncIterator[tuple[Quart, Users, Audit]]:
    """Run the application without brokers, with one user of each role."""
    database = Database(url)
    users, audit = Users(database), Audit(database)
    service = HostService("nexus", [], audit)
    app, _ = create_app(service, users, audit, database, options, history=history)
    if url is not None:
        await database.connect_once(users.load)
        async with database.connection() as connection:
            await connection.executemany(
                "INSERT INTO host.users (name, role, password_hash) VALUES ($1, $1, $2)",
                [(role.value, PASSWORD_HASH) for role in Role],
            )
        await users.load()
    try:
        yield app, users, audit
    finally:
        await database.close()


async def sign_in(client: Client, name: str, password: str = PASSWORD) -> int:
    answer = await client.post("/api/v1/session", json={"username": name, "password": password})
    return answer.status_code


async def test_right_password_gives_a_session_and_signing_out_ends_it(postgres_url: str) -> None:
    async with console(postgres_url) as (app, _, audit):
        client = app.test_client()
        assert (await client.get("/api/v1/session")).status_code == 401
        assert await sign_in(client, "admin") == 200
        answer = await client.get("/api/v1/session")
        assert await answer.get_json() == {"username": "admin", "role": "admin"}
        assert (await client.delete("/api/v1/session")).status_code == 200
        assert (await client.get("/api/v1/session")).status_code == 401
        await audit.flush()
        actions = [entry.action for entry in await audit.latest(10)]
        assert actions == ["sign_out", "sign_in"]


async def test_wrong_password_and_unknown_user_get_the_same_answer(postgres_url: str) -> None:
    async with console(postgres_url) as (app, _, audit):
        client = app.test_client()
        answers = [
            await client.post("/api/v1/session", json={"username": name, "password": "wrong pass"})
            for name in ("admin", "nobody")
        ]
        assert [a.status_code for a in answers] == [401, 401]
        bodies = [await a.get_json() for a in answers]
        assert bodies == [{"error": "user name or password is wrong"}] * 2
        assert all("Set-Cookie" not in a.headers for a in answers)
        await audit.flush()
        assert {e.action for e in await audit.latest(10)} == {"sign_in_failed"}


async def test_names_that_no_database_can_hold_are_wrong_and_nothing_more(
    postgres_url: str,
) -> None:
    async with console(postgres_url) as (app, _, audit):
        client = app.test_client()
        for name, password, status in (
            ("\ud800", "x", 400),
            ("admin", "\ud800", 400),
            ("nul\x00", "x", 401),
            ("admin", "nul\x00", 401),
            ("' OR 1=1 --", "x", 401),
        ):
            assert await sign_in(client, name, password) == status
        await audit.flush()
        assert len(await audit.latest(10)) == 3


async def test_guessing_is_slowed_down_whatever_the_client_says_of_its_address(
    postgres_url: str,
) -> None:
    async with console(postgres_url) as (app, _, _audit):
        client = app.test_client()
        # All at once: the limit lets one more pass every six seconds.
        answers = await asyncio.gather(
            *(
                client.post(
                    "/api/v1/session",
                    json={"username": "x", "password": "wrong"},
                    headers={"X-Forwarded-For": f"10.0.0.{number}"},
                )
                for number in range(12)
            )
        )
        assert sorted(answer.status_code for answer in answers) == [401] * 10 + [429] * 2
        refused = next(answer for answer in answers if answer.status_code == 429)
        assert "too many attempts" in (await refused.get_json())["error"]
        assert int(refused.headers["Retry-After"]) > 0


@pytest.mark.parametrize(
    ("options", "flags"),
    [
        (WebOptions(), {"nexus_session", "HttpOnly", "SameSite=Strict", "Path=/"}),
        (
            WebOptions(public_url="https://plant.example"),
            {"__Host-nexus", "HttpOnly", "SameSite=Strict", "Path=/", "Secure"},
        ),
    ],
)
@pytest.mark.filterwarnings("ignore:Secure cookies:UserWarning")  # the test client speaks http
async def test_cookie_is_out_of_reach_of_scripts_and_other_sites(
    postgres_url: str, options: WebOptions, flags: set[str]
) -> None:
    async with console(postgres_url, options) as (app, _, _audit):
        answer = await app.test_client().post(
            "/api/v1/session", json={"username": "admin", "password": PASSWORD}
        )
        parts = {p.strip().partition("=")[0] for p in answer.headers["Set-Cookie"].split(";")}
        found = {p.strip() for p in answer.headers["Set-Cookie"].split(";")} | parts
        assert flags <= found
        assert ("Secure" in found) == options.is_secure
        assert ("Strict-Transport-Security" in answer.headers) == options.is_secure


async def test_changed_password_ends_the_session(postgres_url: str) -> None:
    async with console(postgres_url) as (app, users, _audit):
        client = app.test_client()
        assert await sign_in(client, "viewer") == 200
        await users.set_password("viewer", "another long one")
        assert (await client.get("/api/v1/session")).status_code == 401


async def test_requests_of_other_origins_and_forms_are_refused(postgres_url: str) -> None:
    async with console(postgres_url) as (app, _, _audit):
        client = app.test_client()
        body = {"username": "admin", "password": PASSWORD}
        for origin in ("https://evil.example", "null", "http://localhost:1234", "http://[bad"):
            answer = await client.post("/api/v1/session", json=body, headers={"Origin": origin})
            assert answer.status_code == 403, origin
        answer = await client.post(
            "/api/v1/session", json=body, headers={"Origin": "http://localhost"}
        )
        assert answer.status_code == 200
        answer = await client.post("/api/v1/session", form=body)
        assert answer.status_code == 415


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"{", "body"),
        (b"[]", "body"),
        (b'{"username": "a"}', "password: Field required"),
        (b'{"username": 1, "password": "x"}', "username"),
        (b'{"username": "a", "password": "x", "role": "admin"}', "role"),
    ],
)
async def test_body_that_is_not_as_expected_is_refused_with_the_place(
    postgres_url: str, body: bytes, error: str
) -> None:
    async with console(postgres_url) as (app, _, _audit):
        answer = await app.test_client().post(
            "/api/v1/session", data=body, headers={"Content-Type": "application/json"}
        )
        assert answer.status_code == 400
        assert error in (await answer.get_json())["error"]


@pytest.mark.parametrize("role", list(Role))
async def test_roles_may_do_what_they_are_for(postgres_url: str, role: Role) -> None:
    write = {"group": "g", "edge": "e", "metric": "m", "value": 1}
    async with console(postgres_url) as (app, _, _audit):
        client = app.test_client()
        assert await sign_in(client, role.value) == 200
        assert (await client.get("/api/v1/nodes")).status_code == 200
        may_write = role is not Role.VIEWER
        answer = await client.post("/api/v1/write", json=write)
        assert answer.status_code == (404 if may_write else 403)
        answer = await client.post("/api/v1/rebirth", json={"group": "g", "edge": "e"})
        assert answer.status_code == (404 if may_write else 403)
        answer = await client.get("/api/v1/audit")
        assert answer.status_code == (200 if role is Role.ADMIN else 403)


async def test_every_resource_but_health_needs_a_session(postgres_url: str) -> None:
    async with console(postgres_url) as (app, _, _audit):
        client = app.test_client()
        document = await (await client.get("/api/v1/openapi.json")).get_json()
        open_to_all = {"/healthz", "/readyz", "/metrics", "/api/v1/session"}
        checked = 0
        for path, methods in document["paths"].items():
            if path in open_to_all:
                continue
            for method in methods:
                body = {} if method == "get" else {"json": _valid_body(path)}
                answer = await getattr(client, method)(path, **body)
                assert answer.status_code == 401, (method, path)
                checked += 1
        assert checked >= 4


def _valid_body(path: str) -> dict[str, object]:
    node: dict[str, object] = {"group": "g", "edge": "e"}
    return node | {"metric": "m", "value": 1} if path.endswith("/write") else node


async def test_console_without_database_says_why_nobody_can_sign_in() -> None:
    async with console(None) as (app, _, _audit):
        client = app.test_client()
        answer = await client.post("/api/v1/session", json={"username": "a", "password": "b"})
        assert answer.status_code == 503
        assert "NEXUS_DATABASE_URL" in (await answer.get_json())["error"]
        assert (await client.get("/healthz")).status_code == 200


async def test_session_is_not_called_ended_before_the_users_were_read(postgres_url: str) -> None:
    async with console(postgres_url) as (app, _, _):
        client = app.test_client()
        assert await sign_in(client, "admin") == 200
        assert client.cookie_jar is not None
        (cookie,) = client.cookie_jar
    restarted = Database(postgres_url)
    users = Users(restarted)
    app, _ = create_app(
        HostService("nexus", [], Audit(restarted)), users, Audit(restarted), restarted
    )
    client = app.test_client()
    client.set_cookie("localhost", cookie.name, str(cookie.value))
    answer = await client.get("/api/v1/session")
    assert answer.status_code == 503
    told = "the host has not read its users yet, database: not connected yet"
    assert await answer.get_json() == {"error": told}
    await restarted.connect_once(users.load)
    try:
        answer = await client.get("/api/v1/session")
        assert await answer.get_json() == {"username": "admin", "role": "admin"}
    finally:
        await restarted.close()


async def test_first_sign_in_without_users_says_how_to_make_one(postgres_url: str) -> None:
    async with console(postgres_url) as (app, users, _audit):
        for role in Role:
            await users.remove(role.value)
        answer = await app.test_client().post(
            "/api/v1/session", json={"username": "admin", "password": "x"}
        )
        assert answer.status_code == 401
        assert "--add-user" in (await answer.get_json())["error"]


async def test_answers_carry_the_headers_that_protect_browsers() -> None:
    async with console(None) as (app, _, _audit):
        client = app.test_client()
        for path in ("/", "/api/v1/session", "/nowhere", "/healthz"):
            answer = await client.get(path)
            for name, value in HEADERS.items():
                assert answer.headers[name] == value
        assert (await client.get("/api/v1/nodes")).headers["Cache-Control"] == "no-store"


async def test_page_is_served_when_it_was_built_and_says_so_when_not(tmp_path: Path) -> None:
    async with console(None, WebOptions(static=tmp_path)) as (app, _, _audit):
        client = app.test_client()
        answer = await client.get("/")
        assert answer.status_code == 503
        assert "has not been built" in await answer.get_data(as_text=True)
        (tmp_path / "assets").mkdir()
        (tmp_path / "index.html").write_text("<p>page</p>")
        (tmp_path / "assets" / "index-1.js").write_text("1")
        answer = await client.get("/")
        assert await answer.get_data(as_text=True) == "<p>page</p>"
        assert answer.headers["Cache-Control"] == "no-cache"
        asset = await client.get("/assets/index-1.js")
        assert "immutable" in asset.headers["Cache-Control"]
        assert (await client.get("/../pyproject.toml")).status_code == 404
        assert (await client.get("/api/v1/nothing")).status_code == 404


async def test_password_flood_leaves_the_loop_responsive(postgres_url: str) -> None:
    async with console(postgres_url) as (app, users, _audit):
        flood = [asyncio.create_task(users.sign_in("admin", "wrong one")) for _ in range(8)]
        await asyncio.sleep(0)
        async with asyncio.timeout(1):
            assert (await app.test_client().get("/healthz")).status_code == 200
        assert await asyncio.gather(*flood) == [None] * 8
