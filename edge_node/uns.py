"""The UNS mirror: a map of latest values, published as plain JSON at a bounded rate.

However fast tags change, a tag is published at most once each ``min_interval_s`` and all of them
together at most ``max_messages_per_s`` times a second; what comes in between is overwritten by what
is newer. It therefore never slows the Sparkplug path and never grows.
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from heapq import heappop, heappush
from typing import Final

import trio

from edge_node.drivers.base import QUALITY_GOOD
from edge_node.pipeline.report import Report
from edge_node.pipeline.tags import DeviceTags
from edge_node.uns_columns import Columns, Mirrored
from edge_node.uns_topics import device_path
from proto.control.device import Device
from proto.control.node import NodeDocument
from proto.sparkplug.metrics import Value
from proto.uns.payload import encode_status, encode_value

BATCH_S: Final = 0.02
"""How often the map is drained; a batch is what the rate allows in this time."""

_TAGS_A_MESSAGE: Final = 5
"""So many tags are described in the time that a value's message takes."""

Send = Callable[[str, bytes, int, bool], object]
"""Topic, payload, QoS, retain."""


class UnsMirror:
    """The mirror of one edge node.

    Args:
        document: for the topics and the rates.
        devices: the tags of each enabled device.
        started_ms: since when no device has been reached yet.
        clock: seconds of any clock that only moves forward.

    Attributes:
        messages: how many were published.
    """

    def __init__(
        self,
        document: NodeDocument,
        devices: Mapping[str, DeviceTags],
        *,
        started_ms: int,
        clock: Callable[[], float] = trio.current_time,
    ) -> None:
        uns = document.uns
        self.messages = 0
        self._clock = clock
        self._node = document.node
        self._uns = uns
        self._enabled = uns.enabled
        self._min_interval_s = uns.min_interval_s
        self._per_second = uns.max_messages_per_s
        self._qos = uns.qos
        self._send: Send | None = None
        self._devices: dict[str, Mirrored] = {}
        self._columns = Columns()
        self._ready: deque[int] = deque()
        self._later: list[tuple[float, int]] = []
        self._documents: deque[tuple[str, bytes | Mirrored]] = deque()
        self._gone: dict[str, None] = {}
        self._news = trio.Event()
        self.set_devices(document.devices, devices, started_ms)

    # What there is.

    def set_devices(
        self, documents: Iterable[Device], devices: Mapping[str, DeviceTags], now_ms: int
    ) -> None:
        """Mirror these devices from now on; the topics of those that are gone are cleared.

        Args:
            documents: the devices.
            devices: the tags of those that are enabled. The same object as before is the same
                device: nothing of it is told again.
            now_ms: since when a new device has not been reached yet.
        """
        if not self._enabled:
            return
        before, columns = self._devices, self._columns
        self._devices, self._columns = {}, Columns()
        for document in documents:
            if (tags := devices.get(document.name)) is None:
                continue
            known = before.get(document.name)
            if known is not None and known.tags is tags:
                del before[document.name]
                self._columns.take(columns, known)
                self._devices[document.name] = known
            else:
                self._add(document, tags, now_ms)
        for gone in before.values():
            self._gone.update(dict.fromkeys(columns.topics_of(gone)))
        self._forget_gone()
        self._reschedule()
        self._news.set()

    def _add(self, device: Device, tags: DeviceTags, now_ms: int) -> None:
        mirrored = self._columns.add(self._node, device_path(self._uns, device), device, tags)
        mirrored.status = encode_status(online=False, since_ms=now_ms, reason="not connected yet")
        self._devices[device.name] = mirrored
        self._documents.append((mirrored.meta_topic, mirrored))
        self._documents.append((mirrored.status_topic, mirrored.status))

    def clear(self, topics: Iterable[str]) -> int:
        """Clear those of some topics that no device has now; return how many these are."""
        before = len(self._gone)
        self._gone.update(dict.fromkeys(topics))
        self._forget_gone()
        self._news.set()
        return len(self._gone) - before

    def _forget_gone(self) -> None:
        """Have nothing published where nothing is any more, and nothing cleared that is in use."""
        if not self._gone:
            return
        for topic in self._columns.topics:
            self._gone.pop(topic, None)
        for mirrored in self._devices.values():
            self._gone.pop(mirrored.meta_topic, None)
            self._gone.pop(mirrored.status_topic, None)
        self._documents = deque(one for one in self._documents if one[0] not in self._gone)

    def _reschedule(self) -> None:
        """Have everything that waits published, although its column is another now."""
        self._ready.clear()
        self._later.clear()
        for tag, waits in enumerate(self._columns.waiting):
            if waits:
                self._schedule(tag)

    # What happens to the devices.

    def online(self, device: str, now_ms: int) -> None:
        """Publish a device's status and all its values."""
        if (mirrored := self._devices.get(device)) is None:
            return
        self._set_status(mirrored, encode_status(online=True, since_ms=now_ms))
        base = mirrored.base
        for group in mirrored.tags.groups.values():
            reporter = group.reporter
            for index in range(len(group.tags)):
                self._set(
                    base + group.base + index,
                    reporter.values[index],
                    reporter.timestamps_ms[index] or now_ms,
                    reporter.qualities[index],
                )

    def offline(self, device: str, now_ms: int, reason: str) -> None:
        """Publish that a device's values are of the past."""
        if (mirrored := self._devices.get(device)) is not None:
            self._set_status(mirrored, encode_status(online=False, since_ms=now_ms, reason=reason))

    def report(self, device: str, base: int, report: Report) -> None:
        """Take the news of one poll; ``base`` is the poll group's column in the device."""
        if (mirrored := self._devices.get(device)) is None:
            return
        column = mirrored.base + base
        if report.stamps is not None:
            for index, value, stamp in zip(
                report.indices, report.values, report.stamps, strict=True
            ):
                self._set(column + index, value, *stamp)
            return
        columns, timestamp_ms = self._columns, report.timestamp_ms
        values, times_ms, waiting = columns.values, columns.times_ms, columns.waiting
        told = columns.qualities
        qualities = mirrored.tags.qualities_at(base)
        # what _set does, without a call of it for each value
        for index, value in zip(report.indices, report.values, strict=True):
            tag, quality = column + index, qualities[index]
            values[tag] = value if quality == QUALITY_GOOD else None
            times_ms[tag] = timestamp_ms
            told[tag] = quality
            if not waiting[tag]:
                self._wait(tag)

    def _set(self, tag: int, value: Value, timestamp_ms: int, quality: int) -> None:
        columns = self._columns
        # A value that is not good is null: readers who look at nothing else must not take it.
        columns.values[tag] = value if quality == QUALITY_GOOD else None
        columns.times_ms[tag] = timestamp_ms
        columns.qualities[tag] = quality
        if not columns.waiting[tag]:
            self._wait(tag)

    def _wait(self, tag: int) -> None:
        self._columns.waiting[tag] = True
        self._schedule(tag)
        self._news.set()

    def _schedule(self, tag: int) -> None:
        due = self._columns.sent_at[tag] + self._min_interval_s
        if due <= self._clock():
            self._ready.append(tag)
        else:
            heappush(self._later, (due, tag))

    def _set_status(self, mirrored: Mirrored, status: bytes) -> None:
        mirrored.status = status
        self._documents.append((mirrored.status_topic, status))
        self._news.set()

    # What goes out.

    def attach(self, send: Send) -> None:
        """Begin with a new connection: its broker may have forgotten everything it retained."""
        self._send = send
        self._documents.clear()
        self._ready.clear()
        self._later.clear()
        for mirrored in self._devices.values():
            self._documents.append((mirrored.meta_topic, mirrored))
            self._documents.append((mirrored.status_topic, mirrored.status))
        waiting = self._columns.waiting
        for tag, timestamp_ms in enumerate(self._columns.times_ms):
            waiting[tag] = timestamp_ms > 0
            if timestamp_ms:
                self._ready.append(tag)
        self._news.set()

    def detach(self) -> None:
        """The connection is gone; what changes is remembered for the next."""
        self._send = None

    def send_offline(self, now_ms: int, reason: str) -> None:
        """Publish at once, and for good, that every device's values are of the past."""
        for device in self._devices:
            self.offline(device, now_ms, reason)
        while (self._gone or self._documents) and self._send is not None:
            self._send_document(self._send)

    async def run(self, is_congested: Callable[[], bool]) -> None:
        """Drain the map until cancelled.

        Args:
            is_congested: whether the connection has more to write than it can; then the map waits.
        """
        if not self._enabled:
            return
        allowance = max(1, int(self._per_second * BATCH_S))
        pause_s = max(BATCH_S, 1 / self._per_second)
        while True:
            await self._news.wait()
            if self._send is not None and not is_congested():
                self._drain(self._send, allowance)
            waits = self._ready or self._later or self._documents or self._gone
            if self._send is None or not waits:
                self._news = trio.Event()
            await trio.sleep(pause_s)

    def _drain(self, send: Send, allowance: int) -> None:
        """Publish what is due, at most ``allowance`` messages."""
        now = self._clock()
        later, ready = self._later, self._ready
        while later and later[0][0] <= now:
            ready.append(heappop(later)[1])
        while allowance > 0 and (self._gone or self._documents):
            allowance -= self._send_document(send)
        columns = self._columns
        topics, values, times_ms = columns.topics, columns.values, columns.times_ms
        qualities, units = columns.qualities, columns.units
        count = min(max(0, allowance), len(ready))
        for _ in range(count):
            tag = ready.popleft()
            columns.waiting[tag] = False
            columns.sent_at[tag] = now
            payload = encode_value(times_ms[tag], values[tag], qualities[tag], units[tag])
            send(topics[tag], payload, self._qos, True)
        self.messages += count

    def _send_document(self, send: Send) -> int:
        """Publish one document and return how many messages of values take as long."""
        took = 1
        if self._gone:  # first, since a topic may be taken again
            topic, payload = next(iter(self._gone)), b""
            del self._gone[topic]
        else:
            topic, document = self._documents.popleft()
            if isinstance(document, bytes):
                payload = document
            else:
                payload = document.encode_meta()
                took += len(document.tags.tags) // _TAGS_A_MESSAGE
        send(topic, payload, 1, True)
        self.messages += 1
        return took
