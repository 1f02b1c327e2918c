"""A whole edge node on a foreign OPC UA server: births, data, a write, a restart."""

from pathlib import Path
from typing import Any

import pytest

from deploy.local.broker import MqttBroker
from proto.control.node import NodeDocument
from proto.sparkplug.codec import Payload
from proto.sparkplug.datatypes import DataType
from proto.sparkplug.topics import MessageType, NodeId, Topic
from tests.interop.observer import Observer
from tests.interop.opcua_stranger import URI, Stranger
from tests.interop.roles import EdgeNode

NODES = {
    "Setpoint": "double",
    "Count": "int32",
    "Scalar.UInt64": "uint64",
    "Recipe": "structure",
    "Nowhere": "double",
}


def configuration(broker: MqttBroker, edge: str, url: str, folder: Path) -> NodeDocument:
    return NodeDocument.model_validate(
        {
            "node": {"group": "interop", "edge": edge, "state_dir": folder / "state"},
            "mqtt": {"url": broker.url},
            "sparkplug": {"aliases": False},
            "uns": {"enabled": False},
            "devices": [
                {
                    "name": "stranger",
                    "driver": "opcua",
                    "connection": {"url": url, "watchdog_s": 2},
                    "poll_groups": [{"name": "told", "interval_s": 0.2}],
                    "tags": [
                        {
                            "name": name,
                            "address": f"nsu={URI};s={name}",
                            "datatype": datatype,
                            "writable": name == "Setpoint",
                        }
                        for name, datatype in NODES.items()
                    ],
                }
            ],
        }
    )


def values(payload: Payload) -> dict[str | None, Any]:
    return {metric.name: metric.value for metric in payload.metrics}


@pytest.mark.timeout(300)
def test_a_stranger_is_published_written_lost_and_found(
    own_stranger: Stranger, module_mqtt_broker: MqttBroker, edge_name: str, tmp_path: Path
) -> None:
    node = NodeId("interop", edge_name)

    def has(name: str, value: object) -> Any:
        def is_it(topic: Topic, payload: Payload) -> bool:
            about = topic.message_type in {MessageType.DDATA, MessageType.DBIRTH}
            return about and topic.node == node and values(payload).get(name) == value

        return is_it

    document = configuration(module_mqtt_broker, edge_name, own_stranger.url, tmp_path)
    with Observer(module_mqtt_broker.port) as seen, EdgeNode(tmp_path, document) as edge:
        born = values(seen.wait(MessageType.DBIRTH, node, "stranger"))
        assert born["Setpoint"] == 1.5
        assert born["Scalar.UInt64"] == 2**64 - 1
        assert born["Nowhere"] is None
        assert born["Recipe"].rows[0][:2] == ("Raspberry", 2.5)
        counted = born["Count"]
        seen.wait_where(
            "a higher count",
            lambda t, p: t.node == node and (values(p).get("Count") or 0) > counted,
            timeout_s=60,
        )

        own_stranger.set("Setpoint", 2.5)
        seen.wait_where("a change", has("Setpoint", 2.5), timeout_s=60)
        seen.command(node, "stranger", "Setpoint", DataType.DOUBLE, 3.5)
        seen.wait_where("what was written", has("Setpoint", 3.5), timeout_s=60)

        own_stranger.restart(spare=1)
        seen.wait(MessageType.DDEATH, node, "stranger")
        again, timeout_s = Topic(MessageType.DBIRTH, node, "stranger"), 60
        _, birth = seen.wait_where("rebirth", lambda t, _: t == again, timeout_s)
        assert values(birth)["Setpoint"] == 1.5
        edge.stop()
