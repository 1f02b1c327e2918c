-- Sessions that ended while no historian was looking.
-- depends: 0010.rollup_due

COMMENT ON COLUMN historian.event.kind IS
    'node_birth, node_death, device_birth, device_death, node_lost (the session ended while no historian received; time is the last sight of it), gap (messages are missing), rebirth_requested, sequence_ignored (the node does not count its messages as Sparkplug says).';

CREATE FUNCTION historian.last_sights()
RETURNS TABLE (group_name text, edge text, bd_seq bigint, seen timestamptz) LANGUAGE sql STABLE AS $$
    SELECT n.group_name, n.edge, (newest.detail ->> 'bd_seq')::bigint, greatest(newest.time, least(n.seen, now()))
    FROM (
        SELECT m.group_name, m.edge, max(coalesce(c.sent, c.time)) FILTER (WHERE NOT c.historical) AS seen
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

CREATE OR REPLACE FUNCTION historian.outages(group_name text, edge text, low timestamptz, high timestamptz, device text DEFAULT NULL)
RETURNS TABLE (since timestamptz, until timestamptz, reason text) LANGUAGE sql STABLE AS $$
    WITH
    turns AS (
        SELECT e.time, e.event_id, e.kind
        FROM historian.event AS e
        WHERE e.group_name = outages.group_name AND e.edge = outages.edge AND e.time < high AND (
            e.kind IN ('node_death', 'node_lost')
            OR (outages.device IS NULL AND e.kind = 'node_birth')
            OR (e.device = outages.device AND e.kind IN ('device_birth', 'device_death'))
        )
    ),
    held AS (
        SELECT kind, time, lead(time, 1, high) OVER (ORDER BY time, event_id) AS until FROM turns
    )
    SELECT greatest(time, low), until, kind
    FROM held
    WHERE kind IN ('node_death', 'node_lost', 'device_death') AND until > low
    ORDER BY 1
$$;
COMMENT ON FUNCTION historian.outages(text, text, timestamptz, timestamptz, text) IS
    'When an edge node, or a device of it, was offline, from its deaths to its births. reason is the kind of the death; node_lost: its session ended at an unknown moment within this time, while no historian received. What the values were in these times nobody knows.';

CREATE OR REPLACE FUNCTION historian.online_percentage(group_name text, edge text, low timestamptz, high timestamptz, device text DEFAULT NULL)
RETURNS double precision LANGUAGE sql STABLE AS $$
    WITH
    turns AS (
        SELECT e.time, e.event_id, e.kind IN ('node_birth', 'device_birth') AS online
        FROM historian.event AS e
        WHERE e.group_name = online_percentage.group_name AND e.edge = online_percentage.edge
            AND e.time < high AND (
                e.kind IN ('node_death', 'node_lost')
                OR (online_percentage.device IS NULL AND e.kind = 'node_birth')
                OR (e.device = online_percentage.device AND e.kind IN ('device_birth', 'device_death'))
            )
    ),
    held AS (
        SELECT greatest(time, low) AS since, online,
            greatest(lead(time, 1, least(high, now())) OVER (ORDER BY time, event_id), low) AS until
        FROM turns
    )
    SELECT 100.0 * coalesce(sum(extract(epoch FROM until - since)) FILTER (WHERE online), 0)
        / nullif(extract(epoch FROM least(high, now()) - low), 0)
    FROM held
$$;
COMMENT ON FUNCTION historian.online_percentage(text, text, timestamptz, timestamptz, text) IS
    'Which part of a time an edge node, or a device of it, was known to be online, by its births and deaths; the time after the last sight of a session that ended unseen (node_lost) does not count as online, the future not at all.';
