-- Rollups as continuous aggregates, where the server has them.
-- depends: 0013.delay
--
-- A mean weighted by time needs the value that was there when a bucket began, which the samples of the
-- bucket do not tell. So the aggregates keep what the samples of a bucket give by themselves, and the
-- view completes it with the last value of the nearest earlier bucket.
--
-- Samples that come when their bucket may have been made already are not the aggregates' business: one
-- such sample would have them read all metrics again, and would empty buckets whose samples retention
-- has removed. The historian makes these buckets itself, metric by metric, and they go before.

ALTER TABLE historian.rollup RENAME TO rollup_kept;
COMMENT ON TABLE historian.rollup_kept IS
    'Buckets that a historian made: every one where there are no continuous aggregates, elsewhere those that samples fell into late. Read them through the view rollup.';

-- Which part of a time was held by which value: the same for samples and for buckets in a row.
CREATE FUNCTION historian.held_between(begins timestamptz[], ends timestamptz[], vals double precision[])
RETURNS double precision[] LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    area double precision := 0;
    known double precision := 0;
    seconds double precision;
BEGIN
    FOR i IN 1 .. coalesce(array_length(begins, 1), 0) - 1 LOOP
        seconds := date_part('epoch', begins[i + 1] - ends[i]);
        IF seconds > 0 AND vals[i] IS NOT NULL THEN
            area := area + vals[i] * seconds;
            known := known + seconds;
        END IF;
    END LOOP;
    RETURN ARRAY[area, known];
END
$$;
COMMENT ON FUNCTION historian.held_between(timestamptz[], timestamptz[], double precision[]) IS
    'Each value held from its end to the begin of the next: the sum of value times seconds, and of the seconds in which there was one.';

DO $$
DECLARE
    part record;
    whole text;
    views text := '';
    quick text := '';
    parts text := '';
