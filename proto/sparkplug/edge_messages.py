"""The messages of an edge node and the one seq they share (specification 6.4.17 to 6.4.25).

Every message but NDEATH takes the next seq: 0 with NBIRTH, 255 → 0 (4.3). Which message may be said
when is the session's business.
"""

from typing import Final

from proto.sparkplug import samples
from proto.sparkplug.codec import Metric, Payload, encode_payload
from proto.sparkplug.datatypes import DataType
from proto.sparkplug.edge_events import EdgeOptions
from proto.sparkplug.edge_inventory import EdgeDevice
from proto.sparkplug.edge_metrics import MetricTable
from proto.sparkplug.messages import Publish
from proto.sparkplug.metrics import BD_SEQ, REBIRTH
from proto.sparkplug.topics import MessageType, NodeId, format_topic

NUMBERS: Final = 256
"""seq and bdSeq count 0 to 255 and start over."""

BD_SEQ_ALIAS: Final = 0
"""The pool of aliases begins at 1."""


class EdgeMessages:
    """Writes a node's messages: QoS 0 but for NDEATH, which is QoS 1; none is retained."""

    def __init__(self, node: NodeId, options: EdgeOptions) -> None:
        self._node = node
        self._options = options
        self._seq = 0
        self._nbirth, self._ndeath, self._ndata = (
            format_topic(kind, node)
            for kind in (MessageType.NBIRTH, MessageType.NDEATH, MessageType.NDATA)
        )
        self._ddata: dict[str, str] = {}

    def nbirth(self, table: MetricTable, bd_seq: int, now_ms: int) -> Publish:
        """The node's birth; seq starts over. bdSeq is that of the connection's will."""
        self._seq = 0
        # Where aliases are used every metric of a birth has one (6.4.6), but for the rebirth
        # command, which must not (5.17).
        alias = BD_SEQ_ALIAS if self._options.aliases else None
        own = (
            Metric(BD_SEQ, DataType.INT64, bd_seq, now_ms, alias),
            Metric(REBIRTH, DataType.BOOLEAN, False, now_ms),
        )
        return self._birth(self._nbirth, [*table.births(now_ms), *own], now_ms)

    def dbirth(self, device: EdgeDevice, now_ms: int) -> Publish:
        """A device's birth; it counts as born from here on."""
        device.born = True
        topic = format_topic(MessageType.DBIRTH, self._node, device.name)
        return self._birth(topic, device.table.births(now_ms), now_ms)

    def data(self, device: str | None, metrics: list[bytes], now_ms: int) -> Publish:
        """NDATA or DDATA of metrics that are encoded already."""
        payload = samples.close_payload(metrics, self._take_seq(), now_ms)
        return Publish(self._ndata if device is None else self._ddata_topic(device), payload)

    def ddeath(self, device: EdgeDevice, now_ms: int) -> Publish:
        """A device's death; it counts as born no longer."""
        device.born = False
        topic = format_topic(MessageType.DDEATH, self._node, device.name)
        return Publish(topic, encode_payload(Payload(now_ms, self._take_seq())))

    def ndeath(self, bd_seq: int, now_ms: int) -> Publish:
        """One metric that tells whose death it is, and no seq: the will, or said by hand."""
        metric = Metric(BD_SEQ, DataType.INT64, bd_seq, now_ms)
        return Publish(self._ndeath, encode_payload(Payload(now_ms, None, (metric,))), qos=1)

    def _birth(self, topic: str, metrics: list[Metric], now_ms: int) -> Publish:
        metrics.sort(key=lambda metric: metric.timestamp_ms or 0)  # chronological order (5.16)
        payload = Payload(now_ms, self._take_seq(), tuple(metrics))
        return Publish(topic, encode_payload(payload, uint32_as_long=self._options.uint32_as_long))

    def _take_seq(self) -> int:
        seq = self._seq
        self._seq = (seq + 1) % NUMBERS
        return seq

    def _ddata_topic(self, device: str) -> str:
        topic = self._ddata.get(device)
        if topic is None:
            topic = self._ddata[device] = format_topic(MessageType.DDATA, self._node, device)
        return topic
