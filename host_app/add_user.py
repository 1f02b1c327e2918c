"""``--add-user``: a user without a running host."""

import sys

import click

from host_app.database import Database
from host_app.errors import ConfigError
from host_app.passwords import check_new_password
from host_app.settings import Secrets
from host_app.users import Role, Users


def read_password() -> str:
    """Ask for a password twice on a terminal, or take stdin's first line.

    Raises:
        ConfigError: it is too short or too long.
    """
    if sys.stdin.isatty():
        password: str = click.prompt("Password", hide_input=True, confirmation_prompt=True)
    else:
        password = sys.stdin.readline().rstrip("\r\n")
    try:
        return check_new_password(password)
    except ValueError as exc:
        raise ConfigError(str(exc)) from exc


async def store_user(secrets: Secrets, name: str, password: str, role: str | None) -> None:
    """Add a user, or set the password and role of one.

    Raises:
        ConfigError: no database is configured, or the name or password cannot be.
        StorageUnavailable: the database does not answer.
    """
    if secrets.database_url is None:
        raise ConfigError("no database is configured, set NEXUS_DATABASE_URL")
    database = Database(secrets.database_url)
    users = Users(database)
    try:
        await database.connect_once(users.load)
        await users.set_password(name, password, None if role is None else Role(role))
    except ValueError as exc:
        raise ConfigError(str(exc)) from exc
    finally:
        await database.close()
