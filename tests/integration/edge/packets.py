"""The MQTT packets that a client sent, read from the bytes: the least that tests look at."""

from collections.abc import Iterator
from dataclasses import dataclass

CONNECT, PUBLISH, PUBACK, SUBSCRIBE, DISCONNECT = 1, 3, 4, 8, 14


@dataclass(frozen=True, slots=True)
class Connect:
    version: int
    clean: bool
    keep_alive_s: int
    will_topic: str
    will_payload: bytes
    will_qos: int
    will_retain: bool
    session_expiry_s: int


class Reader:
    """A packet's body, field after field."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, count: int) -> bytes:
        found = self._data[self._at : self._at + count]
        assert len(found) == count
        self._at += count
        return found

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")

    def binary(self) -> bytes:
        return self.take(self.number(2))

    def text(self) -> str:
        return self.binary().decode()

    def varint(self) -> int:
        value = shift = 0
        while True:
            byte = self.number(1)
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    @property
    def rest(self) -> bytes:
        return self._data[self._at :]


def split(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Type, flags and body of each packet."""
    reader = Reader(data)
    while reader.rest:
        head = reader.number(1)
        yield head >> 4, head & 0x0F, reader.take(reader.varint())


def read_connect(body: bytes) -> Connect:
    reader = Reader(body)
    assert reader.text() == "MQTT"
    version, flags, keep_alive_s = reader.number(1), reader.number(1), reader.number(2)
    session_expiry_s = 0
    if version == 5:
        properties = Reader(reader.take(reader.varint()))
        while properties.rest:
            assert properties.number(1) == 0x11  # the session expiry interval and no other
            session_expiry_s = properties.number(4)
    reader.text()  # client id
    if version == 5:
        assert reader.varint() == 0  # no will properties
    assert flags & 0x04
    return Connect(
        version,
        bool(flags & 0x02),
        keep_alive_s,
        reader.text(),
        reader.binary(),
        flags >> 3 & 0x03,
        bool(flags & 0x20),
        session_expiry_s,
    )


def read_subscribe(body: bytes, version: int) -> dict[str, int]:
    """Topic filter → QoS."""
    reader = Reader(body)
    reader.number(2)
    if version == 5:
        reader.take(reader.varint())
    filters: dict[str, int] = {}
    while reader.rest:
        topic = reader.text()
        filters[topic] = reader.number(1) & 0x03
    return filters


def read_topic(body: bytes) -> str:
    """The topic of a PUBLISH."""
    return Reader(body).text()
