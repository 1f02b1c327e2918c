import pytest
from pydantic import ValidationError

from proto.control.broker import BrokerDocument
from proto.control.modbus import ModbusDevice
from proto.control.node import NodeDocument
from proto.control.status import DeviceStatus, NodeCounters, NodeStatus
from proto.control.topics import acknowledgement_topic, historian_status_topic, node_status_topic
from proto.sparkplug.topics import NodeId


@pytest.mark.parametrize(
    ("url", "host", "port", "tls"),
    [
        ("mqtt://broker", "broker", 1883, False),
        ("mqtts://broker", "broker", 8883, True),
        ("mqtt://10.0.0.7:1884", "10.0.0.7", 1884, False),
        ("mqtt://[::1]:1883", "::1", 1883, False),
        ("mqtts://broker.example.com:443/", "broker.example.com", 443, True),
    ],
)
def test_a_broker_address_says_host_port_and_tls(url: str, host: str, port: int, tls: bool) -> None:
    broker = BrokerDocument(url=url)
    assert (broker.host, broker.port, broker.tls) == (host, port, tls)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("broker:1883", "is not a broker address"),
        ("http://broker", "is not a broker address"),
        ("mqtt://", "is not a broker address"),
        ("mqtt://user:secret@broker", "credentials in the address"),
        ("mqtt://broker/path", "more than a host and a port"),
        ("mqtt://broker:0", "port 0 cannot be connected to"),
        ("mqtt://broker:99999", "Port out of range"),
    ],
)
def test_what_is_no_broker_address_is_refused(url: str, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        BrokerDocument(url=url)


def test_secrets_and_certificates_come_in_pairs_or_alone() -> None:
    with pytest.raises(ValidationError, match="expected one of them"):
        BrokerDocument(password_env="A", password_file="b")
    with pytest.raises(ValidationError, match="cert_file and key_file go together"):
        BrokerDocument(cert_file="c")


def test_device_names_are_unique() -> None:
    device = {
        "name": "press",
        "driver": "modbus",
        "connection": {"host": "h"},
        "tags": [{"name": "t", "address": "holding:0", "datatype": "int16"}],
    }
    document = {"node": {"group": "g", "edge": "e"}, "devices": [device, device]}
    with pytest.raises(ValidationError, match="stand more than once: press"):
        NodeDocument.model_validate(document)


def device_with(group: dict[str, object], **tag: object) -> ModbusDevice:
    return ModbusDevice.model_validate(
        {
            "name": "press",
            "driver": "modbus",
            "connection": {"host": "h"},
            "poll_groups": [{"name": "g"} | group],
            "tags": [{"name": "t", "address": "holding:0", "datatype": "int16"} | tag],
        }
    )


def test_an_adapting_group_rests_no_shorter_than_its_interval() -> None:
    device = device_with({"interval_s": 2, "max_interval_s": 60})
    assert device.poll_groups[0].max_interval_s == 60
    with pytest.raises(ValidationError, match="max_interval_s is 1, expected at least"):
        device_with({"interval_s": 2, "max_interval_s": 1})


def test_a_tag_that_must_not_be_silent_is_in_no_group_that_rests_longer() -> None:
    device_with({"max_interval_s": 60}, max_silence_s=60)
    with pytest.raises(ValidationError, match="tag 't': max_silence_s is 30, but its poll group"):
        device_with({"max_interval_s": 60}, max_silence_s=30)


def test_status_documents_read_back_as_they_were_written() -> None:
    status = NodeStatus(
        timestamp_ms=2,
        version="1",
        started_ms=1,
        counters=NodeCounters(points_published=3),
        devices={"press": DeviceStatus(state="offline", reason="no answer", since_ms=1)},
    )
    assert NodeStatus.model_validate_json(status.model_dump_json()) == status


def test_the_suites_topics_stand_below_the_prefix() -> None:
    node = NodeId("plant", "line-1")
    assert node_status_topic("$nexus", node) == "$nexus/status/plant/line-1"
    assert acknowledgement_topic("nexus", node) == "nexus/ack/plant/line-1"
    assert historian_status_topic("nexus", "h1") == "nexus/historian/h1/status"
