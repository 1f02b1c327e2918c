"""What a session gives its caller to do: connect so, subscribe so, publish this."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Publish:
    """One MQTT PUBLISH."""

    topic: str
    payload: bytes
    qos: int = 0
    retain: bool = False


@dataclass(frozen=True, slots=True)
class Connect:
    """One MQTT CONNECT and what is subscribed right after it.

    Attributes:
        will: registered in the CONNECT.
        subscriptions: topic filter and QoS; all of them before anything is published.
        clean_session: clean session (MQTT 3.1.1), or clean start with session expiry 0 (MQTT 5).
    """

    will: Publish
    subscriptions: tuple[tuple[str, int], ...]
    clean_session: bool = True
