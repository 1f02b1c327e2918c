-- The other ways of looking at history: functions, the same on every server.
-- depends: 0007.trend
--
-- A sample whose quality is not good, or that has no number, ends what was known: from then until the
-- next good sample there is no value.

CREATE FUNCTION historian.aggregates(metric integer, low timestamptz, high timestamptz, step interval)
RETURNS TABLE (
    bucket timestamptz, count bigint, min double precision, max double precision, avg double precision,
    sum double precision, stddev double precision, time_weighted_avg double precision, integral double precision,
    slope double precision, first double precision, last double precision, delta double precision,
    percent_good double precision, percent_time_good double precision
)
LANGUAGE sql STABLE AS $$
    WITH
    samples AS (
        SELECT s.time, CASE WHEN s.quality = 192 THEN s.value END AS value, s.quality = 192 AS good, 1 AS counts
        FROM historian.sample AS s
        WHERE s.metric_id = metric AND s.time >= low AND s.time < high
    ),
    -- Where a bucket begins there is a mark that does not count; the first one knows what held then.
    marks AS (
        SELECT time, value, good, counts FROM samples
        UNION ALL
        SELECT low, CASE WHEN before.quality = 192 THEN before.value END, false, 0
        FROM (SELECT) AS always LEFT JOIN LATERAL historian.last_known(metric, low) AS before ON true
        UNION ALL
        SELECT edge, NULL, false, -1
        FROM generate_series(low + step, high - interval '1 microsecond', step) AS edge
    ),
    held AS (
        SELECT time, value, good, counts,
            count(*) FILTER (WHERE counts >= 0) OVER by_time AS run,
            lead(time, 1, high) OVER by_time AS until
        FROM marks
        WINDOW by_time AS (ORDER BY time, counts)
    ),
    -- Nobody knows how long the newest value will hold: the future has none.
    known AS (
        SELECT time, value, good, counts,
            CASE WHEN time <= now() THEN first_value(value) OVER (PARTITION BY run ORDER BY time, counts DESC) END AS holds,
            greatest(extract(epoch FROM least(until, now()) - time), 0)::double precision AS seconds,
            extract(epoch FROM time - low)::double precision AS at
        FROM held
    ),
    summed AS (
        SELECT
            date_bin(step, k.time, low) AS bucket,
            count(*) FILTER (WHERE k.counts = 1) AS count,
            count(*) FILTER (WHERE k.counts = 1 AND k.good) AS good,
            min(k.value) FILTER (WHERE k.counts = 1) AS min,
            max(k.value) FILTER (WHERE k.counts = 1) AS max,
            avg(k.value) FILTER (WHERE k.counts = 1) AS avg,
            sum(k.value) FILTER (WHERE k.counts = 1) AS sum,
            stddev_samp(k.value) FILTER (WHERE k.counts = 1) AS stddev,
            regr_slope(k.value, k.at) FILTER (WHERE k.counts = 1) AS slope,
            sum(k.holds * k.seconds) FILTER (WHERE k.seconds > 0) AS integral,
            sum(k.seconds) AS seconds,
            sum(k.seconds) FILTER (WHERE k.holds IS NOT NULL) AS held_seconds,
            (array_agg(k.holds ORDER BY k.time, k.counts) FILTER (WHERE k.seconds > 0 OR k.counts = 1))[1] AS first,
            (array_agg(k.holds ORDER BY k.time DESC, k.counts DESC))[1] AS last
        FROM known AS k
        GROUP BY 1
    )
    SELECT s.bucket, s.count, s.min, s.max, s.avg, s.sum, s.stddev, s.integral / nullif(s.held_seconds, 0), s.integral,
        s.slope, s.first, s.last, s.last - s.first,
        100.0 * s.good / nullif(s.count, 0), 100.0 * coalesce(s.held_seconds, 0) / nullif(s.seconds, 0)
    FROM summed AS s
    ORDER BY 1
