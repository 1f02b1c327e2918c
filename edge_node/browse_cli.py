"""``nexus edge browse`` and ``nexus edge import``: what a device has, and what becomes of it."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import click
import trio

from edge_node.drivers.base import ConfigError, DeviceUnreachable
from edge_node.drivers.modbus.address import HIGHEST_ADDRESS, Table
from edge_node.drivers.modbus.scan import Found, scan_addresses, scan_units
from edge_node.drivers.s7.address import HIGHEST_BLOCK
from edge_node.drivers.s7.exports.reading import is_export, read_export
from edge_node.drivers.s7.scan import FoundCpu, scan_cpu
from edge_node.errors import ConfigurationRejected
from edge_node.probe import find_device
from edge_node.tag_table import DRIVERS, format_table, format_tags_toml, parse_table
from proto.control.device import Tag
from proto.control.opcua import OpcUaDevice
from proto.control.s7 import S7Device

EXIT_CONFIGURATION = 2
_LAST_UNIT = 247

_FILE = click.Path(path_type=Path, dir_okay=False)


@click.command()
@click.argument("config", type=_FILE)
@click.argument("device")
@click.option(
    "--table",
    "tables",
    type=click.Choice([table.value for table in Table]),
    multiple=True,
    help="Which tables; all four without.",
)
@click.option("--first", type=click.IntRange(0, HIGHEST_ADDRESS), default=0, show_default=True)
@click.option("--last", type=click.IntRange(0, HIGHEST_ADDRESS), default=199, show_default=True)
@click.option("--units", is_flag=True, help="Find the units behind the device's address instead.")
@click.option("--from", "start", metavar="ADDRESS", help="OPC UA node to begin at, not Objects.")
@click.option(
    "--depth",
    type=click.IntRange(1, 100),
    default=20,
    show_default=True,
    help="Levels of an OPC UA server's tree.",
)
@click.option(
    "--match",
    "patterns",
    multiple=True,
    metavar="GLOB",
    help="Only OPC UA variables whose path of names matches; may be given several times.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of CSV.")
def browse(
    *,
    config: Path,
    device: str,
    tables: tuple[str, ...],
    first: int,
    last: int,
    units: bool,
    start: str | None,
    depth: int,
    patterns: tuple[str, ...],
    as_json: bool,
) -> None:
    """Find out what DEVICE of CONFIG has.

    A Modbus unit has addresses, an S7 CPU data blocks, an OPC UA server variables.
    Prints CSV that `nexus edge import` makes tags of; what else there is to tell goes to stderr.
    --first and --last are addresses, or the numbers of data blocks to look for where a CPU does
    not list them. Only reads, but a busy device may feel it: use pause_s where that matters.
    """
    try:
        document = find_device(config, device)
        if isinstance(document, S7Device):
            if tables or units:
                _stop([f"{device}: driver is 's7', --table and --units are for driver 'modbus'"])
            _browse_s7(device, trio.run(scan_cpu, document.connection, first, last), as_json)
            return
        if isinstance(document, OpcUaDevice):
            if tables or units:
                _stop([f"{device}: driver is 'opcua', --table and --units are for 'modbus'"])
            # As in the registry: large, and for OPC UA alone.
            from edge_node.browse_opcua import browse_opcua  # noqa: PLC0415

            browse_opcua(document, start, depth, patterns, as_json=as_json)
            return
        if start is not None or patterns:
            _stop([f"{device}: driver is {document.driver!r}, --from and --match are for 'opcua'"])
        connection = document.connection
        if units:
            present = trio.run(scan_units, connection, range(1, _LAST_UNIT + 1))
            click.echo(json.dumps(present) if as_json else "\n".join(map(str, present)))
            return
        chosen = [Table(table) for table in tables] or list(Table)
        found = trio.run(scan_addresses, connection, chosen, first, last)
    except (ConfigurationRejected, ConfigError) as exc:
        _stop(exc.mistakes)
    except DeviceUnreachable as exc:
        raise click.ClickException(f"{device}: {exc}") from exc
    rows = [_row(one) for one in found]
    click.echo(json.dumps(rows) if as_json else format_table(rows).rstrip("\n"))
    click.echo(f"{device}: {len(rows)} addresses can be read", err=True)


def _browse_s7(device: str, cpu: FoundCpu, as_json: bool) -> None:
    """Tell what a CPU is, and each data block as an array of bytes to begin with."""
    rows: list[dict[str, object]] = [
        {
            "name": f"DB{block.number}",
            "address": f"DB{block.number}.DBB0",
            "datatype": "byte",
            "count": block.size,
            "description": f"data block of {block.size} bytes",
        }
        for block in cpu.blocks
        if block.size
    ]
    told = {**cpu.identity, "message size": str(cpu.pdu)}
    if as_json:
        refused = {f"DB{one.number}": one.reason for one in cpu.blocks if not one.size}
        click.echo(json.dumps({"cpu": told, "tags": rows, "refused": refused}))
    else:
        click.echo(format_table(rows).rstrip("\n"))
    for name, text in told.items():
        click.echo(f"{device}: {name}: {text}", err=True)
    for block in cpu.blocks:
        if not block.size:
            click.echo(f"{device}: DB{block.number} cannot be read: {block.reason}", err=True)
    how = "listed by the CPU" if cpu.listed else "found; the CPU does not list its blocks"
    click.echo(f"{device}: {len(rows)} data blocks can be read, {how}", err=True)


@click.command(name="import")
@click.argument("files", type=_FILE, nargs=-1, required=True)
@click.option(
    "--driver",
    type=click.Choice(DRIVERS),
    help="Whose tags a table holds; modbus when left out.",
)
@click.option(
    "--block",
    "blocks",
    multiple=True,
    metavar="NAME=NUMBER",
    help="Number of an S7 data block whose export does not tell it. May be given several times.",
)
@click.option(
    "--unit", type=click.IntRange(0, 255), help="Only rows of this unit, where a table tells it."
)
@click.option(
    "--writable",
    is_flag=True,
    help="Make writable what a browse found that may be written; nothing of it is without.",
)
def import_tags(
    *,
    files: tuple[Path, ...],
    driver: str | None,
    blocks: tuple[str, ...],
    unit: int | None,
    writable: bool,
) -> None:
    """Turn FILES into the TOML of a device's tags.

    A table (CSV) has a line of column names, which are a tag's keys: name, address, datatype, unit,
    scale, low, high, writable and so on. Modbus addresses may be Neuron's (1!400101#BB) or UMH's
    (name.holding.100.INT16:slaveID=1). Exports of TIA Portal and STEP 7 are told by what they
    are: tag tables (XML, XLSX, CSV, SDF), symbol tables (SDF, ASC, SEQ), data blocks and PLC data
    types (XML, DB, UDT, AWL); files that need each other are given together.
    """
    try:
        read = [(str(file), file.read_bytes()) for file in files]
    except OSError as exc:
        _stop([f"{exc.filename}: cannot be read: {exc.strerror}"])
    try:
        exports = [one for one in read if is_export(*one)]
        tags: list[Tag] = []
        if exports:
            export = read_export(exports, _block_numbers(blocks))
            tags += export.tags
            for left_out in export.left_out:
                click.echo(f"{left_out.name}: left out: {left_out.reason}", err=True)
        for name, data in read:
            if (name, data) not in exports:
                tags += parse_table(_text(name, data), name, driver, unit, writable=writable)
    except ConfigError as exc:
        _stop(exc.mistakes)
    click.echo(format_tags_toml(tags).rstrip("\n"))
    click.echo(f"{len(tags)} tags", err=True)


def _text(name: str, data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as exc:
        raise ConfigError([f"{name}: cannot be read: {exc}"]) from exc


def _block_numbers(texts: Sequence[str]) -> dict[str, int]:
    numbers: dict[str, int] = {}
    for text in texts:
        name, _, number = text.rpartition("=")
        if not name or not number.isdecimal() or not 1 <= int(number) <= HIGHEST_BLOCK:
            raise ConfigError([f"--block is {text!r}, expected for example Mixer=1"])
        numbers[name] = int(number)
    return numbers


def _row(found: Found) -> dict[str, object]:
    """Return an address as a tag to begin with, and what it held."""
    table = found.address.table
    return {
        "name": f"{table}/{found.address.number}",
        "address": str(found.address),
        "datatype": "bool" if table.is_bits else "uint16",
        "description": f"held {found.value!r}",
    }


def _stop(mistakes: Sequence[str]) -> NoReturn:
    for mistake in mistakes:
        click.echo(mistake, err=True)
    sys.exit(EXIT_CONFIGURATION)