BEGIN
    IF (SELECT relkind FROM pg_class WHERE oid = 'historian.sample'::regclass) = 'p'
        OR current_setting('timescaledb.license', true) IS DISTINCT FROM 'timescale'
        -- Since 2.28: without it late samples cannot be kept from the aggregates.
        OR current_setting('timescaledb.skip_cagg_invalidation', true) IS NULL
    THEN
        CREATE VIEW historian.rollup AS
        SELECT k.metric_id, k.step, k.bucket, k.count, k.min, k.max, k.avg, k.time_weighted_avg, k.first, k.last, k.percent_good
        FROM historian.rollup_kept AS k WHERE k.count > 0;
        CREATE VIEW historian.rollup_figures AS
        SELECT k.metric_id, k.step, k.bucket, k.count, k.min, k.max, k.avg, k.last, k.percent_good
        FROM historian.rollup_kept AS k WHERE k.count > 0;
        CREATE FUNCTION historian.rolled_until(metric integer, span interval, high timestamptz)
        RETURNS timestamptz LANGUAGE sql STABLE AS $body$
            SELECT k.bucket + k.step FROM historian.rollup_kept AS k
            WHERE k.metric_id = metric AND k.step = span AND k.bucket < high
            ORDER BY k.bucket DESC LIMIT 1
        $body$;
        FOR part IN
            SELECT * FROM (VALUES
                ('rollup_1m', interval '1 minute'), ('rollup_15m', interval '15 minutes'),
                ('rollup_1h', interval '1 hour'), ('rollup_1d', interval '1 day')
            ) AS known (name, step)
        LOOP
            EXECUTE format($view$
                CREATE OR REPLACE VIEW historian.%I AS
                SELECT m.group_name, m.edge, m.device, m.name AS metric, m.unit, r.bucket, r.count, r.min, r.max, r.avg,
                    r.time_weighted_avg, r.first, r.last, r.percent_good, r.metric_id
                FROM historian.rollup AS r JOIN historian.metric AS m USING (metric_id) WHERE r.step = interval %L
            $view$, part.name, part.step);
        END LOOP;
        RETURN;
    END IF;

    -- With the metrics named, the samples of a minute are found through the index, metric by metric,
    -- however long the day is already.
    CREATE MATERIALIZED VIEW historian.rollup_1m_parts
    WITH (timescaledb.continuous, timescaledb.materialized_only = true) AS
    SELECT
        s.metric_id,
        time_bucket(interval '1 minute', s.time) AS bucket,
        count(*) AS count,
        count(*) FILTER (WHERE s.quality = 192) AS good,
        count(s.value) FILTER (WHERE s.quality = 192) AS valued,
        min(s.value) FILTER (WHERE s.quality = 192) AS min,
        max(s.value) FILTER (WHERE s.quality = 192) AS max,
        sum(s.value) FILTER (WHERE s.quality = 192) AS sum,
        min(s.time) AS begins,
        max(s.time) AS ends,
        (array_agg(CASE WHEN s.quality = 192 THEN s.value END ORDER BY s.time))[1] AS first,
        (array_agg(CASE WHEN s.quality = 192 THEN s.value END ORDER BY s.time))[count(*)::integer] AS last,
        historian.held_between(
            array_agg(s.time ORDER BY s.time),
            array_agg(s.time ORDER BY s.time),
            array_agg(CASE WHEN s.quality = 192 THEN s.value END ORDER BY s.time)
        ) AS held
    FROM historian.sample AS s JOIN historian.metric AS m ON m.metric_id = s.metric_id
    GROUP BY s.metric_id, time_bucket(interval '1 minute', s.time)
    WITH NO DATA;

    FOR part IN
        SELECT * FROM (VALUES
            ('15m', interval '15 minutes', '1m'), ('1h', interval '1 hour', '15m'), ('1d', interval '1 day', '1h')
        ) AS known (name, step, finer)
    LOOP
        EXECUTE format($view$
            CREATE MATERIALIZED VIEW historian.%I
            WITH (timescaledb.continuous, timescaledb.materialized_only = true) AS
            SELECT
                p.metric_id,
                time_bucket(interval %L, p.bucket) AS bucket,
                sum(p.count)::bigint AS count,
                sum(p.good)::bigint AS good,
                sum(p.valued)::bigint AS valued,
                min(p.min) AS min,
                max(p.max) AS max,
                sum(p.sum) AS sum,
                min(p.begins) AS begins,
                max(p.ends) AS ends,
                (array_agg(p.first ORDER BY p.bucket))[1] AS first,
                (array_agg(p.last ORDER BY p.bucket))[count(*)::integer] AS last,
                ARRAY[
                    sum(p.held[1]) + (historian.held_between(array_agg(p.begins ORDER BY p.bucket),
                        array_agg(p.ends ORDER BY p.bucket), array_agg(p.last ORDER BY p.bucket)))[1],
                    sum(p.held[2]) + (historian.held_between(array_agg(p.begins ORDER BY p.bucket),
                        array_agg(p.ends ORDER BY p.bucket), array_agg(p.last ORDER BY p.bucket)))[2]
                ] AS held
            FROM historian.%I AS p
            GROUP BY p.metric_id, time_bucket(interval %L, p.bucket)
            WITH NO DATA
        $view$, 'rollup_' || part.name || '_parts', part.step, 'rollup_' || part.finer || '_parts', part.step);
    END LOOP;

    FOR part IN
        SELECT * FROM (VALUES
            ('rollup_1m_parts', interval '1 minute', interval '30 seconds'),
            ('rollup_15m_parts', interval '15 minutes', interval '1 minute'),
            ('rollup_1h_parts', interval '1 hour', interval '1 minute'),
            ('rollup_1d_parts', interval '1 day', interval '1 minute')
        ) AS known (name, step, every)
    LOOP
        -- What is stored in time has arrived by then, but for what a slow COPY brings: that is noticed.
        PERFORM add_continuous_aggregate_policy(('historian.' || part.name)::regclass, start_offset => NULL,
            end_offset => interval '10 seconds', schedule_interval => part.every);
        EXECUTE format('COMMENT ON VIEW historian.%I IS %L', part.name,
            'What the samples of a bucket give by themselves, per metric and bucket of ' || part.step
            || ': a continuous aggregate. Read it through the view rollup, which knows what held before.');
        EXECUTE format('COMMENT ON COLUMN historian.%I.metric_id IS %L', part.name, 'Which metric: see historian.metric.');
        EXECUTE format('COMMENT ON COLUMN historian.%I.bucket IS %L', part.name, 'When the bucket begins.');
        EXECUTE format('COMMENT ON COLUMN historian.%I.count IS %L', part.name, 'Samples in it, good and bad.');
        EXECUTE format('COMMENT ON COLUMN historian.%I.good IS %L', part.name, 'Samples with good quality.');
        EXECUTE format('COMMENT ON COLUMN historian.%I.valued IS %L', part.name, 'Good samples that have a number.');
        EXECUTE format('COMMENT ON COLUMN historian.%I.min IS %L', part.name, 'Least good value.');
        EXECUTE format('COMMENT ON COLUMN historian.%I.max IS %L', part.name, 'Greatest good value.');
        EXECUTE format('COMMENT ON COLUMN historian.%I.sum IS %L', part.name, 'Sum of the good values.');
        EXECUTE format('COMMENT ON COLUMN historian.%I.begins IS %L', part.name, 'Time of the oldest sample in it.');
        EXECUTE format('COMMENT ON COLUMN historian.%I.ends IS %L', part.name, 'Time of the newest sample in it.');
        EXECUTE format('COMMENT ON COLUMN historian.%I.first IS %L', part.name, 'Value of the oldest sample, if it is good.');
        EXECUTE format('COMMENT ON COLUMN historian.%I.last IS %L', part.name, 'Value of the newest sample, if it is good.');
        EXECUTE format('COMMENT ON COLUMN historian.%I.held IS %L', part.name,
            'From begins to ends: value times seconds as it was held, and the seconds in which it was good.');
        -- Completed with what held before: once for the view of all, once with names. The names are
        -- joined in here because nothing outside can reach the index through a union.
        whole := format($view$
            %%1$s p.bucket, p.count, p.min, p.max, p.sum / nullif(p.valued, 0) AS avg,
                (
                    p.held[1]
                    + CASE WHEN p.begins > p.bucket AND before.last IS NOT NULL
                        THEN before.last * date_part('epoch', p.begins - p.bucket) ELSE 0 END
                    + CASE WHEN p.last IS NOT NULL
                        THEN p.last * date_part('epoch', p.bucket + interval %2$L - p.ends) ELSE 0 END
                ) / nullif(
                    p.held[2]
                    + CASE WHEN before.last IS NOT NULL THEN date_part('epoch', p.begins - p.bucket) ELSE 0 END
                    + CASE WHEN p.last IS NOT NULL THEN date_part('epoch', p.bucket + interval %2$L - p.ends) ELSE 0 END,
                    0
                ) AS time_weighted_avg,
                CASE WHEN p.begins > p.bucket THEN before.last ELSE p.first END AS first,
                p.last, 100.0 * p.good / p.count AS percent_good %%2$s
            FROM %%3$s historian.%1$I AS p %%4$s
            LEFT JOIN LATERAL (
                SELECT earlier.last
                FROM (
                    (SELECT k.bucket, k.last, 1 AS goes_before FROM historian.rollup_kept AS k
                    WHERE k.metric_id = p.metric_id AND k.step = interval %2$L AND k.bucket < p.bucket
                    ORDER BY k.bucket DESC LIMIT 1)
                    UNION ALL
                    (SELECT q.bucket, q.last, 0 FROM historian.%1$I AS q
                    WHERE q.metric_id = p.metric_id AND q.bucket < p.bucket
                    ORDER BY q.bucket DESC LIMIT 1)
                ) AS earlier
                ORDER BY earlier.bucket DESC, earlier.goes_before DESC LIMIT 1
            ) AS before ON p.begins > p.bucket
            WHERE NOT EXISTS (
                SELECT FROM historian.rollup_kept AS k
                WHERE k.metric_id = p.metric_id AND k.step = interval %2$L AND k.bucket = p.bucket AND k.count > 0
            )
        $view$, part.name, part.step);
        views := views || ' UNION ALL ' || format(
            whole, format('SELECT p.metric_id, interval %L AS step,', part.step), '', '', '');
        EXECUTE format($view$
            CREATE OR REPLACE VIEW historian.%I AS
            SELECT m.group_name, m.edge, m.device, m.name AS metric, m.unit, k.bucket, k.count, k.min, k.max, k.avg,
                k.time_weighted_avg, k.first, k.last, k.percent_good, k.metric_id
            FROM historian.metric AS m JOIN historian.rollup_kept AS k ON k.metric_id = m.metric_id
            WHERE k.step = interval %L AND k.count > 0
            UNION ALL %s
        $view$, replace(part.name, '_parts', ''), part.step, format(
            whole, 'SELECT m.group_name, m.edge, m.device, m.name AS metric, m.unit,', ', p.metric_id',
            'historian.metric AS m JOIN', 'ON p.metric_id = m.metric_id'));
        -- The figures are of one type on both sides, so that those nobody asks for are not worked out.
        quick := quick || format($view$
            UNION ALL
            SELECT p.metric_id, interval %2$L, p.bucket, p.count, p.min, p.max, p.sum / nullif(p.valued, 0)::double precision,
                p.last, 100::double precision * p.good / p.count
            FROM historian.%1$I AS p
            WHERE NOT EXISTS (
                SELECT FROM historian.rollup_kept AS k
                WHERE k.metric_id = p.metric_id AND k.step = interval %2$L AND k.bucket = p.bucket AND k.count > 0
            )
        $view$, part.name, part.step);
        parts := parts || format($branch$
            IF span = interval %2$L THEN
                RETURN (SELECT p.bucket + span FROM historian.%1$I AS p
                    WHERE p.metric_id = metric AND p.bucket < high ORDER BY p.bucket DESC LIMIT 1);
            END IF;
        $branch$, part.name, part.step);
    END LOOP;

    -- Nor what retention removes: what is summed up stays.
    ALTER FUNCTION historian.apply_retention() SET timescaledb.skip_cagg_invalidation = on;

    EXECUTE 'CREATE VIEW historian.rollup AS
        SELECT k.metric_id, k.step, k.bucket, k.count, k.min, k.max, k.avg, k.time_weighted_avg, k.first, k.last, k.percent_good
        FROM historian.rollup_kept AS k WHERE k.count > 0' || views;
    EXECUTE 'CREATE VIEW historian.rollup_figures AS
        SELECT k.metric_id, k.step, k.bucket, k.count, k.min, k.max, k.avg, k.last, k.percent_good
        FROM historian.rollup_kept AS k WHERE k.count > 0' || quick;
    -- Each step has a plan of its own, made when it is asked for.
    EXECUTE 'CREATE FUNCTION historian.rolled_until(metric integer, span interval, high timestamptz)
        RETURNS timestamptz LANGUAGE plpgsql STABLE SET plan_cache_mode = auto AS $body$ BEGIN ' || parts || ' RETURN NULL; END $body$';
