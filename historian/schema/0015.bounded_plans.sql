-- What a question costs depends on the time it asks about, not on how much history there is.
--
-- A plan of samples names every day that its bounds do not exclude while it is made: with two years of
-- days that takes longer than the answer. So these functions plan anew with the bounds they are given,
-- and look for what held before step by step into the past.
-- depends: 0014.continuous_rollups

CREATE FUNCTION historian.check_time(low timestamptz, high timestamptz)
RETURNS void LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    IF low IS NULL OR high IS NULL THEN
        RAISE EXCEPTION 'time is from % to %, expected two moments', coalesce(low::text, 'null'), coalesce(high::text, 'null')
            USING ERRCODE = 'invalid_parameter_value';
    ELSIF low > high THEN
        RAISE EXCEPTION 'time is from % to %, expected the earlier moment first', low, high
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
END
$$;
COMMENT ON FUNCTION historian.check_time(timestamptz, timestamptz) IS
    'Refuses a time that ends before it begins.';

CREATE FUNCTION historian.check_steps(low timestamptz, high timestamptz, step interval, may_have_months boolean DEFAULT false)
RETURNS void LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    most CONSTANT integer := 10000000;
    steps double precision;
BEGIN
    PERFORM historian.check_time(low, high);
    IF NOT isfinite(low) OR NOT isfinite(high) THEN
        RAISE EXCEPTION 'time is from % to %, expected an end of the steps', low, high
            USING ERRCODE = 'invalid_parameter_value';
    ELSIF step IS NULL OR step <= interval '0' THEN
        RAISE EXCEPTION 'step is %, expected more than nothing', coalesce(step::text, 'null')
            USING ERRCODE = 'invalid_parameter_value';
    ELSIF NOT may_have_months AND date_part('year', step) * 12 + date_part('month', step) <> 0 THEN
        RAISE EXCEPTION 'step is %, expected days or less: months differ in length', step
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    steps := date_part('epoch', high - low) / date_part('epoch', step);
    IF steps > most THEN
        RAISE EXCEPTION 'step is %, which is % times in the time asked for, expected at most %', step, steps::bigint, most
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
END
$$;
COMMENT ON FUNCTION historian.check_steps(timestamptz, timestamptz, interval, boolean) IS
    'Refuses steps that are none, too many, or of no certain length.';

CREATE FUNCTION historian.check_at_least(name text, given double precision, bound double precision)
RETURNS void LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    IF given IS NULL OR given < bound THEN
        RAISE EXCEPTION '% is %, expected at least %', name, coalesce(given::text, 'null'), bound
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
END
$$;
COMMENT ON FUNCTION historian.check_at_least(text, double precision, double precision) IS
    'Refuses a number that is null or too small, by its name.';

-- What was before, and what comes after.

CREATE FUNCTION historian.last_sample_ever(metric integer, at timestamptz)
RETURNS SETOF historian.sample
LANGUAGE plpgsql STABLE ROWS 1 SET plan_cache_mode = force_generic_plan AS $$
BEGIN
    RETURN QUERY SELECT s.* FROM historian.sample AS s
        WHERE s.metric_id = metric AND s.time <= at
        ORDER BY s.time DESC LIMIT 1;
END
$$;
COMMENT ON FUNCTION historian.last_sample_ever(integer, timestamptz) IS
    'The newest sample not after a moment, however old: the plan covers all days and is made once a session.';

CREATE FUNCTION historian.last_sample(metric integer, at timestamptz)
RETURNS SETOF historian.sample
LANGUAGE plpgsql STABLE ROWS 1 SET plan_cache_mode = force_custom_plan AS $$
DECLARE
    low timestamptz;
BEGIN
    FOREACH low IN ARRAY ARRAY[at - interval '1 day', at - interval '32 days'] LOOP
        RETURN QUERY SELECT s.* FROM historian.sample AS s
            WHERE s.metric_id = metric AND s.time > low AND s.time <= at
            ORDER BY s.time DESC LIMIT 1;
        IF FOUND THEN
            RETURN;
        END IF;
    END LOOP;
    RETURN QUERY SELECT * FROM historian.last_sample_ever(metric, low);
