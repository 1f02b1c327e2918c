"""Every way of retrieving history that the schema offers, on samples that were put in by hand."""

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from historian import queries_sql
from historian.schema.migrate import migrate, normalize_url
from tests.integration.historian_rig import query

START = datetime(2026, 11, 1, 6, 0, tzinfo=UTC)
END = START + timedelta(hours=1)
TEN = timedelta(minutes=10)
GOOD, BAD = 192, 0

Sample = tuple[float, float | str | None, int]


@pytest.fixture(params=["module_postgres_url", "module_timescale_url"], scope="module")
def database(request: pytest.FixtureRequest) -> str:
    url: str = request.getfixturevalue(request.param)
    migrate(normalize_url(url))
    query(url, "SELECT historian.ensure_day('2026-10-31'), historian.ensure_day('2026-11-01')")
    put(url, "level", [(-60, 10.0, GOOD), (15, 20.0, GOOD), (45, 40.0, GOOD), (50, 999.0, BAD)])
    put(url, "state", [(-5, "idle", GOOD), (10, "run", GOOD), (20, "idle", GOOD)])
    put(url, "state", [(25, "idle", GOOD), (30, "run", GOOD), (40, None, BAD), (45, "idle", GOOD)])
    put(url, "noise", [(minute, minute % 3 / 10, GOOD) for minute in range(60)])
    put(url, "noise", [(30.5, 5.0, GOOD)])
    put(url, "gaps", [(5, 1.0, GOOD), (35, 4.0, GOOD)])
    return url


def minute(number: float) -> datetime:
    return START + timedelta(minutes=number)


def put(url: str, name: str, samples: list[Sample]) -> None:
    with psycopg.connect(url, autocommit=True) as connection, connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO historian.metric (group_name, edge, device, name, datatype)"
            " VALUES ('plant', 'line-1', 'filler', %s, 'Double') ON CONFLICT DO NOTHING",
            (name,),
        )
        cursor.executemany(
            "INSERT INTO historian.sample (time, metric_id, value, text, quality)"
            " VALUES (%s, historian.metric_of('filler', %s), %s, %s, %s)",
            [
                (
                    minute(at),
                    name,
                    None if isinstance(value, str) else value,
                    value if isinstance(value, str) else None,
                    quality,
                )
                for at, value, quality in samples
            ],
        )


def ask(url: str, function: str, name: str, *arguments: object) -> list[dict[str, Any]]:
    places = "".join(", %s" for _ in arguments)
    return query(
        url,
        f"SELECT * FROM historian.{function}(historian.metric_of('filler', %s){places})",  # noqa: S608  # names of ours
        name,
        *arguments,
    )


def columns(rows: list[dict[str, Any]], *names: str) -> list[tuple[Any, ...]]:
    return [tuple(row[name] for name in names) for row in rows]


def test_aggregates_hold_good_values_and_end_them_at_a_bad_one(database: str) -> None:
    rows = ask(database, "aggregates", "level", START, END, TEN)
    assert [row["bucket"] for row in rows] == [minute(10 * number) for number in range(6)]
    assert columns(rows, "first", "last", "delta") == [
        (10, 10, 0),
        (10, 20, 10),
        (20, 20, 0),
        (20, 20, 0),
        (20, 40, 20),
        (None, None, None),
    ]
    assert [row["time_weighted_avg"] for row in rows] == [10, 15, 20, 20, 30, None]
    assert [row["integral"] for row in rows] == [6000, 9000, 12000, 12000, 18000, None]
    assert [row["percent_good"] for row in rows] == [None, 100, None, None, 100, 0]
    assert [row["percent_time_good"] for row in rows] == [100, 100, 100, 100, 100, 0]
    assert [row["max"] for row in rows] == [None, 20, None, None, 40, None]


def test_aggregates_of_samples_are_those_of_statistics(database: str) -> None:
    (row,) = ask(database, "aggregates", "noise", START, minute(30), timedelta(minutes=30))
    values = [number % 3 / 10 for number in range(30)]
    mean = sum(values) / 30
    assert row["sum"] == pytest.approx(sum(values))
    assert row["avg"] == pytest.approx(mean)
    assert row["stddev"] == pytest.approx((sum((v - mean) ** 2 for v in values) / 29) ** 0.5)
    times = [60.0 * number for number in range(30)]
    middle = sum(times) / 30
    slope = sum((t - middle) * (v - mean) for t, v in zip(times, values, strict=True))
    assert row["slope"] == pytest.approx(slope / sum((t - middle) ** 2 for t in times))


