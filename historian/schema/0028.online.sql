-- When nodes and devices were online: the same at every edge of the time asked for.
-- depends: 0015.bounded_plans

CREATE FUNCTION historian.turns(group_name text, edge text, low timestamptz, high timestamptz, device text DEFAULT NULL)
RETURNS TABLE (since timestamptz, until timestamptz, kind text) LANGUAGE sql STABLE AS $$
    WITH
    seen AS (
        (
            SELECT e.time, e.event_id, e.kind
            FROM historian.event AS e
            WHERE e.group_name = turns.group_name AND e.edge = turns.edge AND e.time < low AND (
                e.kind IN ('node_death', 'node_lost')
                OR (turns.device IS NULL AND e.kind = 'node_birth')
                OR (e.device = turns.device AND e.kind IN ('device_birth', 'device_death'))
            )
            ORDER BY e.time DESC, e.event_id DESC LIMIT 1
        )
        UNION ALL
        SELECT e.time, e.event_id, e.kind
        FROM historian.event AS e
        WHERE e.group_name = turns.group_name AND e.edge = turns.edge AND e.time >= low AND e.time < least(high, now()) AND (
            e.kind IN ('node_death', 'node_lost')
            OR (turns.device IS NULL AND e.kind = 'node_birth')
            OR (e.device = turns.device AND e.kind IN ('device_birth', 'device_death'))
        )
    )
    SELECT greatest(s.time, low), lead(s.time, 1, least(high, now())) OVER (ORDER BY s.time, s.event_id), s.kind
    FROM seen AS s
    WHERE low < least(high, now())
    ORDER BY s.time, s.event_id
$$;
COMMENT ON FUNCTION historian.turns(text, text, timestamptz, timestamptz, text) IS
    'The births and deaths that say whether an edge node, or a device of it, was online in a time, each with how long it held: up to the next one, and at most until now. The first is that which held when the time began.';

CREATE OR REPLACE FUNCTION historian.outages(group_name text, edge text, low timestamptz, high timestamptz, device text DEFAULT NULL)
RETURNS TABLE (since timestamptz, until timestamptz, reason text) LANGUAGE plpgsql STABLE AS $$
BEGIN
    PERFORM historian.check_time(low, high);
    RETURN QUERY
    SELECT t.since, t.until, t.kind
    FROM historian.turns(group_name, edge, low, high, device) AS t
    WHERE t.kind IN ('node_death', 'node_lost', 'device_death') AND t.until > t.since
    ORDER BY 1;
END
$$;
COMMENT ON FUNCTION historian.outages(text, text, timestamptz, timestamptz, text) IS
    'When an edge node, or a device of it, was offline, from its deaths to its births, and at most until now. reason is the kind of the death; node_lost: its session ended at an unknown moment within this time, while no historian received. What the values were in these times nobody knows. The time before the first birth is none.';

CREATE OR REPLACE FUNCTION historian.online_percentage(group_name text, edge text, low timestamptz, high timestamptz, device text DEFAULT NULL)
RETURNS double precision LANGUAGE plpgsql STABLE AS $$
DECLARE
    seconds double precision := date_part('epoch', least(high, now()) - low);
    online double precision;
BEGIN
    PERFORM historian.check_time(low, high);
    IF seconds <= 0 THEN
        RETURN NULL;
    END IF;
    SELECT sum(CASE WHEN t.kind IN ('node_birth', 'device_birth') THEN date_part('epoch', t.until - t.since) ELSE 0 END)
    INTO online
    FROM historian.turns(group_name, edge, low, high, device) AS t;
    RETURN 100.0 * online / seconds;
END
$$;
COMMENT ON FUNCTION historian.online_percentage(text, text, timestamptz, timestamptz, text) IS
    'Which part of a time an edge node, or a device of it, was known to be online, by its births and deaths. The time before its first birth does not count as online, nor does that after the last sight of a session that ended unseen (node_lost); the future counts not at all. Null where there is nothing to go by: it was never seen until then, or the time lies in the future.';
