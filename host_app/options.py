"""The options of the command ``host``, apart from what it does with them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import click

from host_app.scope import Mode
from host_app.users import Role


def check_public_url(_ctx: click.Context, _param: click.Parameter, value: str | None) -> str | None:
    """Refuse what is no address.

    Raises:
        click.BadParameter: with what was found and expected.
    """
    if value is not None:
        parts = urlsplit(value)
        if parts.scheme not in {"http", "https"} or not parts.netloc:
            raise click.BadParameter(f"{value!r} is not an address, expected https://name[:port]")
    return value


OPTIONS: Final = (
    click.option("--bind", default="127.0.0.1", show_default=True, help="Address of the console."),
    click.option(
        "--port",
        type=click.IntRange(0, 65535),
        default=8080,
        show_default=True,
        help="Port of the console; 0 takes a free one.",
    ),
    click.option(
        "--public-url",
        callback=check_public_url,
        help="Address that browsers use when a proxy stands before the console.",
    ),
    click.option(
        "--tls-cert",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="Certificate chain (PEM) to serve the console with TLS.",
    ),
    click.option(
        "--tls-key",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="Private key (PEM) of the certificate.",
    ),
    click.option(
        "--host-id",
        default="nexus",
        envvar="NEXUS_HOST_ID",
        show_envvar=True,
        show_default=True,
        help="Sparkplug id of this host application.",
    ),
    click.option(
        "--mqtt-url",
        "mqtt_urls",
        multiple=True,
        default=["mqtt://127.0.0.1:1883"],
        envvar="NEXUS_MQTT_URL",
        show_envvar=True,
        show_default=True,
        help="Broker, mqtt:// or mqtts://. Several for several brokers (spaces in the variable).",
    ),
    click.option(
        "--mqtt-protocol",
        type=click.Choice(["3.1.1", "5"]),
        default="3.1.1",
        envvar="NEXUS_MQTT_PROTOCOL",
        show_envvar=True,
        show_default=True,
        help="Version of MQTT.",
    ),
    click.option(
        "--mqtt-ca-file",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        envvar="NEXUS_MQTT_CA_FILE",
        show_envvar=True,
        help="PEM bundle that the broker's certificate must chain to.",
    ),
    click.option(
        "--mqtt-cert-file",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        envvar="NEXUS_MQTT_CERT_FILE",
        show_envvar=True,
        help="Certificate (PEM) that the host shows to the broker.",
    ),
    click.option(
        "--mqtt-key-file",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        envvar="NEXUS_MQTT_KEY_FILE",
        show_envvar=True,
        help="Private key (PEM) of that certificate.",
    ),
    click.option(
        "--mqtt-keep-alive",
        "keep_alive_s",
        type=click.IntRange(5, 3600),
        default=30,
        show_default=True,
        help="Seconds after which broker and host notice that the other is gone.",
    ),
    click.option(
        "--reorder-timeout-ms",
        type=click.IntRange(0, 600_000),
        default=2_000,
        show_default=True,
        help="How long a missing message may stay away before births are asked for.",
    ),
    click.option(
        "--mode",
        type=click.Choice([mode.value for mode in Mode]),
        default=Mode.PRIMARY.value,
        envvar="NEXUS_HOST_MODE",
        show_envvar=True,
        show_default=True,
        help="primary tells its STATE; active asks for births and writes; passive only listens.",
    ),
    click.option(
        "--group",
        "groups",
        multiple=True,
        metavar="PATTERN",
        help="Look at edge nodes of these groups alone; may be repeated, with * and ?.",
    ),
    click.option(
        "--node",
        "nodes",
        multiple=True,
        metavar="PATTERN",
        help="Look at these edge nodes (group/edge) alone; may be repeated, with * and ?.",
    ),
    click.option(
        "--ha",
        "high_availability",
        is_flag=True,
        envvar="NEXUS_HA",
        show_envvar=True,
        help="One of several hosts: be active only while holding a lock in the database.",
    ),
    click.option(
        "--add-user",
        metavar="NAME",
        help="Add a user or set their password (asked for, or read from stdin), then exit.",
    ),
    click.option(
        "--role",
        type=click.Choice([role.value for role in Role]),
        help="Role of the user that --add-user names; a new one is admin.",
    ),
)


def with_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a function all of them, in this order."""
    for option in reversed(OPTIONS):
        command = option(command)
    return command
