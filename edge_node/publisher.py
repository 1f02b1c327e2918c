"""From reports to Sparkplug messages: one batch window a device, births, deaths, exact counting.

It owns the Sparkplug session and has no connection of its own: messages go to whatever ``attach``
was given, in the session's order. Nothing here waits but the batch windows' task.
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence

import structlog
import trio

from edge_node.counters import Counters
from edge_node.drivers.base import QUALITY_BAD
from edge_node.metrics import current_readings, misfit
from edge_node.pipeline.report import Report
from edge_node.pipeline.tags import DeviceTags, TagSpec
from edge_node.uns import UnsMirror
from proto.sparkplug.edge_events import EdgeEvent, Reading
from proto.sparkplug.edge_session import EdgeSession, EdgeState
from proto.sparkplug.errors import LocalError
from proto.sparkplug.messages import Connect, Publish
from proto.sparkplug.metrics import Metric, is_control

Send = Callable[[Publish], None]

log = structlog.get_logger(__name__)


class _Outlet:
    """One device on its way out."""

    __slots__ = ("aliases", "by_alias", "name", "pending", "points", "refused", "tags")

    def __init__(self, name: str, tags: DeviceTags, aliases: list[int]) -> None:
        self.name = name
        self.tags = tags
        self.aliases = aliases
        self.by_alias: dict[int, TagSpec] = dict(zip(aliases, tags.tags, strict=True))
        self.points = len(tags.tags)
        self.pending: list[Reading] = []
        self.refused: set[str] = set()


class Publisher:
    """The Sparkplug side of one edge node; a :class:`~edge_node.supervisor.DeviceSink`.

    Args:
        session: with the node's metrics set; the publisher defines the devices.
        mirror: gets the same news.
        counters: for points and messages.
        window_s: changes of one device within this time travel in one message.
        now_ms: wall clock, milliseconds since the epoch, floored.
    """

    def __init__(
        self,
        session: EdgeSession,
        mirror: UnsMirror,
        counters: Counters,
        *,
        window_s: float,
        now_ms: Callable[[], int],
    ) -> None:
        self._session = session
        self._mirror = mirror
        self._counters = counters
        self._window_s = window_s
        self._now_ms = now_ms
        self._send: Send | None = None
        self._outlets: dict[str, _Outlet] = {}
        self._node_points = 0
        self._due: deque[tuple[float, _Outlet]] = deque()
        self._news = trio.Event()

    # What there is.

    def define_node(self, metrics: Sequence[Metric]) -> None:
        """Define the node's own metrics."""
        self._session.set_node_metrics(metrics)
        self._node_points = sum(1 for m in metrics if m.name and not is_control(m.name))

    def define_device(self, name: str, tags: DeviceTags, metrics: Sequence[Metric]) -> None:
        """Define a device.

        Args:
            name: the device's id.
            tags: its tags.
            metrics: its metrics; the tags' come among them by name.
        """
        self._session.set_device(name, metrics)
        aliases = [self._session.alias(name, tag.name) for tag in tags.tags]
        self._outlets[name] = _Outlet(name, tags, aliases)

    # What the devices do.

    def device_online(self, device: str) -> None:
        """Send the DBIRTH with every value."""
        outlet = self._outlets[device]
        outlet.pending.clear()
        now_ms = self._now_ms()
        readings = current_readings(outlet.tags, outlet.aliases, now_ms)
        self._mirror.online(device, now_ms)
        self._publish(self._session.device_online(device, now_ms, self._fitting(outlet, readings)))

    def device_offline(self, device: str, reason: str) -> None:
        """Send what is still to be sent, and the DDEATH."""
        self._flush(self._outlets[device])
        now_ms = self._now_ms()
        self._publish(self._session.device_offline(device, now_ms))
        self._mirror.offline(device, now_ms, reason)

    def device_report(self, device: str, base: int, report: Report) -> None:
        """Queue the news of one poll for the device's next message."""
        outlet = self._outlets[device]
        aliases = outlet.aliases
        qualities = outlet.tags.qualities_at(base)
        timestamp_ms = report.timestamp_ms
        readings: list[Reading] = [
            (aliases[base + index], value, timestamp_ms, qualities[index])
            for index, value in zip(report.indices, report.values, strict=True)
        ]
        if outlet.pending:
            outlet.pending += readings
        else:
            outlet.pending = readings
            if self._window_s:
                self._due.append((trio.current_time() + self._window_s, outlet))
                self._news.set()
            else:
                self._flush(outlet)
        self._mirror.report(device, base, report)

    async def run(self) -> None:
        """Send each device's changes at the end of its window, until cancelled."""
        while True:
            await self._news.wait()
            while self._due:
                await trio.sleep_until(self._due[0][0])
                now = trio.current_time()
                while self._due and self._due[0][0] <= now:
                    self._flush(self._due.popleft()[1])
            self._news = trio.Event()

    def flush(self) -> None:
        """Send everything that is queued, now."""
        self._due.clear()
        for outlet in self._outlets.values():
            self._flush(outlet)

    def _flush(self, outlet: _Outlet) -> None:
        readings, outlet.pending = outlet.pending, []
        if readings:
            self._send_readings(outlet, readings)

    def _send_readings(self, outlet: _Outlet, readings: list[Reading]) -> None:
        session = self._session
        if session.state is not EdgeState.BORN:
            # They go into the next birth, which must not fail for one of them.
            readings = self._fitting(outlet, readings)
        try:
            message = session.data(outlet.name, readings, self._now_ms())
        except LocalError:
            readings = self._fitting(outlet, readings)
            message = session.data(outlet.name, readings, self._now_ms())
        if message is None:
            self._counters.points_unsent += len(readings)
        else:
            self._counters.points_published += len(readings)
            self._pass_on(message)

    def _fitting(self, outlet: _Outlet, readings: Iterable[Reading]) -> list[Reading]:
        """Return the readings with those that do not fit their data type made null and bad."""
        fitting: list[Reading] = []
        for reading in readings:
            tag = outlet.by_alias[reading[0]]
            reason = misfit(tag, reading)
            if reason is None:
                outlet.refused.discard(tag.name)
                fitting.append(reading)
                continue
            self._counters.values_refused += 1
            if tag.name not in outlet.refused:
                outlet.refused.add(tag.name)
                log.error("value_refused", device=outlet.name, tag=tag.name, reason=reason)
            fitting.append((reading[0], None, reading[2], QUALITY_BAD))
        return fitting

    # The connection.

    def prepare(self) -> Connect:
        """Take the next bdSeq for a CONNECT that is about to be sent."""
        return self._session.connect(self._now_ms())

    def attach(self, send: Send) -> None:
        """Begin on a connection whose subscriptions stand: births, unless a host is waited for."""
        self._send = send
        self.flush()
        self._publish(self._session.connected(self._now_ms()))

    def receive(self, topic: str, payload: bytes) -> list[EdgeEvent]:
        """Take a message; what it makes the session say is sent.

        Returns:
            What else there is to do.
        """
        events: list[EdgeEvent] = []
        for action in self._session.receive(topic, payload, self._now_ms()):
            if isinstance(action, Publish):
                self._publish([action])
            else:
                events.append(action)
        return events

    def farewell(self) -> None:
        """Send what is queued and all deaths: the connection ends by intent."""
        self.flush()
        self._publish(self._session.disconnect(self._now_ms()))

    def detach(self) -> None:
        """The connection is gone."""
        self._send = None
        self._session.disconnected()

    def _publish(self, messages: Iterable[Publish]) -> None:
        counters = self._counters
        for message in messages:
            levels = message.topic.split("/")
            if levels[2] == "NBIRTH":
                counters.births += 1
                counters.points_published += self._node_points
            elif levels[2] == "DBIRTH":
                counters.births += 1
                counters.points_published += self._outlets[levels[4]].points
            self._pass_on(message)

    def _pass_on(self, message: Publish) -> None:
        if self._send is not None:
            self._counters.messages_published += 1
            self._send(message)
