"""A pytest plugin: what came before pytest stands in its summary, above its closing line."""

import json
import os
from pathlib import Path

import pytest


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Write the lines that ``nexus test`` left for us."""
    path = os.environ.get("NEXUS_TEST_REPORT")
    if not path:
        return
    lines: list[str] = json.loads(Path(path).read_text())
    if lines:
        terminalreporter.section("nexus test")
        for line in lines:
            terminalreporter.line(line)
