"""What is known of a server: its namespaces, what it calls itself, how much it takes at once.

One for each session, for all who share it.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from asyncua import ua

from edge_node.drivers.base import DeviceUnreachable
from edge_node.drivers.opcua.profiles import PROFILES, Profile, batch_size, detect_profile
from proto.control.opcua import OpcUaConnection

ABOUT: Final = {
    "namespaces": ua.ObjectIds.Server_NamespaceArray,
    "servers": ua.ObjectIds.Server_ServerArray,
    "product": ua.ObjectIds.Server_ServerStatus_BuildInfo_ProductName,
    "product_uri": ua.ObjectIds.Server_ServerStatus_BuildInfo_ProductUri,
    "maker": ua.ObjectIds.Server_ServerStatus_BuildInfo_ManufacturerName,
    "version": ua.ObjectIds.Server_ServerStatus_BuildInfo_SoftwareVersion,
    "read": ua.ObjectIds.Server_ServerCapabilities_OperationLimits_MaxNodesPerRead,
    "monitor": ua.ObjectIds.Server_ServerCapabilities_OperationLimits_MaxMonitoredItemsPerCall,
    "browse": ua.ObjectIds.Server_ServerCapabilities_OperationLimits_MaxNodesPerBrowse,
    "translate": (
        ua.ObjectIds.Server_ServerCapabilities_OperationLimits_MaxNodesPerTranslateBrowsePathsToNodeIds
    ),
}
"""What a server tells of itself, and where (OPC 10000-5 6.3)."""

_SERVICES: Final = ("read", "monitor", "browse", "translate")


@dataclass(slots=True)
class ServerFacts:
    """What is known of one server.

    Attributes:
        namespaces: its NamespaceArray.
        profile: what it can take.
        product: what it calls itself.
        heard_at: when something last came from it, by the monotonic clock.
        limits: service → most nodes in one request.
        failure: why nothing else will be answered on this session.
    """

    namespaces: list[str] = field(default_factory=list)
    profile: Profile = PROFILES["default"]
    product: str = ""
    heard_at: float = field(default_factory=time.monotonic)
    limits: dict[str, int] = field(default_factory=dict)
    failure: DeviceUnreachable | None = None
    summary: dict[str, Any] = field(default_factory=dict)

    def learn(self, told: Mapping[str, Any], settings: OpcUaConnection) -> None:
        """Take what a server told, by the names of ``ABOUT``."""
        self.namespaces = told["namespaces"]
        names = [_text(told[name]) for name in ("product", "product_uri", "maker")]
        self.product = names[0]
        servers = told["servers"]
        names += servers if isinstance(servers, list) else []
        wanted = settings.profile
        self.profile = detect_profile(*names) if wanted == "auto" else PROFILES[wanted]
        for service in _SERVICES:
            limit = told[service] if isinstance(told[service], int) else 0
            self.limits[service] = batch_size(self.profile, limit, settings.max_items_per_request)
        self.summary = {
            "product": self.product,
            "maker": names[2],
            "version": _text(told["version"]),
            "profile": self.profile.name,
            "namespaces": len(self.namespaces),
        }

    def limit(self, service: str) -> int:
        """Return how many nodes a request of a service may have."""
        return self.limits.get(service, self.profile.batch)


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
