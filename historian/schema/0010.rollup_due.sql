-- What of the rollups has to be made again, so that a crash does not forget it.
-- depends: 0009.roles

CREATE TABLE historian.rollup_due (
    due_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    metric_id integer NOT NULL,
    low timestamptz NOT NULL,
    high timestamptz NOT NULL
);
COMMENT ON TABLE historian.rollup_due IS
    'Samples that came when their buckets might have been made already: written in the transaction that stores them, removed when the buckets were made again. Empty but for moments.';
COMMENT ON COLUMN historian.rollup_due.due_id IS 'Order of arrival.';
COMMENT ON COLUMN historian.rollup_due.metric_id IS 'Which metric: see historian.metric.';
COMMENT ON COLUMN historian.rollup_due.low IS 'Time of the oldest of these samples.';
COMMENT ON COLUMN historian.rollup_due.high IS 'Time of the newest of them.';
