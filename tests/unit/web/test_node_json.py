from proto.sparkplug.datatypes import DataType
from proto.sparkplug.metrics import Metric, Template
from proto.sparkplug.node_view import MetricView
from web.node_json import metric_to_json


def test_a_template_instance_is_shown_by_its_members_and_offered_for_no_write() -> None:
    view = MetricView("Motors/M1", DataType.TEMPLATE)
    view.value = Template(
        (
            Metric("Speed", DataType.INT16, -5),
            Metric("Total", DataType.UINT64, 2**63),
            Metric("Drive", DataType.TEMPLATE, Template((Metric("on", DataType.BOOLEAN),), "D")),
        ),
        "Motor",
    )

    shown = metric_to_json(view)

    assert shown["value"] == {"Speed": -5, "Total": str(2**63), "Drive": {"on": None}}
    assert shown["writable"] is False


def test_a_plain_metric_is_writable_unless_its_birth_says_otherwise() -> None:
    assert metric_to_json(MetricView("m", DataType.INT16))["writable"] is True