def test_time_weighted_mean_is_that_of_a_walk_through_the_samples(database: str) -> None:
    chance = random.Random(6)  # noqa: S311  # the same samples every time
    samples: list[Sample] = sorted(
        (chance.uniform(-30, 60), chance.uniform(-5, 5), chance.choice((GOOD, GOOD, GOOD, BAD)))
        for _ in range(400)
    )
    put(database, "walk", samples)
    step = timedelta(minutes=7)
    rows = ask(database, "aggregates", "walk", START, END, step)
    for row in rows:
        low = (row["bucket"] - START).total_seconds() / 60
        high = min(low + 7, 60.0)
        area = held_for = 0.0
        for (at, value, quality), (until, *_) in zip(samples, [*samples[1:], (60.0,)], strict=True):
            held = min(until, high) - max(at, low)
            if held > 0 and quality == GOOD:
                assert isinstance(value, float)
                area += value * held
                held_for += held
        assert row["time_weighted_avg"] == pytest.approx(area / held_for, rel=1e-5, abs=1e-5)
        assert row["percent_time_good"] == pytest.approx(100 * held_for / (high - low), rel=1e-4)


def test_future_holds_no_value(database: str) -> None:
    now = datetime.now(UTC)
    query(database, "SELECT historian.ensure_day(%s)", now.date())
    put(database, "now", [((now - START).total_seconds() / 60, 3.0, GOOD)])
    hour = timedelta(hours=1)
    rows = ask(database, "aggregates", "now", now, now + 3 * hour, hour)
    assert columns(rows, "first", "last") == [(3.0, 3.0), (None, None), (None, None)]
    assert rows[0]["time_weighted_avg"] == pytest.approx(3.0)
    assert rows[0]["integral"] < 3.0 * 3600


@pytest.mark.parametrize(
    ("fill", "expected"),
    [
        ("none", [1, None, None, 4, None, None]),
        ("previous", [1, 1, 1, 4, 4, 4]),
        ("linear", [1, 2, 3, 4, None, None]),
    ],
)
def test_gaps_between_buckets_are_filled_as_asked(
    database: str, fill: str, expected: list[float | None]
) -> None:
    rows = ask(database, "filled", "gaps", START, END, TEN, "avg", fill)
    assert [row["value"] for row in rows] == expected
    assert [row["is_filled"] for row in rows] == [False, True, True, False, True, True]


def test_every_aggregate_can_be_filled(database: str) -> None:
    for name in ("count", "sum", "range", "integral", "percent_time_good", "delta", "stddev"):
        assert len(ask(database, "filled", "noise", START, END, TEN, name, "none")) == 6
    with pytest.raises(psycopg.errors.InvalidParameterValue, match="aggregate is median, expected"):
        ask(database, "filled", "noise", START, END, TEN, "median", "none")
    with pytest.raises(psycopg.errors.InvalidParameterValue, match="fill is zero, expected none"):
        ask(database, "filled", "noise", START, END, TEN, "avg", "zero")


