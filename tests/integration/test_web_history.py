"""The history over REST, on samples of every data type, for those who may look."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from quart.typing import TestClientProtocol as Client

from historian.exact import to_columns
from historian.plain import HEADER, TRAILER
from historian.queries import History, Selection, StorageUnavailable
from historian.rows import FULL_COLUMNS, pack_full
from historian.schema.migrate import migrate, normalize_url
from proto.sparkplug.datatypes import DataType
from proto.sparkplug.metrics import DataSet, Value
from tests.integration.historian_rig import query
from tests.integration.test_web_session import console, sign_in

pytestmark = pytest.mark.asyncio

START = datetime(2026, 11, 1, 6, 0, tzinfo=UTC)
END = START + timedelta(hours=1)
HOUR: dict[str, Any] = {"start": START.isoformat(), "end": END.isoformat()}

EXACT: dict[str, tuple[Value, Any]] = {
    "Int8": (-128, -128),
    "Int64": (-(2**63), str(-(2**63))),
    "UInt64": (2**64 - 1, str(2**64 - 1)),
    "UInt32": (2**32 - 1, 2**32 - 1),
    "Double": (0.1, 0.1),
    "Float": (float("nan"), "NaN"),
    "Boolean": (True, True),
    "String": ("a\x00b", "a\x00b"),
    "Text": ("", ""),
    "UUID": ("0d9f", "0d9f"),
    "DateTime": (1_762_000_000_123, 1_762_000_000_123),
    "Bytes": (b"\x00\xff", "AP8="),
    "Int32Array": ([1, -2], [1, -2]),
    "DataSet": (
        DataSet(("a",), (DataType.INT32,), ((1,), (2,))),
        {"columns": ["a"], "types": ["Int32"], "rows": [[1], [2]]},
    ),
    "Int16": (None, None),
}


@pytest.fixture(params=["module_postgres_url", "module_timescale_url"], scope="module")
def database(request: pytest.FixtureRequest) -> str:
    """Give one sample of every data type, a level each minute, and the turns of its node."""
    url: str = request.getfixturevalue(request.param)
    migrate(normalize_url(url))
    query(url, "SELECT historian.ensure_day('2026-11-01')")
    with psycopg.connect(url, autocommit=True) as connection, connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO historian.metric"
            " (group_name, edge, device, name, datatype, unit, uns_path)"
            " VALUES ('plant', 'line', 'filler', %s, %s, 'mm', 'acme/filler/' || %s)",
            [(name, name, name) for name in EXACT],
        )
        cursor.executemany(
            "INSERT INTO historian.metric (group_name, edge, device, name, datatype, uns_path,"
            " superseded, first_seen) VALUES ('plant', 'line', NULL, 'level', %s, 'acme/level',"
            " %s, %s)",
            [("Int32", True, START), ("Double", False, END)],
        )
        at_ms = round(START.timestamp() * 1000) + 1
        rows = [
            pack_full(
                ids_of(url, name, name),
                at_ms,
                at_ms + 5,
                quality=192,
                historical=False,
                columns=to_columns(value),
            )
            for name, (value, _) in EXACT.items()
        ]
        names = ", ".join(FULL_COLUMNS)
        with cursor.copy(
            f"COPY historian.sample ({names}) FROM STDIN WITH (FORMAT binary)".encode()
        ) as copy:
            copy.write(b"".join([HEADER, *rows, TRAILER]))
        for metric_id, low in ((ids_of(url, "level", "Int32"), 0), (ids_of(url, "level"), 30)):
            cursor.execute(
                "INSERT INTO historian.sample (time, metric_id, value)"
                " SELECT %s::timestamptz + n * interval '1 min', %s, n"
                " FROM generate_series(%s::integer, %s) AS n",
                (START, metric_id, low, low + 29),
            )
        for minute, kind in ((-30, "node_birth"), (15, "node_death"), (30, "node_birth")):
            cursor.execute(
                "INSERT INTO historian.event (time, kind, group_name, edge, detail)"
                " VALUES (%s, %s, 'plant', 'line', '{\"bd_seq\": 3}')",
                (START + timedelta(minutes=minute), kind),
            )
    return url


def ids_of(url: str, name: str, datatype: str = "Double") -> int:
    (row,) = query(
        url,
        "SELECT metric_id FROM historian.metric WHERE name = %s AND datatype = %s",
        name,
        datatype,
    )
    found: int = row["metric_id"]
    return found


@asynccontextmanager
async def viewer(url: str | None, host_url: str) -> AsyncIterator[Client]:
    """Sign in as somebody who may only look."""
    history = None if url is None else History(url)
    try:
        async with console(host_url, history=history) as (app, _, _audit):
            client = app.test_client()
            assert await sign_in(client, "viewer") == 200
            yield client
    finally:
        if history is not None:
            await history.close()


async def get(client: Client, path: str, status: int = 200, **asked: Any) -> dict[str, Any]:
    answer = await client.get(f"/api/v1/history/{path}", query_string=asked)
    body: dict[str, Any] = await answer.get_json()
    assert answer.status_code == status, body
    return body


async def test_nobody_sees_history_who_is_not_signed_in(postgres_url: str) -> None:
    async with console(postgres_url) as (app, _, _audit):
        answer = await app.test_client().get("/api/v1/history/metrics")
        assert answer.status_code == 401


async def test_every_data_type_comes_back_exactly(database: str, postgres_url: str) -> None:
    async with viewer(database, postgres_url) as client:
        body = await get(client, "samples", device="filler", **HOUR)
    found = {series["metric"]["name"]: series["rows"] for series in body["series"]}
    at_ms = round(START.timestamp() * 1000) + 1
    assert found == {
        name: [[at_ms, told, 192, at_ms + 5, False]] for name, (_, told) in EXACT.items()
    }


async def test_metrics_are_found_by_pattern_path_and_name(database: str, postgres_url: str) -> None:
    async with viewer(database, postgres_url) as client:
        by_pattern = await get(client, "metrics", like="plant/line/filler/UInt%")
        assert [m["name"] for m in by_pattern["metrics"]] == ["UInt32", "UInt64"]
        by_path = await get(client, "metrics", uns="acme/filler", limit=3)
        assert [m["name"] for m in by_path["metrics"]] == ["Boolean", "Bytes", "DataSet"]
        assert by_path["truncated"]
        (exactly,) = (await get(client, "metrics", uns="acme/filler/Int8"))["metrics"]
        assert (exactly["name"], exactly["unit"]) == ("Int8", "mm")
        (own,) = (await get(client, "metrics", group="plant", device=""))["metrics"]
        assert own["name"] == "level"
        assert len(own["ids"]) == 2


async def test_samples_go_on_where_the_limit_cut_them_across_data_types(
    database: str, postgres_url: str
) -> None:
    async with viewer(database, postgres_url) as client:
        values: list[Any] = []
        start: Any = HOUR["start"]
        while start is not None:
            body = await get(
                client, "samples", name="level", start=start, end=HOUR["end"], limit=25
            )
            (series,) = body["series"]
            values += [row[1] for row in series["rows"]]
            start = series["next_ms"]
    assert values == list(range(60))
    assert [type(value) for value in values] == [int] * 30 + [float] * 30


async def test_each_mode_answers(database: str, postgres_url: str) -> None:
    level = ids_of(database, "level")
    late: dict[str, Any] = HOUR | {"start": (START + timedelta(minutes=30)).isoformat()}
    async with viewer(database, postgres_url) as client:

        async def rows(path: str, **asked: Any) -> tuple[list[str], list[list[Any]]]:
            (series,) = (await get(client, path, metric=level, **asked))["series"]
            return series["columns"], series["rows"]

        low_ms = round((START + timedelta(minutes=30)).timestamp() * 1000)
        names, found = await rows("buckets", step_s=600, aggregate="time_weighted_avg", **late)
        assert names == ["bucket_ms", "time_weighted_avg"]
        assert found == [[low_ms + n * 600_000, 34.5 + 10 * n] for n in range(3)]
        names, found = await rows("moments", step_s=900, **late)
        assert names == ["at_ms", "value", "text", "quality", "since_ms"]
        assert [row[1] for row in found] == [30, 45, 59]
        _, found = await rows("moments", step_s=90, between="linear", **late)
        assert [row[1] for row in found[:3]] == [30, 31.5, 33]
        _, found = await rows("changes", deadband=9.5, **late)
        assert [row[1] for row in found] == [30, 40, 50]
        _, found = await rows("slopes", **late)
        assert found[1][1:] == [31, pytest.approx(1 / 60)]
        _, found = await rows("counter", step_s=1800, **late)
        assert found == [[low_ms, 29, 0]]
        _, found = await rows("at", time=END.isoformat())
        assert found == [[round(END.timestamp() * 1000) - 60_000, 59, 192]]
        (states,) = (await get(client, "states", metric=level, **late))["series"]
        assert len(states["spells"]["rows"]) == 30
        assert states["times"]["columns"][0] == "state"
        assert states["round_trips"]["rows"] == []


async def test_plot_follows_the_data_type_and_tells_outages(
    database: str, postgres_url: str
) -> None:
    async with viewer(database, postgres_url) as client:
        body = await get(
            client, "plot", group="plant", edge="line", device="", name="level", **HOUR
        )
        (series,) = body["series"]
        assert [row[1] for row in series["rows"]] == list(range(60))
        assert series["step_ms"] is None
        low_ms = round(START.timestamp() * 1000)
        assert series["before"] == [low_ms, 0, 192]
        assert series["outages"] == [[low_ms + 900_000, low_ms + 1_800_000, "node_death"]]
        (series,) = (await get(client, "plot", name="level", points=40, **HOUR))["series"]
        assert series["step_ms"] == 360_000
        assert series["columns"] == ["bucket_ms", "min", "max", "avg", "last", "count"]
        assert [row[5] for row in series["rows"]] == [6] * 10


async def test_events_and_online_time_are_told(database: str, postgres_url: str) -> None:
    async with viewer(database, postgres_url) as client:
        events = (await get(client, "events", kind="node_death", edge="line", **HOUR))["events"]
        assert [(e["kind"], e["detail"]) for e in events] == [("node_death", {"bd_seq": 3})]
        online = await get(client, "online", group="plant", edge="line", **HOUR)
        assert online["percent"] == pytest.approx(75)
        assert [outage[2] for outage in online["outages"]] == ["node_death"]


@pytest.mark.parametrize(
    "case",
    [
        ("samples", {}, 400, "metrics: found no condition"),
        ("samples", {"name": "nothing"}, 404, "metrics: found none"),
        ("samples", {"name": "level", "limit": 0}, 400, "limit: Input should be greater"),
        ("samples", {"name": "level", "colour": 1}, 400, "colour: Extra inputs"),
        ("samples", {"name": "level", "start": "2026-11-01T06:00:00"}, 400, "start: "),
        ("samples", {"name": "level", "start": 2, "end": 1}, 400, "query: start 1970-01-01"),
        ("buckets", {"name": "level", "step_s": 0.01, **HOUR}, 400, "makes 360000 steps"),
        ("buckets", {"name": "level", "aggregate": "median"}, 400, "aggregate.0: "),
        ("samples", {"device": "filler", "limit": 10_000}, 400, "rows: up to 10000 of each of 15 "),
        ("online", {"group": "plant"}, 400, "group and edge: found none"),
    ],
)
async def test_wrong_questions_are_refused_in_words(
    database: str, postgres_url: str, case: tuple[str, dict[str, Any], int, str]
) -> None:
    path, asked, status, said = case
    async with viewer(database, postgres_url) as client:
        body = await get(client, path, status, **asked)
    assert said in body["error"]
    assert set(body) == {"error"}


async def test_host_without_history_says_how_to_get_one(postgres_url: str) -> None:
    async with viewer(None, postgres_url) as client:
        body = await get(client, "plot", 503, name="level")
    assert "set NEXUS_HISTORY_URL" in body["error"]


async def test_database_that_is_away_is_told(postgres_url: str) -> None:
    async with viewer("postgresql://nobody@127.0.0.1:1/none", postgres_url) as client:
        assert "history: " in (await get(client, "metrics", 503))["error"]


async def test_database_without_history_is_told(postgres_url: str) -> None:
    async with viewer(postgres_url, postgres_url) as client:
        body = await get(client, "metrics", 503)
    assert "expected the schema of a historian" in body["error"]


async def test_query_that_takes_too_long_is_ended(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    history = History(database)
    monkeypatch.setattr("historian.queries.STATEMENT_TIMEOUT_S", 0.2)
    with pytest.raises(Exception, match="found no answer within"):
        await history._fetch("SELECT pg_sleep(30)")
    await history.close()


async def test_many_at_once_take_turns(database: str) -> None:
    history = History(database)
    answers = await asyncio.gather(*(history._fetch("SELECT pg_sleep(0.05)") for _ in range(12)))
    assert len(answers) == 12
    await history.close()


async def test_series_has_the_numbers_of_all_rows_of_a_metric_as_arrays(database: str) -> None:
    history = History(database)
    (metric,) = await history.find_metrics(Selection(like="plant/line/level"), 2)
    assert len(metric.ids) == 2
    series = await history.read_series(metric, START, START + timedelta(minutes=59))
    assert series.value.tolist() == list(range(59))
    assert series.quality.tolist() == [192] * 59
    assert series.time.tolist() == [
        (START + timedelta(minutes=number)).replace(tzinfo=None) for number in range(59)
    ]
    (text,) = await history.find_metrics(Selection(name="String"), 2)
    assert len(await history.read_series(text, START, END)) == 0
    await history.close()


async def test_lost_connections_are_made_again(database: str) -> None:
    history = History(database)
    assert await history.find_metrics(Selection(name="level"), 10)
    query(
        database,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE application_name = 'nexus-history' AND datname = current_database()",
    )

    async def answers() -> bool:
        try:
            return bool(await history.find_metrics(Selection(name="level"), 10))
        except StorageUnavailable:
            return False  # the loss was noticed by this very question

    assert await answers() or await answers()
    await history.close()


async def test_reading_connection_writes_nothing(database: str) -> None:
    history = History(database)
    with pytest.raises(Exception, match="read-only transaction"):
        await history._fetch("DELETE FROM historian.sample RETURNING 1")
    await history.close()


async def test_openapi_describes_the_history(postgres_url: str) -> None:
    async with console(postgres_url) as (app, _, _audit):
        answer = await app.test_client().get("/api/v1/openapi.json")
        paths = (await answer.get_json())["paths"]
    names = {"metrics", "samples", "at", "moments", "changes", "slopes", "counter", "buckets"}
    names |= {"states", "plot", "events", "online"}
    for name in names:
        told = paths[f"/api/v1/history/{name}"]["get"]
        assert told["summary"]
        assert {parameter["name"] for parameter in told["parameters"]}
        assert {"200", "400", "401", "503"} <= set(told["responses"])
