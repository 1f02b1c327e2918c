"""The page that tells which test holds which normative statement of Sparkplug 3.0.

Made from the statements (``tests/conformance/ids.tsv``), the rules (``rules.tsv`` beside them) and
the ``tck`` and ``rule`` markers that pytest finds on the tests; nothing in it is kept by hand. It
must not know what a statement says or how a test holds it.
"""

import csv
import json
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

ROOT = Path(__file__).resolve().parents[2]
STATEMENTS = ROOT / "tests/conformance/ids.tsv"
RULES = ROOT / "tests/conformance/rules.tsv"
PAGE = ROOT / "docs/reference/sparkplug-conformance.md"
ROLES = ("edge", "host", "both", "broker")

_CHAPTERS = {
    1: "Introduction",
    2: "Principles",
    3: "Components",
    4: "Topics and messages",
    5: "Operational behaviour",
    6: "Payloads",
    10: "Conformance",
}
_ROLE_NAMES = {
    "edge": "edge node",
    "host": "host application",
    "both": "both",
    "broker": "MQTT server",
}
_HEAD = """\
# Sparkplug 3.0 conformance

<!-- Made by `./nexus conformance`; do not edit. -->

The specification marks its normative statements with ids. This page lists all of them, whom each
binds, and the tests that hold it. A statement is *held* when tests claim it with
`@pytest.mark.tck("id")`; those tests are part of `./nexus test`, so a release in which one of them
fails does not exist. *Not ours* says why no test of the suite can hold a statement. A statement
with neither fails the build. What independent implementations make of the suite is told in
[Interoperability](interop.md).
"""
_RULES_HEAD = """\
## What implementations get wrong

The rules that edge nodes and hosts break most often, in our words. Each has tests against a real
broker in both versions of MQTT, or the build fails.
"""


class ConformanceError(Exception):
    """The statements and the tests could not be brought together."""


@dataclass(frozen=True, slots=True)
class Claims:
    """What the tests say that they hold.

    Attributes:
        statements: id → tests.
        rules: rule → test → versions of MQTT that it runs in.
    """

    statements: Mapping[str, Sequence[str]]
    rules: Mapping[str, Mapping[str, Sequence[str]]]


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule that implementations are known to break, in our words."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Statement:
    """One normative statement, in our reading."""

    id: str
    chapter: int
    testable: bool
    role: str
    note: str


def read_statements(path: Path = STATEMENTS) -> tuple[Statement, ...]:
    """Return every statement of the specification, in its order.

    Raises:
        ConformanceError: a line does not have the expected fields.
    """
    statements = []
    with path.open(encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE):
            if row["role"] not in ROLES or row["testable"] not in {"yes", "no"}:
                raise ConformanceError(
                    f"{path.name} {row['id']}: found testable {row['testable']!r} and role "
                    f"{row['role']!r}, expected yes or no and one of {', '.join(ROLES)}"
                )
            testable = row["testable"] == "yes"
            statements.append(
                Statement(row["id"], int(row["chapter"]), testable, row["role"], row["note"])
            )
    return tuple(statements)


def read_rules(path: Path = RULES) -> tuple[Rule, ...]:
    """Return the rules, edge node's first."""
    with path.open(encoding="utf-8", newline="") as lines:
        rows = csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
        return tuple(Rule(row["rule"], row["text"]) for row in rows)


def collect_claims() -> Claims:
    """Ask pytest which tests claim which statement and which rule.

    Raises:
        ConformanceError: the tests cannot be collected.
    """
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "claims.json"
        command = (sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider")
        plugin = ("-p", "deploy.local.tck_collection", "--tck-output", str(output), "tests")
        done = subprocess.run(
            [*command, *plugin], cwd=ROOT, capture_output=True, text=True, check=False
        )
        if done.returncode or not output.exists():
            raise ConformanceError(
                f"the tests cannot be collected: {done.stdout[-2000:]}{done.stderr[-2000:]}"
            )
        claims = json.loads(output.read_text())
        return Claims(claims["statements"], claims["rules"])


def verdict(statement: Statement, claims: Mapping[str, Sequence[str]]) -> str:
    """Return ``held``, ``not ours``, or ``open`` for what nothing holds."""
    if statement.id in claims:
        return "held"
    return "open" if statement.testable else "not ours"


def render(statements: Sequence[Statement], rules: Sequence[Rule], claimed: Claims) -> str:
    """Return the page as Markdown."""
    claims = claimed.statements
    parts = [_HEAD, _summary(statements, claims), _RULES_HEAD]
    rule_rows = [_rule_row(rule, claimed.rules.get(rule.name, {})) for rule in rules]
    parts.append("\n".join(["| rule | | tests |", "|---|---|---|", *rule_rows]) + "\n")
    for chapter, title in _CHAPTERS.items():
        rows = [_row(s, claims) for s in statements if s.chapter == chapter]
        table = ["| id | binds | verdict | tests and remarks |", "|---|---|---|---|", *rows]
        parts.append(f"## Chapter {chapter}: {title}\n\n" + "\n".join(table) + "\n")
    return "\n".join(parts)


def _summary(statements: Iterable[Statement], claims: Mapping[str, Sequence[str]]) -> str:
    counts = Counter((s.role, verdict(s, claims)) for s in statements)
    lines = ["| binds | held | not ours | open |", "|---|---|---|---|"]
    for role in ROLES:
        held, ours, open_ = (counts[role, v] for v in ("held", "not ours", "open"))
        lines.append(f"| {_ROLE_NAMES[role]} | {held} | {ours} | {open_} |")
    return "\n".join(lines) + "\n"


def _rule_row(rule: Rule, tests: Mapping[str, Sequence[str]]) -> str:
    names = [
        f"`{test.removeprefix('tests/')}` ({', '.join(versions)})" if versions else f"`{test}`"
        for test, versions in tests.items()
    ]
    return f"| {rule.name} | {rule.text} | {'<br>'.join(names)} |"


def _row(statement: Statement, claims: Mapping[str, Sequence[str]]) -> str:
    remarks = [f"`{test.removeprefix('tests/')}`" for test in claims.get(statement.id, ())]
    if statement.note:
        remarks.append(statement.note)
    cells = (f"`{statement.id}`", _ROLE_NAMES[statement.role], verdict(statement, claims))
    return f"| {' | '.join(cells)} | {'<br>'.join(remarks)} |"


@click.command()
@click.option("--check", is_flag=True, help="Write nothing; exit 1 when the page is out of date.")
def conformance(*, check: bool) -> None:
    """Write docs/reference/sparkplug-conformance.md from the tests' markers."""
    try:
        page = render(read_statements(), read_rules(), collect_claims())
    except ConformanceError as error:
        raise click.ClickException(str(error)) from error
    if not check:
        PAGE.parent.mkdir(parents=True, exist_ok=True)
        PAGE.write_text(page, encoding="utf-8")
    elif not PAGE.exists() or PAGE.read_text(encoding="utf-8") != page:
        raise click.ClickException(f"{PAGE.relative_to(ROOT)} is out of date")
