"""Who may sign in: names, argon2 hashes, roles, and the key that signs sessions.

A session names its user and the user's generation. Generations are kept in memory, so that sessions
go on while the database is away; a changed password or role raises the generation and ends them.
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import structlog

from host_app.database import Database
from host_app.errors import UnknownUser
from host_app.passwords import check_new_password, hash_password, verify_password

log = structlog.get_logger(__name__)

_KEY_BYTES: Final = 32


def is_name(name: str) -> bool:
    """Whether a user can be called that: not blank, and nothing that cannot be shown or stored."""
    return bool(name.strip()) and name.isprintable()


class Role(StrEnum):
    """What a user may do; each may what the ones before it may."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    """May write values and ask for rebirths."""
    ADMIN = "admin"
    """May see the audit log."""

    def includes(self, wanted: "Role") -> bool:
        """Whether this role may do what ``wanted`` may."""
        order = list(Role)
        return order.index(self) >= order.index(wanted)


@dataclass(frozen=True, slots=True)
class User:
    """Somebody who is signed in."""

    name: str
    role: Role
    generation: int


class Users:
    """The users in the database, with what is needed of them in memory.

    Attributes:
        session_key: signs session cookies; shared by all hosts of one database. Random until the
            database was reached, so that no cookie is valid then.
        on_session_key: called with the key when it has changed.
    """

    def __init__(self, database: Database) -> None:
        self.session_key = secrets.token_hex(_KEY_BYTES)
        self.on_session_key: Callable[[str], None] = _ignore
        self._database = database
        self._known: dict[str, User] = {}
        self._is_read = False

    @property
    def is_read(self) -> bool:
        """Whether the users were read since the host started; until then it knows no session."""
        return self._is_read

    @property
    def is_empty(self) -> bool:
        """Whether the database was reached and has no user."""
        return self._database.is_ready and not self._known

    def find(self, name: str) -> User | None:
        """Return a user as last read."""
        return self._known.get(name)

    async def load(self) -> None:
        """Read the users and the session key, which is made where there is none.

        Raises:
            StorageUnavailable: the database does not answer.
        """
        async with self._database.connection() as connection:
            await connection.execute(
                "INSERT INTO host.secret (name, value) VALUES ('session_key', $1)"
                " ON CONFLICT DO NOTHING",
                secrets.token_bytes(_KEY_BYTES),
            )
            key: bytes = await connection.fetchval(
                "SELECT value FROM host.secret WHERE name = 'session_key'"
            )
            rows = await connection.fetch("SELECT name, role, generation FROM host.users")
        if self.session_key != key.hex():
            self.session_key = key.hex()
            self.on_session_key(self.session_key)
        self._known = {
            row["name"]: User(row["name"], Role(row["role"]), row["generation"]) for row in rows
        }
        self._is_read = True

    async def sign_in(self, name: str, password: str) -> User | None:
        """Return the user when the password is right.

        Raises:
            StorageUnavailable: the database does not answer.
        """
        async with self._database.connection() as connection:
            row = await connection.fetchrow(
                "SELECT name, role, generation, password_hash FROM host.users WHERE name = $1",
                name if is_name(name) else "",
            )
        right = await verify_password(password, None if row is None else row["password_hash"])
        if row is None or not right:
            return None
        user = self._known[name] = User(name, Role(row["role"]), row["generation"])
        return user

    async def set_password(self, name: str, password: str, role: Role | None = None) -> User:
        """Add a user, or change one; an unchanged password leaves sessions alone.

        Args:
            name: not empty.
            password: checked for its length.
            role: the new role; a new user without one is an admin, an old one keeps theirs.

        Raises:
            ValueError: the password is too short or too long, or the name is none.
            StorageUnavailable: the database does not answer.
        """
        check_new_password(password)
        if not is_name(name):
            raise ValueError(f"user name is {name!r}, expected text that can be shown")
        async with self._database.connection() as connection:
            row = await connection.fetchrow(
                "SELECT role, password_hash FROM host.users WHERE name = $1", name
            )
        if (
            row is not None
            and role in {None, row["role"]}
            and await verify_password(password, row["password_hash"])
        ):
            return self._known[name]
        password_hash = await hash_password(password)
        async with self._database.connection() as connection:
            row = await connection.fetchrow(
                "INSERT INTO host.users (name, password_hash, role)"
                " VALUES ($1, $2, coalesce($3, 'admin')) ON CONFLICT (name) DO UPDATE"
                " SET password_hash = excluded.password_hash,"
                " role = coalesce($3, users.role),"
                " generation = users.generation + 1, changed_at = now()"
                " RETURNING role, generation",
                name,
                password_hash,
                role,
            )
        assert row is not None  # noqa: S101  # RETURNING after an upsert always gives a row
        user = self._known[name] = User(name, Role(row["role"]), row["generation"])
        log.info("user_password_set", user=name, role=user.role.value)
        return user

    async def remove(self, name: str) -> None:
        """Remove a user and end their sessions.

        Raises:
            UnknownUser: there is none of that name.
            StorageUnavailable: the database does not answer.
        """
        async with self._database.connection() as connection:
            removed = await connection.execute("DELETE FROM host.users WHERE name = $1", name)
        self._known.pop(name, None)
        if removed == "DELETE 0":
            raise UnknownUser(f"user {name!r} is not there, expected an existing one")


def _ignore(_key: str) -> None:
    pass