$$;
COMMENT ON FUNCTION historian.aggregates(integer, timestamptz, timestamptz, interval) IS
    'One row a bucket, also where nothing arrived. Of the samples: count, percent_good. Of the good samples: min, max, avg, sum, stddev, slope (least squares, per second). Of the value as it was held: first, last, delta (last - first), time_weighted_avg, integral (value times seconds), percent_time_good (part of the time in which there was a good value).';

CREATE OR REPLACE FUNCTION historian.buckets(metric integer, low timestamptz, high timestamptz, step interval)
RETURNS TABLE (
    bucket timestamptz, count bigint, min double precision, max double precision, avg double precision,
    time_weighted_avg double precision, first double precision, last double precision, percent_good double precision
)
LANGUAGE sql STABLE AS $$
    SELECT a.bucket, a.count, a.min, a.max, a.avg, a.time_weighted_avg, a.first, a.last, a.percent_good
    FROM historian.aggregates(metric, low, high, step) AS a
$$;
COMMENT ON FUNCTION historian.buckets(integer, timestamptz, timestamptz, interval) IS
    'One row a bucket, also where nothing arrived: count and percent_good of the samples; min, max and avg of the good ones; first, last and time_weighted_avg of the good value as it was held, from sample to sample and across buckets. historian.aggregates() gives more.';

CREATE FUNCTION historian.filled(metric integer, low timestamptz, high timestamptz, step interval, aggregate text DEFAULT 'avg', fill text DEFAULT 'previous')
RETURNS TABLE (bucket timestamptz, value double precision, is_filled boolean)
LANGUAGE plpgsql STABLE AS $$
BEGIN
    IF aggregate NOT IN ('count', 'min', 'max', 'avg', 'sum', 'stddev', 'time_weighted_avg', 'integral', 'slope', 'first', 'last',
        'delta', 'range', 'percent_good', 'percent_time_good')
    THEN
        RAISE EXCEPTION 'aggregate is %, expected count, min, max, avg, sum, stddev, range, time_weighted_avg, integral, slope, first, last, delta, percent_good or percent_time_good',
            aggregate USING ERRCODE = 'invalid_parameter_value';
    ELSIF fill NOT IN ('none', 'previous', 'linear') THEN
        RAISE EXCEPTION 'fill is %, expected none, previous or linear', fill USING ERRCODE = 'invalid_parameter_value';
    END IF;
    RETURN QUERY
    WITH
    plain AS (
        SELECT a.bucket AS at,
            CASE aggregate
                WHEN 'count' THEN a.count WHEN 'min' THEN a.min WHEN 'max' THEN a.max WHEN 'avg' THEN a.avg
                WHEN 'sum' THEN a.sum WHEN 'stddev' THEN a.stddev WHEN 'time_weighted_avg' THEN a.time_weighted_avg
                WHEN 'integral' THEN a.integral WHEN 'slope' THEN a.slope WHEN 'first' THEN a.first WHEN 'last' THEN a.last
                WHEN 'delta' THEN a.delta WHEN 'range' THEN a.max - a.min
                WHEN 'percent_good' THEN a.percent_good WHEN 'percent_time_good' THEN a.percent_time_good
            END AS found
        FROM historian.aggregates(metric, low, high, step) AS a
    ),
    grouped AS (
        SELECT p.at, p.found,
            count(p.found) OVER (ORDER BY p.at) AS from_left,
            count(p.found) OVER (ORDER BY p.at DESC) AS from_right
        FROM plain AS p
    ),
    neighboured AS (
        SELECT g.at, g.found,
            max(g.found) OVER (PARTITION BY g.from_left) AS left_value,
            min(g.at) OVER (PARTITION BY g.from_left) AS left_at,
            max(g.found) OVER (PARTITION BY g.from_right) AS right_value,
            max(g.at) OVER (PARTITION BY g.from_right) AS right_at
        FROM grouped AS g
    )
    SELECT n.at,
        CASE
            WHEN n.found IS NOT NULL OR fill = 'none' THEN n.found
            WHEN fill = 'previous' THEN n.left_value
            ELSE n.left_value + (n.right_value - n.left_value)
                * (extract(epoch FROM n.at - n.left_at) / extract(epoch FROM n.right_at - n.left_at))::double precision
        END,
        n.found IS NULL
    FROM neighboured AS n
    ORDER BY n.at;
