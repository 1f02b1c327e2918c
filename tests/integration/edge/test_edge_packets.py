"""What an edge node sends to its broker, packet by packet, in both versions of MQTT."""

from pathlib import Path

import pytest
import trio

from edge_node.bd_seq import BdSeqFile
from proto.sparkplug.codec import decode_payload
from proto.sparkplug.datatypes import DataType
from proto.sparkplug.metrics import Value
from proto.sparkplug.topics import NodeId
from tests.integration.edge.bench import (
    Listener,
    Plc,
    check_transcript,
    node_document,
    press,
    running,
)
from tests.integration.edge.edge_broker import Broker, Gate
from tests.integration.edge.packets import (
    CONNECT,
    DISCONNECT,
    PUBACK,
    PUBLISH,
    SUBSCRIBE,
    read_connect,
    read_subscribe,
    read_topic,
    split,
)

pytestmark = [pytest.mark.trio, pytest.mark.parametrize("protocol", ["3.1.1", "5"])]


@pytest.fixture
async def gate(edge_broker: Broker, nursery: trio.Nursery) -> Gate:
    made = Gate(edge_broker)
    await made.open(nursery)
    return made


@pytest.mark.rule("edge-3", "edge-4", "edge-6", "edge-18")
@pytest.mark.tck(
    "principles-persistence-clean-session-311",
    "principles-persistence-clean-session-50",
    "message-flow-edge-node-ncmd-subscribe",
    "message-flow-device-dcmd-subscribe",
    "message-flow-edge-node-birth-publish-connect",
    "message-flow-edge-node-birth-publish-will-message",
    "message-flow-edge-node-birth-publish-will-message-topic",
    "message-flow-edge-node-birth-publish-will-message-payload",
    "message-flow-edge-node-birth-publish-will-message-payload-bdSeq",
    "message-flow-edge-node-birth-publish-will-message-qos",
    "message-flow-edge-node-birth-publish-will-message-will-retained",
    "payloads-ndeath-will-message-publisher-disconnect-mqtt311",
    "payloads-ndeath-will-message-publisher-disconnect-mqtt50",
)
async def test_a_session_from_its_connect_to_its_disconnect(
    gate: Gate, heard: Listener, plc: Plc, tmp_path: Path, protocol: str
) -> None:
    document = node_document(
        gate,
        tmp_path,
        press(plc),
        mqtt={"protocol": protocol, "keep_alive_s": 7},
        sparkplug={"primary_host": "scada"},
    )
    heard.watcher.publish("spBv1.0/STATE/scada", b'{"online": true, "timestamp": 1}', retain=True)
    async with running(document):
        nbirth = await heard.wait("NBIRTH")
        await heard.wait("DBIRTH")
    await heard.wait("NDEATH")
    (sent,) = gate.sent
    packets = [packet for packet in split(bytes(sent)) if packet[0] != PUBACK]
    assert [kind for kind, _, _ in packets[:3]] == [CONNECT, SUBSCRIBE, PUBLISH]
    connect = read_connect(packets[0][2])
    assert connect.version == (5 if protocol == "5" else 4)
    assert connect.clean
    assert connect.session_expiry_s == 0
    assert connect.keep_alive_s == 7
    assert connect.will_topic == "spBv1.0/plant/NDEATH/line-1"
    assert (connect.will_qos, connect.will_retain) == (1, False)
    (bd_seq,) = decode_payload(connect.will_payload).metrics
    assert (bd_seq.name, bd_seq.datatype) == ("bdSeq", DataType.INT64)
    assert bd_seq.value == nbirth.metric("bdSeq").value
    assert read_subscribe(packets[1][2], connect.version) == {
        "spBv1.0/plant/NCMD/line-1": 1,
        "spBv1.0/plant/DCMD/line-1/#": 1,
        "spBv1.0/STATE/scada": 1,
    }
    topics = [read_topic(body) for kind, _, body in packets if kind == PUBLISH]
    sparkplug = [topic for topic in topics if topic.startswith("spBv1.0/")]
    assert sparkplug[0] == "spBv1.0/plant/NBIRTH/line-1"
    assert sparkplug[-2:] == [
        "spBv1.0/plant/DDEATH/line-1/press",
        "spBv1.0/plant/NDEATH/line-1",
    ]
    kind, _, body = packets[-1]
    assert kind == DISCONNECT
    assert body == (b"\x04" if protocol == "5" else b"")


@pytest.mark.rule("edge-1")
@pytest.mark.tck("topics-nbirth-bdseq-increment", "payloads-ndeath-bdseq")
async def test_bd_seq_starts_over_after_255(
    edge_broker: Broker, heard: Listener, plc: Plc, tmp_path: Path, protocol: str
) -> None:
    state = BdSeqFile(tmp_path, NodeId("plant", "line-1"))
    state.write(255)
    state.close()
    document = node_document(edge_broker, tmp_path, press(plc), mqtt={"protocol": protocol})
    for count in (1, 2):
        async with running(document):
            await heard.wait("NBIRTH", count)
    numbers = [said.metric("bdSeq").value for said in heard.said if said.kind == "NBIRTH"]
    assert numbers == [255, 0]

    def deaths() -> set[Value]:
        return {said.metric("bdSeq").value for said in heard.said if said.kind == "NDEATH"}

    await heard.watcher.wait_for(lambda _: deaths() == {0, 255})


@pytest.mark.rule("edge-9")
@pytest.mark.tck(
    "payloads-sequence-num-incrementing",
    "payloads-ddata-seq-inc",
    "payloads-ddeath-seq-inc",
)
async def test_one_sequence_counts_all_messages_and_starts_over_after_255(
    edge_broker: Broker, heard: Listener, plc: Plc, tmp_path: Path, protocol: str
) -> None:
    devices = [press(plc, f"press-{n}", uns_path=f"p/{n}") for n in range(12)]
    document = node_document(
        edge_broker,
        tmp_path,
        *devices,
        mqtt={"protocol": protocol},
        sparkplug={"batch_window_s": 0},
        uns={"enabled": False},
    )
    async with running(document):
        await heard.wait("DBIRTH", 12)
        for number in range(100, 130):
            plc.unit.registers[1] = number
            await heard.wait_value("press-11", "count", number)
    await heard.wait("NDEATH")
    assert len(heard.said) > 300
    check_transcript(heard.said)
