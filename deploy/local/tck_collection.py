"""A pytest plugin that writes down which test claims which Sparkplug statement.

Loaded with ``-p deploy.local.tck_collection`` into a collect-only run. It reads the ``tck`` markers
and nothing else: what the statements are, and whether all are claimed, is not its business.
"""

import json
from pathlib import Path

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that names the file to write."""
    parser.addoption("--tck-output", type=Path, help="write the claimed statements here, as JSON")


def pytest_collection_finish(session: pytest.Session) -> None:
    """Write ``{statement id: [test, …]}``, a parametrized test once."""
    output: Path | None = session.config.getoption("--tck-output")
    if output is None:
        return
    claims: dict[str, set[str]] = {}
    for item in session.items:
        test = item.nodeid.partition("[")[0]
        for marker in item.iter_markers("tck"):
            for statement in marker.args:
                claims.setdefault(statement, set()).add(test)
    ordered = {statement: sorted(tests) for statement, tests in sorted(claims.items())}
    output.write_text(json.dumps(ordered))
