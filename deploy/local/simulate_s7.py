"""``nexus simulate s7``: CPUs to try the S7 driver with, before anything is wired."""

import logging
import signal
from functools import partial

import click
import trio

from deploy.local.plant.faults import KINDS, Fault, Faults, parse_fault
from deploy.local.plant.s7_cpu import NOT_ALLOWED, refuse
from deploy.local.plant.s7_generic import listen_each, serve_s7
from deploy.local.plant.s7_server import Mixer, S7Server
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

_MOST_DEVICES = 1_000
_MOST_TAGS = 32_000
_SHOWN = 10
_KINDS = {**KINDS, "exception": (NOT_ALLOWED, 1, 0xFFFF)}


def parse_s7_fault(text: str) -> Fault:
    """Read a fault; an exception's code is a variable's return code or a request's error.

    Raises:
        ValueError: what was found and what was expected.
    """
    return parse_fault(text, _KINDS)


@click.command()
@generic_options("the mixer", "Words in DB1", _MOST_DEVICES, _MOST_TAGS)
@shared_options(
    1102,
    seed="the faults'",
    fault="What generic CPUs do instead of answering; device numbers count from 1. Kinds:"
    " delay=SECONDS, drop=SHARE, exception=CODE (up to 255 of each variable: 3 not allowed, 5 no"
    " such address, 10 no such block; above, of the whole request: 33028 PUT/GET is off),"
    " garbage=SHARE, disconnect=SHARE, slow=SECONDS (a byte).",
)
def s7(  # noqa: PLR0917  # click passes by name
    bind: str,
    port: int,
    seed: int,
    devices: int | None,
    tags: int | None,
    change: float | None,
    fault_texts: tuple[str, ...],
    as_json: bool,
) -> None:
    """Serve a mixer as a Siemens S7 CPU, or generic CPUs.

    The mixer's data block DB1 lives, and M, I, Q, T and C are there; the guide of the S7 driver
    shows the configuration that reads it. Generic CPUs are one at each port, from --port upwards,
    with INT waves in DB1.DBW0, DB1.DBW2 and so on.
    """
    check_generic(devices, tags, change, fault_texts)
    parsed = parse_faults(fault_texts, parse_s7_fault)
    with listening(bind, port):
        if devices is None:
            _serve_mixer(bind, port, as_json)
        else:
            faults = Faults(parsed, seed, refuse) if parsed else None
            serve = partial(_serve_generic, change_s=change or 1.0, faults=faults, as_json=as_json)
            trio.run(serve, bind, port, devices, tags or 100)


def _serve_mixer(bind: str, port: int, as_json: bool) -> None:
    logging.getLogger("snap7").setLevel(logging.CRITICAL)
    server = S7Server(log=False)
    mixer = Mixer(server)
    for number in STOP_SIGNALS:
        signal.signal(number, lambda *_: mixer.stop())
    port = server.listen(bind, port)
    say(f"Mixer on s7 tcp {bind}:{port}, rack 0 slot 1: DB1, M, I, Q, T, C.")
    say("Configuration for it: deploy/local/plant-s7.toml. Stop with Ctrl-C.")
    if as_json:
        tell(bind, [port])
    mixer.run()
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
    listeners = await listen_each(bind, port, devices)
    ports = [listener.socket.getsockname()[1] for listener in listeners]

    def say_ready() -> None:
        shown = ", ".join(map(str, ports)) if devices <= _SHOWN else f"{ports[0]} and following"
        say(
            f"{devices} CPUs on s7 tcp {bind}, ports {shown}, any rack and slot",
            f"  DB1.DBW0 to DB1.DBW{2 * tags - 2}, INT. Stop with Ctrl-C.",
        )
        if as_json:
            tell(bind, ports)

    serve = partial(serve_s7, listeners, tags, change_s=change_s, faults=faults)
    await serve_until_stopped(serve, say_ready)