END
$$;
COMMENT ON FUNCTION historian.filled(integer, timestamptz, timestamptz, interval, text, text) IS
    'One aggregate of historian.aggregates(), by name (and range: max - min), one row a bucket; buckets without any take the value before them (previous), lie on the straight line between their neighbours (linear) or stay null (none).';

CREATE FUNCTION historian.cyclic(metric integer, low timestamptz, high timestamptz, step interval)
RETURNS TABLE (at timestamptz, value double precision, text text, quality smallint, since timestamptz)
LANGUAGE sql STABLE AS $$
    SELECT moments.at, held.value, held.text, held.quality, held.since
    FROM generate_series(low, high, step) AS moments (at)
    LEFT JOIN LATERAL historian.last_known(metric, moments.at) AS held ON true
    ORDER BY moments.at
$$;
COMMENT ON FUNCTION historian.cyclic(integer, timestamptz, timestamptz, interval) IS
    'What a metric had at regular moments: at each the newest sample not after it, and since when; null before the first.';

CREATE FUNCTION historian.changes(metric integer, low timestamptz, high timestamptz, deadband double precision DEFAULT 0)
RETURNS TABLE (at timestamptz, value double precision, text text, quality smallint)
LANGUAGE plpgsql STABLE AS $$
DECLARE
    sample record;
    known boolean := false;
BEGIN
    FOR sample IN
        SELECT low AS time, before.value, before.text, before.quality FROM historian.last_known(metric, low) AS before
        UNION ALL
        SELECT s.time, s.value, s.text, s.quality FROM historian.sample AS s
        WHERE s.metric_id = metric AND s.time > low AND s.time < high
        ORDER BY 1
    LOOP
        IF known AND sample.quality = quality AND sample.text IS NOT DISTINCT FROM text
            AND (sample.value IS NOT DISTINCT FROM value OR abs(sample.value - value) <= deadband)
        THEN
            CONTINUE;
        END IF;
        at := sample.time;
        value := sample.value;
        text := sample.text;
        quality := sample.quality;
        known := true;
        RETURN NEXT;
    END LOOP;
END
$$;
COMMENT ON FUNCTION historian.changes(integer, timestamptz, timestamptz, double precision) IS
    'What held at the begin, then only the samples that differ in text or quality, or by more than the deadband in value, from the last one returned (delta retrieval).';

CREATE FUNCTION historian.slopes(metric integer, low timestamptz, high timestamptz)
RETURNS TABLE (at timestamptz, value double precision, per_second double precision)
LANGUAGE sql STABLE AS $$
    SELECT s.time, s.value,
        (s.value - lag(s.value) OVER by_time)
            / nullif(extract(epoch FROM s.time - lag(s.time) OVER by_time), 0)::double precision
    FROM historian.sample AS s
    WHERE s.metric_id = metric AND s.time >= low AND s.time < high AND s.value IS NOT NULL AND s.quality = 192
    WINDOW by_time AS (ORDER BY s.time)
    ORDER BY s.time
$$;
COMMENT ON FUNCTION historian.slopes(integer, timestamptz, timestamptz) IS
    'Good samples, each with how fast the value went up since the one before, per second.';

