-- The tables of the historian.
--
-- On a server with TimescaleDB the samples are a hypertable, elsewhere a table partitioned by day.
-- Everything else is the same everywhere.

CREATE TABLE historian.metric (
    metric_id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    group_name text NOT NULL,
    edge text NOT NULL,
    device text,
    name text NOT NULL,
    datatype text NOT NULL,
    unit text,
    low double precision,
    high double precision,
    description text,
    writable boolean,
    uns_path text,
    properties jsonb,
    superseded boolean NOT NULL DEFAULT false,
    first_seen timestamptz NOT NULL DEFAULT now(),
    last_described timestamptz NOT NULL DEFAULT now()
);

CREATE UNIQUE INDEX metric_identity
    ON historian.metric (group_name, edge, coalesce(device, ''), name, datatype);
CREATE INDEX metric_by_name ON historian.metric (name, device);
CREATE INDEX metric_by_uns_path ON historian.metric (uns_path);

COMMENT ON TABLE historian.metric IS
    'What is measured: one row a metric, as the births of its edge node describe it.';
COMMENT ON COLUMN historian.metric.metric_id IS 'Short name of the metric in the other tables.';
COMMENT ON COLUMN historian.metric.group_name IS 'Sparkplug group of the edge node.';
COMMENT ON COLUMN historian.metric.edge IS 'Sparkplug edge node.';
COMMENT ON COLUMN historian.metric.device IS 'Sparkplug device; null for metrics of the edge node itself.';
COMMENT ON COLUMN historian.metric.name IS 'Name of the metric; slashes make folders.';
COMMENT ON COLUMN historian.metric.datatype IS
    'Sparkplug data type. A metric that comes back with another one gets another row, so that older samples keep their meaning.';
COMMENT ON COLUMN historian.metric.unit IS 'Engineering unit (property engUnit).';
COMMENT ON COLUMN historian.metric.low IS 'Lower end of the engineering range (property engLow).';
COMMENT ON COLUMN historian.metric.high IS 'Upper end of the engineering range (property engHigh).';
COMMENT ON COLUMN historian.metric.description IS 'What it is, in words (property Documentation).';
COMMENT ON COLUMN historian.metric.writable IS 'Whether commands may write it (property readOnly, turned round); null where the birth does not say.';
COMMENT ON COLUMN historian.metric.uns_path IS 'Path in the Unified Namespace (property unsPath).';
COMMENT ON COLUMN historian.metric.properties IS 'Every other property of the latest birth.';
COMMENT ON COLUMN historian.metric.superseded IS 'True when a metric of the same name with another data type has taken its place.';
COMMENT ON COLUMN historian.metric.first_seen IS 'When its first birth arrived.';
COMMENT ON COLUMN historian.metric.last_described IS 'When a birth last changed anything in this row.';

DO $$
DECLARE
    shape text := $shape$
        CREATE TABLE historian.sample (
            time timestamptz NOT NULL,
            metric_id integer NOT NULL,
            quality smallint NOT NULL DEFAULT 192,
            historical boolean NOT NULL DEFAULT false,
            value double precision,
            sent timestamptz,
            text text,
            json jsonb,
            bytes bytea
        )$shape$;
BEGIN
    IF EXISTS (SELECT FROM pg_extension WHERE extname = 'timescaledb') THEN
        EXECUTE shape;
        PERFORM create_hypertable('historian.sample', 'time',
            chunk_time_interval => INTERVAL '1 day', create_default_indexes => false);
    ELSE
        EXECUTE shape || ' PARTITION BY RANGE (time)';
    END IF;
END
$$;

CREATE INDEX sample_by_metric ON historian.sample (metric_id, time DESC);

COMMENT ON TABLE historian.sample IS
    'Every value that arrived: one row a metric and time. Read it through the view samples, which has the names.';
COMMENT ON COLUMN historian.sample.time IS 'When the value was acquired, to the millisecond.';
COMMENT ON COLUMN historian.sample.metric_id IS 'Which metric: see historian.metric.';
COMMENT ON COLUMN historian.sample.quality IS 'OPC quality: 192 good, 0 bad, 500 stale.';
COMMENT ON COLUMN historian.sample.historical IS 'True when the edge node sent it afterwards (is_historical).';
COMMENT ON COLUMN historian.sample.value IS
    'Numbers; booleans as 0 and 1, dates as milliseconds since 1970. Whole numbers beyond 2^53 are approximate here and exact in text.';