END
$$;

COMMENT ON VIEW historian.rollup IS
    'Samples summed up, as historian.buckets() does: a bucket is there when it has ended and has samples, and is made again when late ones fall into it.';
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
COMMENT ON VIEW historian.rollup_figures IS
    'Those figures of historian.rollup for which nobody has to look at what was before: quicker over long times.';
COMMENT ON FUNCTION historian.rolled_until(integer, interval, timestamptz) IS
    'Where the buckets of a metric and step that were made in their turn end, of those that begin before a moment; null without any.';

-- By the samples, not by the current values: these are written a moment later, which a crash may forget.
CREATE OR REPLACE FUNCTION historian.missing_rollups(span interval)
RETURNS TABLE (metric_id integer, low timestamptz) LANGUAGE sql STABLE AS $$
    SELECT m.metric_id, next.time
    FROM historian.metric AS m
    LEFT JOIN LATERAL (
        SELECT k.bucket + span AS until FROM historian.rollup_kept AS k
        WHERE k.metric_id = m.metric_id AND k.step = span
        ORDER BY k.bucket DESC LIMIT 1
    ) AS made ON true
    CROSS JOIN LATERAL (
        SELECT s.time FROM historian.sample AS s
        WHERE s.metric_id = m.metric_id AND s.time >= coalesce(made.until, '-infinity')
        ORDER BY s.time LIMIT 1
    ) AS next