END
$$;
COMMENT ON FUNCTION historian.last_sample(integer, timestamptz) IS
    'The newest sample of a metric not after a moment, with all its columns.';

CREATE OR REPLACE FUNCTION historian.last_known(metric integer, at timestamptz DEFAULT now())
RETURNS TABLE (since timestamptz, value double precision, text text, quality smallint)
LANGUAGE sql STABLE ROWS 1 AS $$
    SELECT s.time, s.value, s.text, s.quality FROM historian.last_sample(metric, at) AS s
$$;

CREATE FUNCTION historian.last_good(metric integer, at timestamptz)
RETURNS TABLE (since timestamptz, value double precision)
LANGUAGE plpgsql STABLE ROWS 1 SET plan_cache_mode = force_custom_plan AS $$
DECLARE
    sample historian.sample;
    low timestamptz;
BEGIN
    SELECT * INTO sample FROM historian.last_sample(metric, at);
    IF sample.time IS NULL OR (sample.quality = 192 AND sample.value IS NOT NULL) THEN
        RETURN QUERY SELECT sample.time, sample.value WHERE sample.time IS NOT NULL;
        RETURN;
    END IF;
    FOREACH low IN ARRAY ARRAY[sample.time - interval '1 day', sample.time - interval '32 days', '-infinity'] LOOP
        RETURN QUERY SELECT s.time, s.value FROM historian.sample AS s
            WHERE s.metric_id = metric AND s.time > low AND s.time <= sample.time
                AND s.value IS NOT NULL AND s.quality = 192
            ORDER BY s.time DESC LIMIT 1;
        IF FOUND THEN
            RETURN;
        END IF;
    END LOOP;
END
$$;
COMMENT ON FUNCTION historian.last_good(integer, timestamptz) IS
    'The newest good number of a metric not after a moment.';

CREATE FUNCTION historian.next_good(metric integer, at timestamptz)
RETURNS TABLE (since timestamptz, value double precision)
LANGUAGE plpgsql STABLE ROWS 1 SET plan_cache_mode = force_custom_plan AS $$
DECLARE
    high timestamptz;
BEGIN
    FOREACH high IN ARRAY ARRAY[at + interval '1 day', at + interval '32 days', 'infinity'] LOOP
        RETURN QUERY SELECT s.time, s.value FROM historian.sample AS s
            WHERE s.metric_id = metric AND s.time > at AND s.time <= high
                AND s.value IS NOT NULL AND s.quality = 192
            ORDER BY s.time LIMIT 1;
        IF FOUND THEN
            RETURN;
        END IF;
    END LOOP;
END
$$;
COMMENT ON FUNCTION historian.next_good(integer, timestamptz) IS
    'The oldest good number of a metric after a moment.';

-- At regular moments: one look into the samples for each, between it and the moment before.

CREATE OR REPLACE FUNCTION historian.cyclic(metric integer, low timestamptz, high timestamptz, step interval)
RETURNS TABLE (at timestamptz, value double precision, text text, quality smallint, since timestamptz)
LANGUAGE plpgsql STABLE SET plan_cache_mode = force_custom_plan AS $$
BEGIN
    PERFORM historian.check_steps(low, high, step, may_have_months => true);
    RETURN QUERY
    WITH
    moments AS (
        SELECT m.at, lag(m.at) OVER (ORDER BY m.at) AS previous FROM generate_series(low, high, step) AS m (at)
    ),
    found AS (
        SELECT m.at, n.time, n.value, n.text, n.quality, count(n.time) OVER (ORDER BY m.at) AS run
        FROM moments AS m
        LEFT JOIN LATERAL (
            SELECT s.time, s.value, s.text, s.quality FROM historian.sample AS s
            WHERE s.metric_id = metric AND s.time > m.previous AND s.time <= m.at
                AND s.time > low AND s.time <= high
            ORDER BY s.time DESC LIMIT 1
        ) AS n ON true
    )
    SELECT f.at,
        CASE f.run WHEN 0 THEN b.value ELSE first_value(f.value) OVER turn END,
        CASE f.run WHEN 0 THEN b.text ELSE first_value(f.text) OVER turn END,
        CASE f.run WHEN 0 THEN b.quality ELSE first_value(f.quality) OVER turn END,
        CASE f.run WHEN 0 THEN b.since ELSE first_value(f.time) OVER turn END
    FROM found AS f LEFT JOIN historian.last_known(metric, low) AS b ON true
    WINDOW turn AS (PARTITION BY f.run ORDER BY f.at)
    ORDER BY f.at;
