"""Every query that the documentation shows runs on the schema that the historian makes."""

import re
from pathlib import Path

import psycopg
import pytest

from historian.schema.migrate import migrate, normalize_url

ROOT = Path(__file__).resolve().parents[2]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
BLOCKS = [
    pytest.param(block, id=f"{page.relative_to(ROOT)}-{number}")
    for page in PAGES
    for number, block in enumerate(re.findall(r"```sql\n(.*?)```", page.read_text(), re.DOTALL), 1)
]


@pytest.fixture(scope="module", params=["module_postgres_url", "module_timescale_url"])
def database(request: pytest.FixtureRequest) -> str:
    url = normalize_url(request.getfixturevalue(request.param))
    migrate(url)
    with psycopg.connect(url) as connection:
        connection.execute(
            "INSERT INTO historian.metric (group_name, edge, device, name, datatype)"
            " VALUES ('plant', 'line', 'Filler', 'Product/Temperature', 'Double')"
        )
    return url


@pytest.mark.parametrize("block", BLOCKS)
def test_documented_query_runs(database: str, block: str) -> None:
    with psycopg.connect(database) as connection:
        connection.execute(block.encode())


def test_readme_shows_three_queries() -> None:
    assert sum(str(block.id).startswith("README.md") for block in BLOCKS) == 3
