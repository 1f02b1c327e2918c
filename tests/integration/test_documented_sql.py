"""Every query that the documentation shows has an answer, in a database with a day of a line."""

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

A_DAY = (
    """
    INSERT INTO historian.metric (group_name, edge, device, name, datatype)
    VALUES ('plant', 'line', 'Filler', 'Product/Temperature', 'Float'),
        ('plant', 'line', 'Filler', 'Product/Flow', 'Float'),
        ('plant', 'line', 'Filler', 'Good Bottles', 'UInt32'),
        ('plant', 'line', 'Filler', 'State', 'UInt16'),
        ('plant', 'line', 'Filler', 'Fault/Code', 'UInt16')
    """,
    "SELECT historian.ensure_day(current_date - days) FROM generate_series(-1, 2) AS days",
    """
    INSERT INTO historian.sample (time, metric_id, value)
    SELECT at, metric_id, CASE name
        WHEN 'Product/Temperature' THEN 4 + sin(extract(epoch FROM at) / 600)
        WHEN 'Product/Flow' THEN 180
        WHEN 'State' THEN CASE WHEN extract(minute FROM at) < 50 THEN 6 ELSE 5 END
        ELSE extract(epoch FROM at - now() + interval '2 days')
    END
    FROM historian.metric,
        generate_series(now() - interval '26 hours', now(), interval '20 seconds') AS at
    WHERE name <> 'Fault/Code'
    """,
    """
    INSERT INTO historian.sample (time, metric_id, value)
    SELECT now() - interval '2 hours', metric_id, 12 FROM historian.metric WHERE name = 'Fault/Code'
    """,
    """
    INSERT INTO historian.current_value (time, metric_id, value)
    SELECT DISTINCT ON (metric_id) time, metric_id, value
    FROM historian.sample ORDER BY metric_id, time DESC
    """,
    """
    SELECT historian.refresh_rollup(interval '1 hour', array_agg(metric_id),
        array_agg(date_trunc('day', now() - interval '1 day')),
        array_agg(date_trunc('hour', now())))
    FROM historian.metric
    """,
    """
    INSERT INTO historian.event (time, kind, group_name, edge)
    VALUES (now() - interval '26 hours', 'node_birth', 'plant', 'line'),
        (now() - interval '3 hours', 'node_death', 'plant', 'line'),
        (now() - interval '2 hours', 'node_birth', 'plant', 'line')
    """,
)


@pytest.fixture(scope="module", params=["module_postgres_url", "module_timescale_url"])
def database(request: pytest.FixtureRequest) -> str:
    url = normalize_url(request.getfixturevalue(request.param))
    migrate(url)
    with psycopg.connect(url) as connection:
        for statement in A_DAY:
            connection.execute(statement)
    return url


@pytest.mark.parametrize("block", BLOCKS)
def test_documented_query_answers(database: str, block: str) -> None:
    with psycopg.connect(database) as connection:
        answer = connection.execute(block.encode())
        if answer.description is not None:
            assert answer.fetchall(), "nothing is answered"


def test_readme_shows_three_queries() -> None:
    assert sum(str(block.id).startswith("README.md") for block in BLOCKS) == 3