END
$$;

CREATE OR REPLACE FUNCTION historian.interpolated(metric integer, low timestamptz, high timestamptz, step interval)
RETURNS TABLE (at timestamptz, value double precision)
LANGUAGE plpgsql STABLE SET plan_cache_mode = force_custom_plan AS $$
BEGIN
    PERFORM historian.check_steps(low, high, step, may_have_months => true);
    RETURN QUERY
    WITH
    moments AS (
        SELECT m.at, lag(m.at) OVER (ORDER BY m.at) AS previous FROM generate_series(low, high, step) AS m (at)
    ),
    -- The newest and the oldest good sample since the moment before.
    found AS (
        SELECT m.at, n.time AS new_time, n.value AS new_value, o.time AS old_time, o.value AS old_value,
            count(n.time) OVER (ORDER BY m.at) AS run, count(n.time) OVER (ORDER BY m.at DESC) AS run_back
        FROM moments AS m
        LEFT JOIN LATERAL (
            SELECT s.time, s.value FROM historian.sample AS s
            WHERE s.metric_id = metric AND s.time > m.previous AND s.time <= m.at
                AND s.time > low AND s.time <= high AND s.value IS NOT NULL AND s.quality = 192
            ORDER BY s.time DESC LIMIT 1
        ) AS n ON true
        LEFT JOIN LATERAL (
            SELECT s.time, s.value FROM historian.sample AS s
            WHERE s.metric_id = metric AND s.time > m.previous AND s.time <= n.time
                AND s.time > low AND s.time <= high AND s.value IS NOT NULL AND s.quality = 192
            ORDER BY s.time LIMIT 1
        ) AS o ON true
    ),
    carried AS (
        SELECT f.at, f.run, f.run_back,
            first_value(f.new_time) OVER (PARTITION BY f.run ORDER BY f.at) AS before_time,
            first_value(f.new_value) OVER (PARTITION BY f.run ORDER BY f.at) AS before_value,
            first_value(f.old_time) OVER (PARTITION BY f.run_back ORDER BY f.at DESC) AS from_time,
            first_value(f.old_value) OVER (PARTITION BY f.run_back ORDER BY f.at DESC) AS from_value
        FROM found AS f
    ),
    neighboured AS (
        SELECT c.at,
            CASE c.run WHEN 0 THEN b.since ELSE c.before_time END AS before_time,
            CASE c.run WHEN 0 THEN b.value ELSE c.before_value END AS before_value,
            CASE lead(c.run_back, 1, 0::bigint) OVER by_time WHEN 0 THEN a.since ELSE lead(c.from_time) OVER by_time END AS after_time,
            CASE lead(c.run_back, 1, 0::bigint) OVER by_time WHEN 0 THEN a.value ELSE lead(c.from_value) OVER by_time END AS after_value
        FROM carried AS c
        LEFT JOIN historian.last_good(metric, low) AS b ON true
        LEFT JOIN historian.next_good(metric, (SELECT max(m.at) FROM moments AS m)) AS a ON true
        WINDOW by_time AS (ORDER BY c.at)
    )
    SELECT n.at,
        CASE
            WHEN n.before_time = n.at OR n.after_time IS NULL THEN n.before_value
            ELSE n.before_value + (n.after_value - n.before_value)
                * (date_part('epoch', n.at - n.before_time) / date_part('epoch', n.after_time - n.before_time))
        END
    FROM neighboured AS n
    ORDER BY n.at;
