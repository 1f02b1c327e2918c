"""What the API takes and gives, for checking and for its OpenAPI document."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class Request(BaseModel):
    """A request body: unknown keys are refused and nothing is repaired."""

    model_config = ConfigDict(extra="forbid", strict=True, use_attribute_docstrings=True)


class Answer(BaseModel):
    """A response body."""

    model_config = ConfigDict(use_attribute_docstrings=True)


class ErrorJson(Answer):
    """What went wrong: subject, found, expected."""

    error: str


class SignInRequest(Request):
    """Who wants to sign in."""

    username: str = Field(min_length=1, max_length=256)
    password: str = Field(min_length=1, max_length=4096)


class SessionJson(Answer):
    """Who is signed in."""

    username: str
    role: Literal["viewer", "operator", "admin"]


class WriteRequest(Request):
    """A value for a metric."""

    group: str
    edge: str
    device: str | None = None
    """Absent or null for a metric of the node itself."""
    metric: str
    value: Any
    """JSON of the metric's kind; integers beyond 2⁵³, NaN and infinities as strings, bytes as
    base64."""


class AcceptedJson(Answer):
    """The write was sent; its outcome comes as ``write_result`` on the live socket."""

    id: str


class RebirthRequest(Request):
    """Which node to ask for its births."""

    group: str
    edge: str


class EmptyJson(Answer):
    """Nothing more to say."""


class MetricJson(Answer):
    """A metric with its value."""

    name: str
    datatype: str
    value: Any
    quality: int
    """192 good, 0 bad, 500 stale."""
    timestamp_ms: int
    stale: bool
    unit: str | None
    low: float | str | None
    high: float | str | None
    description: str | None
    enumeration: dict[str, str] | None
    """What the numbers mean, by their digits."""
    writable: bool


class DeviceJson(Answer):
    """A device."""

    name: str
    online: bool
    since_ms: int
    metrics: list[MetricJson]


class NodeJson(Answer):
    """An edge node with everything below it."""

    id: str
    group: str
    edge: str
    online: bool
    since_ms: int
    bd_seq: int | None
    births: int
    deaths: int
    violations: int
    metrics: list[MetricJson]
    devices: list[DeviceJson]


class NodesJson(Answer):
    """The whole picture."""

    nodes: list[NodeJson]


class RebirthsJson(Answer):
    """How often a node was asked for its births for one cause."""

    cause: str
    count: int


class LastRebirthJson(Answer):
    """The last time that a node was asked for its births."""

    at_ms: int
    reason: str


class ViolationJson(Answer):
    """Something that a node does not keep to."""

    kind: str
    statement: str | None
    """Id of the normative statement that it breaks."""
    count: int


class LatencyJson(Answer):
    """From the payload's timestamp to its arrival; negative where the node's clock is ahead."""

    least: int
    mean: float
    most: int


class TrafficJson(Answer):
    """What was measured of a node's messages; rates and latency over the last seconds."""

    bytes: int
    mean_payload_bytes: int | None
    largest_payload_bytes: int
    last_message_ms: int | None
    messages_per_s: float
    metrics_per_s: float
    latency_ms: LatencyJson | None
    metric_latency_ms: int | None
    """The longest time from a value's acquisition to its arrival."""
    clock_skew_ms: int | None
    """How far the node's clock is ahead, as its quickest message shows; behind is negative."""


class JournalEntryJson(Answer):
    """Something that happened to a node."""

    at_ms: int
    kind: Literal["born", "died", "rebirth_requested", "violation"]
    text: str


class DiagnosticsJson(Answer):
    """What one node did, how quickly, and what it does not keep to."""

    id: str
    online: bool
    since_ms: int
    birth_ms: int | None
    bd_seq: int | None
    counters: dict[str, int]
    rebirths: list[RebirthsJson]
    last_rebirth: LastRebirthJson | None
    violations: list[ViolationJson]
    last_violation: str | None
    traffic: TrafficJson
    journal: list[JournalEntryJson]


class AuditEntryJson(Answer):
    """Something that somebody did."""

    at_ms: int
    actor: str
    remote: str | None
    action: str
    target: str
    detail: dict[str, Any]


class AuditJson(Answer):
    """The newest entries first."""

    entries: list[AuditEntryJson]


class AuditQuery(BaseModel):
    """How much of the audit log is wanted."""

    limit: int = Field(default=100, ge=1, le=1000)
