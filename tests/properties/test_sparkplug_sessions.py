"""Whatever the network does to an edge session's messages, the host's picture is right at quiet."""

import heapq
import os
from collections.abc import Callable, Sequence
from random import Random
from typing import Final

from hypothesis import given, settings
from hypothesis import strategies as st

from proto.sparkplug.datatypes import DataType
from proto.sparkplug.edge_events import EdgeOptions
from proto.sparkplug.edge_session import EdgeSession, EdgeState
from proto.sparkplug.host_tracker import HostAction, HostTracker
from proto.sparkplug.messages import Publish
from proto.sparkplug.metrics import QUALITY_BAD, QUALITY_GOOD, Metric, Value
from proto.sparkplug.topics import MessageType, NodeId, parse_topic

NODE: Final = NodeId("plant", "line-1")
DEVICES: Final = ("filler", "capper")
NAMES: Final = ("speed", "count", "state")
TYPES: Final = (DataType.DOUBLE, DataType.INT16, DataType.STRING)
MAX_DELAY_MS: Final = 1_500
QUIET_MS: Final = 3_600_000


class World:
    """An edge session, a host tracker, a clock, and a network that loses, doubles and delays."""

    def __init__(self, seed: int, *, aliases: bool) -> None:
        self.random = Random(seed)  # noqa: S311  # a reproducible network, no secret
        self.now_ms = 1_700_000_000_000
        self.healthy = False
        self.edge = EdgeSession(NODE, options=EdgeOptions(aliases=aliases))
        self.edge.set_node_metrics(self.metrics())
        for device in DEVICES:
            self.edge.set_device(device, self.metrics())
        self.host = HostTracker(host_id="nexus")
        self.under_way: list[tuple[int, int, Callable[[], None]]] = []
        self.count = 0
        self.will: Publish | None = None

    def metrics(self) -> list[Metric]:
        return [
            Metric(name, datatype, None, self.now_ms)
            for name, datatype in zip(NAMES, TYPES, strict=True)
        ]

    def later(self, delay_ms: int, act: Callable[[], None]) -> None:
        self.count += 1
        heapq.heappush(self.under_way, (self.now_ms + delay_ms, self.count, act))

    def delay_ms(self) -> int:
        if self.healthy or self.random.random() < 0.5:
            return 0
        return self.random.randrange(MAX_DELAY_MS)

    def to_host(self, messages: list[Publish], *, rebirth: bool = False) -> None:
        """Publish; an NBIRTH in the middle of a session is not lost.

        It starts seq over, so when it is lost and as many messages before it were, what follows
        has the very numbers the host expects: no host can know.
        """
        for message in messages:
            copies = 1
            if not self.healthy and message.qos == 0:
                safe = rebirth and "/NBIRTH/" in message.topic
                copies = self.random.choices((0, 1, 2), (0 if safe else 2, 7, 1))[0]
            for _ in range(copies):
                self.later(self.delay_ms(), lambda message=message: self.host_hears(message))  # type: ignore[misc]

    def die(self, death: Publish) -> None:
        """A death comes behind everything its session said before."""
        last_ms = max((due_ms for due_ms, _, _ in self.under_way), default=self.now_ms)
        self.later(max(last_ms - self.now_ms, 0), lambda: self.host_hears(death))

    def host_hears(self, message: Publish) -> None:
        self.from_host(self.host.receive(message.topic, message.payload, self.now_ms))

    def from_host(self, actions: Sequence[HostAction]) -> None:
        for action in actions:
            if isinstance(action, Publish) and (self.healthy or self.random.random() < 0.8):
                self.later(self.delay_ms(), lambda action=action: self.edge_hears(action))  # type: ignore[misc]

    def edge_hears(self, command: Publish) -> None:
        self.now_ms += 1
        actions = self.edge.receive(command.topic, command.payload, self.now_ms)
        births = [action for action in actions if isinstance(action, Publish)]
        self.to_host(births, rebirth=True)

    def run_until(self, end_ms: int) -> None:
        while True:
            tick_ms = self.host.next_deadline_ms
            due = [self.under_way[0][0]] if self.under_way else []
            due += [tick_ms] if tick_ms is not None else []
            if not due or min(due) > end_ms:
                break
            self.now_ms = max(self.now_ms, min(due))
            if self.under_way and self.under_way[0][0] <= self.now_ms:
                heapq.heappop(self.under_way)[2]()
            else:
                self.from_host(self.host.tick(self.now_ms))
        self.now_ms = max(self.now_ms, end_ms)

    # What can happen

    def connect(self) -> None:
        if self.edge.state is EdgeState.OFFLINE:
            self.will = self.edge.connect(self.now_ms).will
            self.to_host(self.edge.connected(self.now_ms))

    def cut(self) -> None:
        if self.edge.state is not EdgeState.OFFLINE:
            assert self.will is not None
            self.edge.disconnected()
            self.die(self.will)

    def leave(self) -> None:
        if self.edge.state is not EdgeState.OFFLINE:
            *before, death = self.edge.disconnect(self.now_ms)
            self.to_host(before)
            self.die(death)
            self.edge.disconnected()

    def online(self) -> None:
        self.to_host(self.edge.device_online(self.random.choice(DEVICES), self.now_ms))

    def offline(self) -> None:
        self.to_host(self.edge.device_offline(self.random.choice(DEVICES), self.now_ms))

    def rebirth(self) -> None:
        self.to_host(self.edge.rebirth(self.now_ms), rebirth=True)

    def data(self, *, historical: bool = False) -> None:
        device = self.random.choice((None, *DEVICES))
        values: tuple[Value, ...] = (
            self.random.random(),
            self.random.randrange(-100, 100),
            "ünï" * 3,
        )
        chosen = self.random.sample(list(zip(NAMES, values, strict=True)), 2)
        readings = [
            (
                self.edge.alias(device, name),
                value if self.random.random() < 0.9 else None,
                self.now_ms - (self.random.randrange(10**6) if historical else 0),
                self.random.choice((QUALITY_GOOD, QUALITY_GOOD, QUALITY_BAD)),
            )
            for name, value in chosen
        ]
        message = self.edge.data(device, readings, self.now_ms, historical=historical)
        self.to_host([message] if message is not None else [])

    def history(self) -> None:
        self.data(historical=True)


