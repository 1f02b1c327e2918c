"""Every normative statement has a test, a reason or, for now, a place on the open list."""

from pathlib import Path

import pytest

from deploy.local import conformance

Claims = dict[str, list[str]]


@pytest.fixture(scope="module")
def claims() -> Claims:
    return conformance.collect_claims()


@pytest.fixture(scope="module")
def statements() -> dict[str, conformance.Statement]:
    return {statement.id: statement for statement in conformance.read_statements()}


def test_the_statements_are_all_there(statements: dict[str, conformance.Statement]) -> None:
    assert len(statements) == 299


def test_what_cannot_be_tested_says_why(statements: dict[str, conformance.Statement]) -> None:
    silent = [s.id for s in statements.values() if not s.testable and not s.note]

    assert silent == []


def test_tests_claim_only_statements_that_exist(
    claims: Claims, statements: dict[str, conformance.Statement]
) -> None:
    unknown = {
        statement: tests for statement, tests in claims.items() if statement not in statements
    }

    assert unknown == {}


def test_what_is_called_untestable_has_no_test(
    claims: Claims, statements: dict[str, conformance.Statement]
) -> None:
    tested = {s.id: claims[s.id] for s in statements.values() if not s.testable and s.id in claims}

    assert tested == {}


def test_every_testable_statement_is_held_or_known_to_be_open(
    claims: Claims, statements: dict[str, conformance.Statement]
) -> None:
    missing = {s.id for s in statements.values() if s.testable} - claims.keys()

    assert sorted(missing - conformance.read_open()) == []


def test_the_open_list_shrinks_with_every_test(claims: Claims) -> None:
    no_longer_open = conformance.read_open() & claims.keys()

    assert sorted(no_longer_open) == [], "run ./nexus conformance"


def test_statements_with_a_test_leave_the_open_list(tmp_path: Path) -> None:
    listed = tmp_path / "open.txt"
    listed.write_text("# why\nheld\nopen\n")

    conformance.shrink_open({"held": ["test"]}, listed)

    assert listed.read_text() == "# why\nopen\n"


def test_the_open_list_names_statements_only(statements: dict[str, conformance.Statement]) -> None:
    testable = {s.id for s in statements.values() if s.testable}

    assert sorted(conformance.read_open() - testable) == []


def test_the_page_is_what_the_generator_writes(
    claims: Claims, statements: dict[str, conformance.Statement]
) -> None:
    page = conformance.render(list(statements.values()), claims)

    assert conformance.PAGE.read_text(encoding="utf-8") == page, "run ./nexus conformance"
