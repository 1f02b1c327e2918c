"""From reports to Sparkplug messages: one batch window a device, births, deaths, exact counting.

It owns the Sparkplug session and has no connection of its own: messages go to whatever ``attach``
was given, in the session's order. Nothing here waits but the batch windows' task.
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import structlog
import trio

from edge_node.counters import Counters
from edge_node.drivers.base import QUALITY_BAD
from edge_node.metrics import current_readings, misfit
from edge_node.outlet import Outlet
from edge_node.pipeline.report import Report
from edge_node.pipeline.tags import DeviceTags
from edge_node.templates import InstancePacker
from edge_node.uns import UnsMirror
from proto.sparkplug.codec import Payload, encode_payload
from proto.sparkplug.compression import Compression, compress
from proto.sparkplug.edge_events import EdgeEvent, Reading
from proto.sparkplug.edge_session import EdgeSession, EdgeState
from proto.sparkplug.errors import LocalError
from proto.sparkplug.messages import Connect, Publish
from proto.sparkplug.metrics import Metric, is_control

Send = Callable[[Publish], bool]
"""Takes a message; says whether there is still a connection to take it."""

_NO_LIMIT: Final = 2**32
_EARLY: Final = 0.1
"""Part of its window that a device's message may be sent early, together with another's: with
hundreds of devices each would be a write to the socket of its own otherwise."""
_VALUE_BYTES: Final = 30
"""What a metric of a birth has beside its definition: alias, time, value."""
_TOO_LARGE_ADVICE: Final = (
    "spread the tags over more devices, or raise what the broker takes and "
    "sparkplug.max_payload_bytes"
)

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class PublisherOptions:
    """How messages are made.

    Attributes:
        window_s: changes of one device within this time travel in one message.
        max_payload_bytes: a larger birth is not sent.
        compression: of births and data, ``None`` for none.
    """

    window_s: float = 0.1
    max_payload_bytes: int = 1_000_000
    compression: Compression | None = None


class Publisher:
    """The Sparkplug side of one edge node; a :class:`~edge_node.supervisor.DeviceSink`.

    Args:
        session: with the node's metrics set; the publisher defines the devices.
        mirror: gets the same news.
        counters: for points and messages.
        options: how messages are made.
        now_ms: wall clock, milliseconds since the epoch, floored.
    """

    def __init__(
        self,
        session: EdgeSession,
        mirror: UnsMirror,
        counters: Counters,
        *,
        options: PublisherOptions,
        now_ms: Callable[[], int],
    ) -> None:
        self._session = session
        self._mirror = mirror
        self._counters = counters
        self._options = options
        self._limit_bytes = options.max_payload_bytes
        self._now_ms = now_ms
        self._send: Send | None = None
        self._outlets: dict[str, Outlet] = {}
        self._node_points = 0
        self._due: deque[tuple[float, Outlet]] = deque()
        self._news = trio.Event()

    # What there is.

    def define_node(self, metrics: Sequence[Metric]) -> None:
        """Define the node's own metrics, before the first connection."""
        self._session.set_node_metrics(metrics)
        self._node_points = sum(1 for m in metrics if m.name and not is_control(m.name))

    def redefine_node(self, metrics: Sequence[Metric]) -> None:
        """Define the node's own metrics anew, with their values, and have hosts told: a rebirth.

        What is queued is sent before, so that the births carry the latest of every device.
        """
        self.flush()
        self.define_node(metrics)
        self._publish(self._session.rebirth(self._now_ms()))

    def define_device(
        self,
        name: str,
        tags: DeviceTags,
        metrics: Sequence[Metric],
        packer: InstancePacker | None = None,
    ) -> None:
        """Define a device.

        Args:
            name: the device's id.
            tags: its tags.
            metrics: its metrics; the tags' come among them by name.
            packer: for the tags that are published as members of template instances.
        """
        values = len(metrics)
        if packer is not None:
            metrics = packer.define(metrics)
            values += len(packer.names)
        self._session.set_device(name, metrics)
        numbers: Mapping[str, int] = {}
        if packer is not None:
            packer.attach({each: self._session.alias(name, each) for each in packer.names})
            numbers = packer.numbers
        aliases = [
            numbers[tag.name] if tag.name in numbers else self._session.alias(name, tag.name)
            for tag in tags.tags
        ]
        size = len(encode_payload(Payload(0, 0, tuple(metrics)))) + _VALUE_BYTES * values
        self._outlets[name] = Outlet(name, tags, aliases, size, packer)

    def remove_device(self, name: str) -> None:
        """Forget a device; hosts that know it are told of its death, which what is queued precedes.

        Its aliases never come to mean another metric.
        """
        outlet = self._outlets[name]
        self._flush(outlet)
        self._publish(self._session.device_offline(name, self._now_ms()))
        self._session.remove_device(name)
        del self._outlets[name]

    # What the devices do.

    def device_online(self, device: str) -> None:
        """Send the DBIRTH with every value."""
        outlet = self._outlets[device]
        outlet.pending.clear()
        outlet.online = True
        self._mirror.online(device, self._now_ms())
        self._bring_online(outlet)

    def device_offline(self, device: str, reason: str) -> None:
        """Send what is still to be sent, and the DDEATH."""
        outlet = self._outlets[device]
        outlet.online = False
        self._flush(outlet)
        now_ms = self._now_ms()
        self._publish(self._session.device_offline(device, now_ms))
        self._mirror.offline(device, now_ms, reason)

    def rebirth_device(self, device: str) -> None:
        """Send a device's birth again; the DDEATH that must lie between (rule of 5.6) too."""
        outlet = self._outlets[device]
        self._flush(outlet)
        self._publish(self._session.device_offline(device, self._now_ms()))
        if outlet.online:
            self._bring_online(outlet)

    def device_report(self, device: str, base: int, report: Report) -> None:
        """Queue the news of one poll for the device's next message."""
        outlet = self._outlets[device]
        aliases = outlet.aliases
        qualities = outlet.tags.qualities_at(base)
        timestamp_ms = report.timestamp_ms
        readings: list[Reading]
        if report.stamps is None:
            readings = [
                (aliases[base + index], value, timestamp_ms, qualities[index])
                for index, value in zip(report.indices, report.values, strict=True)
            ]
        else:
            readings = [
                (aliases[base + index], value, *stamp)
                for index, value, stamp in zip(
                    report.indices, report.values, report.stamps, strict=True
                )
            ]
        if outlet.pending:
            outlet.pending += readings
        else:
            outlet.pending = readings
            if self._options.window_s:
                self._due.append((trio.current_time() + self._options.window_s, outlet))
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
                together = trio.current_time() + self._options.window_s * _EARLY
                while self._due and self._due[0][0] <= together:
                    self._flush(self._due.popleft()[1])
            self._news = trio.Event()

    def flush(self) -> None:
        """Send everything that is queued, now."""
        self._due.clear()
        for outlet in self._outlets.values():
            self._flush(outlet)

    def _flush(self, outlet: Outlet) -> None:
        readings, outlet.pending = outlet.pending, []
        if readings:
            self._send_readings(outlet, readings)

    def _send_readings(self, outlet: Outlet, readings: list[Reading]) -> None:
        session = self._session
        if session.state is not EdgeState.BORN:
            # They go into the next birth, which must not fail for one of them.
            readings = self._fitting(outlet, readings)
        packed = outlet.pack(readings)
        try:
            message = session.data(outlet.name, packed, self._now_ms())
        except LocalError:
            packed = outlet.pack(self._fitting(outlet, readings))
            message = session.data(outlet.name, packed, self._now_ms())
        if message is not None and self._pass_on(message):
            self._counters.points_published += len(packed)
        else:
            self._counters.points_unsent += len(packed)

    def _fitting(self, outlet: Outlet, readings: Iterable[Reading]) -> list[Reading]:
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

    def node_report(self, readings: Sequence[Reading]) -> None:
        """Send values of the node's own metrics."""
        message = self._session.data(None, readings, self._now_ms())
        if message is not None and self._pass_on(message):
            self._counters.points_published += len(readings)

    def _bring_online(self, outlet: Outlet) -> None:
        """Send a device's DBIRTH, unless it is larger than what a broker takes."""
        now_ms = self._now_ms()
        texts = sum(outlet.tags.text_sizes())
        size = outlet.definition_bytes + texts
        too_large = size > self._limit_bytes
        if too_large:
            self._publish(self._session.device_offline(outlet.name, now_ms))
        else:
            readings = current_readings(outlet.tags, outlet.aliases, now_ms)
            fitting = outlet.pack(self._fitting(outlet, readings))
            self._publish(self._session.device_online(outlet.name, now_ms, fitting))
        if too_large and not outlet.too_large:
            log.error(
                "birth_too_large",
                device=outlet.name,
                found_bytes=size,
                expected_bytes=self._limit_bytes,
                advice=_TOO_LARGE_ADVICE,
            )
        outlet.too_large = too_large

    # The connection.

    def prepare(self, broker: str = "") -> Connect:
        """Take the next bdSeq for a CONNECT that is about to be sent to a broker."""
        return self._session.connect(self._now_ms(), broker)

    @property
    def next_bd_seq(self) -> int:
        """The bdSeq of the CONNECT after the one that was prepared."""
        return self._session.next_bd_seq

    @property
    def is_waiting(self) -> bool:
        """Whether the session is connected and silent, since its primary host is not there."""
        return self._session.state is EdgeState.WAITING

    @property
    def has_births(self) -> bool:
        """Whether hosts were told of this session, and must be told of its end."""
        return self._session.state in {EdgeState.BORN, EdgeState.ENDED}

    def attach(self, send: Send, max_packet_bytes: int | None = None) -> None:
        """Begin on a connection whose subscriptions stand: births, unless a host is waited for.

        Args:
            send: takes messages in their order.
            max_packet_bytes: largest packet that the broker takes, where it said so.
        """
        self._send = send
        self.flush()
        self._limit_bytes = min(self._options.max_payload_bytes, max_packet_bytes or _NO_LIMIT)
        for outlet in self._outlets.values():
            if outlet.online:
                self._bring_online(outlet)
        self._publish(self._session.connected(self._now_ms()))

    def receive(self, topic: str, payload: bytes) -> list[EdgeEvent]:
        """Take a message; what it makes the session say is sent.

        Returns:
            What else there is to do.
        """
        if self.is_waiting:
            self.flush()  # births may be due, and carry the latest
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
            if not self._pass_on(message, compressible=not levels[2].endswith("DEATH")):
                continue
            if levels[2] == "NBIRTH":
                counters.births += 1
                counters.points_published += self._node_points
            elif levels[2] == "DBIRTH":
                counters.births += 1
                counters.points_published += self._outlets[levels[4]].points

    def _pass_on(self, message: Publish, *, compressible: bool = True) -> bool:
        """Hand a message to the connection; return whether there was one."""
        if self._send is None:
            return False
        compression = self._options.compression
        if compression is not None and compressible:
            message = replace(message, payload=compress(message.payload, compression))
        sent = self._send(message)
        self._counters.messages_published += sent
        return sent
