"""The page of the command line, made from what ``--help`` says."""

from collections.abc import Iterator

import click

from deploy.local.checkout import ROOT

PAGE = ROOT / "docs" / "reference" / "cli.md"

_HEAD = """\
# Command line

<!-- Made by `./nexus reference`; do not edit. -->

Everything starts with `./nexus`, which sets up `.venv` when it is missing or old. What a process
keeps secret comes from the environment or from files, never from the command line:

| variable | what |
|---|---|
| `NEXUS_MQTT_URL` | `mqtt://host:1883` or `mqtts://host:8883`; without credentials |
| `NEXUS_MQTT_USERNAME`, `NEXUS_MQTT_PASSWORD` | how to sign in to the broker |
| `NEXUS_DATABASE_URL` | `postgresql://user:password@host:5432/database` |
| `NEXUS_TOPIC_PREFIX` | first level of the suite's own topics, `$nexus` unless set |
| `NEXUS_HOST_ID` | the host application's Sparkplug id, `nexus` unless set |
| `NEXUS_CONSOLE_PASSWORD` | password of the console's user `admin` |

Each may be given as `NAME_FILE` instead: the path of a file that holds the value.
"""


def format_reference(group: click.Group) -> str:
    """Return the page for a group and everything below it."""
    root = click.Context(
        group,
        info_name="nexus",
        terminal_width=80,
        max_content_width=80,
        help_option_names=group.context_settings["help_option_names"],
    )
    sections = [_HEAD]
    for context in _walk(root):
        text = context.command.get_help(context)
        sections.append(f"## {context.command_path}\n\n```text\n{text}\n```\n")
    return "\n".join(sections)


def _walk(context: click.Context) -> Iterator[click.Context]:
    yield context
    group = context.command
    if not isinstance(group, click.Group):
        return
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command is None or command.hidden:
            continue
        below = click.Context(
            command, info_name=name, parent=context, terminal_width=80, max_content_width=80
        )
        yield from _walk(below)


@click.command()
@click.option("--check", is_flag=True, help="Write nothing; exit 1 when the page is out of date.")
def reference(check: bool) -> None:
    """Write docs/reference/cli.md again from what --help says."""
    group = click.get_current_context().find_root().command
    if not isinstance(group, click.Group):
        raise TypeError(f"{group!r} is not the command line, expected the group of all commands")
    name, text = PAGE.relative_to(ROOT), format_reference(group)
    if check:
        if PAGE.read_text() != text:
            raise click.ClickException(f"{name} is out of date, run ./nexus reference")
        return
    PAGE.write_text(text)
    click.echo(f"wrote {name}", err=True)
