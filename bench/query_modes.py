"""How long every retrieval mode takes over a day and a month of one tag: medians, milliseconds.

A thousand rows are asked for where a mode makes rows; where it gives one a sample, the server
counts them, so that the figure is the mode's and not that of the way to the client.
"""

import time
from datetime import datetime, timedelta
from typing import Final

import asyncpg

SPANS: Final = {"a_day": (timedelta(days=1), 3), "thirty_days": (timedelta(days=30), 1)}
"""How long the time is, and how often each mode is asked about it."""
_STEPS: Final = 1_000

_COUNT: Final = "SELECT count(*) FROM historian.{}"
MODES: Final = {
    "raw": (
        "SELECT count(*) FROM (SELECT time, value, quality FROM historian.sample"
        " WHERE metric_id = $1 AND time >= $2 AND time < $3 ORDER BY time OFFSET 0) AS s"
    ),
    "last_known": "SELECT * FROM historian.last_known($1, $3) WHERE $2 < $3",
    "cyclic": "SELECT * FROM historian.cyclic($1, $2, $3, $4)",
    "interpolated": "SELECT * FROM historian.interpolated($1, $2, $3, $4)",
    "aggregates": "SELECT * FROM historian.aggregates($1, $2, $3, $4)",
    "time_weighted": "SELECT * FROM historian.filled($1, $2, $3, $4, 'time_weighted_avg', 'none')",
    "mean_gaps_filled": "SELECT * FROM historian.filled($1, $2, $3, $4, 'avg', 'linear')",
    "percent_good": "SELECT * FROM historian.filled($1, $2, $3, $4, 'percent_good', 'none')",
    "counter": "SELECT * FROM historian.counter_increase($1, $2, $3, $4, 1000)",
    "trend": "SELECT * FROM historian.trend($1, $2, $3, 1000)",
    "best_fit": "SELECT * FROM historian.best_fit($1, $2, $3, 1000)",
    "envelope": "SELECT * FROM historian.envelope($1, $2, $3, 1000)",
    "changes": _COUNT.format("changes($1, $2, $3, 30)"),
    "slopes": _COUNT.format("slopes($1, $2, $3)"),
    "spells": _COUNT.format("spells($1, $2, $3)"),
    "value_state": _COUNT.format("value_state($1, $2, $3)"),
    "round_trip": _COUNT.format("round_trip($1, $2, $3)"),
}


async def measure_modes(
    connection: "asyncpg.Connection[asyncpg.Record]", metric_id: int, end: datetime
) -> dict[str, dict[str, float]]:
    """Ask each mode over each time that ends at ``end``.

    Returns:
        How long it took, by time and mode; the median where it was asked more than once.
    """
    return {
        name: {
            mode: await _measure(connection, statement, (metric_id, end - span, end), repeat)
            for mode, statement in MODES.items()
        }
        for name, (span, repeat) in SPANS.items()
    }


async def _measure(
    connection: "asyncpg.Connection[asyncpg.Record]",
    statement: str,
    asked: tuple[int, datetime, datetime],
    repeat: int,
) -> float:
    kinds = ("integer", "timestamptz", "timestamptz", "interval")
    for place, kind in enumerate(kinds, 1):
        statement = statement.replace(f"${place}", f"${place}::{kind}")
    _, start, end = asked
    step = ((end - start) / _STEPS,) if "$4" in statement else ()
    prepared = await connection.prepare(statement)
    took = []
    for _ in range(repeat):
        begun = time.perf_counter()
        await prepared.fetch(*asked, *step)
        took.append((time.perf_counter() - begun) * 1000)
    return round(sorted(took)[repeat // 2], 1)