END
$$;

-- In buckets. The first function is for the others, whose outer bounds are constants when it is planned:
-- it is made part of their query, and what they do not ask for is not worked out.

CREATE FUNCTION historian.bucket_figures(
    metric integer, low timestamptz, high timestamptz, step interval, outer_low timestamptz, outer_high timestamptz
)
RETURNS TABLE (
    bucket timestamptz, count bigint, min double precision, max double precision, avg double precision,
    sum double precision, stddev double precision, time_weighted_avg double precision, integral double precision,
    slope double precision, first double precision, last double precision, delta double precision,
    percent_good double precision, percent_time_good double precision
)
LANGUAGE sql STABLE AS $$
    WITH
    samples AS (
        SELECT s.time, s.quality = 192 AS good, CASE WHEN s.quality = 192 THEN s.value END AS value,
            lead(s.time) OVER (ORDER BY s.time) AS next,
            date_bin(step, s.time, low) AS bucket
        FROM historian.sample AS s
        WHERE s.metric_id = metric AND s.time >= low AND s.time < high
            AND s.time >= outer_low AND s.time < outer_high
    ),
    -- Within its bucket a value holds until the next sample. The future has no value.
    held AS (
        SELECT s.bucket, s.time, s.good, s.value,
            CASE WHEN s.time <= now() THEN s.value END AS holds,
            CASE
                WHEN s.time <= now() THEN date_part('epoch', least(s.next, s.bucket + step, high, now()) - s.time)
                ELSE 0
            END AS seconds,
            date_part('epoch', s.time - low) AS at,
            coalesce(s.next >= s.bucket + step, true) AS is_last
        FROM samples AS s
        -- Keeps the planner from working each of these out again wherever it is used.
        OFFSET 0
    ),
    summed AS (
        SELECT h.bucket, count(*) AS count, count(*) FILTER (WHERE h.good) AS good,
            min(h.value) AS min, max(h.value) AS max, avg(h.value) AS avg, sum(h.value) AS sum,
            stddev_samp(h.value) AS stddev, regr_slope(h.value, h.at) AS slope,
            sum(h.holds * h.seconds) FILTER (WHERE h.seconds > 0) AS integral,
            sum(h.seconds) FILTER (WHERE h.holds IS NOT NULL) AS held_seconds,
            min(h.time) AS begins, max(h.holds) FILTER (WHERE h.is_last) AS last,
            (array_agg(h.holds) FILTER (WHERE h.time = h.bucket))[1] AS at_edge
        FROM held AS h
        GROUP BY h.bucket
    ),
    -- Every bucket, and which of those that have samples came last before it.
    edges AS (
        SELECT edge AS bucket, s.count, s.good, s.min, s.max, s.avg, s.sum, s.stddev, s.slope, s.integral,
            s.held_seconds, s.last, s.at_edge, count(s.bucket) OVER (ORDER BY edge) AS run,
            greatest(date_part('epoch', least(edge + step, high, now()) - edge), 0) AS seconds,
            greatest(date_part('epoch', least(s.begins, edge + step, high, now()) - edge), 0) AS carried_seconds
        FROM generate_series(low, high - interval '1 microsecond', step) AS edge
        LEFT JOIN summed AS s ON s.bucket = edge
    ),
    runs AS (
        SELECT e.*, first_value(e.last) OVER (PARTITION BY e.run ORDER BY e.bucket) AS run_last
        FROM edges AS e
    ),
    carried AS (
        SELECT r.*,
            CASE WHEN lag(r.run, 1, 0::bigint) OVER (ORDER BY r.bucket) > 0
                THEN lag(r.run_last) OVER (ORDER BY r.bucket)
                ELSE (SELECT b.value FROM historian.last_known(metric, low) AS b WHERE b.quality = 192)
            END AS before
        FROM runs AS r
    ),
    whole AS (
        SELECT c.*,
            CASE
                WHEN c.carried_seconds > 0 AND c.before IS NOT NULL
                THEN coalesce(c.integral, 0) + c.before * c.carried_seconds
                ELSE c.integral
            END AS area,
            coalesce(c.held_seconds, 0) + CASE WHEN c.before IS NULL THEN 0 ELSE c.carried_seconds END AS known_seconds,
            CASE WHEN c.carried_seconds > 0 THEN c.before ELSE c.at_edge END AS begin_value,
            CASE WHEN c.count IS NOT NULL THEN c.last WHEN c.bucket <= now() THEN c.before END AS end_value
        FROM carried AS c
    )
    SELECT w.bucket, coalesce(w.count, 0), w.min, w.max, w.avg, w.sum, w.stddev, w.area / nullif(w.known_seconds, 0), w.area,
        w.slope, w.begin_value, w.end_value, w.end_value - w.begin_value,
        100.0 * w.good / nullif(w.count, 0), 100.0 * w.known_seconds / nullif(w.seconds, 0)
    FROM whole AS w
    ORDER BY 1
