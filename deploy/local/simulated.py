"""What the ``simulate`` commands have in common: options, faults, where they listen, what they say.

Knows no protocol.
"""

import json
import signal
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, TypeVar

import click
import trio

from deploy.local.plant.faults import Fault

STOP_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)

_Command = TypeVar("_Command", bound=Callable[..., Any])


def shared_options(port: int, *, seed: str, fault: str) -> Callable[[_Command], _Command]:
    """Return a decorator that adds ``bind``, ``port``, ``seed``, ``fault_texts`` and ``as_json``.

    Args:
        port: the default.
        seed: whose chance the seed is of.
        fault: the help of ``--fault``.
    """
    options = [
        click.option(
            "--bind", default="127.0.0.1", show_default=True, help="Address to listen at."
        ),
        click.option(
            "--port",
            type=click.IntRange(0, 65_535),
            default=port,
            show_default=True,
            help="TCP port; 0 lets the system choose one.",
        ),
        click.option("--seed", type=int, default=1, show_default=True, help=f"Of {seed} chance."),
        click.option(
            "--fault",
            "fault_texts",
            multiple=True,
            metavar="[DEVICE:]KIND[=VALUE]",
            help=f"{fault} May be given several times.",
        ),
        click.option(
            "--json",
            "as_json",
            is_flag=True,
            help="Print where to connect as one JSON line on stdout.",
        ),
    ]

    return _all_of(options)


def generic_options(
    what: str, values: str, most_devices: int, most_values: int
) -> Callable[[_Command], _Command]:
    """Return a decorator that adds ``devices``, ``tags`` and ``change`` of generic devices.

    Args:
        what: devices are served in place of this.
        values: what a tag is.
        most_devices: that can be served.
        most_values: of each.
    """
    options = [
        click.option(
            "--devices",
            type=click.IntRange(1, most_devices),
            help=f"Serve this many generic devices instead of {what}.",
        ),
        click.option(
            "--tags",
            type=click.IntRange(1, most_values),
            help=f"{values} of each generic device.  [default: 100]",
        ),
        click.option(
            "--change",
            type=click.FloatRange(0.001),
            help="Seconds between changes of a generic device's values.  [default: 1]",
        ),
    ]

    return _all_of(options)


def _all_of(options: Sequence[Callable[[_Command], _Command]]) -> Callable[[_Command], _Command]:
    """Return a decorator that adds options, the first of them first."""

    def decorate(command: _Command) -> _Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


def check_generic(devices: int | None, *described: object) -> None:
    """Refuse what describes generic devices where none are served.

    Raises:
        click.UsageError: without ``devices``.
    """
    if devices is None and any(described):
        raise click.UsageError(
            "--tags, --change and --fault describe generic devices, expected --devices"
        )


def parse_faults(texts: Sequence[str], parse: Callable[[str], Fault]) -> list[Fault]:
    """Read the faults that were given.

    Raises:
        click.BadParameter: what was found and what was expected.
    """
    try:
        return [parse(text) for text in texts]
    except ValueError as exc:
        raise click.BadParameter(str(exc), param_hint="--fault") from exc


@contextmanager
def listening(bind: str, port: int) -> Iterator[None]:
    """Have a port that is taken told in one line."""
    try:
        yield
    except OSError as exc:
        reason = exc.strerror or str(exc)
        raise click.ClickException(
            f"{bind}:{port} cannot be listened at: {reason}; choose another with --port"
        ) from exc


async def serve_until_stopped(
    serve: Callable[[], Awaitable[None]], say_ready: Callable[[], None]
) -> None:
    """Serve until the process is told to stop; ``say_ready`` is called once that can be."""
    with trio.open_signal_receiver(*STOP_SIGNALS) as signals:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(serve)
            say_ready()
            async for _ in signals:
                nursery.cancel_scope.cancel()
    say("Stopped.")


def say(*lines: str) -> None:
    """Tell a person, on stderr: stdout is for what a program reads."""
    for line in lines:
        print(line, file=sys.stderr, flush=True)


def tell(bind: str, ports: Sequence[int], **more: str) -> None:
    """Tell a program where to connect, once it can."""
    print(json.dumps({"host": bind, "ports": list(ports), **more}), flush=True)
