"""``nexus test``: bring what the tests need, then run every check there is."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from deploy.local.checkout import ROOT
from deploy.local.console_build import SOURCES, ConsoleError, find_node
from deploy.local.parts import bring_parts

REPORT_VARIABLE = "NEXUS_TEST_REPORT"
REQUIRE_ALL = "NEXUS_TEST_REQUIRE_ALL"


@dataclass(frozen=True, slots=True)
class Check:
    """A program that must end with status 0."""

    name: str
    argv: Sequence[str]
    cwd: Path = ROOT


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("pytest_arguments", nargs=-1, type=click.UNPROCESSED)
def test(pytest_arguments: tuple[str, ...]) -> None:
    """Set up and run every check; with arguments, pytest alone with these.

    The whole run spreads the files of tests over one process more than there are cores.

    As root on Debian it installs mosquitto, Chromium and debootstrap where they are missing, and
    unpacks TimescaleDB below /var/cache/nexus-edge. Elsewhere it says at the end which tests were
    left out and why; with NEXUS_TEST_REQUIRE_ALL=1 that is a failure.
    """
    report: list[str] = []
    failed: list[str] = []
    missing = bring_parts(_say)
    for part, reason in missing.items():
        report.append(f"left out: {part}: {reason}")
    if missing and os.environ.get(REQUIRE_ALL) == "1":
        failed.append("everything required is there")
    if not pytest_arguments:
        for check in _python_checks():
            _run(check, os.environ, report, failed)
        try:
            node = find_node(ROOT / ".venv", _say)
        except ConsoleError as exc:
            report.append(f"the console's checks FAILED: {exc}")
            failed.append("the console's checks")
        else:
            for check in _console_checks():
                _run(check, node, report, failed)
    if failed:
        report.append(f"failed before pytest: {', '.join(failed)}")
    # Last, and last on the screen: its closing line is what machines read.
    status = _run_pytest(pytest_arguments or _all_tests(), report)
    sys.exit(1 if failed else status)


def _python_checks() -> list[Check]:
    tools = Path(sys.executable).parent
    return [
        Check("ruff check", [str(tools / "ruff"), "check", "."]),
        Check("ruff format", [str(tools / "ruff"), "format", "--check", "."]),
        Check("mypy", [str(tools / "mypy")]),
        Check("lint-imports", [str(tools / "lint-imports")]),
    ]


def _console_checks() -> list[Check]:
    return [
        Check("eslint", ["npm", "run", "--silent", "lint"], SOURCES),
        Check("vue-tsc", ["npm", "run", "--silent", "typecheck"], SOURCES),
        Check("vitest", ["npm", "run", "--silent", "test"], SOURCES),
    ]


def _run(
    check: Check, environment: Mapping[str, str], report: list[str], failed: list[str]
) -> None:
    _say(check.name)
    started = time.monotonic()
    # On failure its output is what the reader wants; on success it is in the way.
    run = subprocess.run(
        check.argv,
        cwd=check.cwd,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    took = f"{time.monotonic() - started:.1f} s"
    if run.returncode:
        click.echo(run.stdout, err=True)
        failed.append(check.name)
        report.append(f"{check.name} FAILED ({took})")
    else:
        report.append(f"{check.name} passed ({took})")


def _all_tests() -> Sequence[str]:
    """Spread the files over processes: most tests wait for something far more than they compute."""
    processes = (os.cpu_count() or 1) + 1
    return ["--numprocesses", str(processes), "--dist", "loadfile"]


def _run_pytest(arguments: Sequence[str], report: Sequence[str]) -> int:
    _say("pytest")
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(list(report), file)
        file.flush()
        run = subprocess.run(
            [sys.executable, "-m", "pytest", "-p", "deploy.local.check_report", *arguments],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), REPORT_VARIABLE: file.name},
            check=False,
        )
    return run.returncode


def _say(text: str) -> None:
    click.echo(f"nexus test: {text}", err=True)
