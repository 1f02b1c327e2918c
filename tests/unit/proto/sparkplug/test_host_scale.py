"""Ten thousand devices, behind one node or many: each is followed, and none costs another."""

import pytest

from proto.sparkplug.codec import Metric, Payload, decode_payload, encode_payload
from proto.sparkplug.datatypes import DataType
from proto.sparkplug.host_events import DeviceBorn, MetricsChanged, NodeDied
from proto.sparkplug.host_tracker import HostAction, HostTracker
from proto.sparkplug.messages import Publish
from proto.sparkplug.metrics import BD_SEQ, REBIRTH
from proto.sparkplug.topics import MessageType, NodeId, format_topic, parse_topic
from tests.unit.proto.sparkplug.host_world import OPTIONS, T0

DEVICES = 10_000


class Fleet:
    """Nodes with their devices; aliases and seq count through each node."""

    def __init__(self, nodes: int) -> None:
        self.nodes = [NodeId("plant", f"line-{number}") for number in range(nodes)]
        self.devices = [f"device-{number}" for number in range(DEVICES // nodes)]
        self.host = HostTracker(host_id="scada", options=OPTIONS)
        self.now_ms = T0

    def send(
        self, kind: MessageType, node: NodeId, device: str | None, *metrics: Metric, seq: int
    ) -> list[HostAction]:
        payload = encode_payload(Payload(self.now_ms, seq % 256, metrics))
        return self.host.receive(format_topic(kind, node, device), payload, self.now_ms)

    def birth(self, node: NodeId) -> list[HostAction]:
        control = Metric(REBIRTH, DataType.BOOLEAN, False, self.now_ms)
        bd_seq = Metric(BD_SEQ, DataType.INT64, 0, self.now_ms)
        actions = self.send(MessageType.NBIRTH, node, None, control, bd_seq, seq=0)
        for number, device in enumerate(self.devices):
            metric = Metric("value", DataType.INT32, number, self.now_ms, alias=number)
            actions += self.send(MessageType.DBIRTH, node, device, metric, seq=number + 1)
        return actions


@pytest.mark.parametrize("nodes", [1, 100, 5_000])
def test_ten_thousand_devices_are_followed_each_by_itself(nodes: int) -> None:
    fleet = Fleet(nodes)
    host = fleet.host
    actions = [action for node in fleet.nodes for action in fleet.birth(node)]
    assert sum(isinstance(action, DeviceBorn) for action in actions) == DEVICES
    assert not [action for action in actions if isinstance(action, Publish)], "asked for births"
    assert host.tick(T0 + 3_600_000) == [], "something was missing"
    views = [device for node in host.nodes.values() for device in node.devices.values()]
    assert len(views) == DEVICES
    assert all(view.online for view in views)

    last, name = fleet.nodes[-1], fleet.devices[-1]
    changed = Metric(alias=len(fleet.devices) - 1, value=77_777, timestamp_ms=T0)
    next_seq = len(fleet.devices) + 1
    [told] = fleet.send(MessageType.DDATA, last, name, changed, seq=next_seq)
    assert isinstance(told, MetricsChanged)
    values = [view.metrics["value"].value for view in views]
    assert values.count(77_777) == 1
    fleet.send(MessageType.DDEATH, last, name, seq=next_seq + 1)
    assert sum(not view.online for view in views) == 1

    death = encode_payload(Payload(T0, None, (Metric(BD_SEQ, DataType.INT64, 0, T0),)))
    actions = host.receive(format_topic(MessageType.NDEATH, fleet.nodes[0]), death, T0 + 1)
    assert actions == [NodeDied(fleet.nodes[0], "NDEATH")]
    stale = [view.metrics["value"].stale for view in views]
    assert sum(stale) == len(fleet.devices) + (0 if nodes == 1 else 1)

    host.lost_connection(T0 + 2)
    assert all(view.metrics["value"].stale for view in views)
    host.reconnected(T0 + 3)
    asked: list[NodeId] = []
    while len(asked) < nodes and (due_ms := host.next_deadline_ms) is not None:
        fleet.now_ms = due_ms
        for action in host.tick(due_ms):
            if isinstance(action, Publish):
                assert decode_payload(action.payload).metrics[0].name == REBIRTH
                asked.append(parse_topic(action.topic).node)
                fleet.birth(asked[-1])
    assert asked == fleet.nodes, "each node is asked for its births once, one after the other"
    assert all(view.online for view in views), "births are taken by the views that were there"
