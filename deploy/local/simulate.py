"""``nexus simulate``: PLCs that answer on the wire, to try the suite before anything is wired."""

import asyncio
import json
import signal
import sys
from functools import partial

import click
import trio

from deploy.local.plant.faults import Faults, parse_fault
from deploy.local.plant.generic import UNITS_PER_PORT, listen, place_of, serve_generic
from deploy.local.plant.layout import UNITS
from deploy.local.plant.physics import Plant
from deploy.local.plant.server import PlantServer
from deploy.local.simulate_opcua import opcua
from deploy.local.simulate_s7 import s7

_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_MOST_DEVICES = 10_000
_MOST_REGISTERS = 65_536


@click.group()
def simulate() -> None:
    """Run simulated PLCs until stopped."""


simulate.add_command(opcua)
simulate.add_command(s7)


@simulate.command()
@click.option("--bind", default="127.0.0.1", show_default=True, help="Address to listen at.")
@click.option(
    "--port",
    type=click.IntRange(0, 65_535),
    default=5020,
    show_default=True,
    help="TCP port; 0 lets the system choose one.",
)
@click.option("--seed", type=int, default=1, show_default=True, help="Of the plant's chance.")
@click.option(
    "--devices",
    type=click.IntRange(1, _MOST_DEVICES),
    help="Serve this many generic devices instead of the bottling line.",
)
@click.option(
    "--tags",
    type=click.IntRange(1, _MOST_REGISTERS),
    help="Holding registers of each generic device.  [default: 100]",
)
@click.option(
    "--change",
    type=click.FloatRange(0.001),
    help="Seconds between changes of a generic device's registers.  [default: 1]",
)
@click.option(
    "--fault",
    "fault_texts",
    multiple=True,
    metavar="[DEVICE:]KIND[=VALUE]",
    help="What generic devices do instead of answering; device numbers count from 1. Kinds:"
    " delay=SECONDS, drop=SHARE, exception=CODE, garbage=SHARE, disconnect=SHARE,"
    " slow=SECONDS (a byte). May be given several times.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the ports as one JSON line on stdout.")
def modbus(  # noqa: PLR0917  # click passes by name
    bind: str,
    port: int,
    seed: int,
    devices: int | None,
    tags: int | None,
    change: float | None,
    fault_texts: tuple[str, ...],
    as_json: bool,
) -> None:
    """Serve a bottling line, or generic devices, over Modbus TCP.

    The line is three units on one port: filler (1), capper (2) and labeller (3). Generic devices
    are 247 units on each port, from --port upwards, with int16 holding registers from 0.
    """
    if devices is None and (tags is not None or change is not None or fault_texts):
        raise click.UsageError(
            "--tags, --change and --fault describe generic devices, expected --devices"
        )
    try:
        faults = Faults([parse_fault(text) for text in fault_texts], seed) if fault_texts else None
    except ValueError as exc:
        raise click.BadParameter(str(exc), param_hint="--fault") from exc
    try:
        if devices is None:
            asyncio.run(_serve_plant(bind, port, seed, as_json))
        else:
            serve = partial(_serve_generic, change_s=change or 1.0, faults=faults, as_json=as_json)
            trio.run(serve, bind, port, devices, tags or 100)
    except OSError as exc:
        reason = exc.strerror or str(exc)
        raise click.ClickException(
            f"{bind}:{port} cannot be listened at: {reason}; choose another with --port"
        ) from exc


async def _serve_plant(bind: str, port: int, seed: int, as_json: bool) -> None:
    server = PlantServer(Plant(seed), bind, port)
    port = await server.start()
    loop = asyncio.get_running_loop()
    running = asyncio.ensure_future(server.run())
    for number in _STOP_SIGNALS:
        loop.add_signal_handler(number, running.cancel)
    _say(f"Bottling line on modbus tcp {bind}:{port}")
    for unit in UNITS:
        _say(f"  unit {unit.unit_id}  {unit.machine}")
    _say("Configuration for it: deploy/local/plant.toml. Stop with Ctrl-C.")
    _tell(bind, [port], as_json)
    try:
        await running
    except asyncio.CancelledError:
        _say("Stopped.")


async def _serve_generic(
    bind: str,
    port: int,
    devices: int,
    tags: int,
    *,
    change_s: float,
    faults: Faults | None,
    as_json: bool,
) -> None:
    listeners = await listen(bind, port, devices)
    ports = [listener.socket.getsockname()[1] for listener in listeners]
    with trio.open_signal_receiver(*_STOP_SIGNALS) as signals:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(
                partial(serve_generic, listeners, devices, tags, change_s=change_s, faults=faults)
            )
            _say(f"{devices} devices on modbus tcp {bind}, ports {', '.join(map(str, ports))}")
            _say(f"  holding registers 0 to {tags - 1}, units from 1, {UNITS_PER_PORT} a port")
            _say(f"  the last is unit {place_of(devices - 1)[1]} on port {ports[-1]}")
            _say("Stop with Ctrl-C.")
            _tell(bind, ports, as_json)
            async for _ in signals:
                nursery.cancel_scope.cancel()
    _say("Stopped.")


def _tell(bind: str, ports: list[int], as_json: bool) -> None:
    """Tell a program where to connect, once it can."""
    if as_json:
        print(json.dumps({"host": bind, "ports": ports}), flush=True)


def _say(line: str) -> None:
    """Tell a person, on stderr: stdout is for what a program reads."""
    print(line, file=sys.stderr, flush=True)
