"""What the edge nodes and the historian report about themselves, retained on MQTT."""

from typing import Literal

from pydantic import Field

from proto.control.command import Outcome
from proto.control.document import Document


class DeviceStatus(Document):
    """One device as its driver sees it."""

    state: Literal["connecting", "online", "offline", "disabled", "refused"]
    source: Literal["file", "remote"] = "file"
    """Whether the node's file or a document configures it."""
    revision: int | None = None
    """Of the document that runs, where it is remote."""
    refused_revision: int | None = None
    """Of the latest document, where that was refused."""
    mistakes: tuple[str, ...] = ()
    """Why it was."""
    reason: str | None = None
    since_ms: int
    breaker: Literal["closed", "open", "half-open"] | None = None
    """``closed``: asked as configured; ``open``: left alone until ``retry_at_ms``; ``half-open``:
    one attempt is under way."""
    failures: int = 0
    """Attempts that failed since the last that worked."""
    retry_at_ms: int | None = None
    polls: int = 0
    skipped_polls: int = 0
    """Beats left out because the device was still busy with earlier ones."""
    lateness_p99_ms: float = 0.0
    """How late 99 of 100 polls began at most, to the next of 1, 2, 5, 10, 20, 50 … ms."""
    lateness_max_ms: float = 0.0
    requests: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0
    latency_p50_ms: float = 0.0
    """From a request to its answer, half of them at most; to the next of 1, 2, 5, 10 … ms."""
    latency_p99_ms: float = 0.0
    latency_max_ms: float = 0.0
    errors: int = 0
    errors_by_kind: dict[str, int] = Field(default_factory=dict)
    """``connect``, ``timeout``, ``lost``, ``protocol``, ``refused``, ``internal``."""
    reconnects: int = 0
    """Attempts to connect after the first."""
    writes: int = 0
    changes: int = 0
    """Values that subscriptions brought."""
    dropped_samples: int = 0
    """Of those, what was lost on the way, in the device's queues or in this node's."""
    bad_tags: int = 0
    """Tags without a value in the last poll."""
    quarantined_tags: int = 0
    """Of those, what the device refused and is asked for rarely."""
    problems: dict[str, str] = Field(default_factory=dict)
    """Tags without a value and why, the first twenty of each poll group."""
    problem_qualities: dict[str, int] = Field(default_factory=dict)
    """The same tags with what kind of trouble it is, as an OPC quality: 4 configuration (the device
    has no such address, datatype or size), 8 not connected, 12 device failure, 16 sensor failure,
    24 communication, 28 out of service, 32 no value yet, 0 of no kind that is known."""


class NodeCounters(Document):
    """Counted since the process started."""

    points_published: int = 0
    """Metrics sent in births and data, control metrics aside."""
    points_unsent: int = 0
    """Changes that came while nothing could be sent; the next birth has only the latest of each."""
    messages_published: int = 0
    births: int = 0
    uns_messages: int = 0
    reconnects: int = 0
    """Connections to a broker after the first."""
    commands_rejected: int = 0
    values_refused: int = 0
    """Values that do not fit their tag's data type."""
    polls: int = 0
    """Polls on their beat, over all devices."""
    lateness_p99_ms: float = 0.0
    """How late 99 of 100 polls began at most, since the last status document."""
    lateness_max_ms: float = 0.0


class ConfigurationStatus(Document):
    """What became of the last attempt to configure the node."""

    applied_ms: int
    """When the configuration that runs was applied, milliseconds since the epoch."""
    mistakes: tuple[str, ...] = ()
    """Why the file as it is now was refused; the one before it goes on."""
    restart_needed: tuple[str, ...] = ()
    """Sections of the file that are another now and count from the next start on."""


class RefusedWrite(Document):
    """A write that came to nothing, or of which it cannot be told."""

    timestamp_ms: int
    device: str | None
    metric: str
    outcome: Outcome
    reason: str


class NodeStatus(Document):
    """``<prefix>/status/<group>/<edge>``."""

    timestamp_ms: int
    version: str
    started_ms: int
    configuration: ConfigurationStatus | None = None
    counters: NodeCounters = NodeCounters()
    refused_writes: tuple[RefusedWrite, ...] = ()
    """The last twenty, the latest last."""
    devices: dict[str, DeviceStatus] = Field(default_factory=dict)


class HistorianStatus(Document):
    """``<prefix>/historian/<id>/status``; counted since the process started."""

    timestamp_ms: int
    version: str
    started_ms: int
    database: Literal["connecting", "timescaledb", "timescaledb-apache", "postgresql", "away"]
    points_received: int = 0
    points_stored: int = 0
    points_duplicate: int = 0
    """Already stored under the same metric and time, so not stored again."""
    points_dropped: int = 0
    messages_missed: int = 0
    """Never arrived, as gaps in the sequence numbers tell; at least."""
    backlog_points: int = 0
    backlog_bytes: int = 0
    payloads_rejected: int = 0
