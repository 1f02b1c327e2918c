"""The history over REST: the retrieval modes of the historian's schema, for who may look."""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar

from pydantic import BaseModel
from quart import Blueprint, Response, json
from quart_schema import document_response, tag, validate_querystring
from werkzeug.exceptions import BadRequest, NotFound, ServiceUnavailable

from historian import queries
from historian.queries import History, Metric, Mode, QueryRefused, Selection, StorageUnavailable
from host_app.users import Role
from web.api import history_models as models
from web.api.models import ErrorJson
from web.auth import needs
from web.context import context
from web.json_values import stored_to_json, value_to_json

blueprint = Blueprint("history", __name__)

_SAMPLES: Final = 10_000
_POINTS: Final = 2_000
_OUTAGES_SHOWN: Final = 1_000

_Q = TypeVar("_Q", bound=BaseModel)
_Handler = Callable[[History, _Q], Awaitable[dict[str, Any]]]


def _serve(
    path: str, query: type[_Q], answer: type[BaseModel]
) -> Callable[[_Handler[_Q]], _Handler[_Q]]:
    """Make a handler a resource: checked query string, role, errors, documentation."""

    def decorate(handler: _Handler[_Q]) -> _Handler[_Q]:
        async def serve(query_args: _Q) -> Response:
            history = context().history
            if history is None:
                raise ServiceUnavailable(
                    "history: no database is configured, set NEXUS_HISTORY_URL for the host"
                )
            try:
                found = await handler(history, query_args)
            except QueryRefused as exc:
                raise BadRequest(str(exc)) from exc
            except StorageUnavailable as exc:
                raise ServiceUnavailable(str(exc)) from exc
            return Response(json.dumps(found), content_type="application/json")

        serve.__doc__ = handler.__doc__
        view = needs(Role.VIEWER)(serve)
        view = validate_querystring(query)(view)
        for status in (400, 401, 404, 503):
            view = document_response(ErrorJson, status)(view)
        view = document_response(answer)(view)
        view = tag(["history"])(view)
        endpoint = path.strip("/").replace("/", "_")
        blueprint.add_url_rule(f"/api/v1/history/{path}", endpoint, view, methods=["GET"])
        return handler

    return decorate


@_serve("metrics", models.MetricListQuery, models.MetricListJson)
async def list_metrics(history: History, asked: models.MetricListQuery) -> dict[str, Any]:
    """Give the metrics that have a history, by name."""
    found = await history.find_metrics(_selection(asked), asked.limit + 1)
    return {
        "metrics": [_metric_to_json(metric) for metric in found[: asked.limit]],
        "truncated": len(found) > asked.limit,
    }


