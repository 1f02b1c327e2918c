"""OPC UA's status codes in plain words, for the people in front of the plant. Pure."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from asyncua.ua import StatusCodes
from asyncua.ua.status_codes import get_name_and_doc

from edge_node.drivers.base import OpcQuality, Reason

_SEVERITY: Final = 0xC000_0000
_CODE_BITS: Final = 0xFFFF_0000
"""The rest are information bits (OPC 10000-4 7.39)."""
_OVERFLOW: Final = 0x0480
_IS_DATA: Final = 0x0C00

_NODE_REASONS: Final[Mapping[int, str]] = {
    StatusCodes.BadNodeIdUnknown: "the server has no such node",
    StatusCodes.BadNodeIdInvalid: "the server does not take this node id",
    StatusCodes.BadAttributeIdInvalid: "the node is no variable",
    StatusCodes.BadUserAccessDenied: "the user may not do that",
    StatusCodes.BadNotReadable: "the node cannot be read",
    StatusCodes.BadNotWritable: "the node cannot be written",
    StatusCodes.BadTypeMismatch: "the node is of another type",
    StatusCodes.BadOutOfRange: "the server does not take this value",
    StatusCodes.BadWriteNotSupported: "the server takes no such write",
    StatusCodes.BadTooManyMonitoredItems: "the server has no room for more monitored items",
    StatusCodes.BadNoMatch: "the browse path leads nowhere",
    StatusCodes.BadWaitingForInitialData: "the server has no value yet",
    StatusCodes.BadNoCommunication: "the server has no connection to the device",
    StatusCodes.BadMethodInvalid: "the object has no such method",
    StatusCodes.BadArgumentsMissing: "arguments are missing",
    StatusCodes.BadInvalidArgument: "an argument is not what the method takes",
    StatusCodes.BadNotExecutable: "the method cannot be called now",
}

_QUALITIES: Final[Mapping[OpcQuality, frozenset[int]]] = {
    OpcQuality.CONFIG_ERROR: frozenset(
        {
            StatusCodes.BadConfigurationError,
            StatusCodes.BadNodeIdUnknown,
            StatusCodes.BadNodeIdInvalid,
            StatusCodes.BadAttributeIdInvalid,
            StatusCodes.BadIndexRangeInvalid,
            StatusCodes.BadIndexRangeNoData,
            StatusCodes.BadNoMatch,
            StatusCodes.BadNotReadable,
            StatusCodes.BadNotSupported,
            StatusCodes.BadTypeMismatch,
            StatusCodes.BadUserAccessDenied,
        }
    ),
    OpcQuality.NOT_CONNECTED: frozenset({StatusCodes.BadNotConnected}),
    OpcQuality.DEVICE_FAILURE: frozenset(
        {StatusCodes.BadDeviceFailure, StatusCodes.BadInternalError}
    ),
    OpcQuality.SENSOR_FAILURE: frozenset({StatusCodes.BadSensorFailure}),
    OpcQuality.COMM_FAILURE: frozenset(
        {
            StatusCodes.BadCommunicationError,
            StatusCodes.BadNoCommunication,
            StatusCodes.BadTimeout,
            StatusCodes.BadTooManyMonitoredItems,
        }
    ),
    OpcQuality.OUT_OF_SERVICE: frozenset({StatusCodes.BadOutOfService}),
    OpcQuality.WAITING: frozenset({StatusCodes.BadWaitingForInitialData}),
}
"""What kind of trouble a node is in; the data access statuses are those of OPC 10000-8 6.3."""

_SERVER_REASONS: Final[Mapping[int, str]] = {
    StatusCodes.BadSecurityPolicyRejected: "the server does not accept the security policy",
    StatusCodes.BadSecurityModeRejected: "the server does not accept the security mode",
    StatusCodes.BadIdentityTokenRejected: (
        "the server does not accept the user: wrong name or password, or this kind of sign-in"
    ),
    StatusCodes.BadIdentityTokenInvalid: "the server does not accept this kind of sign-in",
    StatusCodes.BadUserAccessDenied: (
        "the server does not accept the user: wrong name or password, or no right to connect"
    ),
    StatusCodes.BadUserSignatureInvalid: "the server does not accept the user's certificate",
    StatusCodes.BadTooManySessions: (
        "the server has no free session: close others, or raise its limit"
    ),
    StatusCodes.BadTooManySubscriptions: (
        "the server has no free subscription: use fewer poll groups, or mode = 'poll'"
    ),
    StatusCodes.BadTooManyMonitoredItems: "the server has no room for more monitored items",
    StatusCodes.BadServiceUnsupported: "the server does not offer this service",
    StatusCodes.BadTcpEndpointUrlInvalid: "the server does not know this endpoint URL",
    StatusCodes.BadTcpServerTooBusy: "the server is too busy for another connection",
    StatusCodes.BadTcpNotEnoughResources: "the server has no room for another connection",
    StatusCodes.BadSessionIdInvalid: "the server has forgotten the session",
    StatusCodes.BadSessionClosed: "the server closed the session",
    StatusCodes.BadSecureChannelIdInvalid: "the server has forgotten the secure channel",
    StatusCodes.BadSecureChannelClosed: "the server closed the secure channel",
    StatusCodes.BadServerHalted: "the server has stopped",
    StatusCodes.BadShutdown: "the server is shutting down",
    StatusCodes.BadNonceInvalid: "the server and this client disagree about nonces",
}

CERTIFICATE_CODES: Final = frozenset(
    {
        StatusCodes.BadSecurityChecksFailed,
        StatusCodes.BadCertificateUntrusted,
        StatusCodes.BadCertificateInvalid,
        StatusCodes.BadCertificateTimeInvalid,
        StatusCodes.BadCertificateUriInvalid,
        StatusCodes.BadCertificateUseNotAllowed,
        StatusCodes.BadCertificateHostNameInvalid,
        StatusCodes.BadCertificateChainIncomplete,
        StatusCodes.BadCertificateRevocationUnknown,
        StatusCodes.BadCertificateIssuerRevocationUnknown,
    }
)
"""What a server says that does not like the client's certificate."""

