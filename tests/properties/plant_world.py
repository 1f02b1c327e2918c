"""Edge nodes and a host with a network between them that loses, doubles and delays.

Time is virtual, and one seed makes one world.
"""

import heapq
from collections import defaultdict
from collections.abc import Callable, Sequence
from random import Random
from typing import Final

from proto.sparkplug.datatypes import DataType
from proto.sparkplug.edge_events import EdgeOptions
from proto.sparkplug.edge_session import EdgeSession, EdgeState
from proto.sparkplug.host_tracker import HostAction, HostTracker
from proto.sparkplug.messages import Publish
from proto.sparkplug.metrics import QUALITY_BAD, QUALITY_GOOD, Metric, Value
from proto.sparkplug.topics import NodeId, parse_topic

DEVICES: Final = ("filler", "capper")
OWNERS: Final = (None, *DEVICES)
NAMES: Final = ("speed", "count", "state")
TYPES: Final = (DataType.DOUBLE, DataType.INT16, DataType.STRING)
LINES: Final = 3
MAX_DELAY_MS: Final = 1_500
QUIET_MS: Final = 3_600_000


class Line:
    """An edge node, and all the values that its metrics ever had."""

    def __init__(self, number: int, now_ms: int, *, aliases: bool) -> None:
        self.number = number
        self.node = NodeId("plant", f"line-{number}")
        self.options = EdgeOptions(aliases=aliases)
        self.had: dict[tuple[str | None, str], set[Value]] = defaultdict(lambda: {None})
        self.will: Publish | None = None
        self.devices: tuple[str, ...] = DEVICES
        self.start(0, now_ms)

    def start(self, bd_seq: int, now_ms: int) -> None:
        """A new process, which knows its next bdSeq and no values."""
        self.edge = EdgeSession(self.node, bd_seq=bd_seq, options=self.options)
        metrics = [
            Metric(name, datatype, None, now_ms)
            for name, datatype in zip(NAMES, TYPES, strict=True)
        ]
        self.edge.set_node_metrics(metrics)
        for device in self.devices:
            self.edge.set_device(device, metrics)

    def value(self, owner: str | None, name: str, random: Random) -> Value:
        """A value that no other metric of the plant has."""
        place = (self.number * len(OWNERS) + OWNERS.index(owner)) * 1_000
        number = place + random.randrange(1_000)
        value: Value = {"speed": number + 0.5, "count": number}.get(name, f"ünï {number}")
        self.had[owner, name].add(value)
        return value


class World:
    """Edge nodes, a host tracker, a clock, and a network that loses, doubles and delays."""

    def __init__(self, seed: int, *, aliases: bool) -> None:
        self.random = Random(seed)  # noqa: S311  # a reproducible network, no secret
        self.now_ms = 1_700_000_000_000
        self.healthy = False
        self.lines = [Line(number, self.now_ms, aliases=aliases) for number in range(LINES)]
        self.host = HostTracker(host_id="nexus")
        self.host_hears_nothing = False
        self.under_way: list[tuple[int, int, Callable[[], None]]] = []
        self.count = 0

    def later(self, delay_ms: int, act: Callable[[], None]) -> None:
        self.count += 1
        heapq.heappush(self.under_way, (self.now_ms + delay_ms, self.count, act))

    def delay_ms(self) -> int:
        if self.healthy or self.random.random() < 0.5:
            return 0
        return self.random.randrange(MAX_DELAY_MS)

    def to_host(self, messages: Sequence[Publish], *, rebirth: bool = False) -> None:
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
        if not self.host_hears_nothing:
            self.from_host(self.host.receive(message.topic, message.payload, self.now_ms))

    def from_host(self, actions: Sequence[HostAction]) -> None:
        for action in actions:
            if isinstance(action, Publish) and (self.healthy or self.random.random() < 0.8):
                self.later(self.delay_ms(), lambda action=action: self.edge_hears(action))  # type: ignore[misc]

    def edge_hears(self, command: Publish) -> None:
        self.now_ms += 1
        [line] = (line for line in self.lines if line.node == parse_topic(command.topic).node)
        actions = line.edge.receive(command.topic, command.payload, self.now_ms)
        births = [action for action in actions if isinstance(action, Publish)]
        self.to_host(births, rebirth=True)

    def run_until(self, end_ms: int) -> None:
        while True:
            tick_ms = None if self.host_hears_nothing else self.host.next_deadline_ms
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

    def connect(self, line: Line) -> None:
        if line.edge.state is EdgeState.OFFLINE:
            line.will = line.edge.connect(self.now_ms).will
            self.to_host(line.edge.connected(self.now_ms))

    def cut(self, line: Line) -> None:
        if line.edge.state is not EdgeState.OFFLINE:
            assert line.will is not None
            line.edge.disconnected()
            self.die(line.will)

    def restart(self, line: Line) -> None:
        """A new process, perhaps of another configuration."""
        self.cut(line)
        line.devices = self.random.choice((DEVICES, DEVICES[:1]))
        line.start(line.edge.next_bd_seq, self.now_ms)
        self.connect(line)

    def leave(self, line: Line) -> None:
        if line.edge.state is not EdgeState.OFFLINE:
            *before, death = line.edge.disconnect(self.now_ms)
            self.to_host(before)
            self.die(death)
            line.edge.disconnected()

    def online(self, line: Line) -> None:
        device = self.random.choice(line.devices)
        self.to_host(line.edge.device_online(device, self.now_ms))

    def offline(self, line: Line) -> None:
        device = self.random.choice(line.devices)
        self.to_host(line.edge.device_offline(device, self.now_ms))

    def rebirth(self, line: Line) -> None:
        self.to_host(line.edge.rebirth(self.now_ms), rebirth=True)

    def data(self, line: Line, *, historical: bool = False) -> None:
        owner = self.random.choice((None, *line.devices))
        readings = [
            (
                line.edge.alias(owner, name),
                line.value(owner, name, self.random) if self.random.random() < 0.9 else None,
                self.now_ms - (self.random.randrange(10**6) if historical else 0),
                self.random.choice((QUALITY_GOOD, QUALITY_GOOD, QUALITY_BAD)),
            )
            for name in self.random.sample(NAMES, 2)
        ]
        message = line.edge.data(owner, readings, self.now_ms, historical=historical)
        self.to_host([message] if message is not None else [])

    def history(self, line: Line) -> None:
        self.data(line, historical=True)

    def restart_host(self, _line: Line) -> None:
        """Another process, which knows nothing."""
        self.host = HostTracker(host_id="nexus")
        self.host_hears_nothing = False

    def cut_host(self, _line: Line) -> None:
        if not self.host_hears_nothing:
            self.from_host(self.host.lost_connection(self.now_ms))
            self.host_hears_nothing = True

    def connect_host(self, _line: Line) -> None:
        if self.host_hears_nothing:
            self.host_hears_nothing = False
            self.host.reconnected(self.now_ms)

    def fall_quiet(self) -> None:
        """The network is well again, everybody says something, and time passes."""
        self.healthy = True
        self.connect_host(self.lines[0])
        self.run_until(self.now_ms + 2 * MAX_DELAY_MS)
        for line in self.lines:  # QoS 0: a lost last message shows with the next
            self.data(line)
            for owner in (None, *line.devices):
                value = line.value(owner, "count", self.random)
                reading = (line.edge.alias(owner, "count"), value, self.now_ms, QUALITY_GOOD)
                message = line.edge.data(owner, [reading], self.now_ms)
                self.to_host([message] if message is not None else [])
        self.run_until(self.now_ms + QUIET_MS)
