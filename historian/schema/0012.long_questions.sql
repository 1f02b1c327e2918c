-- Long questions: each sample is read once and in its order; what held is carried over by bucket.
-- depends: 0011.lost

CREATE OR REPLACE FUNCTION historian.aggregates(metric integer, low timestamptz, high timestamptz, step interval)
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
    ),
    -- Within its bucket a value holds until the next sample. The future has no value.
    held AS (
        SELECT s.bucket, s.time, s.good, s.value,
            CASE WHEN s.time <= now() THEN s.value END AS holds,
            greatest(date_part('epoch', least(s.next, s.bucket + step, high, now()) - s.time), 0) AS seconds,
            date_part('epoch', s.time - low) AS at,
            coalesce(s.next >= s.bucket + step, true) AS is_last
        FROM samples AS s
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
