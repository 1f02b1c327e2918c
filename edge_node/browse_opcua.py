"""``nexus edge browse`` of an OPC UA server: its variables as the tags that they can be."""

import json
from collections.abc import Sequence

import click
import trio

from edge_node.drivers.base import ConfigError
from edge_node.drivers.opcua.browse import Found, Walk, browse_server, name_variables
from edge_node.drivers.opcua.nodes import parse_address
from edge_node.tag_table import MAY_WRITE, format_table
from proto.control.opcua import OpcUaDevice


def browse_opcua(
    device: OpcUaDevice, start: str | None, depth: int, patterns: Sequence[str], *, as_json: bool
) -> None:
    """Print the variables of a server.

    Args:
        device: where it is.
        start: the address to begin at.
        depth: levels below it.
        patterns: globs for paths.
        as_json: print JSON, with what no table can tell.

    Raises:
        ConfigError: the start is no address.
        DeviceUnreachable: the server cannot be reached.
    """
    try:
        address = None if start is None else parse_address(start)
    except ValueError as exc:
        raise ConfigError([f"--from: {exc}"]) from exc
    found = trio.run(browse_server, device.connection, Walk(address, depth, tuple(patterns)))
    rows = _rows(found, with_fields=as_json)
    if as_json:
        server = {"product": found.product, "profile": found.profile}
        click.echo(json.dumps({"server": server, "tags": rows}))
    else:
        click.echo(format_table(rows).rstrip("\n"))
    for path, reason in found.closed:
        click.echo(f"{device.name}: {path} cannot be looked into: {reason}", err=True)
    for variable in found.variables:
        if variable.datatype is None:
            reason = "no array of its type is one" if variable.array else "its type is abstract"
            click.echo(f"{device.name}: {variable.path} can be no tag: {reason}", err=True)
    click.echo(
        f"{device.name}: {len(rows)} variables among {found.nodes} nodes of"
        f" {found.product or 'a nameless server'}",
        err=True,
    )


def _rows(found: Found, *, with_fields: bool) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for name, variable in zip(name_variables(found.variables), found.variables, strict=True):
        if variable.datatype is None:
            continue
        row: dict[str, object] = {
            "name": name,
            "address": variable.address,
            "datatype": variable.datatype,
            "array": variable.array if with_fields else str(variable.array).lower(),
            MAY_WRITE: variable.may_write if with_fields else str(variable.may_write).lower(),
            "description": variable.description,
        }
        if with_fields and variable.fields:
            row["fields"] = [
                {"name": each, "datatype": datatype, "array": array}
                for each, datatype, array in variable.fields
            ]
        rows.append(row)
    return rows
