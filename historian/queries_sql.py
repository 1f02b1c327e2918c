"""The SQL of the readers, and the retrieval modes by name."""

from dataclasses import dataclass
from typing import Final

METRICS: Final = """
    SELECT (
            SELECT array_agg(
                other.metric_id ORDER BY other.metric_id = m.metric_id, other.first_seen
            )
            FROM historian.lineage(m.metric_id) AS l
            JOIN historian.metric AS other USING (metric_id)
            WHERE $1::integer[] IS NULL OR other.metric_id = m.metric_id
        ) AS ids,
        m.group_name, m.edge, m.device, m.name, m.datatype, m.unit, m.low, m.high, m.description,
        m.uns_path, m.first_seen
    FROM historian.metric AS m
    WHERE ($1::integer[] IS NULL AND NOT m.superseded OR m.metric_id = ANY ($1))
        AND ($2::text IS NULL OR m.uns_path LIKE $2
            OR concat_ws('/', m.group_name, m.edge, m.device, m.name) LIKE $2)
        AND ($3::text IS NULL OR m.uns_path = $3 OR starts_with(m.uns_path, $3 || '/'))
        AND ($4::text IS NULL OR m.group_name = $4)
        AND ($5::text IS NULL OR m.edge = $5)
        AND ($6::text IS NULL OR coalesce(m.device, '') = $6)
        AND ($7::text IS NULL OR m.name = $7)
    ORDER BY m.group_name, m.edge, m.device NULLS FIRST, m.name, m.metric_id
    LIMIT $8
"""
"""A device of '' is the edge node itself."""

_SAMPLE_COLUMNS: Final = """
    s.time, s.value, s.text, s.json::text AS json, s.bytes, s.quality,
    coalesce(s.time + s.delay * interval '1 millisecond', s.sent, s.time) AS sent, s.historical
"""

# Metric by metric, so that each is walked along its index in the order of time.
SAMPLES: Final = f"""
    SELECT m.datatype, one.*
    FROM historian.metric AS m
    CROSS JOIN LATERAL (
        SELECT {_SAMPLE_COLUMNS}
        FROM historian.sample AS s
        WHERE s.metric_id = m.metric_id AND s.time >= $2 AND s.time < $3
        ORDER BY s.time
        LIMIT $4
    ) AS one
    WHERE m.metric_id = ANY ($1::integer[])
    ORDER BY one.time
    LIMIT $4
"""  # noqa: S608  # column names of ours

AT: Final = f"""
    SELECT m.datatype, {_SAMPLE_COLUMNS}
    FROM historian.metric AS m
    CROSS JOIN LATERAL historian.last_sample(m.metric_id, $2) AS s
    WHERE m.metric_id = ANY ($1::integer[])
    ORDER BY s.time DESC
    LIMIT 1
"""  # noqa: S608  # column names of ours

TREND: Final = """
    SELECT t.bucket, t.min, t.max, t.avg, t.last, t.count
    FROM unnest($1::integer[]) AS m (metric_id)
    CROSS JOIN LATERAL historian.trend(m.metric_id, $2, $3, $4) AS t
    ORDER BY t.bucket
"""

BEST_FIT: Final = """
    SELECT b.at, b.value, b.quality
    FROM unnest($1::integer[]) AS m (metric_id)
    CROSS JOIN LATERAL historian.best_fit(m.metric_id, $2, $3, $4) AS b
    ORDER BY b.at
"""

OUTAGES: Final = "SELECT since, until, reason FROM historian.outages($1, $2, $3, $4, $5)"

ONLINE: Final = "SELECT historian.online_percentage($1, $2, $3, $4, $5)"

EVENTS: Final = """
    SELECT e.event_id, e.time, e.kind, e.group_name, e.edge, e.device, e.detail::text AS detail
    FROM historian.event AS e
    WHERE e.time >= $1 AND e.time < $2
        AND ($3::text IS NULL OR e.group_name = $3)
        AND ($4::text IS NULL OR e.edge = $4)
        AND ($5::text IS NULL OR coalesce(e.device, '') = $5)
        AND ($6::text[] IS NULL OR e.kind = ANY ($6))
    ORDER BY e.time DESC, e.event_id DESC
    LIMIT $7
"""


@dataclass(frozen=True, slots=True)
class Mode:
    """A retrieval function of the schema, called with metric, start, end and what it takes more.

    Attributes:
        function: its name.
        columns: what its rows have.
        more: SQL types of its further arguments.
    """

    function: str
    columns: tuple[str, ...]
    more: tuple[str, ...] = ()

    @property
    def statement(self) -> str:
        """The query; $1 is the metric, $2 and $3 are the time."""
        places = "".join(f", ${number}::{kind}" for number, kind in enumerate(self.more, 4))
        return (
            f"SELECT {', '.join(self.columns)}"  # noqa: S608  # names of ours
            f" FROM historian.{self.function}($1, $2, $3{places})"
        )


CYCLIC: Final = Mode("cyclic", ("at", "value", "text", "quality", "since"), ("interval",))
INTERPOLATED: Final = Mode("interpolated", ("at", "value"), ("interval",))
AGGREGATES: Final = Mode(
    "aggregates",
    (
        "bucket",
        "count",
        "min",
        "max",
        "avg",
        "sum",
        "stddev",
        "time_weighted_avg",
        "integral",
        "slope",
        "first",
        "last",
        "delta",
        "percent_good",
        "percent_time_good",
    ),
    ("interval",),
)
FIGURES: Final = {
    **{name: name for name in AGGREGATES.columns[1:]},
    "range": "max - min",
}
"""What `filled` takes as an aggregate, as expressions over the columns of `aggregates`."""
FILLED: Final = Mode("filled", ("bucket", "value", "is_filled"), ("interval", "text", "text"))
COUNTER: Final = Mode("counter_increase", ("bucket", "increase", "resets"), ("interval", "float8"))
CHANGES: Final = Mode("changes", ("at", "value", "text", "quality"), ("float8",))
SLOPES: Final = Mode("slopes", ("at", "value", "per_second"))
SPELLS: Final = Mode("spells", ("state", "since", "until", "seconds", "is_whole"))
VALUE_STATE: Final = Mode(
    "value_state",
    (
        "state",
        "entries",
        "total_seconds",
        "percent",
        "min_seconds",
        "avg_seconds",
        "max_seconds",
    ),
)
ROUND_TRIP: Final = Mode(
    "round_trip",
    ("state", "trips", "total_seconds", "min_seconds", "avg_seconds", "max_seconds"),
)
