"""Habits that no linter knows: small modules, telling names, docstrings that say what for.

Imports are held by import-linter's contracts in pyproject.toml.
"""

import ast
import io
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("proto", "edge_node", "host_app", "historian", "web", "deploy", "bench")
MOST_LINES = 300
"""Lines that hold code; what explains it does not count."""
BANNED_NAMES = {"utils", "util", "common", "helpers", "helper", "manager", "misc"}

MODULES = sorted(
    path
    for package in PACKAGES
    for path in (ROOT / package).rglob("*.py")
    if "node_modules" not in path.parts and not path.name.endswith("_pb2.py")
)
TESTS = sorted((ROOT / "tests").rglob("test_*.py"))


_NOT_CODE = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENCODING,
    tokenize.ENDMARKER,
}


def count_code_lines(source: str) -> int:
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in _NOT_CODE:
            lines |= set(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.stmt) and _is_docstring(node):
            lines -= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return len(lines)


def shown(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("module", MODULES, ids=shown)
def test_module_is_small_enough_to_read_in_one_go(module: Path) -> None:
    lines = count_code_lines(module.read_text())
    assert lines <= MOST_LINES, f"{shown(module)} has {lines} lines, expected at most {MOST_LINES}"


@pytest.mark.parametrize("module", MODULES, ids=shown)
def test_module_is_named_for_an_idea(module: Path) -> None:
    names = set(module.relative_to(ROOT).with_suffix("").parts)
    assert not names & BANNED_NAMES


@pytest.mark.parametrize("module", MODULES, ids=shown)
def test_module_says_what_it_is_for(module: Path) -> None:
    assert ast.get_docstring(ast.parse(module.read_text()))


@pytest.mark.parametrize("module", TESTS, ids=shown)
def test_no_test_is_empty_or_skipped_for_good(module: Path) -> None:
    tree = ast.parse(module.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            if not node.name.startswith("test_"):
                continue
            body = [n for n in node.body if not _is_docstring(n)]
            assert body, f"{node.name} is empty"
            assert not all(isinstance(n, ast.Pass) for n in body), f"{node.name} does nothing"
            marks = {ast.unparse(mark).partition("(")[0] for mark in node.decorator_list}
            assert "pytest.mark.skip" not in marks, f"{node.name} never runs"


def test_code_lines_leave_out_what_explains() -> None:
    assert count_code_lines('"""Doc\n\nstring."""\n\n# why\nx = """a\nb"""\n') == 2


def test_versions_agree() -> None:
    version = '"version": "0.1.0"'
    assert version in (ROOT / "web/ui/package.json").read_text()
    assert 'version = "0.1.0"' in (ROOT / "pyproject.toml").read_text()


def _is_docstring(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