$$;
COMMENT ON FUNCTION historian.bucket_figures(integer, timestamptz, timestamptz, interval, timestamptz, timestamptz) IS
    'As aggregates(), made part of the query that calls it. The outer bounds, constants around low and high, tell the planner which days not to look at.';

CREATE OR REPLACE FUNCTION historian.aggregates(metric integer, low timestamptz, high timestamptz, step interval)
RETURNS TABLE (
    bucket timestamptz, count bigint, min double precision, max double precision, avg double precision,
    sum double precision, stddev double precision, time_weighted_avg double precision, integral double precision,
    slope double precision, first double precision, last double precision, delta double precision,
    percent_good double precision, percent_time_good double precision
)
LANGUAGE plpgsql STABLE SET plan_cache_mode = force_custom_plan AS $$
BEGIN
    PERFORM historian.check_steps(low, high, step);
    RETURN QUERY SELECT * FROM historian.bucket_figures(metric, low, high, step, low, high);
END
$$;

CREATE OR REPLACE FUNCTION historian.buckets(metric integer, low timestamptz, high timestamptz, step interval)
RETURNS TABLE (
    bucket timestamptz, count bigint, min double precision, max double precision, avg double precision,
    time_weighted_avg double precision, first double precision, last double precision, percent_good double precision
)
LANGUAGE plpgsql STABLE SET plan_cache_mode = force_custom_plan AS $$
BEGIN
    PERFORM historian.check_steps(low, high, step);
    RETURN QUERY
    SELECT a.bucket, a.count, a.min, a.max, a.avg, a.time_weighted_avg, a.first, a.last, a.percent_good
    FROM historian.bucket_figures(metric, low, high, step, low, high) AS a;
END
$$;

CREATE FUNCTION historian.buckets_of(metrics integer[], lows timestamptz[], highs timestamptz[], step interval)
RETURNS TABLE (
    metric_id integer, bucket timestamptz, count bigint, min double precision, max double precision, avg double precision,
    time_weighted_avg double precision, first double precision, last double precision, percent_good double precision
)
LANGUAGE plpgsql STABLE SET plan_cache_mode = force_custom_plan AS $$
DECLARE
    part record;
BEGIN
    FOR part IN
        SELECT array_agg(d.metric_id) AS metrics, array_agg(d.low) AS lows, array_agg(d.high) AS highs,
            min(d.low) AS low, max(d.high) AS high
        FROM unnest(metrics, lows, highs) AS d (metric_id, low, high)
        GROUP BY date_trunc('day', d.low, 'UTC')
    LOOP
        RETURN QUERY
        SELECT d.metric_id, a.bucket, a.count, a.min, a.max, a.avg, a.time_weighted_avg, a.first, a.last, a.percent_good
        FROM unnest(part.metrics, part.lows, part.highs) AS d (metric_id, low, high)
        CROSS JOIN LATERAL historian.bucket_figures(d.metric_id, d.low, d.high, step, part.low, part.high) AS a;
    END LOOP;
