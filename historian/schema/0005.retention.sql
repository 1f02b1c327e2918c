-- How long samples are kept, as rows that anybody may read and the owner may change.
-- depends: 0004.queries

CREATE TABLE historian.retention (
    pattern text PRIMARY KEY,
    keep interval NOT NULL CHECK (keep >= interval '1 hour'),
    priority integer NOT NULL DEFAULT 0
);
COMMENT ON TABLE historian.retention IS
    'How long samples are kept. Of the rules that a metric is like, the one with the highest priority counts, then the longest pattern. Metrics without a rule are kept for ever.';
COMMENT ON COLUMN historian.retention.pattern IS 'LIKE pattern for group/edge/device/name, such as plant-1/% or %/debug/%.';
COMMENT ON COLUMN historian.retention.keep IS 'Samples older than this are removed.';
COMMENT ON COLUMN historian.retention.priority IS 'Greater wins.';

CREATE VIEW historian.metric_retention AS
SELECT m.metric_id, rule.pattern, rule.keep
FROM historian.metric AS m
LEFT JOIN LATERAL (
    SELECT r.pattern, r.keep FROM historian.retention AS r
    WHERE concat_ws('/', m.group_name, m.edge, m.device, m.name) LIKE r.pattern
    ORDER BY r.priority DESC, length(r.pattern) DESC
    LIMIT 1
) AS rule ON true;
COMMENT ON VIEW historian.metric_retention IS 'Which rule holds for which metric; null: kept for ever.';
COMMENT ON COLUMN historian.metric_retention.metric_id IS 'Which metric: see historian.metric.';
COMMENT ON COLUMN historian.metric_retention.pattern IS 'The rule.';
COMMENT ON COLUMN historian.metric_retention.keep IS 'How long its samples are kept.';

CREATE FUNCTION historian.apply_retention()
RETURNS TABLE (days_dropped bigint, samples_deleted bigint)
LANGUAGE plpgsql AS $$
DECLARE
    longest interval;
    part record;
    rule record;
    deleted bigint;
BEGIN
    days_dropped := 0;
    samples_deleted := 0;
    -- Whole days go at once where no metric keeps them.
    SELECT max(r.keep) INTO longest FROM historian.metric_retention AS r
    HAVING count(*) > 0 AND count(*) = count(r.keep);
    IF longest IS NOT NULL THEN
        IF (SELECT relkind FROM pg_class WHERE oid = 'historian.sample'::regclass) = 'p' THEN
            FOR part IN
                SELECT c.oid::regclass AS name FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
                WHERE i.inhparent = 'historian.sample'::regclass AND c.relname ~ '^sample_\d{8}$'
                    AND to_date(substr(c.relname, 8), 'YYYYMMDD') + 1 <= ((now() - longest) AT TIME ZONE 'UTC')::date
            LOOP
                EXECUTE format('DROP TABLE %s', part.name);
                days_dropped := days_dropped + 1;
            END LOOP;
        ELSE
            SELECT count(*) INTO days_dropped FROM drop_chunks('historian.sample', now() - longest);
        END IF;
    END IF;
    FOR rule IN
        SELECT r.keep, array_agg(r.metric_id) AS metrics FROM historian.metric_retention AS r
        WHERE r.keep IS NOT NULL GROUP BY r.keep
    LOOP
        DELETE FROM historian.sample AS s
        WHERE s.metric_id = ANY (rule.metrics) AND s.time < now() - rule.keep;
        GET DIAGNOSTICS deleted = ROW_COUNT;
        samples_deleted := samples_deleted + deleted;
    END LOOP;
    RETURN NEXT;
END
$$;
COMMENT ON FUNCTION historian.apply_retention() IS
    'Removes what the retention rules say: whole days where no metric keeps them, else sample by sample. The historian calls it every hour.';

CREATE FUNCTION historian.storage_size()
RETURNS bigint LANGUAGE plpgsql STABLE AS $$
BEGIN
    IF (SELECT relkind FROM pg_class WHERE oid = 'historian.sample'::regclass) = 'p' THEN
        RETURN (
            SELECT coalesce(sum(pg_total_relation_size(i.inhrelid)), 0)
            FROM pg_inherits AS i WHERE i.inhparent = 'historian.sample'::regclass
        );
    END IF;
    RETURN hypertable_size('historian.sample');
END
$$;
COMMENT ON FUNCTION historian.storage_size() IS 'Bytes that all samples take on disk, indexes included.';
