"""An edge node, without I/O: what it says, when, and in which order (specification 5.1 to 5.9).

The session is told what happens (``connect``, ``connected``, ``receive``, ``disconnected``) and
what is measured (``data``, ``device_online``, ``device_offline``), each with the time, and gives
back what to publish. It remembers current values, so that births are always whole.

======================  ===========================================================================
state                   meaning
======================  ===========================================================================
``OFFLINE``             no connection; ``connect`` gives the next one, with the next bdSeq
``CONNECTING``          ``connect`` was called; ``connected`` follows once subscriptions stand
``WAITING``             connected, silent: the primary host has not said that it is online
``BORN``                births are out; data flows
``ENDED``               NDEATH is out; all that is left is to disconnect
======================  ===========================================================================

It must not know of sockets, clocks, files: who calls it keeps bdSeq over restarts (``next_bd_seq``
after ``connect``), paces reconnects, and disconnects when told.
"""

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import TypeAlias

from proto.sparkplug.edge_commands import read_command
from proto.sparkplug.edge_events import (
    EdgeEvent,
    EdgeOptions,
    PrimaryHostOffline,
    PrimaryHostOnline,
    Reading,
    RebirthDone,
    Rejected,
)
from proto.sparkplug.edge_inventory import EdgeInventory
from proto.sparkplug.edge_messages import NUMBERS, EdgeMessages
from proto.sparkplug.errors import PayloadError, StateError, TopicError
from proto.sparkplug.messages import Connect, Publish
from proto.sparkplug.metrics import QUALITY_GOOD, Metric, Value
from proto.sparkplug.state import parse_state
from proto.sparkplug.topics import (
    MessageType,
    NodeId,
    command_filters,
    parse_topic,
    state_topic,
)

Action: TypeAlias = Publish | EdgeEvent


class EdgeState(Enum):
    """Where a session stands; the module's table says what each means."""

    OFFLINE = "offline"
    CONNECTING = "connecting"
    WAITING = "waiting"
    BORN = "born"
    ENDED = "ended"