def test_linear_filling_needs_a_neighbour_on_each_side(database: str) -> None:
    hour = timedelta(hours=1)
    rows = ask(database, "filled", "gaps", START - hour, START, hour, "avg", "linear")
    assert columns(rows, "value", "is_filled") == [(None, True)]
    rows = ask(database, "filled", "gaps", START - 2 * hour, END, hour, "avg", "linear")
    assert [row["value"] for row in rows] == [None, None, 2.5]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("aggregates(1, {high}, {low}, '1h')", "from 2026-11-01 07:00.* expected the earlier"),
        ("buckets(1, {low}, NULL, '1h')", "time is from .* to null, expected two moments"),
        ("filled(1, {low}, {high}, '0')", "step is 00:00:00, expected more than nothing"),
        ("aggregates(1, {low}, {high}, '-1h')", "step is -01:00:00, expected more than nothing"),
        ("aggregates(1, {low}, {high}, '1 mon')", "step is 1 mon, expected days or less"),
        ("buckets(1, {low}, 'infinity', '1h')", "to infinity, expected an end of the steps"),
        ("cyclic(1, {low}, {high}, '100us')", "which is 36000000 times in the time asked for"),
        ("interpolated(1, {low}, {high}, NULL)", "step is null, expected more than nothing"),
        ("counter_increase(1, {low}, {high}, '1h', -1)", "rollover is -1, expected at least 0"),
        ("changes(1, {low}, {high}, -0.5)", "deadband is -0.5, expected at least 0"),
        ("best_fit(1, {low}, {high}, 0)", "points is 0, expected at least 1"),
        ("envelope(1, {high}, {low})", "expected the earlier moment first"),
        ("trend(1, {low}, {high}, 0)", "points is 0, expected at least 1"),
        ("trend(1, {high}, {low})", "expected the earlier moment first"),
        ("slopes(1, {high}, {low})", "expected the earlier moment first"),
        ("spells(1, {high}, {low})", "expected the earlier moment first"),
        ("value_state(1, {high}, {low})", "expected the earlier moment first"),
        ("outages('a', 'b', {high}, {low})", "expected the earlier moment first"),
        ("online_percentage('a', 'b', {low}, NULL)", "to null, expected two moments"),
    ],
)  # fmt: skip
def test_argument_that_makes_no_sense_is_told(database: str, call: str, message: str) -> None:
    asked = call.format(low="'2026-11-01 06:00Z'", high="'2026-11-01 07:00Z'")
    with pytest.raises(psycopg.errors.InvalidParameterValue, match=message):
        query(database, f"SET timezone = 'UTC'; SELECT * FROM historian.{asked}")  # noqa: S608  # ours


def test_interpolation_looks_beyond_the_time_on_both_sides(database: str) -> None:
    rows = ask(database, "interpolated", "gaps", minute(10), minute(30), TEN)
    assert [row["value"] for row in rows] == [1.5, 2.5, 3.5]
    rows = ask(database, "interpolated", "level", minute(-70), minute(0), timedelta(minutes=35))
    assert [row["value"] for row in rows] == [None, pytest.approx(10 + 10 * 25 / 75), 18]


def test_cyclic_gives_what_held_at_each_moment(database: str) -> None:
    rows = ask(database, "cyclic", "level", minute(-70), minute(50), timedelta(minutes=40))
    assert columns(rows, "at", "value", "since") == [
        (minute(-70), None, None),
        (minute(-30), 10, minute(-60)),
        (minute(10), 10, minute(-60)),
        (minute(50), 999, minute(50)),
    ]
    assert rows[-1]["quality"] == BAD


def test_changes_leave_out_what_is_within_the_deadband(database: str) -> None:
    rows = ask(database, "changes", "noise", START, END, 1.0)
    assert columns(rows, "at", "value") == [
        (START, 0.0),
        (minute(30.5), 5.0),
        (minute(31), pytest.approx(0.1)),
    ]
    rows = ask(database, "changes", "state", START, END)
    assert columns(rows, "at", "text") == [
        (START, "idle"),
        (minute(10), "run"),
        (minute(20), "idle"),
        (minute(30), "run"),
        (minute(40), None),
        (minute(45), "idle"),
    ]


def test_slopes_are_per_second_between_good_samples(database: str) -> None:
    rows = ask(database, "slopes", "level", START, END)
    assert columns(rows, "at", "value", "per_second") == [
        (minute(15), 20, None),
        (minute(45), 40, pytest.approx(20 / 1800)),
    ]


def test_spells_join_equal_samples_and_know_which_are_whole(database: str) -> None:
    rows = ask(database, "spells", "state", START, END)
    assert columns(rows, "state", "since", "seconds", "is_whole") == [
        ("idle", START, 600, False),
        ("run", minute(10), 600, True),
        ("idle", minute(20), 600, True),
        ("run", minute(30), 600, True),
        (None, minute(40), 300, True),
        ("idle", minute(45), 900, False),
    ]


def test_time_in_state_is_counted(database: str) -> None:
    rows = {row["state"]: row for row in ask(database, "value_state", "state", START, END)}
    assert sum(row["percent"] for row in rows.values()) == pytest.approx(100)
    assert (rows["run"]["entries"], rows["run"]["total_seconds"]) == (2, 1200)
    assert (rows["idle"]["total_seconds"], rows["idle"]["avg_seconds"]) == (2100, 600)


