"""Rollups are what historian.buckets() gives: whatever arrives, in any order, on every server."""

import asyncio
import math
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

import psycopg
import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from historian.database import Connection
from historian.exact import Columns
from historian.rollups import Rollups
from historian.rows import Batch, Rows, pack_full
from historian.schema.migrate import migrate, normalize_url
from historian.statements import CHECK_SETUP
from historian.store import SampleStore
from tests.integration.historian_rig import pause_policies, query, roll_up

BEGIN: Final = datetime(2026, 11, 1, tzinfo=UTC)
END: Final = BEGIN + timedelta(days=2)
METRICS: Final = 3
STEPS: Final = {
    "rollup_1m": timedelta(minutes=1),
    "rollup_15m": timedelta(minutes=15),
    "rollup_1h": timedelta(hours=1),
    "rollup_1d": timedelta(days=1),
}
FIGURES: Final = ("min", "max", "avg", "time_weighted_avg", "first", "last", "percent_good")
FIGURES_READ: Final = ", ".join(("metric_id", "bucket", "count", *FIGURES))


class Sample(NamedTuple):
    """One sample of a made-up past."""

    metric_id: int
    second: float
    value: float | None
    text: str | None
    quality: int


class Piece(NamedTuple):
    """What arrives together."""

    is_late: bool
    samples: list[Sample]


SECONDS: Final = st.one_of(
    # On edges, close together, and anywhere in a day and an hour.
    st.integers(0, 25 * 60 - 1).map(lambda minute: 60.0 * minute),
    st.integers(0, 600_000).map(lambda ms: ms / 1000),
    st.integers(0, 89_999_999).map(lambda ms: ms / 1000),
)
VALUES: Final = st.one_of(
    st.tuples(st.floats(-1e6, 1e6, width=32), st.none(), st.sampled_from([192, 192, 192, 0, 500])),
    st.tuples(st.none(), st.sampled_from(["on", "off"]), st.just(192)),
    st.tuples(st.sampled_from([math.inf, math.nan]), st.none(), st.just(192)),
)
SAMPLES: Final = st.builds(
    lambda metric_id, second, rest: Sample(metric_id, second, *rest),
    st.integers(1, METRICS),
    SECONDS,
    VALUES,
)


@st.composite
def draw_pieces(draw: st.DrawFn) -> list[Piece]:
    """Pieces in time one after the other, and late ones between them; no time twice."""
    samples = draw(st.lists(SAMPLES, min_size=1, max_size=40, unique_by=lambda s: s[:2]))
    samples.sort(key=lambda sample: sample.second)
    pieces, waiting = [], []
    while samples:
        size = draw(st.integers(1, len(samples)))
        now, samples = samples[:size], samples[size:]
        is_late = draw(st.lists(st.booleans(), min_size=size, max_size=size))
        pieces.append(Piece(False, [s for s, late in zip(now, is_late, strict=True) if not late]))
        waiting += [s for s, late in zip(now, is_late, strict=True) if late]
        if draw(st.booleans()):
            pieces.append(Piece(True, waiting))
            waiting = []
    return [piece for piece in [*pieces, Piece(True, waiting)] if piece.samples]


@pytest.fixture(params=["postgresql", "timescaledb"], scope="module")
def module_database(request: pytest.FixtureRequest) -> str:
    """Give a database of each kind of server with a few metrics."""
    name = "module_postgres_url" if request.param == "postgresql" else "module_timescale_url"
    url = normalize_url(request.getfixturevalue(name))
    migrate(url)
    pause_policies(url)
    with psycopg.connect(url, autocommit=True) as connection:
        for day in range(2):
            connection.execute(
                "SELECT historian.ensure_day(%s::date)", [BEGIN + timedelta(days=day)]
            )
        connection.execute(
            "INSERT INTO historian.metric (group_name, edge, device, name, datatype)"
            " SELECT 'plant', 'line', 'filler', 'tag-' || n, 'Double'"
            " FROM generate_series(1, %s) AS n",
            [METRICS],
        )
    return url


