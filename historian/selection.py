"""Which samples are exported, and how a statement is told. Knows no database."""

from dataclasses import dataclass
from datetime import datetime

from psycopg import sql


@dataclass(frozen=True, slots=True)
class Selection:
    """Which samples: metrics like a pattern (group/edge/device/name), in a half-open time."""

    pattern: str
    low: datetime
    high: datetime


def fill(statement: str, selection: Selection) -> sql.Composed:
    """Put a selection into a statement with ``{pattern}``, ``{low}`` and ``{high}``."""
    return sql.SQL(statement).format(
        pattern=sql.Literal(selection.pattern),
        low=sql.Literal(selection.low),
        high=sql.Literal(selection.high),
    )