$$;
COMMENT ON FUNCTION historian.missing_rollups(interval) IS
    'Metrics that have samples after the last bucket of a step that a historian made, and the first of these.';

-- What is due of buckets that have not ended yet waits for that.
ALTER TABLE historian.rollup_due ADD COLUMN step interval;
COMMENT ON COLUMN historian.rollup_due.step IS 'Which buckets; null: of every length.';
COMMENT ON COLUMN historian.rollup_due.low IS 'Time of the oldest of these samples, or begin of the bucket.';
COMMENT ON TABLE historian.rollup_due IS
    'Samples that came when their buckets might have been made already: written in the transaction that stores them, removed when the buckets were made again. Of buckets that have not ended, one row each until then.';
CREATE UNIQUE INDEX rollup_due_once ON historian.rollup_due (metric_id, step, low) WHERE step IS NOT NULL;

-- A live sample is in time, or late: which, is said in the transaction that stores it, and nobody makes
-- a bucket before all are committed for which it was still in time.
CREATE FUNCTION historian.begin_live()
RETURNS timestamptz LANGUAGE plpgsql AS $$
DECLARE
    minute integer;
BEGIN
    LOOP
        minute := floor(date_part('epoch', clock_timestamp() - interval '5 seconds') / 60);
        PERFORM pg_advisory_xact_lock_shared(20044, minute);
        EXIT WHEN minute = floor(date_part('epoch', clock_timestamp() - interval '5 seconds') / 60);
    END LOOP;
    RETURN to_timestamp(60.0 * minute);
END
$$;
COMMENT ON FUNCTION historian.begin_live() IS
    'Called first in a transaction that stores live samples: those before the moment that it gives are late, their rollups may have been made.';

CREATE FUNCTION historian.settled_until()
RETURNS timestamptz LANGUAGE plpgsql AS $$
DECLARE
    minute integer := floor(date_part('epoch', clock_timestamp() - interval '5 seconds') / 60);
BEGIN
    RETURN (
        SELECT to_timestamp(60.0 * least(minute, min(l.objid::bigint)))
        FROM pg_locks AS l
        WHERE l.locktype = 'advisory' AND l.classid = 20044 AND l.objsubid = 2
            AND l.database = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
    );
END
$$;
COMMENT ON FUNCTION historian.settled_until() IS
    'Buckets that end by then may be made: nothing that is in time for them is under way any more.';
