"""The SQL of the writers."""

from typing import Final

from historian.rows import FULL_COLUMNS

_COLUMNS: Final = ", ".join(FULL_COLUMNS)
_FROM_ARRIVING: Final = ", ".join(f"a.{column}" for column in FULL_COLUMNS)
_SAMPLE_COLUMNS: Final = f"{_COLUMNS}, sent"
_SAMPLE_FROM_ARRIVING: Final = f"{_FROM_ARRIVING}, a.sent"
"""An import may tell when a sample was published more exactly than a delay can."""
_SAME: Final = " AND ".join(
    f"s.{column} IS NOT DISTINCT FROM a.{column}" for column in ("value", "text", "json", "bytes")
)

CHECK_SETUP: Final = (
    "CREATE TEMP TABLE arriving (LIKE historian.sample INCLUDING DEFAULTS) ON COMMIT DELETE ROWS",
    (
        "CREATE TEMP TABLE arriving_historical (historical boolean NOT NULL DEFAULT true)"
        " INHERITS (arriving) ON COMMIT DELETE ROWS"
    ),
    (
        "CREATE TEMP TABLE arriving_current"
        " (LIKE historian.current_value INCLUDING DEFAULTS) ON COMMIT DELETE ROWS"
    ),
    # Nothing is known of a table that was just filled. Samples are read through their index all the
    # same, and joined by hashing; a statement is over before it would have been compiled.
    "SET enable_seqscan = off",
    "SET enable_nestloop = off",
    "SET enable_mergejoin = off",
    "SET jit = off",
)

COMPRESS_DIRECTLY: Final = "SET LOCAL timescaledb.enable_direct_compress_copy = on"

COMPRESS_LATER: Final = "SET LOCAL timescaledb.enable_direct_compress_copy = off"

BEGIN_LIVE: Final = "SELECT historian.begin_live()"

KEEP_FROM_AGGREGATES: Final = """
    SELECT set_config('timescaledb.skip_cagg_invalidation', 'on', true)
    WHERE to_regclass('historian.rollup_1m_parts') IS NOT NULL
"""
"""What is noted in historian.rollup_due is none of the continuous aggregates' business: they would
read all metrics again for it."""

SETTLED_UNTIL: Final = "SELECT historian.settled_until()"

LOCK_CHECKS: Final = "SELECT pg_advisory_xact_lock(hashtext('historian.check'))"
"""All historians of a share get every birth: one after the other looks what is there already."""

INSERT_MISSING: Final = f"""
    WITH span AS MATERIALIZED (
        SELECT metric_id, min(time) AS low, max(time) AS high FROM arriving
        GROUP BY metric_id, date_bin('10 minutes', time, 'epoch')
    ),
    there AS MATERIALIZED (
        SELECT found.* FROM span CROSS JOIN LATERAL (
            SELECT s.metric_id, s.time, s.value, s.text, s.json, s.bytes
            FROM historian.sample AS s
            WHERE s.metric_id = span.metric_id AND s.time >= span.low AND s.time <= span.high
            OFFSET 0
        ) AS found
    )
    INSERT INTO historian.sample ({_SAMPLE_COLUMNS})
    SELECT DISTINCT ON (a.metric_id, a.time, a.value, a.text, a.json, a.bytes)
        {_SAMPLE_FROM_ARRIVING}
    FROM arriving AS a
    WHERE NOT EXISTS (
        SELECT FROM there AS s WHERE s.metric_id = a.metric_id AND s.time = a.time AND {_SAME}
    )
"""  # noqa: S608  # column names of ours
"""What is there is read once for each metric and ten minutes in which something arrives: through
the index, and of the columnstore no batch twice. A look for each row would unpack one for each."""


def note_due(insert: str) -> str:
    """An INSERT of samples that also notes which rollups it touches, and gives how many it stored.

    Both are in one statement, so no crash can come between them.
    """
    return f"""
        WITH stored AS ({insert} RETURNING metric_id, time),
        due AS (
            INSERT INTO historian.rollup_due (metric_id, low, high)
            SELECT metric_id, min(time), max(time) FROM stored GROUP BY metric_id
        )
        SELECT count(*) FROM stored
    """  # noqa: S608  # statements of ours