END
$$;
COMMENT ON FUNCTION historian.buckets_of(integer[], timestamptz[], timestamptz[], interval) IS
    'The buckets() of many metrics, each from its low to its high: planned once for all that begin on the same day.';

CREATE OR REPLACE FUNCTION historian.filled(metric integer, low timestamptz, high timestamptz, step interval, aggregate text DEFAULT 'avg', fill text DEFAULT 'previous')
RETURNS TABLE (bucket timestamptz, value double precision, is_filled boolean)
LANGUAGE plpgsql STABLE SET plan_cache_mode = force_custom_plan AS $$
BEGIN
    PERFORM historian.check_steps(low, high, step);
    IF aggregate IS NULL OR aggregate NOT IN ('count', 'min', 'max', 'avg', 'sum', 'stddev', 'time_weighted_avg', 'integral', 'slope',
        'first', 'last', 'delta', 'range', 'percent_good', 'percent_time_good')
    THEN
        RAISE EXCEPTION 'aggregate is %, expected count, min, max, avg, sum, stddev, range, time_weighted_avg, integral, slope, first, last, delta, percent_good or percent_time_good',
            coalesce(aggregate, 'null') USING ERRCODE = 'invalid_parameter_value';
    ELSIF fill IS NULL OR fill NOT IN ('none', 'previous', 'linear') THEN
        RAISE EXCEPTION 'fill is %, expected none, previous or linear', coalesce(fill, 'null') USING ERRCODE = 'invalid_parameter_value';
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
        FROM historian.bucket_figures(metric, low, high, step, low, high) AS a
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
                * (date_part('epoch', n.at - n.left_at) / nullif(date_part('epoch', n.right_at - n.left_at), 0))
        END,
        n.found IS NULL
    FROM neighboured AS n
    ORDER BY n.at;
END
$$;

CREATE OR REPLACE FUNCTION historian.counter_increase(metric integer, low timestamptz, high timestamptz, step interval, rollover double precision DEFAULT NULL)
RETURNS TABLE (bucket timestamptz, increase double precision, resets bigint)
LANGUAGE plpgsql STABLE SET plan_cache_mode = force_custom_plan AS $$
BEGIN
    PERFORM historian.check_steps(low, high, step);
    PERFORM historian.check_at_least('rollover', coalesce(rollover, 1), 0);
    RETURN QUERY
    WITH
    readings AS (
        SELECT low AS time, before.value FROM historian.last_good(metric, low) AS before
        UNION ALL
        SELECT s.time, s.value
        FROM historian.sample AS s
        WHERE s.metric_id = metric AND s.time > low AND s.time < high
            AND s.value IS NOT NULL AND s.quality = 192
    ),
    changes AS (
        SELECT r.time, r.value, lag(r.value) OVER (ORDER BY r.time) AS previous FROM readings AS r
    )
    SELECT
        date_bin(step, c.time, low),
        coalesce(sum(CASE
            WHEN c.previous IS NULL THEN 0
            WHEN c.value >= c.previous THEN c.value - c.previous
            ELSE c.value + coalesce(rollover - c.previous, 0)
        END), 0),
        count(*) FILTER (WHERE c.value < c.previous)
    FROM changes AS c
    GROUP BY 1
    ORDER BY 1;
END
$$;

-- Pictures: each sample is read twice, once for the extremes of its column of pixels, once to find them.

