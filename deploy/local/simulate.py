"""``nexus simulate``: PLCs that answer on the wire, to try the suite before anything is wired."""

import asyncio
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
from deploy.local.simulated import (
    STOP_SIGNALS,
    check_generic,
    generic_options,
    listening,
    parse_faults,
    say,
    serve_until_stopped,
    shared_options,
    tell,
)

_MOST_DEVICES = 10_000
_MOST_REGISTERS = 65_536


@click.group()
def simulate() -> None:
    """Run simulated PLCs until stopped."""


simulate.add_command(opcua)
simulate.add_command(s7)


@simulate.command()
@generic_options("the bottling line", "Holding registers", _MOST_DEVICES, _MOST_REGISTERS)
@shared_options(
    5020,
    seed="the plant's",
    fault="What generic devices do instead of answering; device numbers count from 1. Kinds:"
    " delay=SECONDS, drop=SHARE, exception=CODE, garbage=SHARE, disconnect=SHARE,"
    " slow=SECONDS (a byte).",
)
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
    check_generic(devices, tags, change, fault_texts)
    parsed = parse_faults(fault_texts, parse_fault)
    with listening(bind, port):
        if devices is None:
            asyncio.run(_serve_plant(bind, port, seed, as_json))
        else:
            faults = Faults(parsed, seed) if parsed else None
            serve = partial(_serve_generic, change_s=change or 1.0, faults=faults, as_json=as_json)
            trio.run(serve, bind, port, devices, tags or 100)


async def _serve_plant(bind: str, port: int, seed: int, as_json: bool) -> None:
    server = PlantServer(Plant(seed), bind, port)
    port = await server.start()
    loop = asyncio.get_running_loop()
    running = asyncio.ensure_future(server.run())
    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, running.cancel)
    say(f"Bottling line on modbus tcp {bind}:{port}")
    say(*(f"  unit {unit.unit_id}  {unit.machine}" for unit in UNITS))
    say("Configuration for it: deploy/local/plant.toml. Stop with Ctrl-C.")
    if as_json:
        tell(bind, [port])
    try:
        await running
    except asyncio.CancelledError:
        say("Stopped.")


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

    def say_ready() -> None:
        say(
            f"{devices} devices on modbus tcp {bind}, ports {', '.join(map(str, ports))}",
            f"  holding registers 0 to {tags - 1}, units from 1, {UNITS_PER_PORT} a port",
            f"  the last is unit {place_of(devices - 1)[1]} on port {ports[-1]}",
            "Stop with Ctrl-C.",
        )
        if as_json:
            tell(bind, ports)

    serve = partial(serve_generic, listeners, devices, tags, change_s=change_s, faults=faults)
    await serve_until_stopped(serve, say_ready)
