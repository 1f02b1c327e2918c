-- Rollups are read and made in one plan for many.
-- depends: 0028.online

CREATE OR REPLACE FUNCTION historian.refresh_rollup(span interval, metrics integer[], lows timestamptz[], highs timestamptz[])
RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    -- Where the server makes the buckets in their turn, a gap between those here says nothing.
    in_turn boolean := to_regclass('historian.rollup_1m_parts') IS NULL;
    begins timestamptz[];
    ends timestamptz[];
    ids integer[];
    written bigint;
BEGIN
    SELECT array_agg(d.metric_id), array_agg(coalesce(left_behind.bucket, d.low)), array_agg(d.high)
    INTO ids, begins, ends
    FROM (
        SELECT given.*, lag(given.high) OVER (PARTITION BY given.metric_id ORDER BY given.low) AS done
        FROM unnest(metrics, lows, highs) AS given (metric_id, low, high)
    ) AS d
    LEFT JOIN LATERAL (
        SELECT k.bucket + span AS until FROM historian.rollup_kept AS k
        WHERE k.metric_id = d.metric_id AND k.step = span AND k.bucket < d.low
        ORDER BY k.bucket DESC LIMIT 1
    ) AS made ON in_turn
    LEFT JOIN LATERAL (
        SELECT date_bin(span, s.time, to_timestamp(0)) AS bucket FROM historian.sample AS s
        WHERE s.metric_id = d.metric_id AND s.time >= greatest(made.until, d.done) AND s.time < d.low
        ORDER BY s.time LIMIT 1
    ) AS left_behind ON made.until < d.low;
    INSERT INTO historian.rollup_kept AS r
    SELECT b.metric_id, span, b.bucket, b.count, b.min, b.max, b.avg, b.time_weighted_avg, b.first, b.last, b.percent_good
    FROM historian.buckets_of(ids, begins, ends, span) AS b
    JOIN historian.metric_retention AS rule ON rule.metric_id = b.metric_id
    -- A bucket whose samples may be gone already is not made again from what is left of them.
    WHERE b.count > 0 AND (
        rule.keep IS NULL OR b.bucket >= now() - rule.keep OR NOT EXISTS (
            SELECT FROM historian.rollup_figures AS f
            WHERE f.metric_id = b.metric_id AND f.step = span AND f.bucket = b.bucket
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

CREATE OR REPLACE FUNCTION historian.trend(metric integer, low timestamptz, high timestamptz, points integer DEFAULT 1000)
RETURNS TABLE (
    bucket timestamptz, min double precision, max double precision, avg double precision,
    last double precision, count bigint
)
LANGUAGE plpgsql STABLE SET plan_cache_mode = force_custom_plan AS $$
DECLARE
    width interval := greatest((high - low) / greatest(points, 1), interval '1 millisecond');
    fine interval := CASE
        WHEN width >= interval '1 day' THEN interval '1 day'
        WHEN width >= interval '1 hour' THEN interval '1 hour'
        WHEN width >= interval '15 minutes' THEN interval '15 minutes'
        WHEN width >= interval '1 minute' THEN interval '1 minute'
    END;
    -- What is not rolled up yet comes from the samples.
    made timestamptz := greatest(low, historian.rolled_until(metric, fine, high));
BEGIN
    PERFORM historian.check_steps(low, high, width);
    PERFORM historian.check_at_least('points', points, 1);
    RETURN QUERY
    WITH pieces AS (
        SELECT r.bucket AS at, r.min, r.max, r.avg, r.last, r.count::double precision AS count
        FROM historian.rollup_figures AS r
        WHERE r.metric_id = trend.metric AND r.step = fine AND r.bucket >= low AND r.bucket < least(high, made)
        UNION ALL
        SELECT s.time, s.value, s.value, s.value, s.value, 1::double precision
        FROM historian.sample AS s
        WHERE s.metric_id = trend.metric AND s.time >= made AND s.time < high
            AND s.quality = 192 AND s.value IS NOT NULL
    )
    SELECT date_bin(width, p.at, low), min(p.min), max(p.max),
        sum(p.avg * p.count) / nullif(sum(p.count) FILTER (WHERE p.avg IS NOT NULL), 0),
        (array_agg(p.last ORDER BY p.at DESC))[1], sum(p.count)::bigint
    FROM pieces AS p
    GROUP BY 1
    ORDER BY 1;
END
$$;