COMMENT ON COLUMN historian.sample.sent IS 'When the edge node published it; null when that is the same millisecond.';
COMMENT ON COLUMN historian.sample.text IS 'Strings, and the exact digits of whole numbers beyond 2^53.';
COMMENT ON COLUMN historian.sample.json IS 'Data sets, templates and arrays.';
COMMENT ON COLUMN historian.sample.bytes IS 'Bytes and files; also strings that contain the character NUL, as UTF-8.';

CREATE TABLE historian.current_value (
    time timestamptz NOT NULL,
    metric_id integer PRIMARY KEY,
    quality smallint NOT NULL DEFAULT 192,
    historical boolean NOT NULL DEFAULT false,
    value double precision,
    sent timestamptz,
    text text,
    json jsonb,
    bytes bytea
) WITH (fillfactor = 50);

COMMENT ON TABLE historian.current_value IS
    'The newest sample of every metric, kept up to date within a second, so that nobody has to search for it.';
COMMENT ON COLUMN historian.current_value.time IS 'When the value was acquired.';
COMMENT ON COLUMN historian.current_value.metric_id IS 'Which metric: see historian.metric.';
COMMENT ON COLUMN historian.current_value.quality IS 'OPC quality: 192 good, 0 bad, 500 stale.';
COMMENT ON COLUMN historian.current_value.historical IS 'True when the edge node sent it afterwards.';
COMMENT ON COLUMN historian.current_value.value IS 'As in historian.sample.';
COMMENT ON COLUMN historian.current_value.sent IS 'As in historian.sample.';
COMMENT ON COLUMN historian.current_value.text IS 'As in historian.sample.';
COMMENT ON COLUMN historian.current_value.json IS 'As in historian.sample.';
COMMENT ON COLUMN historian.current_value.bytes IS 'As in historian.sample.';

CREATE TABLE historian.event (
    event_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    time timestamptz NOT NULL,
    kind text NOT NULL,
    group_name text NOT NULL,
    edge text NOT NULL,
    device text,
    detail jsonb
);

CREATE INDEX event_by_node ON historian.event (group_name, edge, time DESC);
CREATE INDEX event_by_time ON historian.event (time DESC);

COMMENT ON TABLE historian.event IS 'What happened to edge nodes and devices, and to the stream of their messages.';
COMMENT ON COLUMN historian.event.event_id IS 'Order of arrival.';
COMMENT ON COLUMN historian.event.time IS 'When it happened: of births by the edge node''s clock, otherwise by ours.';
COMMENT ON COLUMN historian.event.kind IS
    'node_birth, node_death, device_birth, device_death, gap (messages are missing), rebirth_requested, sequence_ignored (the node does not count its messages as Sparkplug says).';
COMMENT ON COLUMN historian.event.group_name IS 'Sparkplug group of the edge node.';
COMMENT ON COLUMN historian.event.edge IS 'Sparkplug edge node.';
COMMENT ON COLUMN historian.event.device IS 'Sparkplug device; null when it concerns the whole node.';
COMMENT ON COLUMN historian.event.detail IS 'More about it, such as bd_seq or the reason.';

CREATE FUNCTION historian.ensure_day(day date) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
    part text := 'sample_' || to_char(day, 'YYYYMMDD');
    low timestamptz := day::timestamp AT TIME ZONE 'UTC';
    high timestamptz := (day + 1)::timestamp AT TIME ZONE 'UTC';
BEGIN
    IF (SELECT relkind FROM pg_class WHERE oid = 'historian.sample'::regclass) <> 'p'
        OR to_regclass('historian.' || part) IS NOT NULL
    THEN
        RETURN false;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtext('historian.ensure_day'));
    IF to_regclass('historian.' || part) IS NOT NULL THEN
        RETURN false;
    END IF;
    -- Attached rather than made as a partition: the writers of other days need not wait.
    EXECUTE format('CREATE TABLE historian.%I (LIKE historian.sample INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', part);
    EXECUTE format('ALTER TABLE historian.%I ADD CONSTRAINT day CHECK (time >= %L AND time < %L)', part, low, high);
    EXECUTE format('ALTER TABLE historian.sample ATTACH PARTITION historian.%I FOR VALUES FROM (%L) TO (%L)', part, low, high);
    EXECUTE format('ALTER TABLE historian.%I DROP CONSTRAINT day', part);
    RETURN true;
END
$$;

COMMENT ON FUNCTION historian.ensure_day(date) IS
    'Makes the partition of a UTC day where samples are partitioned and it is missing; true when it made one.';
