-- What people read: the same rows with names.
-- depends: 0001.tables

CREATE VIEW historian.samples AS
SELECT
    s.time,
    m.group_name,
    m.edge,
    m.device,
    m.name AS metric,
    s.value,
    s.text,
    s.json,
    s.bytes,
    CASE WHEN m.datatype IN ('Int64', 'UInt64', 'DateTime')
        THEN coalesce(s.text::numeric, s.value::numeric) END AS whole,
    m.unit,
    s.quality,
    s.quality = 192 AS good,
    coalesce(s.sent, s.time) AS sent,
    s.historical,
    m.datatype,
    m.uns_path,
    s.metric_id
FROM historian.sample AS s
JOIN historian.metric AS m ON m.metric_id = s.metric_id;

COMMENT ON VIEW historian.samples IS 'Every sample with the names of what was measured.';
COMMENT ON COLUMN historian.samples.time IS 'When the value was acquired.';
COMMENT ON COLUMN historian.samples.group_name IS 'Sparkplug group of the edge node.';
COMMENT ON COLUMN historian.samples.edge IS 'Sparkplug edge node.';
COMMENT ON COLUMN historian.samples.device IS 'Sparkplug device; null for metrics of the edge node itself.';
COMMENT ON COLUMN historian.samples.metric IS 'Name of the metric.';
COMMENT ON COLUMN historian.samples.value IS 'Numbers; booleans as 0 and 1, dates as milliseconds since 1970.';
COMMENT ON COLUMN historian.samples.text IS 'Strings, and the exact digits of whole numbers beyond 2^53.';
COMMENT ON COLUMN historian.samples.json IS 'Data sets, templates and arrays.';
COMMENT ON COLUMN historian.samples.bytes IS 'Bytes and files.';
COMMENT ON COLUMN historian.samples.whole IS '64-bit integers and dates, exact.';
COMMENT ON COLUMN historian.samples.unit IS 'Engineering unit.';
COMMENT ON COLUMN historian.samples.quality IS 'OPC quality: 192 good, 0 bad, 500 stale.';
COMMENT ON COLUMN historian.samples.good IS 'Whether the quality is good.';
COMMENT ON COLUMN historian.samples.sent IS 'When the edge node published it.';
COMMENT ON COLUMN historian.samples.historical IS 'Whether the edge node sent it afterwards.';
COMMENT ON COLUMN historian.samples.datatype IS 'Sparkplug data type.';
COMMENT ON COLUMN historian.samples.uns_path IS 'Path in the Unified Namespace.';
COMMENT ON COLUMN historian.samples.metric_id IS 'Short name of the metric: see historian.metric.';

CREATE VIEW historian.latest AS
SELECT
    m.group_name,
    m.edge,
    m.device,
    m.name AS metric,
    c.value,
    c.text,
    c.json,
    c.bytes,
    CASE WHEN m.datatype IN ('Int64', 'UInt64', 'DateTime')
        THEN coalesce(c.text::numeric, c.value::numeric) END AS whole,
    m.unit,
    c.quality,
    c.quality = 192 AS good,
    c.time,
    now() - c.time AS age,
    m.datatype,
    m.uns_path,
    m.description,
    c.metric_id
FROM historian.current_value AS c
JOIN historian.metric AS m ON m.metric_id = c.metric_id
WHERE NOT m.superseded;

COMMENT ON VIEW historian.latest IS 'The newest value of every metric, with names.';
COMMENT ON COLUMN historian.latest.group_name IS 'Sparkplug group of the edge node.';
COMMENT ON COLUMN historian.latest.edge IS 'Sparkplug edge node.';
COMMENT ON COLUMN historian.latest.device IS 'Sparkplug device; null for metrics of the edge node itself.';
COMMENT ON COLUMN historian.latest.metric IS 'Name of the metric.';
COMMENT ON COLUMN historian.latest.value IS 'Numbers; booleans as 0 and 1, dates as milliseconds since 1970.';
COMMENT ON COLUMN historian.latest.text IS 'Strings, and the exact digits of whole numbers beyond 2^53.';
COMMENT ON COLUMN historian.latest.json IS 'Data sets, templates and arrays.';
COMMENT ON COLUMN historian.latest.bytes IS 'Bytes and files.';
COMMENT ON COLUMN historian.latest.whole IS '64-bit integers and dates, exact.';
COMMENT ON COLUMN historian.latest.unit IS 'Engineering unit.';
COMMENT ON COLUMN historian.latest.quality IS 'OPC quality: 192 good, 0 bad, 500 stale.';
COMMENT ON COLUMN historian.latest.good IS 'Whether the quality is good.';
COMMENT ON COLUMN historian.latest.time IS 'When the value was acquired.';
COMMENT ON COLUMN historian.latest.age IS 'How long ago that was.';
COMMENT ON COLUMN historian.latest.datatype IS 'Sparkplug data type.';
COMMENT ON COLUMN historian.latest.uns_path IS 'Path in the Unified Namespace.';
COMMENT ON COLUMN historian.latest.description IS 'What it is, in words.';
COMMENT ON COLUMN historian.latest.metric_id IS 'Short name of the metric: see historian.metric.';
