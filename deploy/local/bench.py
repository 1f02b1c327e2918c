"""``nexus bench``: one measurement for each promised figure, each a file in bench/."""

import importlib

import click

from deploy.local.checkout import ROOT

FOLDER = ROOT / "bench"


class Benchmarks(click.Group):
    """Imports ``bench/<name>.py`` when its name is asked for; its ``main`` is the command."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the files that are benchmarks."""
        del ctx
        # What benchmarks share, and what they start, are files without a command.
        return sorted(
            path.stem for path in FOLDER.glob("*.py") if "@click.command(" in path.read_text()
        )

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return one benchmark, or None for an unknown name."""
        if cmd_name not in self.list_commands(ctx):
            return None
        main = importlib.import_module(f"bench.{cmd_name}").main
        if not isinstance(main, click.Command):
            raise TypeError(f"bench/{cmd_name}.py: main is {main!r}, expected a click command")
        return main


@click.command(cls=Benchmarks)
def bench() -> None:
    """Measure a promised figure, with its baseline in the same run.

    Ratios to the baseline hold on a noisy machine; absolute figures do not. With --json the last
    line is one object: bench, figures, baseline, ratio, machine.
    """