def test_round_trips_go_from_entering_a_state_to_entering_it_again(database: str) -> None:
    rows = ask(database, "round_trip", "state", START, END)
    assert columns(rows, "state", "trips", "min_seconds", "max_seconds") == [
        ("idle", 1, 1500, 1500),
        ("run", 1, 1200, 1200),
    ]


def test_best_fit_keeps_extremes_and_gaps_within_its_budget(database: str) -> None:
    chance = random.Random(7)  # noqa: S311  # the same samples every time
    samples: list[Sample] = [
        (number / 100, chance.uniform(-1, 1), BAD if 2000 <= number < 2100 else GOOD)
        for number in range(6000)
    ]
    samples[3210] = (32.1, 77.0, GOOD)
    put(database, "wave", samples)
    rows = ask(database, "best_fit", "wave", START, END, 300)
    assert len(rows) <= 300
    assert [row["at"] for row in rows] == sorted(row["at"] for row in rows)
    assert rows[0]["at"] == START
    assert rows[-1]["at"] == minute(59.99)
    assert max(row["value"] for row in rows) == 77.0
    assert min(row["value"] for row in rows) == min(value for _, value, _ in samples)  # type: ignore[type-var]
    bad = [row["at"] for row in rows if row["quality"] == BAD]
    assert (bad[0], bad[-1]) == (minute(20), minute(20.99))


def test_best_fit_of_few_samples_is_all_of_them(database: str) -> None:
    rows = ask(database, "best_fit", "level", minute(-90), END, 600)
    assert columns(rows, "at", "value", "quality") == [
        (minute(-60), 10, GOOD),
        (minute(15), 20, GOOD),
        (minute(45), 40, GOOD),
        (minute(50), 999, BAD),
    ]


def test_lineage_follows_data_types_and_renames(database: str) -> None:
    query(
        database,
        "INSERT INTO historian.metric (group_name, edge, device, name, datatype, uns_path) VALUES"
        " ('plant', 'line-1', 'filler', 'old name', 'Double', 'acme/filler/speed'),"
        " ('plant', 'line-1', 'filler', 'speed', 'Double', 'acme/filler/speed'),"
        " ('plant', 'line-1', 'filler', 'speed', 'Int32', 'acme/filler/speed'),"
        " ('plant', 'line-1', 'filler', 'other', 'Int32', 'acme/filler/other')"
        " RETURNING metric_id",
    )
    rows = query(
        database,
        "SELECT m.name, m.datatype FROM historian.metric AS one"
        " CROSS JOIN LATERAL historian.lineage(one.metric_id) AS l"
        " JOIN historian.metric AS m ON m.metric_id = l.metric_id"
        " WHERE one.name = 'old name' ORDER BY 1, 2",
    )
    assert columns(rows, "name", "datatype") == [
        ("old name", "Double"),
        ("speed", "Double"),
        ("speed", "Int32"),
    ]


def test_outages_are_told_with_their_reason(database: str) -> None:
    events = [
        (-30, "node_birth", None),
        (-29, "device_birth", "filler"),
        (10, "device_death", "filler"),
        (12, "device_birth", "filler"),
        (30, "node_death", None),
        (40, "node_birth", None),
        (41, "device_birth", "filler"),
        (55, "node_death", None),
    ]
    for at, kind, device in events:
        query(
            database,
            "INSERT INTO historian.event (time, kind, group_name, edge, device)"
            " VALUES (%s, %s, 'plant', 'line-9', %s) RETURNING 1",
            minute(at),
            kind,
            device,
        )
    asked = "SELECT * FROM historian.outages('plant', 'line-9', %s, %s, %s)"
    assert columns(query(database, asked, START, END, None), "since", "until", "reason") == [
        (minute(30), minute(40), "node_death"),
        (minute(55), END, "node_death"),
    ]
    assert columns(query(database, asked, START, END, "filler"), "since", "until", "reason") == [
        (minute(10), minute(12), "device_death"),
        (minute(30), minute(41), "node_death"),
        (minute(55), END, "node_death"),
    ]


def test_lost_session_is_an_outage_from_its_last_sight(database: str) -> None:
    for at, kind in ((-30, "node_birth"), (15, "node_lost"), (30, "node_birth")):
        query(
            database,
            "INSERT INTO historian.event (time, kind, group_name, edge)"
            " VALUES (%s, %s, 'plant', 'line-8') RETURNING 1",
            minute(at),
            kind,
        )
    asked = "SELECT * FROM historian.outages('plant', 'line-8', %s, %s)"
    assert columns(query(database, asked, START, END), "since", "until", "reason") == [
        (minute(15), minute(30), "node_lost")
    ]
    online = "SELECT historian.online_percentage('plant', 'line-8', %s, %s) AS percent"
    assert query(database, online, START, END) == [{"percent": 75.0}]


