-- Samples summed up by minute, quarter of an hour, hour and day, for long views.
-- depends: 0005.retention

CREATE TABLE historian.rollup (
    metric_id integer NOT NULL,
    step interval NOT NULL,
    bucket timestamptz NOT NULL,
    count bigint NOT NULL,
    min double precision,
    max double precision,
    avg double precision,
    time_weighted_avg double precision,
    first double precision,
    last double precision,
    percent_good double precision,
    PRIMARY KEY (metric_id, step, bucket)
);
COMMENT ON TABLE historian.rollup IS
    'Samples summed up, as historian.buckets() does. Kept by the historian: a bucket is made when it has ended, and again when late samples fall into it. A metric without any sample and any known value in a bucket has no row for it.';
COMMENT ON COLUMN historian.rollup.metric_id IS 'Which metric: see historian.metric.';
COMMENT ON COLUMN historian.rollup.step IS 'Length of the bucket: 1 minute, 15 minutes, 1 hour or 1 day (UTC).';
COMMENT ON COLUMN historian.rollup.bucket IS 'When the bucket begins.';
COMMENT ON COLUMN historian.rollup.count IS 'Samples in it, good and bad.';
COMMENT ON COLUMN historian.rollup.min IS 'Least good value.';
COMMENT ON COLUMN historian.rollup.max IS 'Greatest good value.';
COMMENT ON COLUMN historian.rollup.avg IS 'Mean of the good values, each counting once.';
COMMENT ON COLUMN historian.rollup.time_weighted_avg IS 'Mean of the value as it was held from sample to sample.';
COMMENT ON COLUMN historian.rollup.first IS 'Value at the begin.';
COMMENT ON COLUMN historian.rollup.last IS 'Value at the end.';
COMMENT ON COLUMN historian.rollup.percent_good IS 'Part of the samples with good quality.';

CREATE FUNCTION historian.refresh_rollup(span interval, metrics integer[], lows timestamptz[], highs timestamptz[])
RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    written bigint;
BEGIN
    INSERT INTO historian.rollup AS r
    SELECT d.metric_id, span, b.*
    FROM unnest(metrics, lows, highs) AS d (metric_id, low, high)
    CROSS JOIN LATERAL historian.buckets(d.metric_id, d.low, d.high, span) AS b
    WHERE b.count > 0 OR b.last IS NOT NULL
    ON CONFLICT (metric_id, step, bucket) DO UPDATE SET
        count = excluded.count, min = excluded.min, max = excluded.max, avg = excluded.avg,
        time_weighted_avg = excluded.time_weighted_avg, first = excluded.first,
        last = excluded.last, percent_good = excluded.percent_good;
    GET DIAGNOSTICS written = ROW_COUNT;
    RETURN written;
END
$$;
COMMENT ON FUNCTION historian.refresh_rollup(interval, integer[], timestamptz[], timestamptz[]) IS
    'Makes the buckets of one step again, for each metric from its low to its high, both at the begin of a bucket.';

CREATE FUNCTION historian.missing_rollups(span interval)
RETURNS TABLE (metric_id integer, low timestamptz) LANGUAGE sql STABLE AS $$
    SELECT c.metric_id, coalesce(made.until, oldest.time)
    FROM historian.current_value AS c
    LEFT JOIN LATERAL (
        SELECT r.bucket + span AS until FROM historian.rollup AS r
        WHERE r.metric_id = c.metric_id AND r.step = span
        ORDER BY r.bucket DESC LIMIT 1
    ) AS made ON true
    LEFT JOIN LATERAL (
        SELECT s.time FROM historian.sample AS s
        WHERE made.until IS NULL AND s.metric_id = c.metric_id
        ORDER BY s.time LIMIT 1
    ) AS oldest ON true
    WHERE c.time >= coalesce(made.until, oldest.time)
$$;
COMMENT ON FUNCTION historian.missing_rollups(interval) IS
    'Metrics that have samples after their last bucket of a step, and where to go on.';

CREATE VIEW historian.rollup_1m AS
SELECT m.group_name, m.edge, m.device, m.name AS metric, m.unit, r.bucket, r.count, r.min, r.max, r.avg,
    r.time_weighted_avg, r.first, r.last, r.percent_good, r.metric_id
FROM historian.rollup AS r JOIN historian.metric AS m USING (metric_id) WHERE r.step = interval '1 minute';
CREATE VIEW historian.rollup_15m AS
SELECT m.group_name, m.edge, m.device, m.name AS metric, m.unit, r.bucket, r.count, r.min, r.max, r.avg,
    r.time_weighted_avg, r.first, r.last, r.percent_good, r.metric_id
FROM historian.rollup AS r JOIN historian.metric AS m USING (metric_id) WHERE r.step = interval '15 minutes';
CREATE VIEW historian.rollup_1h AS
SELECT m.group_name, m.edge, m.device, m.name AS metric, m.unit, r.bucket, r.count, r.min, r.max, r.avg,
    r.time_weighted_avg, r.first, r.last, r.percent_good, r.metric_id
FROM historian.rollup AS r JOIN historian.metric AS m USING (metric_id) WHERE r.step = interval '1 hour';
CREATE VIEW historian.rollup_1d AS
SELECT m.group_name, m.edge, m.device, m.name AS metric, m.unit, r.bucket, r.count, r.min, r.max, r.avg,
    r.time_weighted_avg, r.first, r.last, r.percent_good, r.metric_id
FROM historian.rollup AS r JOIN historian.metric AS m USING (metric_id) WHERE r.step = interval '1 day';
COMMENT ON VIEW historian.rollup_1m IS 'Minutes, with names; the columns are those of historian.rollup.';
COMMENT ON VIEW historian.rollup_15m IS 'Quarters of an hour, with names; the columns are those of historian.rollup.';
COMMENT ON VIEW historian.rollup_1h IS 'Hours, with names; the columns are those of historian.rollup.';
COMMENT ON VIEW historian.rollup_1d IS 'Days (UTC), with names; the columns are those of historian.rollup.';
