"""The command line: one program, one subcommand for each role and each job.

Subcommands are imported when they are called, so that ``./nexus edge`` on a small gateway never
loads the web server. Logging is configured here once, for all of them.
"""

import importlib
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

import click

from deploy.local.logs import LEVELS, configure_logging

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130


@dataclass(frozen=True, slots=True)
class Lazy:
    """A subcommand that is not imported yet.

    Attributes:
        target: ``module:attribute`` of a click command.
        summary: its line in the list of commands.
        section: heading of that list.
    """

    target: str
    summary: str
    section: str


COMMANDS: Mapping[str, Lazy] = {
    "demo": Lazy("deploy.local.demo:demo", "Run the whole suite on a simulated plant.", "Try it"),
    "edge": Lazy("edge_node.cli:edge", "Run an edge node.", "Run a plant"),
    "check": Lazy("edge_node.cli:check", "Check a configuration file.", "Run a plant"),
    "schema": Lazy("deploy.local.schema:schema", "Print a document's JSON Schema.", "Run a plant"),
    "host": Lazy("host_app.__main__:host", "Run the host with its console.", "Run a plant"),
    "historian": Lazy("historian.__main__:historian", "Run a historian.", "Run a plant"),
    "simulate": Lazy("deploy.local.simulate:simulate", "Run a simulated PLC.", "Run a plant"),
    "test": Lazy("deploy.local.testing:test", "Set up and run every check.", "Develop"),
    "bench": Lazy("deploy.local.bench:bench", "Measure a promised figure.", "Develop"),
    "lock": Lazy("deploy.local.lock:lock", "Write the lock files again.", "Develop"),
    "generate": Lazy("deploy.local.generate:generate", "Write generated code again.", "Develop"),
    "reference": Lazy(
        "deploy.local.cli_reference:reference", "Write the CLI reference again.", "Develop"
    ),
    "conformance": Lazy(
        "deploy.local.conformance:conformance", "Write the conformance page again.", "Develop"
    ),
}


class LazyGroup(click.Group):
    """Imports a subcommand when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of the table."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return one subcommand, or None for an unknown name."""
        del ctx
        lazy = COMMANDS.get(cmd_name)
        if lazy is None:
            return None
        module, _, attribute = lazy.target.partition(":")
        command = getattr(importlib.import_module(module), attribute)
        if not isinstance(command, click.Command):
            raise TypeError(f"{lazy.target} is {command!r}, expected a click command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing any."""
        del ctx
        for section in dict.fromkeys(lazy.section for lazy in COMMANDS.values()):
            rows = [(n, c.summary) for n, c in COMMANDS.items() if c.section == section]
            with formatter.section(section):
                formatter.write_dl(rows)


def find_version() -> str:
    """Return the suite's version, also from a checkout that is not installed."""
    try:
        return version("nexus-edge")
    except PackageNotFoundError:
        from deploy.local.checkout import read_version  # noqa: PLC0415  # checkouts only

        return read_version()


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(find_version(), prog_name="nexus")
@click.option(
    "--log-level",
    type=click.Choice(LEVELS),
    default="info",
    envvar="NEXUS_LOG_LEVEL",
    show_envvar=True,
    show_default=True,
    help="Least level of what is logged.",
)
@click.option(
    "--log-format",
    type=click.Choice(["console", "json"]),
    default="console",
    envvar="NEXUS_LOG_FORMAT",
    show_envvar=True,
    show_default=True,
    help="Lines for people, or one JSON object a line.",
)
def cli(log_level: str, log_format: str) -> None:
    """NEXUS Edge: edge nodes, primary host and historian for Sparkplug B plants.

    Logs go to stderr. Exit codes: 0 fine, 1 failed, 2 wrong usage or configuration.
    """
    configure_logging(log_level, as_json=log_format == "json")


def main() -> None:
    """Run the command line and exit with its status."""
    try:
        status = cli.main(prog_name="nexus", standalone_mode=False)
    except click.exceptions.Exit as exc:
        status = exc.exit_code
    except click.ClickException as exc:
        exc.show()
        status = exc.exit_code
    except (click.Abort, KeyboardInterrupt):
        status = EXIT_INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has left; there is nobody to tell.
        sys.stderr.close()
        status = EXIT_FAILED
    sys.exit(status if isinstance(status, int) else 0)


if __name__ == "__main__":
    main()
