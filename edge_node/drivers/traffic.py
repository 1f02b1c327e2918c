"""What one device's driver sends and gets, counted where it happens.

A driver adds to it at each request; whoever reports it only reads. Knows no protocol.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Literal

from edge_node.histogram import Histogram

ErrorKind = Literal["connect", "timeout", "lost", "protocol", "refused", "internal"]
"""Why something failed: no connection could be made; no answer came in time; the connection broke;
what came was not the protocol; the device answered and refused; a fault of the driver itself."""


@dataclass(slots=True)
class Traffic:
    """Counted since the driver was made.

    Attributes:
        requests: sent, repetitions included; a subscription's notifications are none.
        bytes_sent: as the protocol frames them, without TCP and below.
        bytes_received: likewise, what belonged to no request included where it can be told.
        latency: from sending a request to its answer, waiting for a turn not included.
        quarantined: how many tags are left out of polls now, since the device refused them.
    """

    requests: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0
    errors: Counter[ErrorKind] = field(default_factory=Counter)
    latency: Histogram = field(default_factory=Histogram)
    quarantined: int = 0

    def count_on(self, other: "Traffic") -> None:
        """Begin with what was counted of the same device before."""
        self.requests = other.requests
        self.bytes_sent, self.bytes_received = other.bytes_sent, other.bytes_received
        self.errors, self.latency = other.errors, other.latency