@_serve("samples", models.SamplesQuery, models.HistoryJson)
async def list_samples(history: History, asked: models.SamplesQuery) -> dict[str, Any]:
    """Give samples exactly as they were sent."""
    series = []
    metrics = await _find(history, asked, rows_each=asked.limit or 1)
    limit = asked.limit or min(_SAMPLES, models.MOST_ROWS // len(metrics))
    for metric in metrics:
        samples, following = await history.read_samples(metric, asked.low, asked.end, limit)
        rows = [
            [
                _ms(sample.time),
                stored_to_json(sample.value),
                sample.quality,
                _ms(sample.sent),
                sample.historical,
            ]
            for sample in samples
        ]
        columns = ["at_ms", "value", "quality", "sent_ms", "historical"]
        series.append(_series(metric, columns, rows, next_ms=_ms(following)))
    return {"series": series}


@_serve("at", models.AtQuery, models.HistoryJson)
async def show_moment(history: History, asked: models.AtQuery) -> dict[str, Any]:
    """Give what each metric had at a moment: its newest sample not after it."""
    series = []
    for metric in await _find(history, asked):
        sample = await history.read_at(metric, asked.time)
        rows = (
            []
            if sample is None
            else [[_ms(sample.time), stored_to_json(sample.value), sample.quality]]
        )
        series.append(_series(metric, ["since_ms", "value", "quality"], rows))
    return {"series": series}


@_serve("moments", models.MomentsQuery, models.HistoryJson)
async def list_moments(history: History, asked: models.MomentsQuery) -> dict[str, Any]:
    """Give values at regular moments, held or on the straight line between samples."""
    mode = queries.CYCLIC if asked.between == "held" else queries.INTERPOLATED
    return await _ask_each(history, asked, mode, asked.step, rows_each=_steps(asked))


@_serve("changes", models.ChangesQuery, models.HistoryJson)
async def list_changes(history: History, asked: models.ChangesQuery) -> dict[str, Any]:
    """Give what held at the start, then what changed by more than a deadband."""
    return await _ask_each(history, asked, queries.CHANGES, asked.deadband)


@_serve("slopes", models.RangeQuery, models.HistoryJson)
async def list_slopes(history: History, asked: models.RangeQuery) -> dict[str, Any]:
    """Give how fast the value went up from each good sample to the next, per second."""
    return await _ask_each(history, asked, queries.SLOPES)


@_serve("counter", models.CounterQuery, models.HistoryJson)
async def list_increases(history: History, asked: models.CounterQuery) -> dict[str, Any]:
    """Give how much a counter went up in each bucket, over resets and rollovers."""
    return await _ask_each(
        history, asked, queries.COUNTER, asked.step, asked.rollover, rows_each=_steps(asked)
    )


@_serve("buckets", models.BucketsQuery, models.HistoryJson)
async def list_buckets(history: History, asked: models.BucketsQuery) -> dict[str, Any]:
    """Give figures of regular buckets, also of those in which nothing arrived."""
    series = []
    names = list(dict.fromkeys(asked.aggregate))
    for metric in await _find(history, asked, rows_each=_steps(asked)):
        found = await history.read_figures(
            metric, asked.low, asked.end, asked.step, names=names, fill=asked.fill
        )
        rows = [[_ms(row[0]), *(value_to_json(cell) for cell in row[1:])] for row in found]
        series.append(_series(metric, ["bucket_ms", *names], rows))
    return {"series": series}


@_serve("states", models.RangeQuery, models.StatesListJson)
async def list_states(history: History, asked: models.RangeQuery) -> dict[str, Any]:
    """Give the states of a metric: spells, time in state, and cycles from entering to entering."""
    modes = {
        "spells": queries.SPELLS,
        "times": queries.VALUE_STATE,
        "round_trips": queries.ROUND_TRIP,
    }
    series = []
    for metric in await _find(history, asked):
        tables = {
            name: _table(mode, await history.read_mode(mode, metric, asked.low, asked.end))
            for name, mode in modes.items()
        }
        series.append({"metric": _metric_to_json(metric), **tables})
    return {"series": series}


@_serve("plot", models.PlotQuery, models.HistoryJson)
async def draw(history: History, asked: models.PlotQuery) -> dict[str, Any]:
    """Give what draws the same picture as all samples: these (M4), or buckets of rollups."""
    series = []
    metrics = await _find(history, asked, rows_each=asked.points or 1)
    points = asked.points or min(_POINTS, models.MOST_ROWS // len(metrics))
    for metric in metrics:
        picture = await history.read_picture(metric, asked.low, asked.end, points)
        before = await history.read_at(metric, asked.low)
        outages = await history.read_outages(
            metric.group, metric.edge, metric.device, asked.low, asked.end
        )
        columns = (
            ["at_ms", "value", "quality"]
            if picture.step is None
            else ["bucket_ms", "min", "max", "avg", "last", "count"]
        )
        rows = [_row(columns, row) for row in picture.rows]
        step_ms = None if picture.step is None else picture.step / timedelta(milliseconds=1)
        shown = [_outage(outage) for outage in outages[:_OUTAGES_SHOWN]]
        held = (
            None
            if before is None
            else [_ms(before.time), stored_to_json(before.value), before.quality]
        )
        series.append(_series(metric, columns, rows, step_ms=step_ms, before=held, outages=shown))
    return {"series": series}


@_serve("events", models.EventsQuery, models.EventsJson)
async def list_events(history: History, asked: models.EventsQuery) -> dict[str, Any]:
    """Give births, deaths, gaps and rebirth requests, the newest first."""
    events = await history.read_events(
        asked.low,
        asked.end,
        limit=asked.limit,
        group=asked.group,
        edge=asked.edge,
        device=asked.device,
        kinds=asked.kind,
    )
    return {
        "events": [
            {
                "id": event["event_id"],
                "at_ms": _ms(event["time"]),
                "kind": event["kind"],
                "group": event["group_name"],
                "edge": event["edge"],
                "device": event["device"],
                "detail": None if event["detail"] is None else json.loads(event["detail"]),
            }
            for event in events
        ]
    }


@_serve("online", models.NodeQuery, models.OnlineJson)
async def show_online(history: History, asked: models.NodeQuery) -> dict[str, Any]:
    """Give which part of a time a node or device was online, and when it was not."""
    if not asked.group or not asked.edge:
        raise BadRequest("group and edge: found none, expected those of an edge node")
    place = (asked.group, asked.edge, asked.device or None, asked.low, asked.end)
    percent = await history.read_online_percentage(*place)
    outages = await history.read_outages(*place)
    if len(outages) > models.MOST_ROWS:
        raise BadRequest(
            f"outages: found {len(outages)}, expected at most {models.MOST_ROWS}, in a shorter time"
        )
    return {"percent": percent, "outages": [_outage(outage) for outage in outages]}


# What the handlers share.


async def _find(
    history: History, asked: models.MetricsQuery, *, rows_each: int = 1
) -> list[Metric]:
    selection = _selection(asked)
    if selection == Selection():
        raise BadRequest("metrics: found no condition, expected metric, like, uns, or names")
    found = await history.find_metrics(selection, models.MOST_METRICS + 1)
    if not found:
        raise NotFound("metrics: found none that is as asked for")
    if len(found) > models.MOST_METRICS:
        raise BadRequest(
            f"metrics: found more than {models.MOST_METRICS}, expected fewer in one answer"
        )
    if len(found) * rows_each > models.MOST_ROWS:
        raise BadRequest(
            f"rows: up to {rows_each} of each of {len(found)} metrics are more than"
            f" {models.MOST_ROWS}, expected fewer in one answer"
        )
    return found


def _selection(asked: models.MetricsQuery) -> Selection:
    return Selection(
        ids=tuple(asked.metric),
        like=asked.like,
        uns=asked.uns,
        group=asked.group,
        edge=asked.edge,
        device=asked.device,
        name=asked.name,
    )


def _steps(asked: models.StepQuery) -> int:
    return int((asked.end - asked.low) / asked.step) + 1


async def _ask_each(
    history: History, asked: models.RangeQuery, mode: Mode, *more: object, rows_each: int = 1
) -> dict[str, Any]:
    series = []
    for metric in await _find(history, asked, rows_each=rows_each):
        found = await history.read_mode(mode, metric, asked.low, asked.end, *more)
        table = _table(mode, found)
        series.append(_series(metric, table["columns"], table["rows"]))
    return {"series": series}


def _table(mode: Mode, rows: list[tuple[Any, ...]]) -> dict[str, list[Any]]:
    if len(rows) > models.MOST_ROWS:
        raise BadRequest(f"rows: found {len(rows)}, expected at most {models.MOST_ROWS}")
    columns = [_TIMES.get(name, name) for name in mode.columns]
    return {"columns": columns, "rows": [_row(columns, row) for row in rows]}


_TIMES: Final = {name: f"{name}_ms" for name in ("at", "bucket", "since", "until")}


def _row(columns: list[str], row: tuple[Any, ...]) -> list[Any]:
    return [
        _ms(cell) if name.endswith("_ms") else value_to_json(cell)
        for name, cell in zip(columns, row, strict=True)
    ]


def _ms(moment: datetime | None) -> int | None:
    return None if moment is None else round(moment.timestamp() * 1000)


def _outage(outage: tuple[datetime, datetime, str]) -> list[Any]:
    since, until, reason = outage
    return [_ms(since), _ms(until), reason]


def _series(
    metric: Metric, columns: list[str], rows: list[list[Any]], **more: Any
) -> dict[str, Any]:
    return {"metric": _metric_to_json(metric), "columns": columns, "rows": rows, **more}


def _metric_to_json(metric: Metric) -> dict[str, Any]:
    return {
        "id": metric.metric_id,
        "ids": list(metric.ids),
        "group": metric.group,
        "edge": metric.edge,
        "device": metric.device,
        "name": metric.name,
        "datatype": metric.datatype,
        "unit": metric.unit,
        "low": value_to_json(metric.low),
        "high": value_to_json(metric.high),
        "description": metric.description,
        "uns_path": metric.uns_path,
        "first_seen_ms": _ms(metric.first_seen),
    }
