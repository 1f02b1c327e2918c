"""A host application's own STATE, without I/O: that it is there, and that it is gone (4.2, 5.10).

One session for each broker: the timestamp of its birth is that of its CONNECT to that broker.
"""

from proto.sparkplug.errors import PayloadError, StateError
from proto.sparkplug.messages import Connect, Publish
from proto.sparkplug.state import HostState, format_state, parse_state
from proto.sparkplug.topics import NAMESPACE, state_topic


class HostStateSession:
    """Will, subscriptions, birth and death of one host application on one broker.

    Args:
        host_id: who it is; unique among host applications.

    Raises:
        InvalidId: an id that no topic can carry.
    """

    def __init__(self, host_id: str) -> None:
        self.host_id = host_id
        self.topic = state_topic(host_id)
        self._connect_ms: int | None = None
        self._online = False

    @property
    def online(self) -> bool:
        """Whether the host has said that it is there."""
        return self._online

    def connect(self, now_ms: int) -> Connect:
        """The next CONNECT: an offline STATE as will, all of Sparkplug and the own STATE to hear.

        The STATE filter stands beside ``spBv1.0/#`` because both are demanded (5.4).
        """
        self._connect_ms = now_ms
        self._online = False
        return Connect(
            will=self._state(HostState(False, now_ms)),
            subscriptions=((f"{NAMESPACE}/#", 1), (self.topic, 1)),
        )

    def connected(self) -> list[Publish]:
        """Connection and subscriptions stand: the birth, with the time of the CONNECT.

        Raises:
            StateError: no ``connect`` before.
        """
        birth = self._birth()
        self._online = True
        return [birth]

    def receive(self, topic: str, payload: bytes) -> list[Publish]:
        """Told offline on its own topic while it is there, a host says at once that it is (5.4.1).

        Never raises on what arrives; anything but its own STATE is nothing to it.
        """
        if topic != self.topic or not self._online:
            return []
        try:
            told = parse_state(payload)
        except PayloadError:
            return [self._birth()]  # whoever wrote that left nodes without a state to read
        return [] if told.online else [self._birth()]

    def disconnect(self, now_ms: int) -> list[Publish]:
        """What is said before leaving: offline, as of now; nothing when it was not there."""
        if not self._online:
            return []
        self._online = False
        return [self._state(HostState(False, now_ms))]

    def disconnected(self) -> None:
        """The connection is gone."""
        self._online = False
        self._connect_ms = None

    def _birth(self) -> Publish:
        if self._connect_ms is None:
            raise StateError(f"host {self.host_id!r}: connected without connect, expected it first")
        return self._state(HostState(True, self._connect_ms))

    def _state(self, state: HostState) -> Publish:
        return Publish(self.topic, format_state(state), qos=1, retain=True)
