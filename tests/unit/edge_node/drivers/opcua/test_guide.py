"""The guide names every setting, type, profile and trouble that the driver has."""

import tomllib
from pathlib import Path
from typing import get_args

import pytest
from asyncua import ua

from deploy.local.plant.opcua_faults import TIMES, WIRE
from edge_node.drivers.opcua import reasons
from edge_node.drivers.opcua.driver import OpcUaDriver
from edge_node.drivers.opcua.profiles import PROFILES
from proto.control.device import Device, PollGroup, Tag
from proto.control.opcua import (
    OpcUaConnection,
    OpcUaDevice,
    OpcUaGroup,
    OpcUaScalar,
    OpcUaTag,
    SecurityPolicyName,
)

GUIDE = Path("docs/guide/drivers/opcua.md").read_text()
SETTINGS = [
    *OpcUaConnection.model_fields,
    *(name for name in OpcUaGroup.model_fields if name not in PollGroup.model_fields),
    *(name for name in OpcUaTag.model_fields if name not in Tag.model_fields),
]
MET = [
    ua.StatusCodes.BadNodeIdUnknown,
    ua.StatusCodes.BadNotWritable,
    ua.StatusCodes.BadAttributeIdInvalid,
    ua.StatusCodes.BadUserAccessDenied,
    ua.StatusCodes.BadTypeMismatch,
    ua.StatusCodes.BadTooManyMonitoredItems,
    ua.StatusCodes.BadNoMatch,
    ua.StatusCodes.BadWaitingForInitialData,
    ua.StatusCodes.BadNoCommunication,
]


def blocks(kind: str) -> list[str]:
    return [part.partition("```")[0] for part in GUIDE.split(f"```{kind}\n")[1:]]


@pytest.mark.parametrize("setting", SETTINGS)
def test_every_setting_is_in_the_guide(setting: str) -> None:
    assert f"`{setting}`" in GUIDE or f"{setting} =" in GUIDE


@pytest.mark.parametrize("name", [*get_args(OpcUaScalar), *get_args(SecurityPolicyName)])
def test_every_type_and_policy_is_in_the_guide(name: str) -> None:
    assert f"`{name}`" in GUIDE


@pytest.mark.parametrize("profile", PROFILES.values(), ids=lambda profile: profile.name)
def test_every_profile_is_in_the_guide_with_its_batch(profile: object) -> None:
    assert f"| `{profile.name}` | {profile.batch}" in GUIDE  # type: ignore[attr-defined]


@pytest.mark.parametrize("code", MET)
def test_what_nodes_suffer_from_is_explained_in_the_drivers_words(code: int) -> None:
    meaning = reasons.explain_node(code).partition(":")[0]
    assert f"| `{meaning}` |" in GUIDE


@pytest.mark.parametrize("code", ["BadTooManySessions", "BadTooManySubscriptions"])
def test_what_connections_suffer_from_is_explained_in_the_drivers_words(code: str) -> None:
    meaning = reasons.explain_server(getattr(ua.StatusCodes, code)).partition(":")[0]
    assert f"| `{meaning}` |" in GUIDE


@pytest.mark.parametrize("kind", [*WIRE, *TIMES, "status"])
def test_every_fault_of_the_simulator_is_in_the_guide(kind: str) -> None:
    assert f"| `{kind}=" in GUIDE


@pytest.mark.parametrize("block", blocks("toml"))
def test_every_example_is_a_device_that_the_driver_takes(block: str) -> None:
    given = tomllib.loads(block)["devices"]
    for device in given if isinstance(given, list) else [given]:
        # what shows a tag alone is the tag of some device
        whole = {
            "name": "Press 1",
            "driver": "opcua",
            "connection": {"url": "opc.tcp://192.0.2.31:4840"},
            **device,
        }
        assert set(whole) <= {*OpcUaDevice.model_fields, *Device.model_fields}
        OpcUaDriver(OpcUaDevice.model_validate(whole))


@pytest.mark.parametrize(
    ("module", "message"),
    [
        ("connection", "has no endpoint of this URL"),
        ("connection", "does not offer security_policy"),
        ("connection", "takes no sign-in by"),
        ("connection", "the server may not trust this client's certificate yet"),
        ("certificates", "the server shows another certificate than before"),
        ("certificates", "the server's certificate is not trusted"),
        ("nodes", "is not on the server, which has"),
        ("monitor", "nothing was published for"),
        ("reasons", "the server does not accept the user"),
        ("shared", "this node has"),
    ],
)
def test_a_message_of_the_guide_is_one_of_the_driver(module: str, message: str) -> None:
    assert message in GUIDE
    assert message in Path(f"edge_node/drivers/opcua/{module}.py").read_text()