STORE_MISSING: Final = note_due(INSERT_MISSING)

NOTE_LATE: Final = """
    INSERT INTO historian.rollup_due (metric_id, low, high)
    SELECT * FROM unnest($1::integer[], $2::timestamptz[], $3::timestamptz[])
"""

READ_DUE: Final = """
    SELECT d.metric_id, d.step, d.low, d.high AS newest, next.time AS high, d.due_ids
    FROM (
        SELECT metric_id, step, min(low) AS low, max(high) AS high, array_agg(due_id) AS due_ids
        FROM (
            SELECT * FROM historian.rollup_due
            WHERE low < $1 AND (step IS NULL OR low + step <= $1)
            ORDER BY due_id LIMIT $2
        ) AS oldest
        GROUP BY metric_id, step
    ) AS d
    LEFT JOIN LATERAL (
        SELECT s.time FROM historian.sample AS s
        WHERE d.step IS NULL AND s.metric_id = d.metric_id AND s.time > d.high
        ORDER BY s.time LIMIT 1
    ) AS next ON true
    ORDER BY d.metric_id
"""
"""A value holds until the next sample: up to there buckets are others now."""

KEEP_DUE: Final = """
    INSERT INTO historian.rollup_due (metric_id, step, low, high)
    SELECT * FROM unnest($1::integer[], $2::interval[], $3::timestamptz[], $4::timestamptz[])
    ON CONFLICT (metric_id, step, low) WHERE step IS NOT NULL DO NOTHING
"""

FORGET_DUE: Final = "DELETE FROM historian.rollup_due WHERE due_id = ANY ($1::bigint[])"

UPSERT_CURRENT: Final = f"""
    INSERT INTO historian.current_value ({_COLUMNS})
    SELECT DISTINCT ON (a.metric_id) {_FROM_ARRIVING}
    FROM arriving_current AS a
    ORDER BY a.metric_id, a.time DESC
    ON CONFLICT (metric_id) DO UPDATE SET
        {", ".join(f"{column} = excluded.{column}" for column in FULL_COLUMNS[1:])}
    WHERE excluded.time >= current_value.time
        OR current_value.time > now() + interval '1 minute'
"""  # noqa: S608  # column names of ours
"""What came from the future stays the newest only until something of the present comes."""

INSERT_EVENTS: Final = """
    INSERT INTO historian.event (time, kind, group_name, edge, device, detail)
    SELECT to_timestamp(time_ms / 1000.0), kind, group_name, edge, device, detail::jsonb
    FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[])
        AS t (time_ms, kind, group_name, edge, device, detail)
"""

LAST_SIGHTS: Final = "SELECT group_name, edge, bd_seq, seen FROM historian.last_sights()"

DESCRIBE_METRICS: Final = """
    INSERT INTO historian.metric AS m (group_name, edge, device, name, datatype,
        unit, low, high, description, writable, uns_path, properties)
    SELECT group_name, edge, device, name, datatype,
        unit, low, high, description, writable, uns_path, properties::jsonb
    FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[],
        $7::float8[], $8::float8[], $9::text[], $10::bool[], $11::text[], $12::text[])
        AS t (group_name, edge, device, name, datatype,
            unit, low, high, description, writable, uns_path, properties)
    ORDER BY group_name, edge, device, name, datatype
    ON CONFLICT (group_name, edge, coalesce(device, ''), name, datatype) DO UPDATE SET
        unit = excluded.unit, low = excluded.low, high = excluded.high,
        description = excluded.description, writable = excluded.writable,
        uns_path = excluded.uns_path, properties = excluded.properties,
        superseded = false, last_described = now()
    RETURNING m.metric_id, m.group_name, m.edge, m.device, m.name, m.datatype
"""

SUPERSEDE_METRICS: Final = """
    UPDATE historian.metric AS old SET superseded = true
    FROM historian.metric AS new
    WHERE new.metric_id = ANY ($1::integer[]) AND old.metric_id <> new.metric_id
        AND NOT old.superseded
        AND old.group_name = new.group_name AND old.edge = new.edge
        AND old.device IS NOT DISTINCT FROM new.device AND old.name = new.name
"""