def test_online_and_outages_agree_at_every_edge_of_a_time(database: str) -> None:
    now = datetime.now(UTC)
    events = [(-50, "node_birth"), (-40, "node_death"), (-30, "node_birth"), (-20, "gap")]
    events += [(-10, "node_lost"), (-10, "node_birth"), (-5, "node_death")]
    for at, kind in events:
        query(
            database,
            "INSERT INTO historian.event (time, kind, group_name, edge)"
            " VALUES (%s, %s, 'plant', 'line-7') RETURNING 1",
            now + timedelta(minutes=at),
            kind,
        )

    def asked(low: float, high: float, edge: str = "line-7") -> tuple[float | None, list[Any]]:
        span = (now + timedelta(minutes=low), now + timedelta(minutes=high))
        percent = f"SELECT historian.online_percentage('plant', '{edge}', %s, %s) AS percent"
        outages = f"SELECT * FROM historian.outages('plant', '{edge}', %s, %s)"  # noqa: S608  # ours
        found: list[Any] = [
            (round((row["since"] - now) / timedelta(minutes=1)), row["until"] - now, row["reason"])
            for row in query(database, outages, *span)
        ]
        return query(database, percent, *span)[0]["percent"], [
            (since, round(until / timedelta(minutes=1)), why) for since, until, why in found
        ]

    # From before the first birth: not known to be online, and no outage that anybody saw.
    assert asked(-60, -40) == (50, [])
    assert asked(-60, -50) == (None, [])
    assert asked(-50, -30) == (50, [(-40, -30, "node_death")])
    assert asked(-35, -33) == (0, [(-35, -33, "node_death")])
    # A session that was lost and found again in the same moment.
    assert asked(-30, -5) == (100, [])
    # Offline now: up to now, however far the time goes on.
    percent, found = asked(-10, 60)
    assert percent == pytest.approx(50, abs=5)
    assert found == [(-5, 0, "node_death")]
    # Nobody knows the future, nor of nodes that were never seen.
    assert asked(10, 60) == (None, [])
    assert asked(-60, 0, "line-6") == (None, [])


def test_online_now_counts_up_to_now(database: str) -> None:
    now = datetime.now(UTC)
    for device, kind in ((None, "node_birth"), ("filler", "device_birth")):
        query(
            database,
            "INSERT INTO historian.event (time, kind, group_name, edge, device)"
            " VALUES (%s, %s, 'plant', 'line-5', %s) RETURNING 1",
            now - timedelta(minutes=30),
            kind,
            device,
        )
    asked = "SELECT historian.online_percentage('plant', 'line-5', %s, %s, %s) AS percent"
    hours = (now - timedelta(hours=1), now + timedelta(hours=1))
    for device in (None, "filler"):
        (row,) = query(database, asked, *hours, device)
        assert row["percent"] == pytest.approx(50, abs=2)
    assert query(database, asked, *hours, "capper") == [{"percent": None}]
    # What is not over has no end of its own.
    later = query(database, asked, now - timedelta(minutes=10), now + timedelta(days=9), None)
    assert later == [{"percent": 100}]


def test_plan_of_the_readers_walks_the_index_in_order(database: str) -> None:
    query(database, "SELECT historian.ensure_day('2026-10-30')")
    query(database, "SELECT historian.ensure_day('2026-11-02')")
    statement = queries_sql.SAMPLES
    places = {
        "$1::integer[]": "'{1}'::integer[]",
        "$2": "'2026-11-01 06:00Z'",
        "$3": "'2026-11-01 07:00Z'",
        "$4": "100",
    }
    for place, literal in places.items():
        statement = statement.replace(place, literal)  # filled in place by place
    rows = query(database, f"EXPLAIN {statement}")
    plan = "\n".join(row["QUERY PLAN"] for row in rows)
    assert "Seq Scan on _hyper" not in plan
    assert "Seq Scan on sample" not in plan
    assert "Index" in plan
    assert "20261102" not in plan
