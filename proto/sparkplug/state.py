"""The JSON of STATE messages (specification 4.2, 6.4.26): ``{"online": true, "timestamp": ms}``."""

import json
from dataclasses import dataclass

from proto.sparkplug.errors import PayloadError


@dataclass(frozen=True, slots=True)
class HostState:
    """What a host application tells of itself.

    Attributes:
        online: whether it is there.
        timestamp_ms: time of the CONNECT for births and wills; of leaving for a clean end.
    """

    online: bool
    timestamp_ms: int


def format_state(state: HostState) -> bytes:
    """The payload of a STATE message."""
    return json.dumps(
        {"online": state.online, "timestamp": state.timestamp_ms}, separators=(",", ":")
    ).encode()


def parse_state(payload: bytes) -> HostState:
    """What a STATE message says.

    Raises:
        PayloadError: it is not a JSON object with ``online`` (boolean) and ``timestamp`` (integer).
    """
    try:
        document = json.loads(payload)
    except (ValueError, RecursionError) as error:  # bad UTF-8 is a ValueError too
        raise PayloadError(f"STATE payload {payload[:40]!r}: expected JSON") from error
    if not isinstance(document, dict):
        raise PayloadError(f"STATE payload {payload[:40]!r}: expected a JSON object")
    online, timestamp_ms = document.get("online"), document.get("timestamp")
    if not isinstance(online, bool):
        raise PayloadError(f"STATE online is {online!r}, expected true or false")
    if not isinstance(timestamp_ms, int) or isinstance(timestamp_ms, bool):
        raise PayloadError(f"STATE timestamp is {timestamp_ms!r}, expected whole milliseconds")
    return HostState(online, timestamp_ms)
