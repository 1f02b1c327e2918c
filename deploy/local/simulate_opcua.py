"""``nexus simulate opcua``: a server to try the OPC UA driver with, before anything is wired."""

import asyncio
import hashlib
import logging
import os
import tempfile
from pathlib import Path

import click

from deploy.local.plant.opcua_faults import parse_opcua_fault
from deploy.local.plant.opcua_server import NAMESPACE_URI, POLICIES, OpcUaPlant, PlantSettings
from deploy.local.plant.opcua_values import TYPES
from deploy.local.simulated import (
    STOP_SIGNALS,
    listening,
    parse_faults,
    say,
    shared_options,
    tell,
)

_PASSWORD_ENV = "NEXUS_SIMULATE_PASSWORD"  # noqa: S105  # the variable's name
_MOST_DEVICES = 1_000
_MOST_TAGS = 50_000


@click.command()
@click.option(
    "--devices",
    type=click.IntRange(1, _MOST_DEVICES),
    default=1,
    show_default=True,
    help="Objects.",
)
@click.option(
    "--tags",
    type=click.IntRange(1, _MOST_TAGS),
    default=100,
    show_default=True,
    help="Doubles of each device.",
)
@click.option(
    "--change",
    type=click.FloatRange(0.01),
    default=1.0,
    show_default=True,
    help="Seconds between changes of all values.",
)
@click.option(
    "--security",
    "policies",
    type=click.Choice(POLICIES, case_sensitive=False),
    multiple=True,
    help="Policy to offer; all when left out. May be given several times.",
)
@click.option(
    "--user",
    help="Who may sign in, in place of everybody; the password is in the environment variable"
    f" {_PASSWORD_ENV} or the first line of --password-file.",
)
@click.option("--password-file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--pki",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder that keeps the server's certificate; a new one each time when left out.",
)
@shared_options(
    4840,
    seed="the faults'",
    fault="What goes wrong; device numbers count from 1. Kinds: delay=SECONDS, drop=SHARE,"
    " exception=NAME of the status code that requests about nodes are refused with, garbage=SHARE,"
    " disconnect=SHARE, slow=SECONDS (a byte), status=NAME of the values' status code,"
    " recreate=SECONDS (nodes are deleted and made again so often), restart=SECONDS,"
    " reindex=SECONDS (a restart that moves the namespaces).",
)
def opcua(  # noqa: PLR0917  # click passes by name
    bind: str,
    port: int,
    seed: int,
    devices: int,
    tags: int,
    change: float,
    policies: tuple[str, ...],
    user: str | None,
    password_file: Path | None,
    pki: Path | None,
    fault_texts: tuple[str, ...],
    as_json: bool,
) -> None:
    """Serve devices as an OPC UA server: values of every type that change, a method, faults.

    The guide of the OPC UA driver shows the configuration that reads it.
    """
    logging.getLogger("asyncua").setLevel(logging.CRITICAL)
    faults = parse_faults(fault_texts, parse_opcua_fault)
    if pki is not None:
        pki.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="nexus-simulate-") as folder:
        settings = PlantSettings(
            bind=bind,
            devices=devices,
            tags=tags,
            change_s=change,
            pki=pki or Path(folder),
            policies=policies or POLICIES,
            user=user,
            password=_password(user, password_file),
            faults=faults,
            seed=seed,
        )
        with listening(bind, port):
            asyncio.run(_serve(settings, port, as_json))


def _password(user: str | None, file: Path | None) -> str:
    if user is None:
        if file is not None:
            raise click.UsageError("--password-file is a user's, expected --user")
        return ""
    if file is None:
        password = os.environ.get(_PASSWORD_ENV, "")
    else:
        password = file.read_text().partition("\n")[0]
    if not password:
        raise click.UsageError(
            f"--user {user} has no password, expected {_PASSWORD_ENV} or --password-file"
        )
    return password


async def _serve(settings: PlantSettings, port: int, as_json: bool) -> None:
    plant = OpcUaPlant(settings)
    port = await plant.start(port)
    running = asyncio.ensure_future(plant.run())
    loop = asyncio.get_running_loop()
    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, running.cancel)
    url = f"opc.tcp://{settings.bind}:{port}/"
    certificate = (settings.pki / "certificate.der").read_bytes()
    fingerprint = hashlib.sha256(certificate).hexdigest()
    say(f"{settings.devices} devices on {url}, nodes of {NAMESPACE_URI}")
    say(f"  s=Device1.Tag1 to Tag{settings.tags}; s=Device1.Types.{{{', '.join(TYPES)}}}")
    say("  s=Device1.Start, a method: batch (String), amount (Double) -> number (UInt32)")
    say(f"  security {', '.join(settings.policies)}; user {settings.user or 'anonymous'}")
    say(f"  certificate SHA-256 {fingerprint}")
    say("Configuration for it: deploy/local/plant-opcua.toml. Stop with Ctrl-C.")
    if as_json:
        tell(settings.bind, [port], url=url, fingerprint=fingerprint)
    try:
        await running
    except asyncio.CancelledError:
        say("Stopped.")
    finally:
        await plant.stop()
