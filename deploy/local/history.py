"""What the historian stored of one edge node, asked in SQL as any client would."""

from datetime import UTC, datetime

import psycopg

from proto.sparkplug.topics import NodeId

_COUNT = (
    "SELECT count(*) FROM historian.samples"
    " WHERE group_name = %(group)s AND edge = %(edge)s AND time >= %(since)s"
)
_HAS = (
    "SELECT 1 FROM historian.samples"
    " WHERE group_name = %(group)s AND edge = %(edge)s AND time >= %(since)s LIMIT 1"
)


class History:
    """The rows of one edge node since a moment.

    Args:
        dsn: database of the historian.
        node: whose rows count.
        since_ms: rows older than this are of earlier runs, milliseconds since the epoch.
    """

    def __init__(self, dsn: str, node: NodeId, since_ms: int) -> None:
        self._connection = psycopg.connect(dsn, autocommit=True, connect_timeout=5)
        self._whose = {
            "group": node.group,
            "edge": node.edge,
            "since": datetime.fromtimestamp(since_ms / 1000, UTC),
        }

    def has_rows(self) -> bool:
        """Tell whether a first row is there."""
        return self._connection.execute(_HAS, self._whose).fetchone() is not None

    def count_rows(self) -> int:
        """Return how many rows there are."""
        row = self._connection.execute(_COUNT, self._whose).fetchone()
        return int(row[0]) if row else 0

    def close(self) -> None:
        """Hang up."""
        self._connection.close()
