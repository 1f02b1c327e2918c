"""Flattened or as instances: hosts end with the same values, qualities and times."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from edge_node.counters import Counters
from edge_node.metrics import define_metrics
from edge_node.pipeline.tags import DeviceTags
from edge_node.publisher import Publisher, PublisherOptions
from edge_node.templates import InstancePacker, define_templates
from edge_node.uns import UnsMirror
from proto.control.modbus import ModbusDevice
from proto.control.node import NodeDocument
from proto.control.template_expansion import expand_templates
from proto.sparkplug.edge_session import EdgeSession
from proto.sparkplug.host_tracker import HostTracker
from proto.sparkplug.messages import Publish
from proto.sparkplug.metrics import QUALITY_GOOD, Template, is_control
from proto.sparkplug.topics import NodeId
from tests.unit.edge_node.fakes import FakeDriver

NODE = NodeId("g", "e")
MEMBERS = [
    {"name": name, "address": "holding:{base}", "datatype": "int16", "poll_group": group}
    for name, group in (("Speed", "fast"), ("Heat", "slow"), ("Drive/Load", "fast"))
]
DATA: dict[str, Any] = {
    "templates": [
        {
            "name": "Motor",
            "parameters": [{"name": "base", "datatype": "integer"}],
            "members": MEMBERS,
        }
    ],
    "devices": [
        {
            "name": "d",
            "driver": "modbus",
            "connection": {"host": "h"},
            "poll_groups": [{"name": "fast"}, {"name": "slow"}],
            "tags": [{"name": "State", "address": "holding:0", "datatype": "int16"}],
            "instances": [
                {"template": "Motor", "name": name, "parameters": {"base": 10}}
                for name in ("M1", "Line/M2")
            ],
        }
    ],
}


class Side:
    """An edge node without its drivers, and the host that hears it."""

    def __init__(self, *, instances: bool) -> None:
        expansion = expand_templates(DATA)
        device = ModbusDevice.model_validate(expansion.data["devices"][0])
        self.now_ms = 1_700_000_000_000
        self.tags = DeviceTags(device.tags, FakeDriver(device).groups)
        self.counters = Counters()
        self.host = HostTracker(host_id="h")
        empty = NodeDocument.model_validate(
            {"node": {"group": "g", "edge": "e"}, "uns": {"enabled": False}}
        )
        self.publisher = Publisher(
            EdgeSession(NODE),
            UnsMirror(empty, {}, started_ms=0),
            self.counters,
            options=PublisherOptions(0.0),
            now_ms=lambda: self.now_ms,
        )
        own = expansion.instances["d"]
        definitions = define_templates({"d": self.tags}, expansion.instances, "plain")
        self.publisher.define_node(definitions if instances else [])
        self.publisher.define_device(
            "d",
            self.tags,
            define_metrics(self.tags, None),
            InstancePacker(self.tags, own) if instances else None,
        )
        self.publisher.prepare()
        self.publisher.attach(self.hear)
        self.online = False

    def hear(self, message: Publish) -> bool:
        self.host.receive(message.topic, message.payload, self.now_ms)
        return True

    def poll(self, group: str, values: list[int | None]) -> None:
        pipeline = self.tags.groups[group]
        bad = {index: "no answer" for index, value in enumerate(values) if value is None}
        report = pipeline.reporter.report(self.now_ms, list(values), bad)
        if report is not None and self.online:
            self.publisher.device_report("d", pipeline.base, report)

    def step(self, step: Any) -> None:
        self.now_ms += 10
        if step == "online":
            self.online = True
            self.publisher.device_online("d")
        elif step == "offline":
            self.online = False
            self.publisher.device_offline("d", "lost")
        elif step == "rebirth":
            self.publisher.rebirth_device("d")
        else:
            group, values = step
            self.poll(group, values[: len(self.tags.groups[group].tags)])

    def picture(self) -> dict[str, tuple[Any, int, int]]:
        view = self.host.nodes[NODE].devices.get("d")
        found: dict[str, tuple[Any, int, int]] = {}
        for metric in view.metrics.values() if view is not None and view.online else ():
            if is_control(metric.name):
                continue
            if not isinstance(metric.value, Template):
                found[metric.name] = (metric.value, metric.quality, metric.timestamp_ms)
                continue
            for member in metric.value.metrics:
                quality = (member.properties or {}).get("Quality")
                found[f"{metric.name}/{member.name}"] = (
                    member.value,
                    QUALITY_GOOD if quality is None else int(str(quality.value)),
                    member.timestamp_ms or 0,
                )
        return found


VALUES = st.lists(st.none() | st.integers(-3, 3), min_size=7, max_size=7)
STEPS = st.sampled_from(("online", "offline", "rebirth")) | st.tuples(
    st.sampled_from(("fast", "slow")), VALUES
)


@given(st.lists(STEPS, max_size=30))
def test_instances_and_flattened_members_carry_the_same(steps: list[Any]) -> None:
    flat, gathered = Side(instances=False), Side(instances=True)
    everything = ("fast", [1] * 7), ("slow", [2] * 7), "online"
    for step in (*everything, *steps):
        flat.step(step)
        gathered.step(step)
        assert flat.picture() == gathered.picture()
    assert gathered.counters.points_published < flat.counters.points_published
