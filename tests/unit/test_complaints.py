"""Every complaint that the page lists is held by a test that carries its mark."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
PAGE = TESTS.parent / "docs" / "reference" / "complaints.md"
_ROW = re.compile(r"^\| .+ \| `([a-z0-9-]+)` \|$", re.MULTILINE)


def rows() -> list[str]:
    return _ROW.findall(PAGE.read_text(encoding="utf-8"))


def marks() -> Iterator[tuple[str, str]]:
    """Return each mark with the test that carries it."""
    for file in sorted(TESTS.rglob("test_*.py")):
        text = file.read_text(encoding="utf-8")
        if "mark.complaint" not in text:
            continue
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                for decorator in node.decorator_list:
                    if (
                        isinstance(decorator, ast.Call)
                        and ast.unparse(decorator.func) == "pytest.mark.complaint"
                    ):
                        for argument in decorator.args:
                            yield ast.literal_eval(argument), f"{file.name}::{node.name}"


def test_each_row_has_a_mark_of_its_own() -> None:
    assert len(rows()) == len(set(rows())) >= 16


def test_every_complaint_is_held_by_a_test() -> None:
    assert sorted(set(rows()) - {mark for mark, _ in marks()}) == []


def test_no_test_holds_a_complaint_that_the_page_does_not_tell() -> None:
    assert [(mark, test) for mark, test in marks() if mark not in rows()] == []
