"""``nexus edge read``: reads a device of a configuration once and shows all of it."""

import json
import math
import sys
from pathlib import Path

import click
import trio

from edge_node.drivers.base import ConfigError, RawValue
from edge_node.errors import ConfigurationRejected
from edge_node.probe import Reading, TagReading, choose_tags, find_device, read_device
from edge_node.probe_text import LONGEST_SHOWN, format_bytes, format_value
from proto.uns.payload import to_json

EXIT_FAILED = 1
EXIT_CONFIGURATION = 2


@click.command()
@click.argument("config", type=click.Path(path_type=Path, dir_okay=False))
@click.argument("device")
@click.argument("tags", nargs=-1)
@click.option(
    "--frames/--no-frames",
    default=True,
    help=f"Show the bytes on the wire, {LONGEST_SHOWN} of each message; --json has all.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def read(*, config: Path, device: str, tags: tuple[str, ...], frames: bool, as_json: bool) -> None:
    """Read DEVICE of CONFIG once, all its TAGS or those named (globs do), and show what came.

    Exit status 0 when every tag has a value, 1 when not, 2 for a wrong configuration.
    """
    try:
        document = choose_tags(find_device(config, device), tags)
        reading = trio.run(read_device, document)
    except (ConfigurationRejected, ConfigError) as exc:
        for mistake in exc.mistakes:
            click.echo(mistake, err=True)
        sys.exit(EXIT_CONFIGURATION)
    if as_json:
        click.echo(json.dumps(_as_json(reading)))
    else:
        _show(reading, frames=frames)
    if not reading.is_good:
        sys.exit(EXIT_FAILED)


def _show(reading: Reading, *, frames: bool) -> None:
    if frames:
        for frame in reading.frames:
            arrow = "->" if frame.direction == "sent" else "<-"
            click.echo(f"{frame.at_ms:9.2f} ms {arrow} {format_bytes(frame.data)}")
    if reading.error is not None:
        click.echo(reading.error, err=True)
        return
    width = max(len(tag.name) for tag in reading.tags)
    for tag in reading.tags:
        state = "bad" if tag.reason else "stale" if tag.doubt else "good"
        click.echo(f"{tag.name:{width}}  {state:4}  {_describe(tag)}")
    click.echo(
        f"{reading.device}: {len(reading.tags)} tags in {reading.requests} requests,"
        f" connected in {reading.connect_ms:.1f} ms, read in {reading.read_ms:.1f} ms"
    )


def _describe(tag: TagReading) -> str:
    if tag.reason is not None:
        return tag.reason
    is_raw = tag.raw == tag.value
    shown = format_value(tag.value, tag.datatype) if is_raw else repr(tag.value)
    if tag.unit:
        shown += f" {tag.unit}"
    if not is_raw:
        shown += f"  (raw {format_value(tag.raw, tag.datatype)})"
    return f"{shown}  ({tag.doubt})" if tag.doubt else shown


def _number(value: RawValue) -> object:
    """Return a value that JSON has: NaN and infinities as text."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else to_json(value)


def _as_json(reading: Reading) -> dict[str, object]:
    return {
        "device": reading.device,
        "error": reading.error,
        "connect_ms": round(reading.connect_ms, 3),
        "read_ms": round(reading.read_ms, 3),
        "requests": reading.requests,
        "tags": [
            {
                "name": tag.name,
                "value": _number(tag.value),
                "raw": _number(tag.raw),
                "unit": tag.unit,
                "good": tag.reason is None,
                "reason": tag.reason,
                "doubt": tag.doubt,
            }
            for tag in reading.tags
        ],
        "frames": [
            {"at_ms": round(f.at_ms, 3), "direction": f.direction, "hex": f.data.hex()}
            for f in reading.frames
        ],
    }
