"""Every normative statement has a test, or a reason why it cannot have one."""

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


def test_every_testable_statement_is_held(
    claims: Claims, statements: dict[str, conformance.Statement]
) -> None:
    missing = {s.id for s in statements.values() if s.testable} - claims.keys()

    assert sorted(missing) == []


def test_the_page_is_what_the_generator_writes(
    claims: Claims, statements: dict[str, conformance.Statement]
) -> None:
    page = conformance.render(list(statements.values()), claims)

    assert conformance.PAGE.read_text(encoding="utf-8") == page, "run ./nexus conformance"
