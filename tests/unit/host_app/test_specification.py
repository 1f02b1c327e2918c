from pathlib import Path

from host_app.specification import STATEMENTS
from proto.sparkplug.host_events import ViolationKind

IDS = Path(__file__).resolve().parents[2] / "conformance" / "ids.tsv"


def test_every_statement_is_one_of_the_specification() -> None:
    known = {line.split("\t")[0] for line in IDS.read_text().splitlines()[1:]}
    assert set(STATEMENTS.values()) <= known
    assert set(STATEMENTS) <= set(ViolationKind)
