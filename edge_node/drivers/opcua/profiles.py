"""What servers can take, by what they say of themselves: sizes of requests, filters. Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Profile:
    """One kind of server.

    Attributes:
        batch: most nodes in one request.
        filters: whether it applies data change filters and deadbands.
    """

    name: str
    batch: int
    filters: bool = True


PROFILES: Final[Mapping[str, Profile]] = {
    profile.name: profile
    for profile in (
        Profile("default", 1000),
        Profile("s7-1200", 100, filters=False),
        Profile("s7-1500", 500),
        Profile("ignition", 100),
        Profile("kepware", 1000),
    )
}

_SIGNS: Final = (
    ("s7-1200", re.compile(r"S7-?1200", re.IGNORECASE)),
    ("s7-1500", re.compile(r"S7-?1500|ET\s?200SP", re.IGNORECASE)),
    ("ignition", re.compile(r"Ignition|Inductive Automation", re.IGNORECASE)),
    ("kepware", re.compile(r"KEPServer|Kepware|ThingWorx Kepware", re.IGNORECASE)),
)


def detect_profile(*names: str) -> Profile:
    """Return the profile of a server by its product's and maker's names and its URIs."""
    for profile, sign in _SIGNS:
        if any(sign.search(name) for name in names):
            return PROFILES[profile]
    return PROFILES["default"]


def batch_size(profile: Profile, limit: int, wanted: int | None) -> int:
    """Return how many nodes one request may have.

    Args:
        profile: the server's.
        limit: the server's own OperationLimits say so; 0 for no limit (OPC 10000-5 6.3.11).
        wanted: as configured.
    """
    batch = profile.batch if wanted is None else wanted
    return min(batch, limit) if limit > 0 else batch
