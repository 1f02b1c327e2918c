import json

import pytest

from host_app.uns_status import find_device_path, offline_statuses
from proto.sparkplug.datatypes import DataType
from proto.sparkplug.metrics import Property
from proto.sparkplug.node_view import Branch, DeviceView, MetricView, NodeView
from proto.sparkplug.topics import NodeId


def add(branch: Branch, name: str, uns_path: object = None) -> None:
    metric = MetricView(name, DataType.DOUBLE)
    if uns_path is not None:
        metric.properties = {"unsPath": Property(DataType.STRING, uns_path)}  # type: ignore[arg-type]
    branch.metrics[name] = metric


@pytest.mark.parametrize(
    ("name", "uns_path", "found"),
    [
        ("temperature", "uns/acme/press/temperature", "uns/acme/press"),
        ("oil/temperature", "uns/acme/press/oil/temperature", "uns/acme/press"),
        ("temperature", "uns/acme/press/other", None),
        ("temperature", "uns//press/temperature", None),
        ("temperature", "uns/+/press/temperature", None),
        ("temperature", "$SYS/press/temperature", None),
        ("temperature", 5, None),
        ("temperature", None, None),
    ],
)
def test_device_path_is_what_stands_before_the_metrics_name(
    name: str, uns_path: object, found: str | None
) -> None:
    device = DeviceView("press")
    add(device, name, uns_path)
    assert find_device_path(device) == found


def test_devices_that_died_with_their_node_are_told_offline_and_no_others() -> None:
    node = NodeView(NodeId("plant", "line-1"))
    for name, died_ms in (("press", 5000), ("saw", 3000)):
        device = node.devices[name] = DeviceView(name)
        device.online = True
        add(device, "speed", f"uns/acme/{name}/speed")
        if died_ms == 3000:
            device.die(died_ms)
    node.online = True
    node.die(5000)
    [message] = offline_statuses(node, "cut off")
    assert (message.topic, message.qos, message.retain) == ("uns/acme/press/_status", 1, True)
    assert json.loads(message.payload) == {
        "online": False,
        "since_ms": 5000,
        "reason": "cut off",
    }
