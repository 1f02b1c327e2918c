-- One function for pictures: from rollups where they are fine enough, from samples where not.
-- depends: 0006.rollups

CREATE FUNCTION historian.trend(metric integer, low timestamptz, high timestamptz, points integer DEFAULT 1000)
RETURNS TABLE (
    bucket timestamptz, min double precision, max double precision, avg double precision,
    last double precision, count bigint
)
LANGUAGE plpgsql STABLE AS $$
DECLARE
    width interval := greatest((high - low) / greatest(points, 1), interval '1 millisecond');
    fine interval := (
        SELECT max(known.step)
        FROM (VALUES (interval '1 minute'), (interval '15 minutes'), (interval '1 hour'), (interval '1 day')) AS known (step)
        WHERE known.step <= width
    );
    -- What is not rolled up yet comes from the samples.
    made timestamptz := (
        SELECT r.bucket + r.step FROM historian.rollup AS r
        WHERE r.metric_id = trend.metric AND r.step = fine AND r.bucket < high
        ORDER BY r.bucket DESC LIMIT 1
    );
BEGIN
    RETURN QUERY
    WITH pieces AS (
        SELECT r.bucket AS at, r.min, r.max, r.avg, r.last, r.count
        FROM historian.rollup AS r
        WHERE r.metric_id = trend.metric AND r.step = fine AND r.bucket >= low AND r.bucket < high
        UNION ALL
        SELECT s.time, s.value, s.value, s.value, s.value, 1
        FROM historian.sample AS s
        WHERE s.metric_id = trend.metric AND s.time >= greatest(low, coalesce(made, low)) AND s.time < high
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
COMMENT ON FUNCTION historian.trend(integer, timestamptz, timestamptz, integer) IS
    'At most so many buckets of a time, for a picture: least, greatest, mean and last good value of each. Reads the coarsest rollups that are fine enough, and the samples that are not rolled up yet. Buckets in which nothing is known are left out.';
