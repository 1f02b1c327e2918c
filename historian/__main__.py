"""The ``historian`` command: reads the settings, runs, stops on SIGTERM and SIGINT."""

import asyncio
import contextlib
import signal
from datetime import UTC, datetime

import click

from historian.app import Historian
from historian.errors import ConfigError, HistorianError
from historian.offline import export, import_, migrate, report
from historian.settings import Settings, read_settings

_USAGE = 2


@click.group(invoke_without_command=True)
@click.option("--id", "historian_id", help="Name of this historian; the host's name when absent.")
@click.option(
    "--buffer-mib",
    type=click.IntRange(min=1),
    default=256,
    show_default=True,
    help="Memory for what waits while the database is away; beyond it the oldest is dropped.",
)
@click.option(
    "--connections",
    type=click.IntRange(1, 16),
    default=2,
    show_default=True,
    help="COPYs in flight.",
)
@click.option(
    "--status-interval",
    "status_interval_s",
    type=click.FloatRange(min=0.05, max=3600),
    default=5.0,
    show_default=True,
    help="Seconds between two status messages on MQTT.",
)
@click.option(
    "--accept-from",
    type=click.DateTime(["%Y-%m-%d"]),
    default="2000-01-01",
    show_default=True,
    help="Refuse points with an older time (UTC); with 1970-01-01 none is too old.",
)
@click.option(
    "--accept-ahead",
    "accept_ahead_s",
    type=click.FloatRange(min=0, max=1e10),
    default=86_400,
    show_default=True,
    help="Refuse points that are so many seconds ahead of this clock.",
)
@click.option(
    "--share",
    metavar="NAME",
    help="Share the data with all historians that give the same name (MQTT 5 $share).",
)
@click.option(
    "--metrics-port",
    type=click.IntRange(0, 65_535),
    help="Serve /metrics, /healthz and /readyz on this port; left out when absent.",
)
@click.option("--metrics-bind", default="127.0.0.1", show_default=True, help="Address of these.")
@click.pass_context
def historian(
    context: click.Context,
    /,
    *,
    historian_id: str | None,
    buffer_mib: int,
    connections: int,
    status_interval_s: float,
    accept_from: datetime,
    accept_ahead_s: float,
    share: str | None,
    metrics_port: int | None,
    metrics_bind: str,
) -> None:
    """Write everything that arrives as Sparkplug into TimescaleDB or PostgreSQL.

    The broker and the database come from the environment: NEXUS_MQTT_URL, NEXUS_MQTT_USERNAME,
    NEXUS_MQTT_PASSWORD, NEXUS_DATABASE_URL (each also as NAME_FILE), NEXUS_TOPIC_PREFIX.
    """
    if context.invoked_subcommand is not None:
        return
    try:
        settings = read_settings(
            historian_id=historian_id,
            buffer_mib=buffer_mib,
            lanes=connections,
            status_interval_s=status_interval_s,
            oldest_ms=round(accept_from.replace(tzinfo=UTC).timestamp() * 1000),
            ahead_ms=round(accept_ahead_s * 1000),
            share=share,
            metrics_port=metrics_port,
            metrics_bind=metrics_bind,
        )
    except ConfigError as error:
        click.echo(f"historian: {error}", err=True)
        raise SystemExit(_USAGE) from error
    try:
        complete = asyncio.run(run(settings))
    except HistorianError as error:
        click.echo(f"historian: {error}", err=True)
        raise SystemExit(_USAGE if isinstance(error, ConfigError) else 1) from error
    raise SystemExit(0 if complete else 1)


async def run(settings: Settings) -> bool:
    """Run one historian until a signal comes.

    Returns:
        Whether everything received is stored.

    Raises:
        HistorianError: it cannot go on.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    try:
        return await Historian(settings).run(stop)
    except* HistorianError as group:
        error: BaseException = group
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        raise error from None
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            with contextlib.suppress(NotImplementedError):
                loop.remove_signal_handler(number)


historian.add_command(migrate)
historian.add_command(report)
historian.add_command(export)
historian.add_command(import_)

if __name__ == "__main__":
    historian()
