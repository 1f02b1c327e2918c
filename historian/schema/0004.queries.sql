-- Questions that plain SQL makes long: functions, the same on every server.
-- depends: 0003.columnstore

CREATE FUNCTION historian.metric_of(device text, metric text, edge text DEFAULT NULL, group_name text DEFAULT NULL)
RETURNS integer LANGUAGE plpgsql STABLE AS $$
DECLARE
    found integer[];
BEGIN
    SELECT array_agg(m.metric_id) INTO found
    FROM historian.metric AS m
    WHERE m.name = metric_of.metric AND m.device IS NOT DISTINCT FROM metric_of.device
        AND NOT m.superseded
        AND (metric_of.edge IS NULL OR m.edge = metric_of.edge)
        AND (metric_of.group_name IS NULL OR m.group_name = metric_of.group_name);
    IF found IS NULL THEN
        RAISE EXCEPTION 'metric %: found none on device %, expected one', metric, device;
    ELSIF array_length(found, 1) > 1 THEN
        RAISE EXCEPTION 'metric %: found % on devices called %, expected one; name the edge and the group',
            metric, array_length(found, 1), device;
    END IF;
    RETURN found[1];
END
$$;
COMMENT ON FUNCTION historian.metric_of(text, text, text, text) IS
    'The metric_id of a metric by its names; edge and group where these alone are ambiguous.';

CREATE FUNCTION historian.metrics_like(pattern text)
RETURNS SETOF historian.metric LANGUAGE sql STABLE AS $$
    SELECT m.* FROM historian.metric AS m
    WHERE NOT m.superseded AND (
        concat_ws('/', m.group_name, m.edge, m.device, m.name) LIKE pattern OR m.uns_path LIKE pattern
    )
$$;
COMMENT ON FUNCTION historian.metrics_like(text) IS
    'Metrics whose group/edge/device/name or UNS path is like a pattern (LIKE: % and _).';

CREATE FUNCTION historian.last_known(metric integer, at timestamptz DEFAULT now())
RETURNS TABLE (since timestamptz, value double precision, text text, quality smallint)
LANGUAGE sql STABLE ROWS 1 AS $$
    SELECT s.time, s.value, s.text, s.quality
    FROM historian.sample AS s
    WHERE s.metric_id = metric AND s.time <= at
    ORDER BY s.time DESC
    LIMIT 1
$$;
COMMENT ON FUNCTION historian.last_known(integer, timestamptz) IS
    'The value that a metric had at a moment: the newest sample not after it.';

CREATE FUNCTION historian.interpolated(metric integer, low timestamptz, high timestamptz, step interval)
RETURNS TABLE (at timestamptz, value double precision)
LANGUAGE sql STABLE AS $$
    SELECT moments.at,
        CASE
            WHEN before.time = moments.at OR after.time IS NULL THEN before.value
            ELSE before.value + (after.value - before.value)
                * (extract(epoch FROM moments.at - before.time) / extract(epoch FROM after.time - before.time))
        END
    FROM generate_series(low, high, step) AS moments (at)
    LEFT JOIN LATERAL (
        SELECT s.time, s.value FROM historian.sample AS s
        WHERE s.metric_id = metric AND s.time <= moments.at AND s.value IS NOT NULL AND s.quality = 192
        ORDER BY s.time DESC LIMIT 1
    ) AS before ON true
    LEFT JOIN LATERAL (
        SELECT s.time, s.value FROM historian.sample AS s
        WHERE s.metric_id = metric AND s.time > moments.at AND s.value IS NOT NULL AND s.quality = 192
        ORDER BY s.time LIMIT 1
    ) AS after ON true
$$;
COMMENT ON FUNCTION historian.interpolated(integer, timestamptz, timestamptz, interval) IS
    'Values at regular moments, on the straight line between the good samples around each; null before the first, the last known after the last.';

CREATE FUNCTION historian.buckets(metric integer, low timestamptz, high timestamptz, step interval)
RETURNS TABLE (
    bucket timestamptz, count bigint, min double precision, max double precision, avg double precision,
    time_weighted_avg double precision, first double precision, last double precision, percent_good double precision
)
LANGUAGE sql STABLE AS $$
    WITH
    edges AS (
        SELECT generate_series(low, high - interval '1 microsecond', step) AS bucket
    ),
    samples AS (
        SELECT s.time, s.value, s.quality = 192 AS good
        FROM historian.sample AS s
        WHERE s.metric_id = metric AND s.time >= low AND s.time < high
    ),
    -- The value that is there when a bucket begins is a sample at its edge that does not count.
    marks AS (
        SELECT time, value, good, true AS counts FROM samples
        UNION ALL
        SELECT e.bucket, CASE WHEN e.bucket = low THEN before.value END, before.quality = 192, false
        FROM edges AS e
        LEFT JOIN LATERAL historian.last_known(metric, low) AS before ON e.bucket = low
        WHERE NOT EXISTS (SELECT FROM samples WHERE samples.time = e.bucket)
    ),
    held AS (
        SELECT time, value, good, counts,
            count(value) OVER (ORDER BY time, counts DESC) AS run,
            lead(time, 1, high) OVER (ORDER BY time, counts DESC) AS until
        FROM marks
    ),
    known AS (
        SELECT *, first_value(value) OVER (PARTITION BY run ORDER BY time, counts DESC) AS holds
        FROM held
    )
    SELECT
        date_bin(step, k.time, low) AS bucket,
        count(*) FILTER (WHERE k.counts),
        min(k.value) FILTER (WHERE k.counts AND k.good),
        max(k.value) FILTER (WHERE k.counts AND k.good),
        avg(k.value) FILTER (WHERE k.counts AND k.good),
        sum(k.holds * extract(epoch FROM k.until - k.time))
            / nullif(sum(extract(epoch FROM k.until - k.time)) FILTER (WHERE k.holds IS NOT NULL), 0),
        (array_agg(k.holds ORDER BY k.time, k.counts DESC))[1],
        (array_agg(k.holds ORDER BY k.time DESC, k.counts))[1],
        100.0 * count(*) FILTER (WHERE k.counts AND k.good) / nullif(count(*) FILTER (WHERE k.counts), 0)
    FROM known AS k
    GROUP BY 1
    ORDER BY 1
