"""``nexus simulate s7``: CPUs to try the S7 driver with, before anything is wired."""

import json
import logging
import signal
import sys
from functools import partial

import click
import trio

from deploy.local.plant.faults import KINDS, Fault, Faults, parse_fault
from deploy.local.plant.s7_cpu import NOT_ALLOWED, refuse
from deploy.local.plant.s7_generic import listen_each, serve_s7
from deploy.local.plant.s7_server import Mixer, S7Server

_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)
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
@click.option("--bind", default="127.0.0.1", show_default=True, help="Address to listen at.")
@click.option(
    "--port",
    type=click.IntRange(0, 65_535),
    default=1102,
    show_default=True,
    help="TCP port; 0 lets the system choose one.",
)
@click.option("--seed", type=int, default=1, show_default=True, help="Of the faults' chance.")
@click.option(
    "--devices",
    type=click.IntRange(1, _MOST_DEVICES),
    help="Serve this many generic CPUs instead of the mixer.",
)
@click.option(
    "--tags",
    type=click.IntRange(1, _MOST_TAGS),
    help="Words in DB1 of each generic CPU.  [default: 100]",
)
@click.option(
    "--change",
    type=click.FloatRange(0.001),
    help="Seconds between changes of a generic CPU's words.  [default: 1]",
)
@click.option(
    "--fault",
    "fault_texts",
    multiple=True,
    metavar="[DEVICE:]KIND[=VALUE]",
    help="What generic CPUs do instead of answering; device numbers count from 1. Kinds:"
    " delay=SECONDS, drop=SHARE, exception=CODE (up to 255 of each variable: 3 not allowed, 5 no"
    " such address, 10 no such block; above, of the whole request: 33028 PUT/GET is off),"
    " garbage=SHARE, disconnect=SHARE, slow=SECONDS (a byte). May be given several times.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the ports as one JSON line on stdout.")
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
    if devices is None and (tags is not None or change is not None or fault_texts):
        raise click.UsageError(
            "--tags, --change and --fault describe generic CPUs, expected --devices"
        )
    try:
        parsed = [parse_s7_fault(text) for text in fault_texts]
    except ValueError as exc:
        raise click.BadParameter(str(exc), param_hint="--fault") from exc
    faults = Faults(parsed, seed, refuse) if parsed else None
    try:
        if devices is None:
            _serve_mixer(bind, port, as_json)
        else:
            serve = partial(_serve_generic, change_s=change or 1.0, faults=faults, as_json=as_json)
            trio.run(serve, bind, port, devices, tags or 100)
    except OSError as exc:
        reason = exc.strerror or str(exc)
        raise click.ClickException(
            f"{bind}:{port} cannot be listened at: {reason}; choose another with --port"
        ) from exc


def _serve_mixer(bind: str, port: int, as_json: bool) -> None:
    logging.getLogger("snap7").setLevel(logging.CRITICAL)
    server = S7Server(log=False)
    mixer = Mixer(server)
    for number in _STOP_SIGNALS:
        signal.signal(number, lambda *_: mixer.stop())
    port = server.listen(bind, port)
    _say(f"Mixer on s7 tcp {bind}:{port}, rack 0 slot 1: DB1, M, I, Q, T, C.")
    _say("Configuration for it: deploy/local/plant-s7.toml. Stop with Ctrl-C.")
    _tell(bind, [port], as_json)
    mixer.run()
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
    listeners = await listen_each(bind, port, devices)
    ports = [listener.socket.getsockname()[1] for listener in listeners]
    with trio.open_signal_receiver(*_STOP_SIGNALS) as signals:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(serve_s7, listeners, tags, change_s=change_s, faults=faults))
            shown = ", ".join(map(str, ports)) if devices <= _SHOWN else f"{ports[0]} and following"
            _say(f"{devices} CPUs on s7 tcp {bind}, ports {shown}, any rack and slot")
            _say(f"  DB1.DBW0 to DB1.DBW{2 * tags - 2}, INT. Stop with Ctrl-C.")
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
