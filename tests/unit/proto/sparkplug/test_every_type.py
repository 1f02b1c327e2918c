"""Each data type on its whole way: told by an edge session, followed by a host, written back."""

import pytest

from proto.sparkplug.datatypes import METRIC_TYPES, DataType
from proto.sparkplug.edge_events import EdgeOptions, WriteRequested
from proto.sparkplug.edge_session import EdgeSession
from proto.sparkplug.host_tracker import HostTracker
from proto.sparkplug.messages import Publish
from proto.sparkplug.metrics import QUALITY_GOOD, Metric, Template, Value
from tests.unit.proto.sparkplug.edge_world import NODE, T0
from tests.unit.proto.sparkplug.test_samples import VALUES


@pytest.mark.parametrize("aliases", [True, False])
@pytest.mark.parametrize("datatype", sorted(METRIC_TYPES), ids=lambda datatype: datatype.label)
def test_a_type_is_born_told_and_written(datatype: DataType, aliases: bool) -> None:
    edge = EdgeSession(NODE, options=EdgeOptions(aliases=aliases))
    definition = Template((Metric("m", DataType.UINT32, None),), is_definition=True)
    metrics = [Metric("x", datatype, None, T0)]
    edge.set_node_metrics([Metric("T", DataType.TEMPLATE, definition, T0)])
    edge.set_device("device", metrics)
    edge.device_online("device", T0)
    edge.connect(T0)
    host = HostTracker(host_id="scada")

    def tell(*messages: Publish | None) -> Value:
        for message in messages:
            assert message is not None
            host.receive(message.topic, message.payload, T0)
        metric = host.nodes[NODE].metric("device", "x")
        assert metric is not None
        assert metric.datatype is datatype
        return metric.value

    assert tell(*edge.connected(T0)) is None
    alias = edge.alias("device", "x")
    for at_ms, value in enumerate(VALUES[datatype], T0 + 1):
        assert tell(edge.data("device", [(alias, value, at_ms, QUALITY_GOOD)], at_ms)) == value
        assert tell(*edge.rebirth(at_ms)) == value
        command = host.command(NODE, "device", "x", value, at_ms)
        assert edge.receive(command.topic, command.payload, at_ms) == [
            WriteRequested("device", "x", alias, datatype, value)
        ]
    assert tell(edge.data("device", [(alias, None, at_ms, QUALITY_GOOD)], at_ms)) is None
    assert host.nodes[NODE].diagnostics.violation_count == 0
