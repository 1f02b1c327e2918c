-- How long samples stay out of the columnstore, by pattern, as rows that the owner may change.
-- depends: 0013.delay

CREATE TABLE historian.compression (
    pattern text PRIMARY KEY,
    move_after interval NOT NULL CHECK (move_after >= interval '0'),
    priority integer NOT NULL DEFAULT 0
);
COMMENT ON TABLE historian.compression IS
    'How long samples wait until they are moved into the columnstore of TimescaleDB Community. A day is moved whole: when it is over, and then the longest wait of the metrics that have samples in it. Of the rules that a metric is like, the one with the highest priority counts, then the longest pattern; metrics without a rule wait for a day. Servers without a columnstore move nothing, whatever stands here.';
COMMENT ON COLUMN historian.compression.pattern IS 'LIKE pattern for group/edge/device/name, such as plant-1/% or %/debug/%.';
COMMENT ON COLUMN historian.compression.move_after IS 'How long after the end of its day a sample is moved at the earliest.';
COMMENT ON COLUMN historian.compression.priority IS 'Greater wins.';

CREATE VIEW historian.metric_compression AS
SELECT m.metric_id, rule.pattern, coalesce(rule.move_after, interval '1 day') AS move_after
FROM historian.metric AS m
LEFT JOIN LATERAL (
    SELECT r.pattern, r.move_after FROM historian.compression AS r
    WHERE concat_ws('/', m.group_name, m.edge, m.device, m.name) LIKE r.pattern
    ORDER BY r.priority DESC, length(r.pattern) DESC
    LIMIT 1
) AS rule ON true;
COMMENT ON VIEW historian.metric_compression IS 'Which wait holds for which metric.';
COMMENT ON COLUMN historian.metric_compression.metric_id IS 'Which metric: see historian.metric.';
COMMENT ON COLUMN historian.metric_compression.pattern IS 'The rule; null: none, so that it waits for a day.';
COMMENT ON COLUMN historian.metric_compression.move_after IS 'How long after the end of their day its samples are moved at the earliest.';

CREATE FUNCTION historian.waits(low timestamptz, high timestamptz)
RETURNS boolean LANGUAGE sql STABLE AS $$
    -- Each metric is looked up through the index, and the first that is found is enough.
    SELECT EXISTS (
        SELECT FROM historian.metric_compression AS c
        CROSS JOIN LATERAL (
            SELECT FROM historian.sample AS s
            WHERE s.metric_id = c.metric_id AND s.time >= low AND s.time < high
            LIMIT 1
        ) AS one
        WHERE high + c.move_after > now()
    )
$$;
COMMENT ON FUNCTION historian.waits(timestamptz, timestamptz) IS
    'Whether any metric with samples from low to high (a day) still waits to be moved into the columnstore.';

CREATE PROCEDURE historian.move_days(job_id integer DEFAULT NULL, config jsonb DEFAULT NULL)
LANGUAGE plpgsql AS $$
DECLARE
    home text := (
        SELECT n.nspname FROM pg_extension AS e JOIN pg_namespace AS n ON n.oid = e.extnamespace
        WHERE e.extname = 'timescaledb'
    );
    day record;
    status integer;
BEGIN
    IF home IS NULL OR current_setting('timescaledb.license', true) IS DISTINCT FROM 'timescale' THEN
        RETURN;
    END IF;
    FOR day IN
        SELECT to_regclass(format('%I.%I', c.chunk_schema, c.chunk_name)) AS name, c.range_start, c.range_end
        FROM timescaledb_information.chunks AS c
        WHERE c.hypertable_schema = 'historian' AND c.hypertable_name = 'sample' AND c.range_end <= now()
        ORDER BY c.range_start
    LOOP
        -- One day must not keep the others waiting, and each is committed by itself.
        BEGIN
            status := _timescaledb_functions.chunk_status(day.name);
            -- 1: all of it is moved, in order; 4: frozen by somebody.
            IF status <> 1 AND status & 4 = 0 AND NOT historian.waits(day.range_start, day.range_end) THEN
                EXECUTE format('SELECT %I.compress_chunk($1)', home) USING day.name;
            END IF;
        EXCEPTION WHEN OTHERS THEN
            RAISE WARNING 'samples of %: not moved into the columnstore: %', day.range_start, SQLERRM;
        END;
        COMMIT;
    END LOOP;
END
$$;
COMMENT ON PROCEDURE historian.move_days(integer, jsonb) IS
    'Moves the days that wait no longer into the columnstore, also those that got late samples after they were moved. A job of TimescaleDB calls it every hour; the arguments are those of every job.';

DO $$
DECLARE
    policy record;
BEGIN
    IF (SELECT relkind FROM pg_class WHERE oid = 'historian.sample'::regclass) = 'p'
        OR current_setting('timescaledb.license', true) IS DISTINCT FROM 'timescale'
    THEN
        RETURN;
    END IF;
    -- It replaces a policy with one wait for all, and goes on with what was set there.
    SELECT (j.config ->> 'compress_after')::interval AS wait, j.scheduled INTO policy
    FROM timescaledb_information.jobs AS j
    WHERE j.proc_name = 'policy_compression' AND j.hypertable_schema = 'historian' AND j.hypertable_name = 'sample';
    IF policy.wait <> interval '1 day' THEN
        INSERT INTO historian.compression (pattern, move_after) VALUES ('%', policy.wait);
    END IF;
    PERFORM remove_compression_policy('historian.sample', if_exists => true);
    -- What a schema that was dropped has left behind.
    PERFORM delete_job(j.job_id) FROM timescaledb_information.jobs AS j
    WHERE j.proc_schema = 'historian' AND j.proc_name = 'move_days';
    PERFORM add_job('historian.move_days', interval '1 hour', initial_start => now() + interval '1 hour',
        scheduled => coalesce(policy.scheduled, false));
END
$$;