CREATE FUNCTION historian.spells(metric integer, low timestamptz, high timestamptz)
RETURNS TABLE (state text, since timestamptz, until timestamptz, seconds double precision, is_whole boolean)
LANGUAGE sql STABLE AS $$
    WITH
    readings AS (
        SELECT low AS time, before.since AS from_time,
            CASE WHEN before.quality = 192 THEN coalesce(before.text, before.value::text) END AS state
        FROM historian.last_known(metric, low) AS before
        UNION ALL
        SELECT s.time, s.time, CASE WHEN s.quality = 192 THEN coalesce(s.text, s.value::text) END
        FROM historian.sample AS s
        WHERE s.metric_id = metric AND s.time > low AND s.time < high
    ),
    turns AS (
        SELECT time, from_time, state,
            lag(state) OVER (ORDER BY time) IS DISTINCT FROM state OR lag(time) OVER (ORDER BY time) IS NULL AS is_turn
        FROM readings
    ),
    whole AS (
        SELECT time, from_time, state, lead(time, 1, high) OVER (ORDER BY time) AS until,
            lead(time) OVER (ORDER BY time) IS NOT NULL AS is_ended
        FROM turns WHERE is_turn
    )
    SELECT state, time, until, extract(epoch FROM until - time)::double precision, from_time >= low AND is_ended
    FROM whole
    ORDER BY time
$$;
COMMENT ON FUNCTION historian.spells(integer, timestamptz, timestamptz) IS
    'The states of a metric one after another, equal samples in a row as one: its text, or its number as text; null while it was not good. is_whole: it began and ended within the time.';

CREATE FUNCTION historian.value_state(metric integer, low timestamptz, high timestamptz)
RETURNS TABLE (
    state text, entries bigint, total_seconds double precision, percent double precision,
    min_seconds double precision, avg_seconds double precision, max_seconds double precision
)
LANGUAGE sql STABLE AS $$
    SELECT s.state, count(*), sum(s.seconds), 100.0 * sum(s.seconds) / extract(epoch FROM high - low)::double precision,
        min(s.seconds) FILTER (WHERE s.is_whole), avg(s.seconds) FILTER (WHERE s.is_whole), max(s.seconds) FILTER (WHERE s.is_whole)
    FROM historian.spells(metric, low, high) AS s
    GROUP BY s.state
    ORDER BY sum(s.seconds) DESC, s.state
$$;
COMMENT ON FUNCTION historian.value_state(integer, timestamptz, timestamptz) IS
    'How long a metric was in each of its states: all of it and in percent of the time; the shortest, mean and longest stay count only where begin and end are known.';

CREATE FUNCTION historian.round_trip(metric integer, low timestamptz, high timestamptz)
RETURNS TABLE (
    state text, trips bigint, total_seconds double precision,
    min_seconds double precision, avg_seconds double precision, max_seconds double precision
)
LANGUAGE sql STABLE AS $$
    WITH
    -- What held already when the time began was not entered in it.
    entered AS (
        SELECT s.state, s.since FROM historian.spells(metric, low, high) AS s
        WHERE s.state IS NOT NULL AND (s.since > low OR s.is_whole)
    ),
    trips AS (
        SELECT e.state, extract(epoch FROM lead(e.since) OVER (PARTITION BY e.state ORDER BY e.since) - e.since)::double precision AS seconds
        FROM entered AS e
    )
    SELECT t.state, count(t.seconds), sum(t.seconds), min(t.seconds), avg(t.seconds), max(t.seconds)
    FROM trips AS t
    GROUP BY t.state
    HAVING count(t.seconds) > 0
    ORDER BY t.state
$$;
COMMENT ON FUNCTION historian.round_trip(integer, timestamptz, timestamptz) IS
    'How long a metric takes from entering a state until it enters that state again: the cycle times of a machine, of the trips completed within the time.';

