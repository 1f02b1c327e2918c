"""A broker's side of MQTT, to see the packets that a client sends, in order.

It accepts everything, acknowledges everything and delivers nothing.
"""

import asyncio
from dataclasses import dataclass, field

CONNECT, PUBLISH, PUBACK, SUBSCRIBE, PINGREQ, DISCONNECT = 1, 3, 4, 8, 12, 14


@dataclass
class Packet:
    """One packet that came.

    Attributes:
        kind: the packet type's number.
        flags: the low four bits of its first byte.
        body: everything after the fixed header.
    """

    kind: int
    flags: int
    body: bytes


@dataclass
class Connection:
    """The packets of one connection, in order."""

    packets: list[Packet] = field(default_factory=list)


class Recorder:
    """The broker.

    Attributes:
        connections: every connection that was made.
    """

    def __init__(self, *, five: bool = False) -> None:
        self.connections: list[Connection] = []
        self.port = 0
        self._five = five
        self._changed = asyncio.Condition()
        self._writers: list[asyncio.StreamWriter] = []
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen on a free port."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Close everything."""
        assert self._server is not None
        self._server.close()
        for writer in self._writers:
            writer.close()
        await self._server.wait_closed()

    async def wait_packet(self, kind: int, number: int = 1) -> None:
        """Wait until so many packets of a kind have come on the last connection."""
        async with asyncio.timeout(10), self._changed:
            await self._changed.wait_for(
                lambda: (
                    self.connections
                    and sum(p.kind == kind for p in self.connections[-1].packets) >= number
                )
            )

    async def send(self, data: bytes) -> None:
        """Send bytes on the last connection."""
        self._writers[-1].write(data)
        await self._writers[-1].drain()

    def drop(self) -> None:
        """Cut the last connection."""
        self._writers[-1].transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = Connection()
        self.connections.append(connection)
        self._writers.append(writer)
        properties = b"\x00" if self._five else b""
        try:
            while True:
                first = (await reader.readexactly(1))[0]
                body = await reader.readexactly(await _read_length(reader))
                packet = Packet(first >> 4, first & 15, body)
                if packet.kind == CONNECT:
                    answer = b"\x00\x00" + properties
                    writer.write(bytes([0x20, len(answer)]) + answer)
                elif packet.kind == SUBSCRIBE:
                    count = len(subscriptions(packet, five=self._five))
                    answer = body[:2] + properties + bytes([1] * count)
                    writer.write(bytes([0x90, len(answer)]) + answer)
                elif packet.kind == PUBLISH and packet.flags & 6:
                    size = int.from_bytes(body[:2], "big")
                    writer.write(b"\x40\x02" + body[2 + size : 4 + size])
                elif packet.kind == PINGREQ:
                    writer.write(b"\xd0\x00")
                async with self._changed:
                    connection.packets.append(packet)
                    self._changed.notify_all()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()


@dataclass(frozen=True)
class ConnectPacket:
    """What a CONNECT says."""

    protocol: int
    clean: bool
    will_topic: str
    will_payload: bytes
    will_qos: int
    will_retain: bool
    session_expiry: bool


def read_connect(packet: Packet) -> ConnectPacket:
    """Decode a CONNECT that carries a will (MQTT 3.1.1 clause 3.1, 5.0 clause 3.1)."""
    assert packet.kind == CONNECT
    body = packet.body
    assert body[:6] == b"\x00\x04MQTT"
    protocol, flags = body[6], body[7]
    assert flags & 4, "no will"
    rest = body[10:]
    expiry = False
    if protocol == 5:
        expiry = b"\x11" in rest[1 : 1 + rest[0]] and rest[2:6] != b"\x00\x00\x00\x00"
        rest = rest[1 + rest[0] :]
    _, rest = _take(rest)
    if protocol == 5:
        rest = rest[1 + rest[0] :]
    topic, rest = _take(rest)
    payload, rest = _take(rest)
    return ConnectPacket(
        protocol,
        bool(flags & 2),
        topic.decode(),
        payload,
        flags >> 3 & 3,
        bool(flags & 32),
        expiry,
    )


@dataclass(frozen=True)
class PublishPacket:
    """What a PUBLISH says."""

    topic: str
    payload: bytes
    qos: int
    retain: bool


def read_publish(packet: Packet, *, five: bool = False) -> PublishPacket:
    """Decode a PUBLISH."""
    assert packet.kind == PUBLISH
    topic, rest = _take(packet.body)
    qos = packet.flags >> 1 & 3
    rest = rest[2:] if qos else rest
    rest = rest[1 + rest[0] :] if five else rest
    return PublishPacket(topic.decode(), rest, qos, bool(packet.flags & 1))


def subscriptions(packet: Packet, *, five: bool = False) -> list[str]:
    """Give the topic filters of a SUBSCRIBE."""
    assert packet.kind == SUBSCRIBE
    rest = packet.body[2:]
    rest = rest[1 + rest[0] :] if five else rest
    found = []
    while rest:
        topic, rest = _take(rest)
        found.append(topic.decode())
        rest = rest[1:]
    return found


def _take(data: bytes) -> tuple[bytes, bytes]:
    size = int.from_bytes(data[:2], "big")
    return data[2 : 2 + size], data[2 + size :]


async def _read_length(reader: asyncio.StreamReader) -> int:
    length = shift = 0
    while True:
        byte = (await reader.readexactly(1))[0]
        length |= (byte & 127) << shift
        if not byte & 128:
            return length
        shift += 7
