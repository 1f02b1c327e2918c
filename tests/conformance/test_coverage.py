"""Every normative statement has a test, or a reason why it cannot have one."""

from collections.abc import Mapping, Sequence

import pytest

from deploy.local import conformance
from deploy.local.tck_collection import VERSIONS

Claims = Mapping[str, Sequence[str]]


@pytest.fixture(scope="module")
def claimed() -> conformance.Claims:
    return conformance.collect_claims()


@pytest.fixture(scope="module")
def claims(claimed: conformance.Claims) -> Claims:
    return claimed.statements


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


def test_the_rules_are_all_there() -> None:
    names = [rule.name for rule in conformance.read_rules()]

    assert names == [*(f"edge-{n}" for n in range(1, 19)), *(f"host-{n}" for n in range(1, 9))]


def test_every_rule_is_driven_in_both_versions_of_mqtt(claimed: conformance.Claims) -> None:
    rules = {rule.name for rule in conformance.read_rules()}
    driven = {
        rule: {version for versions in tests.values() for version in versions}
        for rule, tests in claimed.rules.items()
    }

    assert driven == {key: set(VERSIONS) for key in rules}


def test_the_page_is_what_the_generator_writes(
    claimed: conformance.Claims, statements: dict[str, conformance.Statement]
) -> None:
    page = conformance.render(list(statements.values()), conformance.read_rules(), claimed)

    assert conformance.PAGE.read_text(encoding="utf-8") == page, "run ./nexus conformance"