STEPS: Final = ("connect", "cut", "leave", "online", "offline", "rebirth", "data", "history")
WEIGHTED: Final = st.sampled_from(("connect", *STEPS, "online", "data", "data", "data", "data"))


@settings(max_examples=int(os.environ.get("NEXUS_TEST_SESSION_EXAMPLES", "150")), deadline=None)
@given(
    seed=st.integers(0, 2**32),
    aliases=st.booleans(),
    steps=st.lists(st.tuples(WEIGHTED, st.integers(1, 800)), max_size=60),
)
def test_host_and_edge_agree_at_quiet(
    seed: int, aliases: bool, steps: list[tuple[str, int]]
) -> None:
    world = World(seed, aliases=aliases)
    for step, pause_ms in steps:
        getattr(world, step)()
        world.run_until(world.now_ms + pause_ms)

    world.healthy = True
    world.run_until(world.now_ms + 2 * MAX_DELAY_MS)
    world.data()  # QoS 0: a lost last message shows with the next
    for device in (None, *DEVICES):
        reading = (world.edge.alias(device, "count"), 1, world.now_ms, QUALITY_GOOD)
        message = world.edge.data(device, [reading], world.now_ms)
        world.to_host([message] if message is not None else [])
    world.run_until(world.now_ms + QUIET_MS)

    assert not world.under_way
    assert_same_picture(world)


def assert_same_picture(world: World) -> None:
    born = world.edge.state is EdgeState.BORN
    view = world.host.nodes.get(NODE)
    if view is None:
        assert not born
        return
    assert view.online is born
    if not born:
        assert all(metric.stale for _, metric in view.all_metrics())
        return
    assert view.bd_seq == world.edge.bd_seq
    births = {
        (topic.device): message
        for message in world.edge.rebirth(world.now_ms + 1)
        if (topic := parse_topic(message.topic)).message_type
        in {MessageType.NBIRTH, MessageType.DBIRTH}
    }
    fresh = HostTracker(host_id="other")
    for message in births.values():
        fresh.receive(message.topic, message.payload, world.now_ms + 1)
    expected = fresh.nodes[NODE]
    assert {name for name, device in view.devices.items() if device.online} == set(expected.devices)
    for device, metric in expected.all_metrics():
        if metric.name not in NAMES:
            continue
        seen = view.metric(device, metric.name)
        assert seen is not None
        assert (seen.value, seen.timestamp_ms, seen.quality, seen.stale) == (
            metric.value,
            metric.timestamp_ms,
            metric.quality,
            False,
        ), (device, metric.name)
