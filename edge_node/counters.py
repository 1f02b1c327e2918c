"""What an edge node counts since it started, and how it reads in the status document."""

from dataclasses import dataclass, field

from edge_node.scheduler import Lateness
from proto.control.status import NodeCounters


@dataclass(slots=True)
class Counters:
    """Counted since the process started; every part of the node adds to its own.

    Attributes:
        points_published: metrics handed to a connection in births and data, control metrics aside.
        points_unsent: changes that came while nothing could be sent; only the latest value of each
            tag survives, in the next birth.
        messages_published: Sparkplug messages handed to a connection.
        reconnects: connections to a broker after the first.
        commands_rejected: commands that were not carried out.
        values_refused: values that do not fit their tag's data type.
    """

    points_published: int = 0
    points_unsent: int = 0
    messages_published: int = 0
    births: int = 0
    uns_messages: int = 0
    reconnects: int = 0
    commands_rejected: int = 0
    values_refused: int = 0
    lateness: Lateness = field(default_factory=Lateness)

    def document(self) -> NodeCounters:
        """Return the counters' part of the node's status document."""
        lateness = self.lateness
        return NodeCounters(
            points_published=self.points_published,
            points_unsent=self.points_unsent,
            messages_published=self.messages_published,
            births=self.births,
            uns_messages=self.uns_messages,
            reconnects=self.reconnects,
            commands_rejected=self.commands_rejected,
            values_refused=self.values_refused,
            polls=lateness.count,
            lateness_p99_ms=round(lateness.quantile_s(0.99) * 1000, 1),
            lateness_max_ms=round(lateness.maximum_s * 1000, 1),
        )
