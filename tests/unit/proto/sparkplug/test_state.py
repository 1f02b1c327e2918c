"""The JSON of STATE messages."""

import pytest

from proto.sparkplug.errors import PayloadError
from proto.sparkplug.state import HostState, format_state, parse_state


@pytest.mark.tck(
    "host-topic-phid-birth-payload",
    "host-topic-phid-death-payload",
    "payloads-state-birth-payload",
    "payloads-state-will-message-payload",
)
@pytest.mark.parametrize(
    ("state", "payload"),
    [
        (HostState(True, 1_700_000_000_123), b'{"online":true,"timestamp":1700000000123}'),
        (HostState(False, 0), b'{"online":false,"timestamp":0}'),
    ],
)
def test_state_is_written_and_read(state: HostState, payload: bytes) -> None:
    assert format_state(state) == payload
    assert parse_state(payload) == state


def test_further_keys_and_blanks_do_no_harm() -> None:
    payload = b' { "timestamp" : 5, "online" : true, "name": "x" } '

    assert parse_state(payload) == HostState(True, 5)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"ONLINE",
        b"\xff",
        b"[]",
        b"true",
        b"{}",
        b'{"online":1,"timestamp":5}',
        b'{"online":true}',
        b'{"online":true,"timestamp":"5"}',
        b'{"online":true,"timestamp":5.5}',
        b'{"online":true,"timestamp":true}',
        b"[" * 100_000,
    ],
)
def test_what_is_no_state_is_refused(payload: bytes) -> None:
    with pytest.raises(PayloadError, match="STATE"):
        parse_state(payload)
