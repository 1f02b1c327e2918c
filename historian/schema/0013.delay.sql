-- When a sample was published, as milliseconds after its time: a fifth of the room of a second timestamp.
--
-- Samples of before keep their timestamp in sent, so that an upgrade takes no apart compressed day.
-- depends: 0011.lost

ALTER TABLE historian.sample ADD COLUMN delay bigint;
COMMENT ON COLUMN historian.sample.delay IS
    'Milliseconds from time to when the edge node published it; null when that is the same millisecond. Negative where its clock was set back. The view samples has the moment itself.';
COMMENT ON COLUMN historian.sample.sent IS
    'When the edge node published it, where delay does not say: samples stored before there was delay, and imports with fractions of milliseconds.';

-- There is one row a metric: these are made new.
ALTER TABLE historian.current_value ALTER COLUMN sent TYPE bigint
    USING (extract(epoch FROM sent - time) * 1000)::bigint;
ALTER TABLE historian.current_value RENAME COLUMN sent TO delay;
COMMENT ON COLUMN historian.current_value.delay IS 'As in historian.sample.';

CREATE OR REPLACE VIEW historian.samples AS
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
    coalesce(s.time + s.delay * interval '1 millisecond', s.sent, s.time) AS sent,
    s.historical,
    m.datatype,
    m.uns_path,
    s.metric_id
FROM historian.sample AS s
JOIN historian.metric AS m ON m.metric_id = s.metric_id;

CREATE FUNCTION historian.last_sights()
RETURNS TABLE (group_name text, edge text, bd_seq bigint, seen timestamptz) LANGUAGE sql STABLE AS $$
    SELECT n.group_name, n.edge, (newest.detail ->> 'bd_seq')::bigint, greatest(newest.time, least(n.seen, now()))
    FROM (
        SELECT m.group_name, m.edge,
            max(c.time + coalesce(c.delay, 0) * interval '1 millisecond') FILTER (WHERE NOT c.historical) AS seen
        FROM historian.metric AS m LEFT JOIN historian.current_value AS c USING (metric_id)
        GROUP BY m.group_name, m.edge
    ) AS n
    CROSS JOIN LATERAL (
        SELECT e.kind, e.time, e.detail FROM historian.event AS e
        WHERE e.group_name = n.group_name AND e.edge = n.edge
            AND e.kind IN ('node_birth', 'node_death', 'node_lost')
        ORDER BY e.time DESC, e.event_id DESC LIMIT 1
    ) AS newest
    WHERE newest.kind = 'node_birth'
$$;
COMMENT ON FUNCTION historian.last_sights() IS
    'Edge nodes that were online when last seen: the bdSeq of their session, and when that was.';
