-- Samples in the columnstore, where the server has one (TimescaleDB Community).
-- depends: 0002.views

DO $$
BEGIN
    IF (SELECT relkind FROM pg_class WHERE oid = 'historian.sample'::regclass) <> 'p'
        AND current_setting('timescaledb.license', true) = 'timescale'
    THEN
        -- The names of before 2.18, which later versions understand as well.
        ALTER TABLE historian.sample SET (
            timescaledb.compress,
            timescaledb.compress_segmentby = 'metric_id',
            timescaledb.compress_orderby = 'time'
        );
        PERFORM add_compression_policy('historian.sample', INTERVAL '1 day');
    END IF;
END
$$;
