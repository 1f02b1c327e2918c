"""What a document says, checked and compiled."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from deploy.local.plant_document import format_toml
from edge_node.config import load
from edge_node.drivers.base import ConfigError
from edge_node.drivers.opcua.points import Point, compile_points
from edge_node.errors import ConfigurationRejected
from proto.control.node import NodeDocument
from proto.control.opcua import OpcUaConnection, OpcUaDevice
from proto.sparkplug.datatypes import DataType

URL = "opc.tcp://plc:4840"


def device(*tags: dict[str, Any], **changes: Any) -> OpcUaDevice:
    return OpcUaDevice.model_validate(
        {"name": "press", "driver": "opcua", "connection": {"url": URL}, "tags": tags} | changes
    )


def point(group: dict[str, Any] | None = None, **tag: Any) -> Point:
    whole = {"name": "t", "address": "ns=2;s=t", "datatype": "double", **tag}
    ((compiled,),) = compile_points(
        device(whole, poll_groups=[{"name": "g", **(group or {})}])
    ).values()
    return compiled


def test_a_deadband_is_told_in_the_servers_own_units() -> None:
    assert point(deadband=2.0, scale=0.5).deadband == 4.0
    assert point(deadband_percent=1.0, low=0, high=200, scale=-1).deadband == 2.0
    assert point(deadband=2.0, server_deadband=False).deadband == 0.0


def test_a_server_keeps_what_its_sampling_brings_between_two_messages() -> None:
    assert (point({"interval_s": 1.0}).sampling_ms, point().queue_size) == (1000.0, 1)
    fast = point({"interval_s": 1.0, "sampling_interval_s": 0.1})
    assert (fast.sampling_ms, fast.queue_size) == (100.0, 12)
    assert point({"sampling_interval_s": 0.1}, sampling_interval_s=0.5).sampling_ms == 500.0
    assert point({"queue_size": 50}).queue_size == 50


def test_datatypes_are_those_of_sparkplug() -> None:
    told = {
        ("bool", False): DataType.BOOLEAN,
        ("sbyte", False): DataType.INT8,
        ("datetime", False): DataType.DATETIME,
        ("guid", False): DataType.UUID,
        ("guid", True): DataType.STRING_ARRAY,
        ("localizedtext", False): DataType.STRING,
        ("bytestring", False): DataType.BYTES,
        ("structure", False): DataType.DATASET,
        ("structure", True): DataType.DATASET,
        ("float", True): DataType.FLOAT_ARRAY,
    }
    for (datatype, array), expected in told.items():
        assert point(datatype=datatype, array=array).datatype is expected


def test_every_wrong_address_is_told_at_once() -> None:
    with pytest.raises(ConfigError) as refused:
        compile_points(
            device(
                {"name": "a", "address": "40001", "datatype": "double"},
                {"name": "b", "address": "ns=2;i=x", "datatype": "double"},
                {"name": "c", "address": "ns=2;i=1", "datatype": "double"},
            )
        )
    assert [mistake.split(":")[0] for mistake in refused.value.mistakes] == [
        "press tag 'a'",
        "press tag 'b'",
    ]


@pytest.mark.parametrize(
    ("tag", "reason"),
    [
        ({"datatype": "string", "scale": 2}, "scale and offset do not apply to datatype 'string'"),
        ({"datatype": "bool", "deadband": 1}, "deadband does not apply to datatype 'bool'"),
        ({"datatype": "bytestring", "array": True}, "arrays of bytestring have no Sparkplug type"),
        ({"method_gives": "number"}, "method_gives is 'number' and method is missing"),
        (
            {"method": "ns=2;s=m", "method_gives": "number", "writable": True},
            "method_gives goes with what a method gives back",
        ),
        ({"method": "ns=2;s=m", "writable": True, "read_back": True}, "is not read"),
        ({"datatype": "structure", "publish_as": "template"}, "structure and fields go together"),
        ({"fields": [{"name": "x", "datatype": "double"}]}, "fields do not apply"),
        ({"method": "ns=2;s=m"}, "expected writable = true"),
        ({"method": "ns=2;s=m", "writable": True, "method_takes": "nothing"}, "expected bool"),
        ({"method": "ns=2;s=m", "writable": True, "datatype": "structure"}, "fields are missing"),
    ],
)
def test_what_contradicts_itself_is_refused(tag: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        point(**tag)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"url": "http://plc"}, "pattern"),
        ({"url": "opc.tcp://operator:secret@plc"}, "pattern"),
        ({"security_mode": "Sign"}, "expected both 'None' or neither"),
        ({"security_policy": "Basic256Sha256", "security_mode": "None"}, "expected both"),
        ({"cert_file": "a.der"}, "cert_file and key_file go together"),
        ({"user_key_file": "a.pem"}, "user_cert_file and user_key_file go together"),
        ({"username": "a"}, "username goes with password_env or password_file"),
        ({"password_env": "A"}, "username goes with password_env or password_file"),
        (
            {"username": "a", "password_env": "A", "password_file": "b"},
            "password_env and password_file are both set",
        ),
    ],
)
def test_a_connection_that_contradicts_itself_is_refused(
    settings: dict[str, Any], reason: str
) -> None:
    with pytest.raises(ValidationError, match=reason):
        OpcUaConnection.model_validate({"url": URL, **settings})


def test_a_policy_signs_and_encrypts_unless_told_otherwise() -> None:
    assert OpcUaConnection(url=URL).mode == "None"
    assert OpcUaConnection(url=URL, security_policy="Aes256Sha256RsaPss").mode == "SignAndEncrypt"


def structure(name: str, field: str) -> dict[str, Any]:
    return {
        "name": name,
        "address": f"ns=2;s={name}",
        "datatype": "structure",
        "publish_as": "template",
        "structure": "Point",
        "fields": [{"name": field, "datatype": "double"}],
    }


def test_structures_of_one_name_must_have_the_same_fields(tmp_path: Path) -> None:
    file = tmp_path / "edge.toml"
    node = {
        "node": {"group": "plant", "edge": "gateway"},
        "mqtt": {"url": "mqtt://127.0.0.1"},
        "devices": [
            {
                "name": "press",
                "driver": "opcua",
                "connection": {"url": URL},
                "tags": [structure("a", "x"), structure("b", "x"), structure("c", "y")],
            }
        ],
    }
    file.write_text(format_toml(NodeDocument.model_validate(node)))
    with pytest.raises(ConfigurationRejected) as refused:
        load(file)
    (mistake,) = refused.value.mistakes
    assert mistake == (
        f"{file}: devices[press].tags[c].structure: 'Point' has other fields than in"
        " devices[press].tags[a].structure"
    )