LOST_NODE_CODES: Final = frozenset({StatusCodes.BadNodeIdUnknown, StatusCodes.BadNodeIdInvalid})
"""What a node's value is worth after the node was deleted."""

FILTER_CODES: Final = frozenset(
    {
        StatusCodes.BadMonitoredItemFilterUnsupported,
        StatusCodes.BadMonitoredItemFilterInvalid,
        StatusCodes.BadFilterNotAllowed,
        StatusCodes.BadDeadbandFilterInvalid,
    }
)
"""What a server says that cannot apply a filter."""

TOO_LARGE_CODES: Final = frozenset(
    {
        StatusCodes.BadTooManyOperations,
        StatusCodes.BadEncodingLimitsExceeded,
        StatusCodes.BadRequestTooLarge,
        StatusCodes.BadResponseTooLarge,
        StatusCodes.BadTcpMessageTooLarge,
    }
)
"""What a server says that was asked for too much at once."""


def is_good(status: int) -> bool:
    """Whether a value is good."""
    return not status & _SEVERITY


def is_uncertain(status: int) -> bool:
    """Whether there is a value, of doubtful worth."""
    return status & _SEVERITY == 0x4000_0000


def has_overflowed(status: int) -> bool:
    """Whether the server's queue had no room for changes before this one."""
    return status & (_IS_DATA | 0x80) == _OVERFLOW


def plain_code(status: int) -> int:
    """Return a status without its information bits."""
    return status & _CODE_BITS


@lru_cache(maxsize=1024)
def describe_status(status: int) -> str:
    """Return a status by its name and number: ``BadSensorFailure (0x808C0000)``."""
    code = plain_code(status)
    name: str = get_name_and_doc(code)[0]
    return f"{name} (0x{code:08X})"


def explain_node(status: int) -> Reason:
    """Return what a status means for one node, with what kind of trouble that is."""
    code = plain_code(status)
    meaning = _NODE_REASONS.get(code)
    named = describe_status(status)
    quality = next((kind for kind, codes in _QUALITIES.items() if code in codes), OpcQuality.BAD)
    return Reason(named if meaning is None else f"{meaning}: {named}", quality)


def explain_server(status: int) -> str:
    """Return what a status means for the whole connection."""
    meaning = _SERVER_REASONS.get(plain_code(status))
    named = describe_status(status)
    return named if meaning is None else f"{meaning}: {named}"
