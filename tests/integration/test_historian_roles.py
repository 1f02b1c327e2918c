"""Owner, writer and reader: each can do what it is for, and nothing more."""

import secrets
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
from click.testing import CliRunner
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from deploy.local.broker import MqttBroker
from historian.__main__ import historian
from historian.database import Connection
from historian.errors import SchemaMismatch
from historian.maintenance import Maintenance
from historian.queries import AGGREGATES, History, Selection
from historian.schema import migrate as migrations
from historian.schema.migrate import migrate, normalize_url
from proto.sparkplug.codec import Metric
from proto.sparkplug.datatypes import DataType
from proto.sparkplug.topics import MessageType
from tests.integration.historian_rig import Node, edge_node, now_ms, query, running, settled

DAY_MS = 86_400_000


class Accounts:
    """A writer and a reader who can log in, members of roles that the owner gave access."""

    def __init__(self, owner_url: str) -> None:
        self.owner = owner_url
        mark = secrets.token_hex(4)
        self.roles = {access: f"test_{access}_{mark}" for access in ("writer", "reader")}
        self.logins = {access: f"{role}_login" for access, role in self.roles.items()}
        self.password = secrets.token_urlsafe(12)

    def url(self, access: str) -> str:
        place = conninfo_to_dict(self.owner) | {
            "user": self.logins[access],
            "password": self.password,
        }
        return normalize_url(make_conninfo("", **place))

    def make_logins(self) -> None:
        self.run("CREATE ROLE {login} LOGIN PASSWORD {password} IN ROLE {role}")

    def drop(self) -> None:
        self.run("DROP ROLE IF EXISTS {login}")
        self.run("DROP OWNED BY {role}")
        self.run("DROP ROLE IF EXISTS {role}")

    def run(self, statement: str) -> None:
        with psycopg.connect(self.owner, autocommit=True) as connection:
            for access, role in self.roles.items():
                names = {
                    "role": sql.Identifier(role),
                    "login": sql.Identifier(self.logins[access]),
                    "password": sql.Literal(self.password),
                }
                connection.execute(sql.SQL(statement).format(**names))


@pytest.fixture
def accounts(historian_databases: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Accounts]:
    accounts = Accounts(historian_databases)
    monkeypatch.setenv("NEXUS_DATABASE_URL", historian_databases)
    give = [part for access, role in accounts.roles.items() for part in (f"--{access}", role)]
    for made in (", made now", ""):
        run = CliRunner().invoke(historian, ["migrate", *give])
        assert run.exit_code == 0, run.output
        assert f"{accounts.roles['writer']} is a writer{made}\n" in run.stderr
    accounts.make_logins()
    yield accounts
    accounts.drop()


@pytest.fixture
def node(mqtt_broker: MqttBroker) -> Iterator[Node]:
    with edge_node(mqtt_broker) as edge:
        yield edge


def level(value: float | None, at_ms: int, *, named: bool = False) -> Metric:
    return Metric("level" if named else None, DataType.DOUBLE, value, at_ms, alias=1)


@pytest.mark.asyncio
async def test_writer_is_all_that_a_historian_needs(
    accounts: Accounts, mqtt_broker: MqttBroker, node: Node
) -> None:
    query(
        accounts.owner,
        "INSERT INTO historian.retention (pattern, keep) VALUES ('%%', interval '5 days')"
        " RETURNING 1",
    )
    at = now_ms()
    async with running(mqtt_broker, accounts.url("writer")) as historian:
        node.birth()
        node.publish(MessageType.DBIRTH, [level(1.0, at, named=True)], "filler")
        node.publish(MessageType.DDATA, [level(2.0, at + 1)], "filler")
        # Of a day that has no partition yet; of a day before what is kept.
        node.publish(MessageType.DDATA, [level(3.0, at - 3 * DAY_MS)], "filler")
        node.publish(MessageType.DDATA, [level(4.0, at - 9 * DAY_MS)], "filler")
        node.publish(MessageType.DDATA, [level(None, at + 2)], "filler")
        await settled(historian, 5)
        assert historian.counters.points_dropped == 0
        await historian._rollups.make_again(now_ms())
        await historian._rollups.make(now_ms())
        connection = Connection(accounts.url("writer"), "test-retention")
        await Maintenance(connection).apply_retention()
        await connection.close()
    rows = query(accounts.owner, "SELECT value FROM historian.samples ORDER BY time")
    assert [row["value"] for row in rows] == [3.0, 1.0, 2.0, None]
    assert query(accounts.owner, "SELECT count(*) > 0 AS n FROM historian.rollup") == [{"n": True}]
    kinds = query(accounts.owner, "SELECT kind FROM historian.event ORDER BY event_id")
    assert [row["kind"] for row in kinds][:2] == ["node_birth", "device_birth"]
    (row,) = query(accounts.owner, "SELECT count(*) AS n FROM historian.latest")
    assert row["n"] == 1


