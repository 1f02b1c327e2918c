import pytest

from proto.sparkplug.edge_events import EdgeOptions, PrimaryHostOffline, PrimaryHostOnline, Rejected
from proto.sparkplug.edge_session import Action, EdgeSession
from proto.sparkplug.topics import NodeId

TOPIC = "spBv1.0/STATE/scada"


def state(online: bool, timestamp_ms: int) -> bytes:
    return b'{"online": %s, "timestamp": %d}' % (str(online).lower().encode(), timestamp_ms)


def hear(session: EdgeSession, broker: str, *payloads: bytes) -> list[Action]:
    """What a session makes of STATE messages on a new connection to a broker."""
    session.connect(0, broker)
    session.connected(0)
    heard = [action for payload in payloads for action in session.receive(TOPIC, payload, 0)]
    session.disconnected()
    return heard


@pytest.mark.tck("message-flow-edge-node-birth-publish-phid-wait-timestamp")
def test_times_of_state_are_compared_with_those_of_the_same_broker() -> None:
    session = EdgeSession(NodeId("g", "e"), options=EdgeOptions(primary_host="scada"))
    first = hear(session, "a", state(True, 5000), state(False, 5000))
    assert first[-1] == PrimaryHostOffline(5000, must_disconnect=True)
    assert hear(session, "b", state(True, 3000))[-1] == PrimaryHostOnline(3000)
    (stale,) = hear(session, "a", state(True, 4999))
    assert isinstance(stale, Rejected)
