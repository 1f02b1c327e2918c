-- Sessions that ended while no historian was looking.
-- depends: 0010.rollup_due

COMMENT ON COLUMN historian.event.kind IS
    'node_birth, node_death, device_birth, device_death, node_lost (the session ended while no historian received; time is the last sight of it), gap (messages are missing), rebirth_requested, sequence_ignored (the node does not count its messages as Sparkplug says).';
