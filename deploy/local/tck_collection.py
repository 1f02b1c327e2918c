"""A pytest plugin that writes down which test claims which Sparkplug statement, and which rule.

Loaded with ``-p deploy.local.tck_collection`` into a collect-only run. It reads the ``tck`` and
``rule`` markers and nothing else: what they stand for, and whether all are claimed, is not its
business.
"""

import json
from pathlib import Path

import pytest

VERSIONS = ("3.1.1", "5")
"""Of MQTT, as tests are parametrized with them."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that names the file to write."""
    parser.addoption("--tck-output", type=Path, help="write the claimed statements here, as JSON")


def pytest_collection_finish(session: pytest.Session) -> None:
    """Write the claims, a parametrized test once.

    ``{"statements": {id: [test, …]}, "rules": {rule: {test: [version of MQTT, …]}}}``.
    """
    output: Path | None = session.config.getoption("--tck-output")
    if output is None:
        return
    claims: dict[str, set[str]] = {}
    rules: dict[str, dict[str, set[str]]] = {}
    for item in session.items:
        test = item.nodeid.partition("[")[0]
        for marker in item.iter_markers("tck"):
            for statement in marker.args:
                claims.setdefault(statement, set()).add(test)
        for marker in item.iter_markers("rule"):
            for rule in marker.args:
                rules.setdefault(rule, {}).setdefault(test, set()).update(_versions(item))
    ordered = {statement: sorted(tests) for statement, tests in sorted(claims.items())}
    held = {
        rule: {test: sorted(versions) for test, versions in sorted(tests.items())}
        for rule, tests in rules.items()
    }
    output.write_text(json.dumps({"statements": ordered, "rules": held}))


def _versions(item: pytest.Item) -> list[str]:
    callspec = getattr(item, "callspec", None)
    given = () if callspec is None else callspec.params.values()
    return [value for value in given if isinstance(value, str) and value in VERSIONS]