CREATE FUNCTION historian.pixel_columns(metric integer, low timestamptz, high timestamptz, width interval)
RETURNS TABLE (
    first_at timestamptz, first double precision, last_at timestamptz, last double precision,
    lowest_at timestamptz, lowest double precision, highest_at timestamptz, highest double precision,
    first_bad_at timestamptz, first_bad double precision, first_bad_quality smallint,
    last_bad_at timestamptz, last_bad double precision, last_bad_quality smallint
)
LANGUAGE sql STABLE AS $$
    WITH
    samples AS NOT MATERIALIZED (
        SELECT s.time, s.value, s.quality, s.quality = 192 AND s.value IS NOT NULL AS good,
            date_bin(width, s.time, low) AS pixel
        FROM historian.sample AS s
        WHERE s.metric_id = metric AND s.time >= low AND s.time < high
    ),
    extremes AS (
        SELECT s.pixel,
            min(s.time) FILTER (WHERE s.good) AS first_at, max(s.time) FILTER (WHERE s.good) AS last_at,
            min(s.value) FILTER (WHERE s.good) AS lowest, max(s.value) FILTER (WHERE s.good) AS highest,
            min(s.time) FILTER (WHERE NOT s.good) AS first_bad_at, max(s.time) FILTER (WHERE NOT s.good) AS last_bad_at
        FROM samples AS s
        GROUP BY s.pixel
    )
    SELECT
        e.first_at, min(s.value) FILTER (WHERE s.good AND s.time = e.first_at),
        e.last_at, max(s.value) FILTER (WHERE s.good AND s.time = e.last_at),
        min(s.time) FILTER (WHERE s.good AND s.value = e.lowest), e.lowest,
        max(s.time) FILTER (WHERE s.good AND s.value = e.highest), e.highest,
        e.first_bad_at, min(s.value) FILTER (WHERE NOT s.good AND s.time = e.first_bad_at),
        min(s.quality) FILTER (WHERE NOT s.good AND s.time = e.first_bad_at),
        e.last_bad_at, max(s.value) FILTER (WHERE NOT s.good AND s.time = e.last_bad_at),
        max(s.quality) FILTER (WHERE NOT s.good AND s.time = e.last_bad_at)
    FROM samples AS s JOIN extremes AS e ON e.pixel = s.pixel
    WHERE CASE
        WHEN s.good THEN s.time = e.first_at OR s.time = e.last_at OR s.value = e.lowest OR s.value = e.highest
        ELSE s.time = e.first_bad_at OR s.time = e.last_bad_at
    END
    GROUP BY e.pixel, e.first_at, e.last_at, e.lowest, e.highest, e.first_bad_at, e.last_bad_at
$$;
COMMENT ON FUNCTION historian.pixel_columns(integer, timestamptz, timestamptz, interval) IS
    'Of each column of pixels that has samples the first, last, least and greatest good one (M4) and the first and last that is not good or has no number. For best_fit() and envelope().';

CREATE OR REPLACE FUNCTION historian.best_fit(metric integer, low timestamptz, high timestamptz, points integer DEFAULT 1000)
RETURNS TABLE (at timestamptz, value double precision, quality smallint)
LANGUAGE plpgsql STABLE SET plan_cache_mode = force_custom_plan AS $$
DECLARE
    -- Rounded up: never a column more.
    width interval := (high - low) / greatest(points / 6, 1) + interval '1 microsecond';
BEGIN
    PERFORM historian.check_steps(low, high, width);
    PERFORM historian.check_at_least('points', points, 1);
    RETURN QUERY
    SELECT DISTINCT p.at, p.value, p.quality::smallint
    FROM historian.pixel_columns(metric, low, high, width) AS c
    CROSS JOIN LATERAL (
        VALUES (c.first_at, c.first, 192), (c.last_at, c.last, 192),
            (c.lowest_at, c.lowest, 192), (c.highest_at, c.highest, 192),
            (c.first_bad_at, c.first_bad, c.first_bad_quality), (c.last_bad_at, c.last_bad, c.last_bad_quality)
    ) AS p (at, value, quality)
    WHERE p.at IS NOT NULL
    ORDER BY 1;
END
$$;

