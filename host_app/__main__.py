"""The command ``host``: the composition root, and the only module here that knows the web."""

import asyncio
import signal
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import click
import structlog

from host_app.add_user import read_password, store_user
from host_app.audit import Audit
from host_app.broker_session import BrokerSession
from host_app.database import Database
from host_app.errors import ConfigError, HostError, StorageUnavailable
from host_app.leader import LEAVE_LIMIT_S, Leadership
from host_app.mqtt_stream import Endpoint
from host_app.options import with_options
from host_app.scope import Mode, NodeFilter
from host_app.service import HostService
from host_app.settings import (
    BrokerFiles,
    Protocol,
    Secrets,
    make_endpoints,
    read_secrets,
    read_topic_prefix,
)
from host_app.users import Users
from proto.sparkplug.host_events import TrackerOptions
from web.app import create_app
from web.context import WebOptions
from web.history import History, open_history
from web.pages import is_built
from web.server import Tls, format_url, open_socket, run_server

log = structlog.get_logger(__name__)

EXIT_FAILED = 1
EXIT_USAGE = 2
FIRST_USER = "admin"
FLUSH_TIMEOUT_S = 2.0


@dataclass(frozen=True, slots=True)
class HostSetup:
    """Everything that was asked for."""

    host_id: str
    endpoints: list[Endpoint]
    tracker: TrackerOptions
    secrets: Secrets
    web: WebOptions
    tls: Tls | None
    high_availability: bool
    mode: Mode
    node_filter: NodeFilter
    history: History | None
    topic_prefix: str


@click.command()
@with_options
def host(  # noqa: PLR0917  # click passes them by name
    bind: str,
    port: int,
    public_url: str | None,
    tls_cert: Path | None,
    tls_key: Path | None,
    host_id: str,
    mqtt_urls: tuple[str, ...],
    mqtt_protocol: Protocol,
    mqtt_ca_file: Path | None,
    mqtt_cert_file: Path | None,
    mqtt_key_file: Path | None,
    keep_alive_s: int,
    reorder_timeout_ms: int,
    mode: str,
    groups: tuple[str, ...],
    nodes: tuple[str, ...],
    high_availability: bool,
    add_user: str | None,
    role: str | None,
) -> None:
    """Run the primary host application with its console.

    Secrets come from the environment, each also as NAME_FILE: NEXUS_MQTT_USERNAME,
    NEXUS_MQTT_PASSWORD, NEXUS_DATABASE_URL (users and audit log), NEXUS_HISTORY_URL (the
    historian's database, for trends; an account that reads is enough), NEXUS_CONSOLE_PASSWORD (sets
    the password of the user "admin" at each start).
    """
    if (tls_cert is None) != (tls_key is None):
        raise click.UsageError("--tls-cert and --tls-key go together, found only one of them")
    if role is not None and add_user is None:
        raise click.UsageError("--role goes with --add-user")
    try:
        secrets = read_secrets()
        if add_user is not None:
            asyncio.run(store_user(secrets, add_user, read_password(), role))
            return
        endpoints = make_endpoints(
            mqtt_urls,
            host_id,
            secrets,
            protocol=mqtt_protocol,
            files=BrokerFiles(mqtt_ca_file, mqtt_cert_file, mqtt_key_file),
            keep_alive_s=keep_alive_s,
            high_availability=high_availability,
        )
        tls = Tls(tls_cert, tls_key) if tls_cert and tls_key else None
        setup = HostSetup(
            host_id,
            endpoints,
            TrackerOptions(reorder_timeout_ms=reorder_timeout_ms),
            secrets,
            WebOptions(public_url=public_url, tls=tls is not None),
            tls,
            high_availability,
            Mode(mode),
            NodeFilter(groups, nodes),
            open_history(secrets.history_url),
            read_topic_prefix(),
        )
        sock = open_socket(bind, port)
    except ConfigError as exc:
        _fail(exc, EXIT_USAGE)
    except HostError as exc:
        _fail(exc, EXIT_FAILED)
    if bind not in {"127.0.0.1", "::1", "localhost"} and not setup.web.is_secure:
        log.warning("console_without_tls", bind=bind, advice="use --tls-cert or a TLS proxy")
    asyncio.run(run_host(setup, sock))


async def run_host(setup: HostSetup, sock: socket.socket) -> None:
    """Run everything until SIGTERM or SIGINT."""
    stop, web_stop = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop.set)
    database = Database(setup.secrets.database_url)
    users, audit = Users(database), Audit(database)
    sessions = [
        BrokerSession(
            endpoint,
            setup.host_id,
            setup.tracker,
            mode=setup.mode,
            node_filter=setup.node_filter,
            topic_prefix=setup.topic_prefix,
        )
        for endpoint in setup.endpoints
    ]
    service = HostService(setup.host_id, sessions, audit)
    leadership = None
    if setup.high_availability and setup.secrets.database_url is not None:
        leadership = Leadership(setup.secrets.database_url, setup.host_id)
    app, hub = create_app(
        service, users, audit, database, setup.web, leadership=leadership, history=setup.history
    )

    def database_changed(problem: str | None) -> None:
        if problem is None:
            service.notice("info", "database: connected")
        else:
            service.notice("error", f"database: {problem}")
        service.host_changed()

    async def serve_while_active(ended: asyncio.Event) -> None:
        try:
            await service.run(ended, leave_limit_s=LEAVE_LIMIT_S)
        finally:
            hub.drop_all()

    database.on_change = database_changed
    if not is_built(setup.web.static):
        log.warning("console_not_built", advice="npm ci && npm run build in web/ui")
    url = setup.web.public_url or format_url(sock, setup.tls)
    async with asyncio.TaskGroup() as tasks:
        background = [
            tasks.create_task(database.run(users.load)),
            tasks.create_task(audit.run()),
            tasks.create_task(hub.run()),
            tasks.create_task(_prepare_users(database, users, setup.secrets.console_password)),
        ]
        serving = tasks.create_task(run_server(app, sock, setup.web, setup.tls, web_stop))
        log.info("console_listening", url=url)
        if leadership is None:
            await service.run(stop)
        else:
            await leadership.run(serve_while_active, stop)
        hub.close()
        web_stop.set()
        await serving
        await _flush(audit)
        if setup.history is not None:
            await setup.history.close()
        for task in background:
            task.cancel()
    log.info("host_stopped")


async def _prepare_users(database: Database, users: Users, password: str | None) -> None:
    await database.wait_ready()
    while password is not None:
        try:
            await users.set_password(FIRST_USER, password)
        except StorageUnavailable as exc:
            log.warning("console_password_not_set_yet", reason=str(exc))
            await asyncio.sleep(1.0)
        else:
            log.info("console_password_is_set", user=FIRST_USER)
            break
    if users.is_empty:
        log.warning(
            "no_users", advice="./nexus host --add-user NAME, or set NEXUS_CONSOLE_PASSWORD"
        )


async def _flush(audit: Audit) -> None:
    try:
        async with asyncio.timeout(FLUSH_TIMEOUT_S):
            await audit.flush()
    except (StorageUnavailable, TimeoutError) as exc:
        log.warning("audit_not_stored", reason=str(exc) or "the database is too slow")


def _fail(exc: Exception, status: int) -> NoReturn:
    for line in str(exc).splitlines():
        click.echo(f"host: {line}", err=True)
    raise SystemExit(status)


if __name__ == "__main__":
    host()