$$;
COMMENT ON FUNCTION historian.buckets(integer, timestamptz, timestamptz, interval) IS
    'One row a bucket, also where nothing arrived: count and percent_good of the samples; min, max and avg of the good ones; first, last and time_weighted_avg of the value as it was held, from sample to sample and across buckets.';

CREATE FUNCTION historian.counter_increase(metric integer, low timestamptz, high timestamptz, step interval, rollover double precision DEFAULT NULL)
RETURNS TABLE (bucket timestamptz, increase double precision, resets bigint)
LANGUAGE sql STABLE AS $$
    WITH
    readings AS (
        SELECT low AS time, before.value FROM historian.last_known(metric, low) AS before
        WHERE before.value IS NOT NULL
        UNION ALL
        SELECT s.time, s.value FROM historian.sample AS s
        WHERE s.metric_id = metric AND s.time > low AND s.time < high
            AND s.value IS NOT NULL AND s.quality = 192
    ),
    changes AS (
        SELECT time, value, lag(value) OVER (ORDER BY time) AS previous FROM readings
    )
    SELECT
        date_bin(step, time, low),
        coalesce(sum(CASE
            WHEN previous IS NULL THEN 0
            WHEN value >= previous THEN value - previous
            ELSE value + coalesce(rollover - previous, 0)
        END), 0),
        count(*) FILTER (WHERE value < previous)
    FROM changes
    GROUP BY 1
    ORDER BY 1
$$;
COMMENT ON FUNCTION historian.counter_increase(integer, timestamptz, timestamptz, interval, double precision) IS
    'How much a counter went up in each bucket. A smaller reading than the one before is a counter that began again: at zero, or, with rollover, after counting up to that number.';

CREATE FUNCTION historian.envelope(metric integer, low timestamptz, high timestamptz, points integer DEFAULT 1000)
RETURNS TABLE (at timestamptz, value double precision)
LANGUAGE sql STABLE AS $$
    WITH
    columns AS (
        SELECT s.time, s.value,
            width_bucket(extract(epoch FROM s.time), extract(epoch FROM low), extract(epoch FROM high), greatest(points / 4, 1)) AS pixel
        FROM historian.sample AS s
        WHERE s.metric_id = metric AND s.time >= low AND s.time < high
            AND s.value IS NOT NULL AND s.quality = 192
    ),
    ranked AS (
        SELECT time, value,
            row_number() OVER (PARTITION BY pixel ORDER BY time) AS from_first,
            row_number() OVER (PARTITION BY pixel ORDER BY time DESC) AS from_last,
            row_number() OVER (PARTITION BY pixel ORDER BY value, time) AS from_least,
            row_number() OVER (PARTITION BY pixel ORDER BY value DESC, time) AS from_most
        FROM columns
    )
    SELECT time, value FROM ranked
    WHERE 1 IN (from_first, from_last, from_least, from_most)
    ORDER BY time
$$;
COMMENT ON FUNCTION historian.envelope(integer, timestamptz, timestamptz, integer) IS
    'At most so many samples that draw the same picture as all of them: first, last, least and greatest of each column of pixels (M4).';

CREATE FUNCTION historian.online_percentage(group_name text, edge text, low timestamptz, high timestamptz, device text DEFAULT NULL)
RETURNS double precision LANGUAGE sql STABLE AS $$
    WITH
    turns AS (
        SELECT e.time, e.event_id, e.kind IN ('node_birth', 'device_birth') AS online
        FROM historian.event AS e
        WHERE e.group_name = online_percentage.group_name AND e.edge = online_percentage.edge
            AND e.time < high AND (
                e.kind = 'node_death'
                OR (online_percentage.device IS NULL AND e.kind = 'node_birth')
                OR (e.device = online_percentage.device AND e.kind IN ('device_birth', 'device_death'))
            )
    ),
    held AS (
        SELECT greatest(time, low) AS since, online,
            greatest(lead(time, 1, least(high, now())) OVER (ORDER BY time, event_id), low) AS until
        FROM turns
    )
    SELECT 100.0 * coalesce(sum(extract(epoch FROM until - since)) FILTER (WHERE online), 0)
        / nullif(extract(epoch FROM least(high, now()) - low), 0)
    FROM held
$$;
COMMENT ON FUNCTION historian.online_percentage(text, text, timestamptz, timestamptz, text) IS
    'Which part of a time an edge node, or a device of it, was online, by its births and deaths; the future does not count.';