def clear(url: str) -> None:
    """Take away what the last example left."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("DELETE FROM historian.sample")
        connection.execute("TRUNCATE historian.rollup_kept, historian.rollup_due")


def to_time(second: float) -> datetime:
    return BEGIN + timedelta(milliseconds=round(second * 1000))


def to_ms(second: float) -> int:
    return round((BEGIN.timestamp() + second) * 1000)


async def arrive(url: str, pieces: list[Piece]) -> None:
    """Store and roll up one piece after the other, as the historian does."""
    connection = Connection(url, "test-same", CHECK_SETUP)
    rollups = Rollups(connection)
    store = SampleStore()
    made = BEGIN
    for piece in pieces:
        rows = Rows()
        for metric_id, second, value, text, quality in piece.samples:
            at = to_ms(second)
            packed = pack_full(
                metric_id,
                at,
                at,
                quality=quality,
                historical=piece.is_late,
                columns=Columns(value, text, None, None),
            )
            rows.add_full(metric_id, at, packed, staged=False)
        if piece.is_late:
            await store.insert_missing(connection, Batch(full=rows.full))
        else:
            with psycopg.connect(url, autocommit=True) as other:
                other.cursor().executemany(
                    "INSERT INTO historian.sample (metric_id, time, value, text, quality)"
                    " VALUES (%s, %s, %s, %s, %s)",
                    [
                        (
                            s.metric_id,
                            BEGIN + timedelta(milliseconds=round(s.second * 1000)),
                            *s[2:],
                        )
                        for s in piece.samples
                    ],
                )
            rollups.take(rows)
            newest = max(sample.second for sample in piece.samples)
            made = max(made, to_time(newest))
        until_ms = int(made.timestamp() * 1000)
        await roll_up(url, rollups, until_ms)
        await rollups.make_again(until_ms)
    end_ms = int(END.timestamp() * 1000)
    await roll_up(url, rollups, end_ms)
    await rollups.make_again(end_ms)
    await connection.close()


def read_rollup(url: str, view: str) -> list[dict[str, Any]]:
    return query(url, f"SELECT {FIGURES_READ} FROM historian.{view} ORDER BY 1, 2")  # noqa: S608


def read_buckets(url: str, step: timedelta) -> list[dict[str, Any]]:
    asked = f"SELECT {FIGURES_READ} FROM generate_series(1, {METRICS}) AS metric_id"  # noqa: S608
    return query(
        url,
        f"{asked} CROSS JOIN LATERAL historian.buckets(metric_id, %s, %s, %s)"
        " WHERE count > 0 ORDER BY 1, 2",
        BEGIN,
        END,
        step,
    )


def assert_same(found: list[dict[str, Any]], expected: list[dict[str, Any]]) -> None:
    keys = ("metric_id", "bucket", "count")
    assert [[row[key] for key in keys] for row in found] == [
        [row[key] for key in keys] for row in expected
    ]
    for one, other in zip(found, expected, strict=True):
        for name in FIGURES:
            same = other[name]
            if same is not None:
                # A sum of sums is rounded another way than a sum.
                same = pytest.approx(same, rel=1e-9, abs=1e-6, nan_ok=True)
            assert one[name] == same, (name, one, other)


@settings(
    max_examples=10,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    # An example takes a second: made simpler, it would take minutes.
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)
@given(draw_pieces())
@example(
    # A late sample behind which nothing has arrived yet, and then a bucket in time.
    [
        Piece(False, [Sample(1, 0.0, 1.0, None, 192), Sample(1, 600.0, 2.0, None, 192)]),
        Piece(True, [Sample(1, 630.0, 9.0, None, 192)]),
        Piece(False, [Sample(1, 1_000.5, 3.0, None, 192)]),
    ]
)
@example(
    # A day that was made in part before a late sample fell into it, and that ends afterwards.
    [
        Piece(False, [Sample(1, 3_600.0, 1.0, None, 192), Sample(1, 40_000.0, 2.0, None, 192)]),
        Piece(True, [Sample(1, 7_000.0, 9.0, None, 0)]),
        Piece(False, [Sample(1, 90_000.0, 3.0, None, 192)]),
    ]
)
def test_rollups_are_what_buckets_gives_in_whatever_order_samples_arrive(
    module_database: str, pieces: list[Piece]
) -> None:
    clear(module_database)
    asyncio.run(arrive(module_database, pieces))
    for view, step in STEPS.items():
        assert_same(read_rollup(module_database, view), read_buckets(module_database, step))
