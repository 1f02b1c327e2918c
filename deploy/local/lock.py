"""``./nexus lock``: write the hashed lock files again from pyproject.toml."""

import os
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

import click

from deploy.local.checkout import ROOT

_FLAGS = (
    "--quiet",
    "--generate-hashes",
    "--no-emit-index-url",
    "--no-emit-find-links",
    "--strip-extras",
    "--allow-unsafe",
)


@click.command()
@click.option(
    "--upgrade", is_flag=True, help="Take the newest versions that pyproject.toml allows."
)
def lock(upgrade: bool) -> None:
    """Write requirements*.lock again from pyproject.toml."""
    more = ["--upgrade"] if upgrade else []
    project = ["pyproject.toml"]
    _compile("requirements.lock", [*more, *project])
    _compile("requirements-demo.lock", [*more, "--extra=demo", "-c", "requirements.lock", *project])
    test = ["--extra=demo", "--extra=test", "-c", "requirements-demo.lock"]
    _compile("requirements-test.lock", [*more, *test, *project])
    # Node alone: the extra would bring the whole suite with it.
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    with tempfile.NamedTemporaryFile("w", suffix=".in") as names:
        names.write("\n".join(wanted["optional-dependencies"]["node"]) + "\n")
        names.flush()
        _compile("requirements-node.lock", [*more, "--no-annotate", names.name])


def _compile(target: str, arguments: list[str]) -> None:
    click.echo(f"compiling {target}", err=True)
    before = (ROOT / target).read_text() if Path(ROOT / target).exists() else ""
    run = subprocess.run(
        [sys.executable, "-m", "piptools", "compile", *_FLAGS, "-o", target, *arguments],
        cwd=ROOT,
        env={**os.environ, "CUSTOM_COMPILE_COMMAND": "./nexus lock"},
        check=False,
    )
    if run.returncode:
        raise click.ClickException(f"{target}: pip-compile ended with status {run.returncode}")
    if (ROOT / target).read_text() != before:
        click.echo(f"{target} changed", err=True)
