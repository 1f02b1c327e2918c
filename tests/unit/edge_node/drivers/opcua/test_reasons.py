import pytest
from asyncua.ua import StatusCodes

from edge_node.drivers.base import OpcQuality
from edge_node.drivers.opcua.reasons import (
    describe_status,
    explain_node,
    explain_server,
    has_overflowed,
    is_good,
    is_uncertain,
    plain_code,
)


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (StatusCodes.BadTooManySessions, "no free session: close others, or raise its limit"),
        (StatusCodes.BadTooManySubscriptions, "no free subscription: use fewer poll groups"),
        (StatusCodes.BadIdentityTokenRejected, "wrong name or password"),
        (StatusCodes.BadSecurityPolicyRejected, "does not accept the security policy"),
        (StatusCodes.BadTcpEndpointUrlInvalid, "does not know this endpoint URL"),
        (StatusCodes.BadServiceUnsupported, "does not offer this service"),
    ],
)
def test_what_a_server_refuses_is_told_with_what_can_be_done(code: int, text: str) -> None:
    told = explain_server(code)
    assert text in told
    assert told.endswith(f"{describe_status(code)}")


def test_a_node_that_is_not_there_is_told_as_that() -> None:
    assert explain_node(StatusCodes.BadNodeIdUnknown) == (
        "the server has no such node: BadNodeIdUnknown (0x80340000)"
    )
    assert explain_node(0x808C0000) == "BadSensorFailure (0x808C0000)"


def test_information_bits_do_not_change_what_a_status_means() -> None:
    overflow = 0x0480
    assert is_good(overflow)
    assert has_overflowed(overflow)
    assert not has_overflowed(0x0400)
    assert not has_overflowed(0x0080)
    assert is_uncertain(0x40900000 | overflow)
    assert not is_good(0xC0000000)
    assert plain_code(StatusCodes.BadNodeIdUnknown | overflow) == StatusCodes.BadNodeIdUnknown


@pytest.mark.parametrize(
    ("code", "quality"),
    [
        (StatusCodes.BadNodeIdUnknown, OpcQuality.CONFIG_ERROR),
        (StatusCodes.BadUserAccessDenied, OpcQuality.CONFIG_ERROR),
        (StatusCodes.BadNotConnected, OpcQuality.NOT_CONNECTED),
        (StatusCodes.BadDeviceFailure, OpcQuality.DEVICE_FAILURE),
        (StatusCodes.BadSensorFailure | 0x0400, OpcQuality.SENSOR_FAILURE),
        (StatusCodes.BadNoCommunication, OpcQuality.COMM_FAILURE),
        (StatusCodes.BadOutOfService, OpcQuality.OUT_OF_SERVICE),
        (StatusCodes.BadWaitingForInitialData, OpcQuality.WAITING),
        (StatusCodes.Bad, OpcQuality.BAD),
    ],
)
def test_a_status_tells_what_kind_of_trouble_a_node_is_in(code: int, quality: OpcQuality) -> None:
    assert explain_node(code).quality is quality
