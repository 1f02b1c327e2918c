"""Documentation is held to what the program does."""

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from deploy.local.cli import COMMANDS, cli

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])

_COMMAND = re.compile(r"\./nexus((?:[ \t]+[^\s`|;&#<>'\"()]+)*)")
_LINK = re.compile(r"\]\((?!https?:|mailto:|#)([^)#\s]+)")


def shown(path: Path) -> str:
    return str(path.relative_to(ROOT))


def find_commands(text: str) -> Iterator[list[str]]:
    """Yield the words after each ``./nexus`` that stands in code."""
    code = re.findall(r"```.*?```|`[^`\n]+`", text, flags=re.DOTALL)
    for part in code:
        for match in _COMMAND.finditer(part.strip("`")):
            words = [word.strip(".,:") for word in match[1].split()]
            if words:
                yield words


def resolve(words: list[str]) -> tuple[click.Command, list[str]]:
    """Return the command that the words name and the words that are left."""
    context = click.Context(cli, info_name="nexus")
    command: click.Command = cli
    rest = list(words)
    while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
        below = command.get_command(context, rest[0])
        assert below is not None, f"./nexus {' '.join(words)}: there is no {rest[0]!r}"
        command, rest = below, rest[1:]
    return command, rest


@pytest.mark.parametrize("page", PAGES, ids=shown)
def test_every_command_shown_exists_with_its_options(page: Path) -> None:
    for words in find_commands(page.read_text()):
        command, rest = resolve(words)
        known = {name for param in command.params for name in (*param.opts, *param.secondary_opts)}
        if command.context_settings.get("ignore_unknown_options") or isinstance(
            command, click.Group
        ):
            continue
        for word in rest:
            if word.startswith("-"):
                name = word.partition("=")[0]
                assert name in known | {"--help"}, f"{shown(page)}: {' '.join(words)}: {name}"


@pytest.mark.parametrize("page", PAGES, ids=shown)
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in _LINK.findall(page.read_text()):
        assert (page.parent / target).exists(), f"{shown(page)}: {target} is not there"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_says_what_it_is_for(name: str) -> None:
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    assert command.name == name
    assert command.help
    for param in command.params:
        assert not isinstance(param, click.Option) or param.help, f"{name} {param.opts}"


def test_command_line_page_is_what_help_says() -> None:
    # A process of its own: click keeps the help options of commands that other tests ran alone.
    run = subprocess.run(
        [sys.executable, "-m", "deploy.local.cli", "reference", "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr


@pytest.mark.parametrize("example", sorted((ROOT / "deploy").rglob("*.toml")), ids=shown)
def test_every_example_configuration_passes_the_check(example: Path) -> None:
    tomllib.loads(example.read_text())
    result = CliRunner().invoke(cli, ["check", str(example)], standalone_mode=True)
    assert result.exit_code == 0, result.output


def test_readme_commands_are_found() -> None:
    commands = [words[0] for words in find_commands((ROOT / "README.md").read_text())]
    assert {"demo", "test"} <= set(commands)
