"""What a historian has committed, so that an edge node need not keep it any longer."""

from pydantic import Field

from proto.control.document import Document


class Acknowledgement(Document):
    """``<prefix>/ack/<group>/<edge>``: every payload named is in the database, durably."""

    timestamp_ms: int
    historian: str
    payloads: tuple[tuple[int, int], ...] = Field(default=())
    """Timestamp in milliseconds and sequence number of NDATA and DDATA payloads, as sent."""
