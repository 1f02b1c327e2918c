-- What a writer may have done for it though it does not own the tables: make days and drop old ones.
-- depends: 0008.modes

ALTER FUNCTION historian.ensure_day(date) SECURITY DEFINER SET search_path = pg_catalog, historian, pg_temp;
REVOKE EXECUTE ON FUNCTION historian.ensure_day(date) FROM PUBLIC;

CREATE OR REPLACE FUNCTION historian.apply_retention()
RETURNS TABLE (days_dropped bigint, samples_deleted bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, historian, pg_temp AS $$
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
            EXECUTE format(
                'SELECT count(*) FROM %I.drop_chunks(''historian.sample'', $1)',
                (SELECT n.nspname FROM pg_extension AS e JOIN pg_namespace AS n ON n.oid = e.extnamespace WHERE e.extname = 'timescaledb')
            ) INTO days_dropped USING now() - longest;
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
REVOKE EXECUTE ON FUNCTION historian.apply_retention() FROM PUBLIC;
