"""Whatever the network does to the messages of several edge nodes, the host's picture is right.

Nodes live, die and are started anew, and so is the host, while messages are lost, doubled and
overtake each other. The model is simple: what each node last said itself. At any moment a value
that the host shows as alive is one that this very metric had, and none goes back to an older one
between two births; at quiet the pictures are equal.
"""

import os
from typing import Final

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from proto.sparkplug.edge_session import EdgeState
from proto.sparkplug.host_tracker import HostTracker
from proto.sparkplug.topics import MessageType, parse_topic
from tests.properties.plant_world import LINES, NAMES, Line, World

STEPS: Final = (
    *("connect", "cut", "restart", "leave", "online", "offline", "rebirth", "history"),
    *("restart_host", "cut_host", "connect_host"),
)
WEIGHTED: Final = st.sampled_from(
    (*STEPS, "connect", "connect", "connect", "online", "online", *["data"] * 6)
)


class Plant(RuleBasedStateMachine):
    """The world, one step after the other."""

    @initialize(seed=st.integers(0, 2**32), aliases=st.booleans())
    def begin(self, seed: int, aliases: bool) -> None:
        self.world = World(seed, aliases=aliases)
        self.shown: dict[tuple[object, ...], int] = {}

    @rule(step=WEIGHTED, number=st.integers(0, LINES - 1), pause_ms=st.integers(1, 800))
    def happen(self, step: str, number: int, pause_ms: int) -> None:
        getattr(self.world, step)(self.world.lines[number])
        self.world.run_until(self.world.now_ms + pause_ms)

    @invariant()
    def values_that_are_alive_are_the_metrics_own(self) -> None:
        if hasattr(self, "world"):
            assert_own_values(self.world)

    @invariant()
    def values_of_one_session_never_go_back(self) -> None:
        if hasattr(self, "world"):
            now: dict[tuple[object, ...], int] = {
                (id(self.world.host), view.node, view.birth_ms, owner, metric.name): (
                    metric.timestamp_ms
                )
                for view in self.world.host.nodes.values()
                for owner, metric in view.all_metrics()
            }
            assert all(self.shown.get(metric, 0) <= at_ms for metric, at_ms in now.items())
            self.shown = now

    def teardown(self) -> None:
        if hasattr(self, "world"):
            self.world.fall_quiet()
            assert_own_values(self.world)
            for line in self.world.lines:
                assert_same_picture(self.world, line)


TestPlant = Plant.TestCase
TestPlant.settings = settings(
    max_examples=int(os.environ.get("NEXUS_TEST_SESSION_EXAMPLES", "150")),
    stateful_step_count=60,
)


def assert_own_values(world: World) -> None:
    for line in world.lines:
        view = world.host.nodes.get(line.node)
        for owner, metric in () if view is None else view.all_metrics():
            if metric.name in NAMES and not metric.stale:
                assert metric.value in line.had[owner, metric.name], (line.node, owner, metric)


def assert_same_picture(world: World, line: Line) -> None:
    born = line.edge.state is EdgeState.BORN
    view = world.host.nodes.get(line.node)
    if view is None:
        assert not born
        return
    assert view.online is born
    if not born:
        assert all(metric.stale for _, metric in view.all_metrics())
        return
    assert view.bd_seq == line.edge.bd_seq
    fresh = HostTracker(host_id="other")
    for message in line.edge.rebirth(world.now_ms + 1):
        if parse_topic(message.topic).message_type in {MessageType.NBIRTH, MessageType.DBIRTH}:
            fresh.receive(message.topic, message.payload, world.now_ms + 1)
    expected = fresh.nodes[line.node]
    assert {name for name, device in view.devices.items() if device.online} == set(expected.devices)
    for owner, metric in expected.all_metrics():
        if metric.name not in NAMES:
            continue
        seen = view.metric(owner, metric.name)
        assert seen is not None
        assert (seen.value, seen.timestamp_ms, seen.quality, seen.stale) == (
            metric.value,
            metric.timestamp_ms,
            metric.quality,
            False,
        ), (owner, metric.name)