CREATE OR REPLACE FUNCTION historian.envelope(metric integer, low timestamptz, high timestamptz, points integer DEFAULT 1000)
RETURNS TABLE (at timestamptz, value double precision)
LANGUAGE plpgsql STABLE SET plan_cache_mode = force_custom_plan AS $$
DECLARE
    width interval := (high - low) / greatest(points / 4, 1) + interval '1 microsecond';
BEGIN
    PERFORM historian.check_steps(low, high, width);
    PERFORM historian.check_at_least('points', points, 1);
    RETURN QUERY
    SELECT DISTINCT p.at, p.value
    FROM historian.pixel_columns(metric, low, high, width) AS c
    CROSS JOIN LATERAL (
        VALUES (c.first_at, c.first), (c.last_at, c.last), (c.lowest_at, c.lowest), (c.highest_at, c.highest)
    ) AS p (at, value)
    WHERE p.at IS NOT NULL
    ORDER BY 1;
END
$$;

-- Sample by sample: as before, with bounds that the planner knows.

CREATE OR REPLACE FUNCTION historian.changes(metric integer, low timestamptz, high timestamptz, deadband double precision DEFAULT 0)
RETURNS TABLE (at timestamptz, value double precision, text text, quality smallint)
LANGUAGE plpgsql STABLE SET plan_cache_mode = force_custom_plan AS $$
DECLARE
    sample record;
    known boolean := false;
BEGIN
    PERFORM historian.check_time(low, high);
    PERFORM historian.check_at_least('deadband', deadband, 0);
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

CREATE OR REPLACE FUNCTION historian.slopes(metric integer, low timestamptz, high timestamptz)
RETURNS TABLE (at timestamptz, value double precision, per_second double precision)
LANGUAGE plpgsql STABLE SET plan_cache_mode = force_custom_plan AS $$
BEGIN
    PERFORM historian.check_time(low, high);
    RETURN QUERY
    SELECT s.time, s.value,
        (s.value - lag(s.value) OVER by_time)
            / nullif(date_part('epoch', s.time - lag(s.time) OVER by_time), 0)
    FROM historian.sample AS s
    WHERE s.metric_id = metric AND s.time >= low AND s.time < high AND s.value IS NOT NULL AND s.quality = 192
    WINDOW by_time AS (ORDER BY s.time)
    ORDER BY s.time;
END
$$;

CREATE OR REPLACE FUNCTION historian.spells(metric integer, low timestamptz, high timestamptz)
RETURNS TABLE (state text, since timestamptz, until timestamptz, seconds double precision, is_whole boolean)
LANGUAGE plpgsql STABLE SET plan_cache_mode = force_custom_plan AS $$
BEGIN
    PERFORM historian.check_time(low, high);
    RETURN QUERY
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
        SELECT r.time, r.from_time, r.state,
            lag(r.state) OVER (ORDER BY r.time) IS DISTINCT FROM r.state OR lag(r.time) OVER (ORDER BY r.time) IS NULL AS is_turn
        FROM readings AS r
    ),
    whole AS (
        SELECT t.time, t.from_time, t.state, lead(t.time, 1, high) OVER (ORDER BY t.time) AS until,
            lead(t.time) OVER (ORDER BY t.time) IS NOT NULL AS is_ended
        FROM turns AS t WHERE t.is_turn
    )
    SELECT w.state, w.time, w.until, date_part('epoch', w.until - w.time), w.from_time >= low AND w.is_ended
    FROM whole AS w
    ORDER BY w.time;
END
$$;

CREATE FUNCTION historian.metrics_under(uns text)
RETURNS SETOF historian.metric LANGUAGE sql STABLE AS $$
    SELECT m.* FROM historian.metric AS m
    WHERE NOT m.superseded AND (m.uns_path = uns OR starts_with(m.uns_path, uns || '/'))
$$;
COMMENT ON FUNCTION historian.metrics_under(text) IS
    'The metric of a UNS path, and all metrics below that path.';

-- The pictures of long times read rollups in the same way.
ALTER FUNCTION historian.trend(integer, timestamptz, timestamptz, integer) SET plan_cache_mode = force_custom_plan;
