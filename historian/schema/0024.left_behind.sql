-- Buckets that a historian left behind are made with the next one of their metric.
-- depends: 0014.continuous_rollups

CREATE OR REPLACE FUNCTION historian.refresh_rollup(span interval, metrics integer[], lows timestamptz[], highs timestamptz[])
RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    -- Where the server makes the buckets in their turn, a gap between those here says nothing.
    in_turn boolean := to_regclass('historian.rollup_1m_parts') IS NULL;
    written bigint;
BEGIN
    INSERT INTO historian.rollup_kept AS r
    SELECT d.metric_id, span, b.*
    FROM (
        SELECT given.*, lag(given.high) OVER (PARTITION BY given.metric_id ORDER BY given.low) AS done
        FROM unnest(metrics, lows, highs) AS given (metric_id, low, high)
    ) AS d
    JOIN historian.metric_retention AS rule ON rule.metric_id = d.metric_id
    LEFT JOIN LATERAL (
        SELECT k.bucket + span AS until FROM historian.rollup_kept AS k
        WHERE k.metric_id = d.metric_id AND k.step = span AND k.bucket < d.low
        ORDER BY k.bucket DESC LIMIT 1
    ) AS made ON in_turn
    LEFT JOIN LATERAL (
        SELECT date_bin(span, s.time, to_timestamp(0)) AS bucket FROM historian.sample AS s
        WHERE s.metric_id = d.metric_id AND s.time >= greatest(made.until, d.done) AND s.time < d.low
        ORDER BY s.time LIMIT 1
    ) AS left_behind ON made.until < d.low
    CROSS JOIN LATERAL historian.buckets(d.metric_id, coalesce(left_behind.bucket, d.low), d.high, span) AS b
    -- A bucket whose samples may be gone already is not made again from what is left of them.
    WHERE b.count > 0 AND (
        rule.keep IS NULL OR b.bucket >= now() - rule.keep OR NOT EXISTS (
            SELECT FROM historian.rollup_figures AS f
            WHERE f.metric_id = d.metric_id AND f.step = span AND f.bucket = b.bucket
        )
    )
    ON CONFLICT (metric_id, step, bucket) DO UPDATE SET
        count = excluded.count, min = excluded.min, max = excluded.max, avg = excluded.avg,
        time_weighted_avg = excluded.time_weighted_avg, first = excluded.first,
        last = excluded.last, percent_good = excluded.percent_good;
    GET DIAGNOSTICS written = ROW_COUNT;
    RETURN written;
END
$$;
COMMENT ON FUNCTION historian.refresh_rollup(interval, integer[], timestamptz[], timestamptz[]) IS
    'Makes the buckets of one step again, for each metric from its low to its high, both at the begin of a bucket; also those before that a historian left behind which was killed.';
