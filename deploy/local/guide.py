"""What the demo prints once everything runs: where each part is and what to try."""

import shutil
from typing import TYPE_CHECKING

from deploy.local.database import find_programs
from deploy.local.settings import describe_url

if TYPE_CHECKING:
    from deploy.local.stack import Stack

_QUERY = (
    "SELECT time, device, metric, value, text, unit FROM historian.samples"
    " ORDER BY time DESC LIMIT 10"
)


def describe_stack(stack: "Stack") -> str:
    """Return the page that greets the user."""
    host, _, port = stack.mqtt_url.partition("://")[2].partition(":")
    subscribe = f"mosquitto_sub -h {host} -p {port or 1883}"
    if stack.settings.mqtt_username:
        subscribe += f' -u {stack.settings.mqtt_username} -P "$NEXUS_MQTT_PASSWORD"'
    root = "/".join((stack.document.uns.root, *stack.document.uns.location[:1]))
    if stack.has_own_database:
        dsn, target = stack.database_url, f'"{stack.database_url}"'
    else:
        dsn, target = describe_url(stack.database_url), '"$NEXUS_DATABASE_URL"'
    lines = [
        "",
        "NEXUS Edge is running.",
        "",
        f"  Console   {stack.console_url}",
        f"            user admin, password {stack.settings.console_password}",
        f"  MQTT      {stack.mqtt_url} ({stack.broker_kind})",
        f"            {subscribe} -t '{root}/#' -v          # plain JSON, by place",
        f"            {subscribe} -t 'spBv1.0/#' -F '%t %l bytes'   # Sparkplug B",
        f"            {subscribe} -t '{stack.topic_prefix}/#' -v    # the suite about itself",
        f"  SQL       {dsn}",
        f'            {_find_psql()} {target} -c "{_QUERY}"',
        f"  Logs      {stack.folder / 'log'}",
        "",
        "Ctrl-C stops everything.",
        "",
    ]
    return "\n".join(lines)


def _find_psql() -> str:
    if shutil.which("psql"):
        return "psql"
    programs = find_programs()
    return str(programs / "psql") if programs is not None else "psql"
