"""Who may do what in the schema: an owner all, a writer what a historian does, a reader look.

Whom the owner once gave access keeps it over upgrades: what an upgrade adds is given to the same
roles again. Knows nothing of accounts and passwords; a role is a name that logins are members of.
"""

from collections.abc import Iterator, Mapping
from typing import Final, Literal

import psycopg
from psycopg import sql

Access = Literal["writer", "reader"]

_READ: Final = (
    "GRANT USAGE ON SCHEMA historian TO {role}",
    "GRANT SELECT ON ALL TABLES IN SCHEMA historian TO {role}",
)
_GRANTS: Final[Mapping[Access, tuple[str, ...]]] = {
    "reader": _READ,
    "writer": (
        *_READ,
        "GRANT INSERT ON historian.sample, historian.event TO {role}",
        "GRANT INSERT, UPDATE ON historian.metric TO {role}",
        "GRANT INSERT, DELETE ON historian.rollup_due TO {role}",
        "GRANT INSERT, UPDATE ON historian.current_value, historian.rollup_kept TO {role}",
        "GRANT EXECUTE ON FUNCTION historian.ensure_day(date) TO {role}",
        "GRANT EXECUTE ON FUNCTION historian.apply_retention() TO {role}",
    ),
}
_TEMP: Final = "GRANT TEMPORARY ON DATABASE {database} TO {role}"
_GRANTED: Final = """
    SELECT r.rolname, bool_or(acl.privilege_type = 'INSERT')
    FROM pg_class AS c
    CROSS JOIN LATERAL aclexplode(c.relacl) AS acl
    JOIN pg_roles AS r ON r.oid = acl.grantee
    WHERE c.oid = 'historian.sample'::regclass AND acl.grantee <> c.relowner
        AND acl.privilege_type IN ('INSERT', 'SELECT')
    GROUP BY r.rolname
"""


def ensure_role(connection: psycopg.Connection, role: str) -> bool:
    """Make a role that nobody can log in as, where there is none of that name.

    Returns:
        Whether it was made.

    Raises:
        psycopg.errors.InsufficientPrivilege: this account may not make roles.
    """
    found = connection.execute("SELECT FROM pg_roles WHERE rolname = %s", [role]).fetchone()
    if found is not None:
        return False
    connection.execute(sql.SQL("CREATE ROLE {} NOLOGIN").format(sql.Identifier(role)))
    return True


def grant(connection: psycopg.Connection, role: str, access: Access) -> None:
    """Give a role its access; what it has more is not taken away."""
    names = {"role": sql.Identifier(role), "database": sql.Identifier(connection.info.dbname)}
    for statement in _GRANTS[access]:
        connection.execute(sql.SQL(statement).format(**names))
    if access == "writer":
        connection.execute(sql.SQL(_TEMP).format(**names))


def list_grants(connection: psycopg.Connection) -> Iterator[tuple[str, Access]]:
    """Whom the owner has given access, and which."""
    for role, may_write in connection.execute(_GRANTED).fetchall():
        yield role, "writer" if may_write else "reader"