class EdgeSession:
    """One edge node over a sequence of MQTT connections, never more than one at a time.

    Args:
        node: who it is.
        bd_seq: bdSeq of the next CONNECT, 0 for a node that never was.
        options: choices the specification leaves open.

    Raises:
        InvalidId: an id that no topic can carry.
        StateError: ``bd_seq`` is not 0 to 255.
    """

    def __init__(
        self, node: NodeId, *, bd_seq: int = 0, options: EdgeOptions | None = None
    ) -> None:
        if not 0 <= bd_seq < NUMBERS:
            raise StateError(f"edge node {node}: bdSeq is {bd_seq}, expected 0 to 255")
        self.node = node
        self.options = options or EdgeOptions()
        self._state = EdgeState.OFFLINE
        self._bd_seq: int | None = None
        self._next_bd_seq = bd_seq
        self._inventory = EdgeInventory(self.options)
        self._messages = EdgeMessages(node, self.options)
        self._nbirth_due = False
        host = self.options.primary_host
        self._state_topic = None if host is None else state_topic(host)
        self._host_online = False
        self._broker = ""
        self._host_seen_ms: dict[str, int] = {}

    @property
    def state(self) -> EdgeState:
        """Where the session stands."""
        return self._state

    @property
    def bd_seq(self) -> int:
        """The bdSeq of the current connection.

        Raises:
            StateError: there was no ``connect`` yet.
        """
        if self._bd_seq is None:
            raise StateError(f"edge node {self.node}: no bdSeq before the first connect")
        return self._bd_seq

    @property
    def next_bd_seq(self) -> int:
        """The bdSeq of the next CONNECT: what outlives the process."""
        return self._next_bd_seq

    @property
    def devices(self) -> Mapping[str, bool]:
        """Every device and whether it is online."""
        return {name: device.online for name, device in self._inventory.devices.items()}

    # Definitions

    def set_node_metrics(self, metrics: Sequence[Metric]) -> None:
        """Define every metric the node itself will ever report, with current values.

        Names that stay keep their aliases. On a born session data of the node is refused until
        ``rebirth``: hosts must hear of metrics before they hear from them.

        Raises:
            InvalidMetric: names that collide (case does not tell them apart), ``bdSeq`` or
                ``Node Control/Rebirth`` (the session's own), templates without definition.
            WrongType: a value of another kind than its data type.
            ValueOutOfRange: a value that does not fit its data type.
        """
        self._inventory.set_node_metrics(metrics)
        self._nbirth_due = self._state is EdgeState.BORN

    def set_device(self, device: str, metrics: Sequence[Metric]) -> None:
        """Define a device and every metric it will ever report; it is offline when it is new.

        Raises:
            InvalidId: an id that no topic can carry.
            StateError: the device is born: take it offline first, so that its DBIRTH follows a
                DDEATH.
            InvalidMetric: as ``set_node_metrics``; also another device whose id differs in case.
            WrongType: a value of another kind than its data type.
            ValueOutOfRange: a value that does not fit its data type.
        """
        self._inventory.set_device(device, metrics)

    def remove_device(self, device: str) -> None:
        """Forget a device.

        Raises:
            UnknownMetric: no such device.
            StateError: it is born: take it offline first, so that hosts hear its DDEATH.
        """
        self._inventory.remove_device(device)

    def alias(self, device: str | None, name: str) -> int:
        """The number of a metric in readings, and its alias on the wire when aliases are used.

        Raises:
            UnknownMetric: no such device or metric.
        """
        return self._inventory.alias(device, name)

    # The connection

    def connect(self, now_ms: int, broker: str = "") -> Connect:
        """Take the next bdSeq for a CONNECT (4.3, 5.3). Every attempt takes one.

        Args:
            now_ms: time of the CONNECT.
            broker: which of several brokers. A host's STATE has the time of its own connection to
                that broker, so times are compared with what the same broker said before.

        Raises:
            StateError: the last connection was not reported ``disconnected``.
        """
        self._expect("connect", EdgeState.OFFLINE)
        self._bd_seq, self._next_bd_seq = self._next_bd_seq, (self._next_bd_seq + 1) % NUMBERS
        self._state = EdgeState.CONNECTING
        self._broker = broker
        self._host_online = False  # another broker, another STATE
        filters = [*command_filters(self.node)]
        if self._state_topic is not None:
            filters.append(self._state_topic)
        will = self._messages.ndeath(self._bd_seq, now_ms)
        return Connect(will, tuple((each, 1) for each in filters))

    def connected(self, now_ms: int) -> list[Publish]:
        """The connection and its subscriptions stand: all births, or nothing while waiting.

        Raises:
            StateError: no ``connect`` before.
        """
        self._expect("connected", EdgeState.CONNECTING)
        self._state = EdgeState.WAITING
        return self._births(now_ms) if self._state_topic is None or self._host_online else []

    def receive(self, topic: str, payload: bytes, now_ms: int) -> list[Action]:
        """What arrives on the subscriptions; never raises on it.

        Publications are to be sent in their order, before anything else of the session.
        """
        if topic == self._state_topic:
            return self._receive_state(topic, payload, now_ms)
        try:
            parsed = parse_topic(topic)
        except TopicError as error:
            return [Rejected(topic, None, None, str(error))]
        table = self._inventory.table
        device = self._inventory.devices.get(parsed.device) if parsed.device is not None else None
        if device is not None:
            table = device.table
        fault = None
        if parsed.node != self.node or parsed.message_type not in _COMMANDS:
            fault = f"{parsed.message_type} for {parsed.node}, expected a command for {self.node}"
        elif self._state is not EdgeState.BORN:
            fault = f"command while the session is {self._state.value}, expected born"
        elif parsed.device is not None and (device is None or not device.born):
            fault = f"device {parsed.device!r} is not online"
        if fault is not None:
            return [Rejected(topic, parsed.device, None, fault)]
        rebirth, events = read_command(topic, payload, table)
        if not rebirth:
            return list(events)
        births = self._births(now_ms)
        return [*births, RebirthDone(len(births)), *events]

    def rebirth(self, now_ms: int) -> list[Publish]:
        """All births again on our own account, with the same bdSeq; nothing when not born."""
        return self._births(now_ms) if self._state is EdgeState.BORN else []

    def disconnect(self, now_ms: int) -> list[Publish]:
        """What is said before an intended DISCONNECT: DDEATHs and NDEATH, when there were births.

        With MQTT 5 the DISCONNECT itself carries reason 0x04 on top (6.4.25).
        """
        farewell: list[Publish] = []
        if self._state is EdgeState.BORN:
            born = [device for device in self._inventory.devices.values() if device.born]
            farewell = [self._messages.ddeath(device, now_ms) for device in born]
            farewell.append(self._messages.ndeath(self.bd_seq, now_ms))
        if self._state is not EdgeState.OFFLINE:
            self._end(EdgeState.ENDED)
        return farewell

    def disconnected(self) -> None:
        """The connection is gone, whoever ended it."""
        self._end(EdgeState.OFFLINE)

    # Devices and data

    def device_online(
        self, device: str, now_ms: int, readings: Sequence[Reading] = ()
    ) -> list[Publish]:
        """The device is there: its DBIRTH, with these current values; nothing when it was there.

        Before the session is born the DBIRTH follows with the births.

        Raises:
            UnknownMetric: no such device, or an alias that is not its.
            WrongType: a value of another kind than its data type.
            ValueOutOfRange: a value or quality that does not fit.
        """
        found = self._inventory.device(device)
        found.table.remember(readings)
        found.online = True
        if self._state is not EdgeState.BORN or found.born:
            return []
        return [self._messages.dbirth(found, now_ms)]

    def device_offline(self, device: str, now_ms: int) -> list[Publish]:
        """The device is lost: its DDEATH; nothing when hosts do not believe it there.

        Raises:
            UnknownMetric: no such device.
        """
        found = self._inventory.device(device)
        found.online = False
        return [self._messages.ddeath(found, now_ms)] if found.born else []

    def data(
        self,
        device: str | None,
        readings: Sequence[Reading],
        now_ms: int,
        *,
        historical: bool = False,
    ) -> Publish | None:
        """NDATA (``device`` is ``None``) or DDATA of what changed, in chronological order.

        Current values are remembered also when nothing can be sent (``None``): the next birth
        carries them. Past values (``historical``) are not remembered.

        Raises:
            UnknownMetric: no such device, or an alias that is not its.
            StateError: node metrics were defined anew and ``rebirth`` has not been called.
            WrongType: a value of another kind than its data type.
            ValueOutOfRange: a value or quality that does not fit; those before it are remembered.
        """
        if device is not None:
            found = self._inventory.device(device)
            table, born = found.table, found.born
        else:
            table, born = self._inventory.table, self._state is EdgeState.BORN
            if self._nbirth_due:
                raise StateError(f"edge node {self.node}: data of new metrics, expected rebirth")
        ordered = _chronological(readings)
        if historical:
            metrics = table.encode_historical(ordered) if born else []
        elif born:
            metrics = table.encode_live(ordered)
        else:
            table.remember(ordered)
            return None
        return self._messages.data(device, metrics, now_ms) if metrics else None

    def update(
        self,
        device: str | None,
        alias: int,
        value: Value,
        timestamp_ms: int,
        quality: int = QUALITY_GOOD,
    ) -> None:
        """Remember a current value without sending it.

        Raises:
            UnknownMetric: no such device, or an alias that is not its.
            WrongType: a value of another kind than its data type.
            ValueOutOfRange: a value or quality that does not fit.
        """
        self._inventory.table_of(device).remember(((alias, value, timestamp_ms, quality),))

    def _receive_state(self, topic: str, payload: bytes, now_ms: int) -> list[Action]:
        """The primary host's STATE: equal timestamps count, older ones do not (5.4, 5.7)."""
        if self._state in {EdgeState.OFFLINE, EdgeState.ENDED}:
            return []
        try:
            host = parse_state(payload)
        except PayloadError as error:
            return [Rejected(topic, None, None, str(error))]
        seen_ms = self._host_seen_ms.get(self._broker, -1)
        if host.timestamp_ms < seen_ms:
            reason = f"STATE is of {host.timestamp_ms}, expected {seen_ms} or later"
            return [Rejected(topic, None, None, reason)]
        self._host_seen_ms[self._broker] = host.timestamp_ms
        self._host_online = host.online
        if host.online:
            births = self._births(now_ms) if self._state is EdgeState.WAITING else []
            return [*births, PrimaryHostOnline(host.timestamp_ms)]
        if self._state is not EdgeState.BORN:  # a death without birth would be a stray one
            return [PrimaryHostOffline(host.timestamp_ms, must_disconnect=False)]
        self._end(EdgeState.ENDED)
        death = self._messages.ndeath(self.bd_seq, now_ms)
        return [death, PrimaryHostOffline(host.timestamp_ms, must_disconnect=True)]

    def _births(self, now_ms: int) -> list[Publish]:
        """NBIRTH, then a DBIRTH of every device that is online (5.5, 5.6)."""
        self._end(EdgeState.BORN)
        births = [self._messages.nbirth(self._inventory.table, self.bd_seq, now_ms)]
        online = [device for device in self._inventory.devices.values() if device.online]
        return births + [self._messages.dbirth(device, now_ms) for device in online]

    def _end(self, state: EdgeState) -> None:
        """What hosts knew is void."""
        self._state = state
        self._nbirth_due = False
        self._inventory.forget_births()

    def _expect(self, call: str, state: EdgeState) -> None:
        if self._state is not state:
            raise StateError(
                f"edge node {self.node}: {call} while {self._state.value}, expected {state.value}"
            )


_COMMANDS = frozenset({MessageType.NCMD, MessageType.DCMD})


def _reading_time(reading: Reading) -> int:
    return reading[2]


def _chronological(readings: Sequence[Reading]) -> Sequence[Reading]:
    """In chronological order (5.16); mostly one time for all, or in order already."""
    times = [reading[2] for reading in readings]
    return readings if times == sorted(times) else sorted(readings, key=_reading_time)
