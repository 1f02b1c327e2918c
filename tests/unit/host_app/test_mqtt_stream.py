import pytest

from host_app.mqtt_stream import FLOOD_MEMORY_S, FULL_READ_BYTES, MqttStream


def test_received_bytes_are_taken_in_pieces_and_then_there_are_none() -> None:
    stream = MqttStream()
    told: list[bool] = []
    stream.on_received = lambda: told.append(stream.has_received)
    stream.data_received(b"abc")
    stream.data_received(b"de")
    assert told == [True, True]
    assert [stream.recv(1), stream.recv(3), stream.recv(9)] == [b"a", b"bcd", b"e"]
    assert not stream.has_received
    with pytest.raises(BlockingIOError):
        stream.recv(1)


def test_nothing_is_sent_without_a_connection() -> None:
    with pytest.raises(ConnectionError):
        MqttStream().send(b"x")


def test_full_reads_are_a_flood_until_they_end(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("host_app.mqtt_stream.time.monotonic", lambda: now)
    stream = MqttStream()
    flooded = []
    for size in (FULL_READ_BYTES - 1, FULL_READ_BYTES, 1):
        stream.data_received(b"x" * size)
        flooded.append(stream.is_flooded)
    now += FLOOD_MEMORY_S
    flooded.append(stream.is_flooded)
    assert flooded == [False, True, True, False]
