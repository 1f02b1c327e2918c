"""The UNS mirror: a map of latest values, published as plain JSON at a bounded rate.

However fast tags change, a tag is published at most once each ``min_interval_s`` and all of them
together at most ``max_messages_per_s`` times a second; what comes in between is overwritten by what
is newer. It therefore never slows the Sparkplug path and never grows.
"""

from collections import deque
from collections.abc import Callable, Mapping
from heapq import heappop, heappush
from typing import Final

import trio

from edge_node.drivers.base import QUALITY_GOOD
from edge_node.pipeline.report import Report
from edge_node.pipeline.tags import DeviceTags
from edge_node.uns_topics import device_path
from proto.control.device import Device
from proto.control.node import NodeDocument
from proto.sparkplug.metrics import Value
from proto.uns.paths import format_meta_topic, format_status_topic, format_tag_topic
from proto.uns.payload import (
    TagDescription,
    encode_meta,
    encode_status,
    encode_unit,
    encode_value,
)

BATCH_S: Final = 0.02
"""How often the map is drained; a batch is what the rate allows in this time."""

Send = Callable[[str, bytes, int, bool], object]
"""Topic, payload, QoS, retain."""


class _Mirrored:
    """One device: its topics and where its tags lie in the columns."""

    __slots__ = ("base", "meta", "status", "status_topic", "tags")

    def __init__(
        self, base: int, tags: DeviceTags, meta: tuple[str, bytes], status: tuple[str, bytes]
    ) -> None:
        self.base = base
        self.tags = tags
        self.meta = meta
        self.status_topic, self.status = status


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
        self._enabled = uns.enabled
        self._min_interval_s = uns.min_interval_s
        self._per_second = uns.max_messages_per_s
        self._qos = uns.qos
        self._send: Send | None = None
        self._devices: dict[str, _Mirrored] = {}
        self._topics: list[str] = []
        self._units: list[str] = []
        if uns.enabled:
            for device in document.devices:
                if device.name in devices:
                    self._add(document, device, devices[device.name], started_ms)
        count = len(self._topics)
        self._values: list[Value] = [None] * count
        self._times_ms = [0] * count
        self._qualities = [0] * count
        self._sent_at = [float("-inf")] * count
        self._waiting = [False] * count
        self._ready: deque[int] = deque()
        self._later: list[tuple[float, int]] = []
        self._documents: deque[tuple[str, bytes]] = deque()
        self._news = trio.Event()

    def _add(
        self, document: NodeDocument, device: Device, tags: DeviceTags, started_ms: int
    ) -> None:
        path = device_path(document.uns, device)
        node = document.node
        meta = encode_meta(
            node.group,
            node.edge,
            device.name,
            [
                TagDescription(
                    tag.name,
                    tag.datatype,
                    tag.document.unit,
                    tag.document.description,
                    tag.document.low,
                    tag.document.high,
                    tag.document.writable,
                )
                for tag in tags.tags
            ],
        )
        status = encode_status(online=False, since_ms=started_ms, reason="not connected yet")
        self._devices[device.name] = _Mirrored(
            len(self._topics),
            tags,
            (format_meta_topic(path), meta),
            (format_status_topic(path), status),
        )
        self._topics += [format_tag_topic(path, tag.name) for tag in tags.tags]
        self._units += [encode_unit(tag.document.unit) for tag in tags.tags]

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
        qualities = mirrored.tags.qualities_at(base)
        timestamp_ms = report.timestamp_ms
        for index, value in zip(report.indices, report.values, strict=True):
            self._set(column + index, value, timestamp_ms, qualities[index])

    def _set(self, tag: int, value: Value, timestamp_ms: int, quality: int) -> None:
        # A value that is not good is null: readers who look at nothing else must not take it.
        self._values[tag] = value if quality == QUALITY_GOOD else None
        self._times_ms[tag] = timestamp_ms
        self._qualities[tag] = quality
        if not self._waiting[tag]:
            self._waiting[tag] = True
            due = self._sent_at[tag] + self._min_interval_s
            if due <= self._clock():
                self._ready.append(tag)
            else:
                heappush(self._later, (due, tag))
            self._news.set()

    def _set_status(self, mirrored: _Mirrored, status: bytes) -> None:
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
            self._documents.append(mirrored.meta)
            self._documents.append((mirrored.status_topic, mirrored.status))
        for tag, timestamp_ms in enumerate(self._times_ms):
            self._waiting[tag] = timestamp_ms > 0
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
        while self._documents and self._send is not None:
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
            if self._send is None or not (self._ready or self._later or self._documents):
                self._news = trio.Event()
            await trio.sleep(pause_s)

    def _drain(self, send: Send, allowance: int) -> None:
        """Publish what is due, at most ``allowance`` messages."""
        now = self._clock()
        later, ready = self._later, self._ready
        while later and later[0][0] <= now:
            ready.append(heappop(later)[1])
        while allowance and self._documents:
            self._send_document(send)
            allowance -= 1
        topics, values, times_ms = self._topics, self._values, self._times_ms
        qualities, units = self._qualities, self._units
        count = min(allowance, len(ready))
        for _ in range(count):
            tag = ready.popleft()
            self._waiting[tag] = False
            self._sent_at[tag] = now
            payload = encode_value(times_ms[tag], values[tag], qualities[tag], units[tag])
            send(topics[tag], payload, self._qos, True)
        self.messages += count

    def _send_document(self, send: Send) -> None:
        topic, payload = self._documents.popleft()
        send(topic, payload, 1, True)
        self.messages += 1