@pytest.mark.asyncio
async def test_reader_reads_everything(accounts: Accounts) -> None:
    query(accounts.owner, "SELECT historian.ensure_day('2026-11-01')")
    query(
        accounts.owner,
        "INSERT INTO historian.metric (group_name, edge, name, datatype)"
        " VALUES ('plant', 'line', 'level', 'Double') RETURNING 1",
    )
    query(
        accounts.owner,
        "INSERT INTO historian.sample (time, metric_id, value)"
        " VALUES ('2026-11-01 06:00Z', historian.metric_of(NULL, 'level'), 7) RETURNING 1",
    )
    reader = accounts.url("reader")
    for view in ("samples", "latest", "rollup_1h", "metric_retention", "event", "retention"):
        query(reader, f"SELECT * FROM historian.{view}")  # noqa: S608  # names of ours
    history = History(reader)
    (metric,) = await history.find_metrics(Selection(name="level"), 10)
    start = datetime(2026, 11, 1, 5, tzinfo=UTC)
    end = start.replace(hour=7)
    samples, _ = await history.read_samples(metric, start, end, 10)
    assert [sample.value for sample in samples] == [7.0]
    assert len((await history.read_picture(metric, start, end, 1000)).rows) == 1
    assert len(await history.read_mode(AGGREGATES, metric, start, end, end - start)) == 1
    await history.close()


@pytest.mark.parametrize(
    ("access", "statement"),
    [
        ("reader", "INSERT INTO historian.sample (time, metric_id) VALUES (now(), 1)"),
        ("reader", "UPDATE historian.metric SET unit = 'm'"),
        ("reader", "SELECT historian.ensure_day('2026-11-01')"),
        ("reader", "SELECT historian.apply_retention()"),
        ("reader", "CREATE TABLE historian.mine (a integer)"),
        ("writer", "DELETE FROM historian.sample"),
        ("writer", "UPDATE historian.sample SET value = 0"),
        ("writer", "DELETE FROM historian.event"),
        ("writer", "DROP TABLE historian.sample"),
        ("writer", "INSERT INTO historian.retention VALUES ('%', '1 hour', 1)"),
        ("writer", "CREATE TABLE historian.mine (a integer)"),
        ("writer", "INSERT INTO historian._yoyo_migration (migration_hash) VALUES ('x')"),
    ],
)
def test_nobody_does_more(accounts: Accounts, access: str, statement: str) -> None:
    with (
        psycopg.connect(accounts.url(access), autocommit=True) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute(statement.encode())


def test_writer_does_not_upgrade_and_says_who_does(
    accounts: Accounts, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert migrate(accounts.url("writer")).edition  # nothing to do is nothing to be refused
    for file in migrations._MIGRATIONS.glob("*.sql"):
        (tmp_path / file.name).write_text(file.read_text())
    (tmp_path / "9000.more.sql").write_text("CREATE TABLE historian.more (a integer);")
    monkeypatch.setattr(migrations, "_MIGRATIONS", tmp_path)
    with pytest.raises(SchemaMismatch, match=r"9000\.more is not applied and account \S+ may not"):
        migrate(accounts.url("writer"))
    with pytest.raises(
        SchemaMismatch, match=r"expected \./nexus historian migrate run by the owner"
    ):
        migrate(accounts.url("reader"))
    migrate(normalize_url(accounts.owner))
    # What the upgrade added is there for those who had access before.
    query(accounts.url("reader"), "SELECT * FROM historian.more")


def test_role_is_given_by_the_owner_alone(
    accounts: Accounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEXUS_DATABASE_URL", accounts.url("writer"))
    run = CliRunner().invoke(historian, ["migrate", "--reader", "somebody_else"])
    assert run.exit_code == 1
    assert "historian: role somebody_else: " in run.stderr