CREATE FUNCTION historian.best_fit(metric integer, low timestamptz, high timestamptz, points integer DEFAULT 1000)
RETURNS TABLE (at timestamptz, value double precision, quality smallint)
LANGUAGE sql STABLE AS $$
    WITH
    columns AS (
        SELECT s.time, s.value, s.quality, s.quality = 192 AND s.value IS NOT NULL AS good,
            extract(epoch FROM s.time)::double precision AS epoch,
            width_bucket(
                extract(epoch FROM s.time)::double precision, extract(epoch FROM low)::double precision,
                extract(epoch FROM high)::double precision, greatest(points / 6, 1)
            ) AS pixel
        FROM historian.sample AS s
        WHERE s.metric_id = metric AND s.time >= low AND s.time < high
    ),
    -- The least array is the one with the least first number: value and moment in one pass.
    kept AS (
        SELECT
            min(ARRAY[c.epoch, c.value]) FILTER (WHERE c.good) AS first,
            max(ARRAY[c.epoch, c.value]) FILTER (WHERE c.good) AS last,
            min(ARRAY[c.value, c.epoch]) FILTER (WHERE c.good) AS least,
            max(ARRAY[c.value, c.epoch]) FILTER (WHERE c.good) AS greatest,
            min(ARRAY[c.epoch, c.value, c.quality]) FILTER (WHERE NOT c.good) AS first_bad,
            max(ARRAY[c.epoch, c.value, c.quality]) FILTER (WHERE NOT c.good) AS last_bad
        FROM columns AS c
        GROUP BY c.pixel
    )
    SELECT DISTINCT to_timestamp(p.epoch), p.value, p.quality::smallint
    FROM kept AS k
    CROSS JOIN LATERAL (
        VALUES (k.first[1], k.first[2], 192), (k.last[1], k.last[2], 192),
            (k.least[2], k.least[1], 192), (k.greatest[2], k.greatest[1], 192),
            (k.first_bad[1], k.first_bad[2], k.first_bad[3]), (k.last_bad[1], k.last_bad[2], k.last_bad[3])
    ) AS p (epoch, value, quality)
    WHERE p.epoch IS NOT NULL
    ORDER BY 1
$$;
COMMENT ON FUNCTION historian.best_fit(integer, timestamptz, timestamptz, integer) IS
    'At most so many samples that draw the same picture as all of them, gaps included: of each column of pixels the first, last, least and greatest good sample (M4) and the first and last that is not good or has no number.';

CREATE FUNCTION historian.lineage(metric integer)
RETURNS TABLE (metric_id integer) LANGUAGE sql STABLE AS $$
    SELECT other.metric_id
    FROM historian.metric AS one
    JOIN historian.metric AS other
        ON other.group_name = one.group_name AND other.edge = one.edge
        AND coalesce(other.device, '') = coalesce(one.device, '') AND other.name = one.name
    WHERE one.metric_id = metric
    UNION
    SELECT other.metric_id
    FROM historian.metric AS one
    JOIN historian.metric AS other ON other.uns_path = one.uns_path
    WHERE one.metric_id = metric
$$;
COMMENT ON FUNCTION historian.lineage(integer) IS
    'All metrics that are one and the same measuring point: the same names with another data type, or the same UNS path under other names. Their samples together are its history.';

CREATE FUNCTION historian.outages(group_name text, edge text, low timestamptz, high timestamptz, device text DEFAULT NULL)
RETURNS TABLE (since timestamptz, until timestamptz, reason text) LANGUAGE sql STABLE AS $$
    WITH
    turns AS (
        SELECT e.time, e.event_id, e.kind
        FROM historian.event AS e
        WHERE e.group_name = outages.group_name AND e.edge = outages.edge AND e.time < high AND (
            e.kind = 'node_death'
            OR (outages.device IS NULL AND e.kind = 'node_birth')
            OR (e.device = outages.device AND e.kind IN ('device_birth', 'device_death'))
        )
    ),
    held AS (
        SELECT kind, time, lead(time, 1, high) OVER (ORDER BY time, event_id) AS until FROM turns
    )
    SELECT greatest(time, low), until, kind
    FROM held
    WHERE kind IN ('node_death', 'device_death') AND until > low
    ORDER BY 1
$$;
COMMENT ON FUNCTION historian.outages(text, text, timestamptz, timestamptz, text) IS
    'When an edge node, or a device of it, was offline, from its deaths to its births; reason is the kind of the death. What the values were in these times nobody knows.';
