"""What the history API takes and gives."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final, Literal

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from web.api.models import Answer

MOST_METRICS: Final = 50
"""In one answer of values."""
MOST_ROWS: Final = 50_000
"""In one answer, of all its metrics together."""

Aggregate = Literal[
    "count",
    "min",
    "max",
    "avg",
    "sum",
    "stddev",
    "range",
    "time_weighted_avg",
    "integral",
    "slope",
    "first",
    "last",
    "delta",
    "percent_good",
    "percent_time_good",
]


def _as_list(given: Any) -> Any:
    # A parameter that stands once in the query string comes alone.
    return given if isinstance(given, list) else [given]


def _now() -> datetime:
    return datetime.now(UTC)


class Query(BaseModel):
    """A query string: unknown names are refused."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)


class MetricsQuery(Query):
    """Which metrics; every condition given must hold."""

    metric: Annotated[list[int], BeforeValidator(_as_list)] = Field(default_factory=list)
    """Ids, as `/history/metrics` gives them; repeatable."""
    like: str | None = None
    """SQL LIKE pattern of group/edge/device/name or of the UNS path, with % and _."""
    uns: str | None = None
    """UNS path of a metric, or of anything above it."""
    group: str | None = None
    edge: str | None = None
    device: str | None = None
    """Empty for metrics of the edge node itself."""
    name: str | None = None


class MetricListQuery(MetricsQuery):
    """Which metrics, and how many of them."""

    limit: int = Field(default=1000, ge=1, le=10_000)


class SpanQuery(Query):
    """A time, from ``start`` to before ``end``: ISO 8601 with a zone, or milliseconds."""

    start: AwareDatetime | None = None
    """An hour before the end when absent."""
    end: AwareDatetime = Field(default_factory=_now)
    """Now when absent."""

    @model_validator(mode="after")
    def check_order(self) -> "SpanQuery":
        """Refuse an end that is not after the start."""
        if self.start is not None and self.start >= self.end:
            raise ValueError(
                f"start {self.start.isoformat()} is not before end {self.end.isoformat()}"
            )
        return self

    @property
    def low(self) -> datetime:
        """The start, chosen where none was given."""
        return self.end - timedelta(hours=1) if self.start is None else self.start


class RangeQuery(MetricsQuery, SpanQuery):
    """Metrics and a time."""


class SamplesQuery(RangeQuery):
    """Samples as they were stored."""

    limit: int | None = Field(default=None, ge=1, le=MOST_ROWS)
    """Of each metric; `next_ms` of a series says where to go on. 10,000 when absent, or as many as
    one answer takes of so many metrics."""


class AtQuery(MetricsQuery):
    """One moment."""

    time: AwareDatetime = Field(default_factory=_now)
    """Now when absent."""


class PlotQuery(RangeQuery):
    """A picture."""

    points: int | None = Field(default=None, ge=4, le=20_000)
    """About so many at most, of each metric. 2,000 when absent, or as many as one answer takes of
    so many metrics."""


class StepQuery(RangeQuery):
    """Regular moments or buckets."""

    step_s: float | None = Field(default=None, gt=0, le=366 * 86_400)
    """Seconds; a hundredth of the time when absent."""

    @property
    def step(self) -> timedelta:
        """The distance of two moments."""
        if self.step_s is None:
            return max((self.end - self.low) / 100, timedelta(milliseconds=1))
        return max(timedelta(seconds=self.step_s), timedelta(milliseconds=1))

    @model_validator(mode="after")
    def check_steps(self) -> "StepQuery":
        """Refuse more steps than an answer may have."""
        steps = (self.end - self.low) / self.step
        if steps > MOST_ROWS:
            raise ValueError(f"step_s makes {steps:.0f} steps, expected at most {MOST_ROWS}")
        return self


class MomentsQuery(StepQuery):
    """Values at regular moments."""

    between: Literal["held", "linear"] = "held"
    """Between samples: the value holds until the next one, or lies on the straight line."""


class BucketsQuery(StepQuery):
    """Figures of buckets."""

    aggregate: Annotated[list[Aggregate], BeforeValidator(_as_list)] = Field(
        default_factory=lambda: ["count", "min", "max", "avg"]  # type: ignore[arg-type]
    )
    """Repeatable."""
    fill: Literal["none", "previous", "linear"] = "none"
    """What stands where a bucket has none."""


class CounterQuery(StepQuery):
    """How much a counter went up."""

    rollover: float | None = Field(default=None, gt=0)
    """Where it starts again at zero."""


class ChangesQuery(RangeQuery):
    """What changed."""

    deadband: float = Field(default=0, ge=0)


class NodeQuery(SpanQuery):
    """An edge node, or a device of it, and a time."""

    group: str = ""
    edge: str = ""
    device: str | None = None
    """The edge node itself when absent or empty."""


class EventsQuery(SpanQuery):
    """Which events."""

    group: str | None = None
    edge: str | None = None
    device: str | None = None
    kind: Annotated[list[str], BeforeValidator(_as_list)] = Field(default_factory=list)
    """Repeatable."""
    limit: int = Field(default=1000, ge=1, le=10_000)


class HistoryMetricJson(Answer):
    """A measuring point."""

    id: int
    ids: list[int]
    """With what it was before under another data type or name, the present one last."""
    group: str
    edge: str
    device: str | None
    name: str
    datatype: str
    unit: str | None
    low: float | str | None
    high: float | str | None
    description: str | None
    uns_path: str | None
    first_seen_ms: int


class MetricListJson(Answer):
    """Metrics by name."""

    metrics: list[HistoryMetricJson]
    truncated: bool
    """There are more than the limit."""


class SeriesJson(Answer):
    """Rows of one metric; a name that ends in `_ms` is a time."""

    metric: HistoryMetricJson
    columns: list[str]
    rows: list[list[Any]]
    next_ms: int | None = None
    """Where to go on when there are more."""
    step_ms: float | None = None
    """Of a picture made of buckets, their length; null when it is made of samples."""
    before: list[Any] | None = None
    """Of a picture: what held when it begins, as [since_ms, value, quality]."""
    outages: list[list[Any]] | None = None
    """Of a picture: when nobody could know the value, as [since_ms, until_ms, reason]."""


class HistoryJson(Answer):
    """One series for each metric, by name."""

    series: list[SeriesJson]


class TableJson(Answer):
    """A table."""

    columns: list[str]
    rows: list[list[Any]]


class StatesJson(Answer):
    """The states of one metric: one after another, in sum, and from entering to entering again."""

    metric: HistoryMetricJson
    spells: TableJson
    times: TableJson
    round_trips: TableJson


class StatesListJson(Answer):
    """The states of each metric, by name."""

    series: list[StatesJson]


class EventJson(Answer):
    """Something that happened to a node or device."""

    id: int
    at_ms: int
    kind: str
    group: str
    edge: str
    device: str | None
    detail: dict[str, Any] | None


class EventsJson(Answer):
    """The newest first."""

    events: list[EventJson]


class OnlineJson(Answer):
    """Which part of a time a node or device was online."""

    percent: float | None
    """Null where it was never seen until then; the future does not count."""
    outages: list[list[Any]]
    """[since_ms, until_ms, reason]"""
